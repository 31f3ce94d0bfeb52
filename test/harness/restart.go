package harness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
)

// Again starts the process of a name once more, with the same program, settings
// and address. The one before must have ended.
func (f *Fleet) Again(name string) (*Process, error) {
	p, err := f.Process(name)
	if err != nil {
		return nil, err
	}
	return f.Start(Spec{Name: name, Path: p.cmd.Path, Args: p.cmd.Args[1:], Env: p.cmd.Env, Dir: p.cmd.Dir})
}

// statusAddrs are the settings of the addresses on which services say whether
// they are ready.
var statusAddrs = []string{"NIGHTSHIFT_ADMIN_ADDR=", "NIGHTSHIFT_WORKER_ADDR=", "NIGHTSHIFT_SCHEDULER_ADDR="}

// Ready says why a service is not ready, or nil.
func (f *Fleet) Ready(ctx context.Context, name string) error {
	p, err := f.Process(name)
	if err != nil {
		return err
	}
	if !p.Running() {
		return fmt.Errorf("%s has ended", name)
	}
	for _, setting := range p.cmd.Env {
		for _, key := range statusAddrs {
			if addr, ok := strings.CutPrefix(setting, key); ok {
				return ready(ctx, p, "http://"+addr+"/readyz")
			}
		}
	}
	return fmt.Errorf("%s is no service", name)
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

// Named finds the running service that has an address for its status.
func (f *Fleet) Named(addr string) (*Process, error) {
	for _, p := range f.Running() {
		for _, key := range statusAddrs {
			if slices.Contains(p.cmd.Env, key+addr) {
				return p, nil
			}
		}
	}
	return nil, fmt.Errorf("no service has the address %s", addr)
}
