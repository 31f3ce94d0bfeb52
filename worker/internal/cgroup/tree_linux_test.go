package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/nightshift/nightshift/worker/internal/polltest"
	"golang.org/x/sys/unix"
)

// controllers are what the kernel lets this test limit: what v1 has, v2 has not.
func controllers(t *testing.T) (home string, limits Limits) {
	t.Helper()
	home, err := ownGroup()
	if err != nil {
		return "", Limits{}
	}
	text, err := os.ReadFile(filepath.Join(home, "cgroup.controllers"))
	if err != nil {
		t.Fatal(err)
	}
	for c := range strings.FieldsSeq(string(text)) {
		switch c {
		case "memory":
			limits.Memory = 64 << 20
		case "pids":
			limits.Tasks = 20
		}
	}
	return home, limits
}

// child starts a shell that waits for a line before it goes on.
func child(t *testing.T, script string) (cmd *exec.Cmd, run func()) {
	t.Helper()
	cmd = exec.Command("/bin/sh", "-c", "read go; "+script)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, func() { fmt.Fprintln(in, "go") }
}

func groupOf(t *testing.T, pid string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "0::")
	return strings.TrimSpace(after)
}

// TestTree needs cgroup v2 that is ours to shape. Where it is not, Open says why
// and leaves everything alone; that is the test there.
func TestTree(t *testing.T) {
	home, limits := controllers(t)
	before := groupOf(t, "self")
	if home == "" {
		if tree, err := Open(Limits{Memory: 1 << 30, Tasks: 100}); err == nil || tree != nil {
			t.Fatalf("Open = %v, %v where there is no group of ours", tree, err)
		}
		return
	}
	tree, err := Open(limits)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(limits); err == nil {
		t.Error("a second one of the same process")
	}
	if got := groupOf(t, "self"); got != filepath.Join(before, branchPrefix+strconv.Itoa(os.Getpid()), leaf) {
		t.Errorf("we are in %s", got)
	}
	g, err := tree.Group("one")
	if err != nil {
		t.Fatal(err)
	}
	cmd, run := child(t, "setsid sleep 300 & setsid sleep 300 & wait")
	if err := g.Add(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	run()
	procs := func() []string {
		text, err := os.ReadFile(filepath.Join(g.dir, "cgroup.procs"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(text))
	}
	polltest.Until(t, "all three are in the group", func() bool { return len(procs()) == 3 })
	inside := procs()
	if g.OutOfMemory() {
		t.Error("it is out of memory before it used any")
	}
	if err := g.Remove(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range inside {
		polltest.Until(t, pid+" has ended", func() bool {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			return err != nil || strings.Contains(string(stat), ") Z ")
		})
	}
	if err := tree.Close(); err != nil {
		t.Fatal(err)
	}
	if got := groupOf(t, "self"); got != before {
		t.Errorf("after Close we are in %s, and were in %s", got, before)
	}
	if _, err := os.Stat(tree.branch); err == nil {
		t.Errorf("Close left %s", tree.branch)
	}
}

// What a worker left that was killed is removed when the next one starts.
func TestLeftovers(t *testing.T) {
	home, limits := controllers(t)
	if home == "" {
		return // TestTree says so
	}
	tree, err := Open(limits)
	if err != nil {
		t.Fatal(err)
	}
	g, err := tree.Group("left")
	if err != nil {
		t.Fatal(err)
	}
	cmd, _ := child(t, "sleep 300")
	if err := g.Add(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	// The worker is killed, and the next one starts where it had. A group that shares
	// something out takes no process, so whoever starts it takes that back.
	for _, dir := range []string{tree.functions(), tree.branch, home} {
		if err := share(dir, "-", limits.controllers()); err != nil {
			t.Fatal(err)
		}
	}
	if err := write(home, "cgroup.procs", strconv.Itoa(os.Getpid())); err != nil {
		t.Fatal(err)
	}
	inUse.Unlock()
	next, err := Open(limits)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("what it had started ended with %v", err)
	}
	if _, err := os.Stat(g.dir); err == nil {
		t.Error("its group is still there")
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}

// TestLimits is the kernel's own work, where v2 has the controllers.
func TestLimits(t *testing.T) {
	home, limits := controllers(t)
	if home == "" {
		return // TestTree says so
	}
	tree, err := Open(limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	})
	g, err := tree.Group("two")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
	})
	if limits.Tasks > 0 {
		cmd, run := child(t, "i=0; while [ $i -lt 100 ]; do sleep 300 & i=$((i+1)); done")
		if err := g.Add(cmd.Process.Pid); err != nil {
			t.Fatal(err)
		}
		run()
		if err := cmd.Wait(); err == nil {
			t.Errorf("a shell could start 100 processes with a limit of %d", limits.Tasks)
		}
		if err := g.kill(); err != nil {
			t.Fatal(err)
		}
	}
	if limits.Memory > 0 {
		// tail keeps all of a file that has no line end.
		cmd, run := child(t, "sleep 300 & head -c 300000000 /dev/zero | tail; sleep 300")
		if err := g.Add(cmd.Process.Pid); err != nil {
			t.Fatal(err)
		}
		run()
		if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Errorf("the shell ended with %v, want it killed with all of its group", err)
		}
		if !g.OutOfMemory() {
			t.Error("the group does not say that it ran out of memory")
		}
	}
	if err := tree.has([]string{"no-such-thing"}); err == nil {
		t.Error("a controller that does not exist is there")
	}
}

// Files of groups are never made: a typing error must not become a file.
func TestWriteMakesNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := write(dir, "memory.mex", "1"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("write = %v, want no such file", err)
	}
}
