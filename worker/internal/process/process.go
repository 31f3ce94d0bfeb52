// Package process runs one child process and everything it starts, and reads
// what they write.
//
// A child leads a session and a process group of its own. Whatever ends it, the
// whole group ends with it, and so do descendants that left the group (see
// [Brand]): when [Process.Done] is closed nothing is left. The child also dies
// with us.
//
// What a child may do is decided elsewhere, and applied here at two moments:
// [Config.Confine] on the thread that forks it, and [Config.Limits] and
// [Config.Held] while it is held before its first instruction.
//
// Its output is read line by line and given to whoever is attached at the
// time. [Process.Flush] draws the line between two owners exactly, whatever
// the child's language: unless nothing is on its way, we write a secret marker
// behind what the child wrote, because we hold a writing end of each pipe too,
// and wait until our reader has met it.
package process

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/nightshift/nightshift/worker/internal/thread"
)

// drainDelay is how long the readers wait for the end of the output after the
// group is dead. Only a process that escaped both the group and the brand can
// still hold a pipe open; it must not hold us.
const drainDelay = time.Second

// Config says what to run.
type Config struct {
	// Path is the executable; Args are its arguments without its own name.
	Path string
	Args []string
	// Dir is the working directory. Default: ours.
	Dir string
	// Env is the whole environment, KEY=value. Nothing of ours is added.
	Env []string
	// Owner is the user and group ID that the child's output belongs to, so that
	// a child of another user can open it again, as /dev/stderr. Default: ours.
	Owner int
	// Brand is the child's. Default: a new one.
	Brand Brand
	// Confine, if set, is called on the thread that then forks the child and does
	// nothing else any more: what it does to that thread, the child inherits.
	Confine func() error
	// Limits are the child's resource limits, soft and hard.
	Limits []Limit
	// Held, if set, is called with the child's ID before it runs its first
	// instruction. Where the system does not let us hold a child, it and Limits
	// come right after the start, and [Holds] is false. If it fails, so does Start.
	Held func(pid int) error
	// Log and MaxOutput, if set, are attached before the child can write.
	Log       func(stream, text string)
	MaxOutput int64
	// Notice, if set, sees every line, attached or not, over the limit or not.
	// It must be quick, must not keep the text, and is called by both streams at once.
	Notice func(stream string, text []byte)
}

// Limit is a resource limit, RLIMIT_…. One that is lower already stays.
type Limit struct {
	Resource int
	Value    uint64
}

// Exit is how a process ended.
type Exit struct {
	Code   int            // meaningful if Signal is 0
	Signal syscall.Signal // 0 if it exited by itself
}

// String completes a sentence: "the process …".
func (e Exit) String() string {
	if e.Signal != 0 {
		return fmt.Sprintf("was ended by signal %d (%s)", int(e.Signal), e.Signal)
	}
	return fmt.Sprintf("exited with code %d", e.Code)
}

// Process is a started child. It is safe for concurrent use.
type Process struct {
	output  *output
	readers [2]*reader
	marks   [2]*os.File // our own writing ends
	brand   Brand
	done    chan struct{}

	flushing sync.Mutex

	mu     sync.Mutex
	pid    int
	reaped bool // the pid may be somebody else's by now
	exit   Exit
}

// Start starts a child. Its standard input is /dev/null.
func Start(cfg Config) (*Process, error) {
	p := &Process{
		output: &output{log: cfg.Log, left: cfg.MaxOutput, notice: cfg.Notice},
		brand:  cmp.Or(cfg.Brand, NewBrand()), done: make(chan struct{}),
	}
	marker := []byte("\x00" + rand.Text() + "\n")
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("opening a child's standard input: %w", err)
	}
	child := []*os.File{null}
	defer func() {
		for _, f := range child {
			f.Close()
		}
	}()
	for i, stream := range []string{"stdout", "stderr"} {
		r, w, err := os.Pipe()
		if err == nil {
			child = append(child, w)
			p.readers[i], err = newReader(r, stream, marker, p.output)
		}
		if err == nil {
			p.marks[i], err = reopen(w)
		}
		if err == nil && cfg.Owner != 0 {
			err = w.Chown(cfg.Owner, cfg.Owner)
		}
		if err != nil {
			p.closePipes()
			return nil, fmt.Errorf("making a pipe for a child's output: %w", err)
		}
	}
	f := newForker(cfg, child)
	thread.Go(f.run)
	leader, err := f.forked()
	if err != nil {
		p.closePipes()
		return nil, fmt.Errorf("starting %s: %w", cfg.Path, err)
	}
	p.pid = leader.Pid
	err = p.prepare(cfg)
	if err != nil {
		signalGroup(p.pid, syscall.SIGKILL)
	}
	f.release()
	go p.supervise(leader, f)
	if err != nil {
		<-p.done
		return nil, fmt.Errorf("starting %s: %w", cfg.Path, err)
	}
	return p, nil
}

// prepare does what has to be done to a child before it runs.
func (p *Process) prepare(cfg Config) error {
	if err := setLimits(p.pid, p.brand, cfg.Limits); err != nil {
		return fmt.Errorf("limiting the process: %w", err)
	}
	if cfg.Held == nil {
		return nil
	}
	return cfg.Held(p.pid)
}

// supervise waits for the child and cleans up behind it.
func (p *Process) supervise(leader *os.Process, f *forker) {
	var reading sync.WaitGroup
	for _, r := range p.readers {
		reading.Go(r.run)
	}
	// While the leader is a zombie its pid cannot be given to anybody else, so
	// the group can be killed without hitting a stranger.
	<-f.ended
	p.mu.Lock()
	signalGroup(p.pid, syscall.SIGKILL)
	p.reaped = true
	p.mu.Unlock()
	state, err := leader.Wait()
	KillStrays(p.brand)

	if err != nil {
		p.exit = Exit{Code: -1} // somebody else has taken its status, which nobody does
	} else if status, ok := state.Sys().(syscall.WaitStatus); ok {
		p.exit = Exit{Code: status.ExitStatus()}
		if status.Signaled() {
			p.exit = Exit{Code: -1, Signal: status.Signal()}
		}
	}
	for i := range p.marks {
		p.marks[i].Close()
		p.readers[i].file.SetReadDeadline(time.Now().Add(drainDelay))
	}
	reading.Wait()
	close(p.done)
}

func (p *Process) closePipes() {
	for i := range p.readers {
		if p.readers[i] != nil {
			p.readers[i].file.Close()
		}
		if p.marks[i] != nil {
			p.marks[i].Close()
		}
	}
}

// PID is the child's process ID, which is its group's too.
func (p *Process) PID() int { return p.pid }

// Brand is what tells its descendants from all other processes.
func (p *Process) Brand() Brand { return p.brand }

// Done is closed when the child and its group are gone and all they wrote has
// been given out.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit is how the child ended. Call it after Done.
func (p *Process) Exit() Exit { return p.exit }

// Stop ends the group: TERM, and KILL after the grace. It returns when Done is
// closed, so it waits for whoever is attached to take the last lines.
func (p *Process) Stop(grace time.Duration) {
	if grace > 0 {
		p.signal(syscall.SIGTERM)
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-p.done:
			return
		case <-timer.C:
		}
	}
	p.signal(syscall.SIGKILL)
	<-p.done
}

func (p *Process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		signalGroup(p.pid, sig)
	}
}

// signalGroup ignores errors: the only one that can happen is that nobody is left.
func signalGroup(pgid int, sig syscall.Signal) { _ = syscall.Kill(-pgid, sig) }

// Attach gives each line from now on to log, up to max bytes in all; what is
// over is counted and dropped. log is called by one goroutine at a time; while
// it blocks, the child's writing blocks. What is written while nobody is
// attached is dropped.
func (p *Process) Attach(log func(stream, text string), max int64) { p.output.attach(log, max) }

// Detach ends what Attach began. log is not called any more once it returned.
func (p *Process) Detach() { p.output.detach() }

// Dropped is how many bytes went over the limit since Attach.
func (p *Process) Dropped() int64 {
	p.output.mu.Lock()
	defer p.output.mu.Unlock()
	return p.output.dropped
}

// Flush returns when all that had been written before it was called has been
// given out. It fails if that takes longer than the limit; the process is then of
// no more use. If the process has ended, it waits for Done.
func (p *Process) Flush(limit time.Duration) error {
	p.flushing.Lock()
	defer p.flushing.Unlock()
	if p.readers[0].quiet() && p.readers[1].quiet() { // as after nearly every call
		return nil
	}
	expired := time.NewTimer(limit)
	defer expired.Stop()
	deadline := time.Now().Add(limit)
	for i, r := range p.readers {
		_ = p.marks[i].SetWriteDeadline(deadline)
		if _, err := p.marks[i].Write(r.marker); err != nil {
			if errors.Is(err, os.ErrClosed) {
				break
			}
			return fmt.Errorf("marking the output: %w", err)
		}
	}
	for _, r := range p.readers {
		select {
		case <-r.met:
		case <-p.done:
		case <-expired.C:
			return fmt.Errorf("reading the output: %w", os.ErrDeadlineExceeded)
		}
	}
	return nil
}
