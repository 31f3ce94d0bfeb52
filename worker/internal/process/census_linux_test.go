package process

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/nightshift/nightshift/worker/internal/polltest"
)

func newCensus(t testing.TB) *Census {
	t.Helper()
	c, err := NewCensus()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// take returns the tree of one leader.
func take(t testing.TB, c *Census, root Root) []Member {
	t.Helper()
	trees, err := c.Take([]Root{root})
	if err != nil {
		t.Fatal(err)
	}
	return trees[0]
}

func pids(tree []Member) (all []int) {
	for _, m := range tree {
		all = append(all, m.PID)
	}
	slices.Sort(all)
	return all
}

func TestCensusFindsDescendantsAndNothingElse(t *testing.T) {
	t.Parallel()
	c := newCensus(t)
	var told lines
	p := start(t, `setsid sh -c 'echo $$; sleep 300 & echo $!; wait' & sleep 300 & echo $!; wait`, told.add)
	other := start(t, "sleep 300")
	root, err := c.Root(p.PID(), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []int{p.PID()}
	polltest.Until(t, "all are told", func() bool { return len(told.snapshot()) == 3 })
	for _, line := range told.snapshot() {
		pid, err := strconv.Atoi(strings.TrimPrefix(line, "stdout:"))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, pid)
	}
	slices.Sort(want)
	// What has been forked and has not got its program yet may have no memory that is counted.
	polltest.Until(t, "the tree is whole and has memory", func() bool {
		tree := take(t, c, root)
		return slices.Equal(pids(tree), want) && !slices.ContainsFunc(tree, func(m Member) bool { return m.Resident == 0 })
	})
	for _, m := range take(t, c, root) {
		if m.Threads != 1 || m.Zombie || m.Started == 0 || m.PID == other.PID() {
			t.Errorf("member %+v", m)
		}
	}
	if _, err := c.Root(os.Getppid(), 0); err == nil {
		t.Error("our own parent is taken for a child")
	}
	root.Started++ // as if the pid had been used again
	if tree := take(t, c, root); len(tree) != 0 {
		t.Errorf("a stranger with a used pid has the tree %v", pids(tree))
	}
}

func TestCensusSeesThreadsAndZombies(t *testing.T) {
	t.Parallel()
	c := newCensus(t)
	p := start(t, "sleep 0 & exec sleep 300") // which does not wait for the first
	root, err := c.Root(p.PID(), 0)
	if err != nil {
		t.Fatal(err)
	}
	polltest.Until(t, "there is a zombie", func() bool {
		tree := take(t, c, root)
		return len(tree) == 2 && tree[0].Zombie != tree[1].Zombie
	})
	self, err := c.stat(os.Getpid())
	if err != nil || self.Threads < 2 {
		t.Errorf("we are %+v, %v", self, err)
	}
}

// A brand is RLIMIT_RTTIME, set here on the leader from outside.
func TestCensusKnowsStraysByTheirBrand(t *testing.T) {
	t.Parallel()
	brand := NewBrand()
	c := newCensus(t)
	cmd := exec.Command("/bin/sh", "-c", `read go; (setsid env -i sleep 300 </dev/null >/dev/null 2>&1 & echo $!); exec sleep 300`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	leader := cmd.Process.Pid
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	limit := [2]Brand{brand, brand}
	if _, _, errno := syscall.Syscall6(syscall.SYS_PRLIMIT64, uintptr(leader), 15, uintptr(unsafe.Pointer(&limit)), 0, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
	root, err := c.Root(leader, brand)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 16)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	stray, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(stray, syscall.SIGKILL) })
	want := []int{leader, stray}
	slices.Sort(want)
	polltest.Until(t, "the stray is in the tree", func() bool {
		m, err := c.stat(stray)
		return err == nil && m.Parent != leader && slices.Equal(pids(take(t, c, root)), want)
	})
	root.Brand = 0
	if tree := pids(take(t, c, root)); slices.Contains(tree, stray) {
		t.Errorf("without the brand the stray is still found in %v", tree)
	}
}

func BenchmarkCensus(b *testing.B) {
	c := newCensus(b)
	var roots []Root
	for range 24 {
		p, err := Start(Config{Path: "/bin/sleep", Args: []string{"300"}})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { p.Stop(0) })
		root, err := c.Root(p.PID(), p.Brand())
		if err != nil {
			b.Fatal(err)
		}
		roots = append(roots, root)
	}
	all, err := c.all()
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	for b.Loop() {
		if _, err := c.Take(roots); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(b.N)/float64(len(all)), "ns/process")
}
