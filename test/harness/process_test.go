package harness

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"
)

func shell(t *testing.T, f *Fleet, name, script string) *Process {
	t.Helper()
	p, err := f.Start(Spec{Name: name, Path: "/bin/sh", Args: []string{"-c", script}, Env: Environ()})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestCloseEndsOrphans(t *testing.T) {
	t.Parallel()
	var f Fleet
	p := shell(t, &f, "parent", "sleep 1000 & sleep 1000 & wait")
	if err := Eventually(soon(t), func() error {
		if n := len(descendants(p.Pid())); n != 2 {
			return fmt.Errorf("%d descendants, want 2", n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(soon(t)); err != nil {
		t.Fatal(err)
	}
	if got := len(p.Survivors()); got != 2 {
		t.Errorf("%d survivors of a killed parent, want its 2 children", got)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := Eventually(soon(t), func() error {
		if got := p.Survivors(); len(got) > 0 {
			return fmt.Errorf("processes %v outlive the fleet", got)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestStopTellsTheExitCode(t *testing.T) {
	t.Parallel()
	var f Fleet
	p := shell(t, &f, "p", "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done")
	t.Cleanup(func() { _ = f.Close() })
	if err := Eventually(soon(t), func() error {
		if got := p.Log.String(); got != "ready\n" {
			return fmt.Errorf("log %q", got)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Start(Spec{Name: "p", Path: "/bin/true"}); err == nil {
		t.Error("a second process was started under a name in use")
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	code, err := p.Wait(soon(t))
	if err != nil || code != 3 || p.Log.Tail(2) != "bye\n" {
		t.Errorf("ended with %d, %v and the log %q", code, err, p.Log.String())
	}
}
