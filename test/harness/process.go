package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Spec says what to start.
type Spec struct {
	Name string // what the test calls it
	Path string // the executable
	Args []string
	Env  []string // the whole environment
	Dir  string
}

// Process is a child of ours, in a process group of its own, so that a signal
// from the terminal to the test reaches it only through the test.
type Process struct {
	Name string
	Log  *Log

	cmd  *exec.Cmd
	done chan struct{}

	mu     sync.Mutex
	family []proc // every descendant that was ever seen
}

func start(spec Spec) (*Process, error) {
	p := &Process{Name: spec.Name, Log: &Log{}, done: make(chan struct{})}
	p.cmd = exec.Command(spec.Path, spec.Args...)
	p.cmd.Env, p.cmd.Dir = spec.Env, spec.Dir
	p.cmd.Stdout, p.cmd.Stderr = p.Log, p.Log
	// A test that is killed, by its own time limit for one, leaves nothing behind.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	// A descendant that outlives the process may hold its output open.
	p.cmd.WaitDelay = time.Second
	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the starting thread ends, so it stays.
		runtime.LockOSThread()
		defer close(p.done)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // the exit code is read from ProcessState
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	return p, nil
}

// Pid is the process ID.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends a signal to the process alone, and remembers its descendants
// first: afterwards nothing tells whose they were.
func (p *Process) Signal(sig syscall.Signal) error {
	p.remember()
	return p.cmd.Process.Signal(sig)
}

// SignalFamily sends a signal to the process and to every descendant, as when
// the machine stops.
func (p *Process) SignalFamily(sig syscall.Signal) error {
	errs := []error{p.Signal(sig)}
	for _, d := range descendants(p.Pid()) {
		if err := syscall.Kill(d.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Wait waits for the end and returns the exit code; -1 is a signal.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("%s still runs: %w", p.Name, ctx.Err())
	}
}

// Kill ends the process alone, as the out-of-memory killer would.
func (p *Process) Kill(ctx context.Context) error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	_, err := p.Wait(ctx)
	return err
}

// Freeze stops the process alone, as a machine that has lost its power to a
// neighbour does; what it has started runs on. Resume lets it go on.
func (p *Process) Freeze() error { return p.Signal(syscall.SIGSTOP) }

// Resume ends Freeze.
func (p *Process) Resume() error { return p.Signal(syscall.SIGCONT) }

// Owns reports whether pid is the process or a descendant of it.
func (p *Process) Owns(pid int) bool {
	if pid == p.Pid() {
		return true
	}
	for _, d := range descendants(p.Pid()) {
		if d.pid == pid {
			return true
		}
	}
	return false
}

// Descendant is a process that one of ours has started.
type Descendant struct{ proc proc }

// Alive reports whether it still runs; what has ended and waits to be collected
// does not, nor does a later process with the same ID.
func (d Descendant) Alive() bool { return d.proc.alive() }

// FindDescendant finds a running process by its ID.
func FindDescendant(pid int) (Descendant, error) {
	p, err := readProc(pid)
	return Descendant{p}, err
}

// Survivors lists the remembered descendants that are still alive.
func (p *Process) Survivors() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	var alive []int
	for _, d := range p.family {
		if d.alive() {
			alive = append(alive, d.pid)
		}
	}
	return alive
}

func (p *Process) remember() {
	found := descendants(p.Pid())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.family = append(p.family, found...)
}

// destroy ends the process and all of its family, without asking.
func (p *Process) destroy() error {
	if p.Running() {
		p.remember()
		_ = p.cmd.Process.Kill()
	}
	for _, pid := range p.Survivors() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := p.Wait(ctx)
	return err
}

// maxLog bounds what is kept of a process's output; what is over is dropped at
// the front, a quarter at a time, so that a process that writes a lot is not
// charged for it with each line.
const maxLog = 4 << 20

// Log is what a process wrote, standard output and error together. It is safe
// for concurrent use.
type Log struct {
	mu   sync.Mutex
	text []byte
}

// Write is part of io.Writer.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	if len(l.text) > maxLog+maxLog/4 {
		l.text = append([]byte(nil), l.text[len(l.text)-maxLog:]...)
	}
	return len(b), nil
}

// String returns all that is kept.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// Count returns how often the expression matches.
func (l *Log) Count(re *regexp.Regexp) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(re.FindAllIndex(l.text, -1))
}

// Tail returns the last n lines.
func (l *Log) Tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := bytes.SplitAfter(l.text, []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], nil))
}
