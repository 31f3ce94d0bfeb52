package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/nightshift/nightshift/worker/internal/polltest"
	"golang.org/x/sys/unix"
)

// What is not set before the first instruction comes too late for a program
// that does its harm at once.
func TestLimitsAreThereBeforeTheProgramRuns(t *testing.T) {
	t.Parallel()
	marker := filepath.Join(t.TempDir(), "ran")
	var got lines
	p, err := Start(Config{
		Path: "/bin/sh", Args: []string{"-c", "echo >" + marker + "; ulimit -n; ulimit -Hn; ulimit -c"},
		Log: got.add, MaxOutput: 1 << 20,
		Limits: []Limit{{unix.RLIMIT_NOFILE, 123}, {unix.RLIMIT_CORE, 0}},
		Held: func(pid int) error {
			if !Holds() {
				return nil
			}
			if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || !strings.Contains(string(stat), ") t ") {
				t.Errorf("the child is not held: %s, %v", stat, err)
			}
			if _, err := os.Stat(marker); err == nil {
				t.Error("the program has run already")
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if all := got.snapshot(); !slices.Equal(all, []string{"stdout:123", "stdout:123", "stdout:0"}) {
		t.Errorf("limits as the child sees them: %q", all)
	}
}

func TestAChildThatCannotBePreparedDoesNotRun(t *testing.T) {
	t.Parallel()
	marker, broken := filepath.Join(t.TempDir(), "ran"), errors.New("broken")
	var pid int
	for name, cfg := range map[string]Config{
		"Confine": {Confine: func() error { return broken }},
		"Held":    {Held: func(child int) error { pid = child; return broken }},
	} {
		cfg.Path, cfg.Args = "/bin/sh", []string{"-c", "echo >" + marker}
		if _, err := Start(cfg); !errors.Is(err, broken) {
			t.Errorf("%s: Start = %v, want its error", name, err)
		}
		if _, err := os.Stat(marker); err == nil && Holds() {
			t.Errorf("%s failed and the program has run", name)
		}
	}
	if alive(pid) {
		t.Error("the child is alive after a failed start")
	}
}

// What Confine does to its thread is the child's, and nobody else's.
func TestConfineIsForTheChildAlone(t *testing.T) {
	t.Parallel()
	var got lines
	p, err := Start(Config{
		Path: "/bin/grep", Args: []string{"NoNewPrivs", "/proc/self/status"}, Log: got.add, MaxOutput: 1 << 20,
		Confine: func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if all := got.snapshot(); len(all) != 1 || !strings.HasSuffix(all[0], "1") {
		t.Errorf("the child says %q, want no_new_privs", all)
	}
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(tasks) == 0 {
		t.Fatal("no threads", err)
	}
	for _, task := range tasks {
		if status, err := os.ReadFile(task); err == nil && bytes.Contains(status, []byte("NoNewPrivs:\t1")) {
			t.Errorf("%s is confined too", task)
		}
	}
}

func TestChildHasNothingOpenButItsOutput(t *testing.T) {
	t.Parallel()
	// As whoever started us, or a careless library, may have left it.
	leak, err := unix.Open("/etc/passwd", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)
	p, err := Start(Config{Path: "/bin/sleep", Args: []string{"300"}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop(0)
	var open []string
	polltest.Until(t, "sleep has been loaded", func() bool {
		open = nil
		fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.PID()))
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			target, _ := os.Readlink(fd)
			target, _, _ = strings.Cut(target, ":")
			open = append(open, filepath.Base(fd)+" "+target)
		}
		return len(open) == 3
	})
	if want := []string{"0 /dev/null", "1 pipe", "2 pipe"}; !slices.Equal(open, want) {
		t.Errorf("open files: %q, want %q", open, want)
	}
	if sid, err := unix.Getsid(p.PID()); err != nil || sid != p.PID() {
		t.Errorf("session %d of process %d, %v; want its own", sid, p.PID(), err)
	}
}

func TestBranded(t *testing.T) {
	t.Parallel()
	p := start(t, "setsid sleep 300 & sleep 300")
	polltest.Until(t, "both are found", func() bool { return len(Branded()[p.Brand()]) >= 3 })
	if !slices.Contains(Branded()[p.Brand()], p.PID()) {
		t.Error("the child does not carry its brand")
	}
	other := start(t, "sleep 300")
	if other.Brand() == p.Brand() {
		t.Error("two children have one brand")
	}
	p.Stop(0)
	if left := Branded()[p.Brand()]; len(left) > 0 {
		t.Errorf("left after Stop: %v", left)
	}
	if len(Branded()[other.Brand()]) == 0 {
		t.Error("Stop of one child took another one with it")
	}
}

// One who has no child to reap may be left with dead descendants for ever.
func TestZombiesAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	p := start(t, "sleep 300")
	_ = syscall.Kill(p.PID(), syscall.SIGKILL)
	polltest.Until(t, "it is dead", func() bool { return !alive(p.PID()) })
	if pids := Branded()[p.Brand()]; len(pids) > 0 {
		t.Errorf("Branded lists the dead: %v", pids)
	}
}
