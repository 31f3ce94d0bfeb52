package process

import "os"

// forker forks one child on the thread that it runs on, and keeps the thread
// until the child has ended: the kernel ties a child's parent-death signal to
// the thread that forked, not to the process, and a held child to it too.
type forker struct {
	path    string
	args    []string
	attr    os.ProcAttr
	confine func() error

	leader   *os.Process
	err      error
	started  chan struct{} // closed when leader or err is set
	released chan struct{}
	ended    chan struct{} // closed when the child is a zombie
}

func newForker(cfg Config, files []*os.File) *forker {
	env := cfg.Env
	if env == nil {
		env = []string{} // nil would mean ours
	}
	return &forker{
		path: cfg.Path, args: append([]string{cfg.Path}, cfg.Args...), confine: cfg.Confine,
		attr:    os.ProcAttr{Dir: cfg.Dir, Env: env, Files: files},
		started: make(chan struct{}), released: make(chan struct{}), ended: make(chan struct{}),
	}
}

// run is what the thread does. Once it is confined it may see no /proc and no
// file of ours, so that everything else is done by others.
func (f *forker) run() {
	defer close(f.ended)
	held := false
	closeInherited()
	if f.confine != nil {
		f.err = f.confine()
	}
	if f.err == nil {
		held, f.err = f.start()
	}
	close(f.started)
	if f.err != nil {
		return
	}
	<-f.released
	if held {
		letGo(f.leader.Pid)
	}
	awaitExit(f.leader.Pid)
}

// start starts the child, held if the system lets us.
func (f *forker) start() (held bool, err error) {
	hold := Holds()
	if hold {
		f.attr.Sys = attributes(true)
		f.leader, err = os.StartProcess(f.path, f.args, &f.attr)
		if err == nil {
			awaitStop(f.leader.Pid)
			return true, nil
		}
		if !holdRefused(err) {
			return false, err
		}
	}
	f.attr.Sys = attributes(false)
	f.leader, err = os.StartProcess(f.path, f.args, &f.attr)
	if err == nil && hold {
		holdNoMore()
	}
	return false, err
}

// forked waits for the child.
func (f *forker) forked() (*os.Process, error) {
	<-f.started
	return f.leader, f.err
}

// release lets the child run.
func (f *forker) release() { close(f.released) }
