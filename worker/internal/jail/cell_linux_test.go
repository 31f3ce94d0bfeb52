package jail_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/worker/internal/jail"
	"github.com/nightshift/nightshift/worker/internal/jail/jailtest"
	"github.com/nightshift/nightshift/worker/internal/process"
	"golang.org/x/sys/unix"
)

func cell(t *testing.T, j *jail.Jail) *jail.Cell {
	t.Helper()
	c, err := j.Cell()
	must(t, err)
	return c
}

// sh runs a script in a cell, to its end.
func sh(t *testing.T, c *jail.Cell, script string) {
	t.Helper()
	cfg := process.Config{
		Path: "/bin/sh", Args: []string{"-c", script}, Dir: "/", Env: []string{"PATH=/usr/bin:/bin", "TMPDIR=" + c.Tmp()},
		Log: func(_, text string) { t.Log(text) }, MaxOutput: 1 << 20,
	}
	c.Lock(&cfg)
	p, err := process.Start(cfg)
	must(t, err)
	<-p.Done()
	if exit := p.Exit(); exit.Code != 0 {
		t.Fatalf("the script %s", exit)
	}
}

// A process may leave its folder in a state that its owner has no rights to.
func TestRemove(t *testing.T) {
	t.Parallel()
	j := jailtest.New(t)
	c := cell(t, j)
	sh(t, c, `cd "$TMPDIR" && mkdir -p a/b/c && echo x >a/b/c/file && ln -s / root && mkfifo pipe && chmod 0 a/b/c/file a/b/c a/b a`)
	must(t, c.Remove())
	if left, err := os.ReadDir(j.Dir()); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Errorf("more was removed than the cell: %v", err)
	}
}

// A worker that was killed leaves cells, and may leave processes that had left
// their group.
func TestNewCleansUpBehindTheDead(t *testing.T) {
	t.Parallel()
	dir := jailtest.Dir(t)
	dead, err := jail.New(jail.Config{Dir: dir})
	must(t, err)
	c := cell(t, dead)
	cfg := process.Config{Path: "/bin/sleep", Args: []string{"300"}}
	c.Lock(&cfg)
	p, err := process.Start(cfg)
	must(t, err)
	t.Cleanup(func() { p.Stop(0) })
	must(t, os.Mkdir(filepath.Join(dead.Dir(), "node"), 0o755))

	beside, err := jail.New(jail.Config{Dir: dir})
	must(t, err)
	if _, err := os.Stat(c.Tmp()); err != nil || beside.Dir() == dead.Dir() {
		t.Fatalf("a second worker has taken the first one's folder: %v", err)
	}
	must(t, beside.Close())
	select {
	case <-p.Done():
		t.Fatal("a second worker has ended the first one's processes")
	default:
	}

	must(t, jail.Abandon(dead))
	next, err := jail.New(jail.Config{Dir: dir})
	must(t, err)
	defer next.Close()
	if left, err := os.ReadDir(next.Dir()); err != nil || len(left) != 0 || next.Dir() != dead.Dir() {
		t.Errorf("left in %s: %v, %v", next.Dir(), left, err)
	}
	select {
	case <-p.Done():
	case <-time.After(10 * time.Second):
		t.Error("the dead worker's process lives on")
	}
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	j := jailtest.New(t)
	code := filepath.Join(jailtest.Dir(t), "code")
	must(t, os.MkdirAll(filepath.Join(code, "lib", "deep"), 0o755))
	must(t, os.WriteFile(filepath.Join(code, "lib", "deep", "file"), []byte("text"), 0o444))
	must(t, os.Symlink("lib/deep/file", filepath.Join(code, "link")))
	if !j.CanAdopt(code) {
		t.Fatal("CanAdopt = false")
	}
	c := cell(t, j)
	dir, err := c.Adopt(code)
	must(t, err)
	text, err := os.ReadFile(filepath.Join(dir, "link"))
	if err != nil || string(text) != "text" {
		t.Errorf("the code in the cell: %q, %v", text, err)
	}
	must(t, c.Remove())
	if _, err := os.Stat(filepath.Join(code, "lib", "deep", "file")); err != nil {
		t.Errorf("with the cell went the code: %v", err)
	}

	large := filepath.Join(jailtest.Dir(t), "large")
	must(t, os.Mkdir(large, 0o755))
	for n := range 2001 {
		must(t, os.WriteFile(filepath.Join(large, fmt.Sprint(n)), nil, 0o444))
	}
	if j.CanAdopt(large) {
		t.Error("CanAdopt = true for more files than pay off")
	}
	if j.CanAdopt(filepath.Join(large, "missing")) {
		t.Error("CanAdopt = true for nothing")
	}
	open := jailtest.New(t, func(c *jail.Config) { c.Open = true })
	if dir, err := cell(t, open).Adopt(large); err != nil || dir != large || !open.CanAdopt(large) {
		t.Errorf("without walls, Adopt = %s, %v; want the code where it is", dir, err)
	}
}

// What is over cannot be told apart from other processes of the user, so a
// limit counts with them.
func TestNumberOfProcesses(t *testing.T) {
	t.Parallel()
	j := jailtest.New(t, func(c *jail.Config) { c.Limits = jail.Limits{Processes: 20}; c.Max = 1 })
	for _, wall := range j.Report() {
		if wall.Name == "number of processes" && wall.Why != "" {
			return // root's are not counted
		}
	}
	c := cell(t, j)
	var pids int
	cfg := process.Config{
		Path: "/bin/sh", Args: []string{"-c", "n=0; while [ $n -lt 3000 ]; do /bin/sleep 100 & n=$((n+1)); done"}, Env: []string{"PATH=/bin"},
	}
	c.Lock(&cfg)
	p, err := process.Start(cfg)
	must(t, err)
	deadline := time.Now().Add(20 * time.Second)
	for alive := true; alive && time.Now().Before(deadline); {
		pids = max(pids, len(process.Branded()[p.Brand()]))
		select {
		case <-p.Done():
			alive = false
		default:
			waitABit()
		}
	}
	p.Stop(0)
	if most := 25; os.Getuid() == 0 && pids > most {
		t.Errorf("%d processes, want %d at most", pids, most)
	}
	must(t, c.Remove())
}

// Processes get user IDs that nobody has, not the same twice.
func TestUserIDs(t *testing.T) {
	t.Parallel()
	j := jailtest.New(t)
	i := slices.IndexFunc(j.Report(), func(w jail.Wall) bool { return w.Name == "own user ID" })
	if i < 0 || j.Report()[i].Why != "" {
		if os.Getuid() == 0 {
			t.Fatalf("root's wall is not up: %+v", j.Report())
		}
		return
	}
	seen := map[uint32]bool{}
	for range 5 {
		c := cell(t, j)
		sh(t, c, `echo x >"$TMPDIR/own"; test "$(id -u)" -gt 65536 && test "$(id -u)" = "$(id -g)" && test "$(id -G)" = "$(id -g)"`)
		var stat unix.Stat_t
		must(t, unix.Stat(filepath.Join(c.Tmp(), "own"), &stat))
		if seen[stat.Uid] || stat.Uid == 0 {
			t.Errorf("user ID %d again", stat.Uid)
		}
		seen[stat.Uid] = true
		must(t, c.Remove())
	}
}

func TestShield(t *testing.T) {
	if os.Getenv("NIGHTSHIFT_TEST_SHIELD") != "" {
		must(t, jail.Shield())
		// Our own /proc goes on working, which output is reopened by.
		var out strings.Builder
		p, err := process.Start(process.Config{Path: "/bin/echo", Args: []string{"hello"}, Log: func(_, text string) { out.WriteString(text) }, MaxOutput: 100})
		must(t, err)
		<-p.Done()
		fmt.Println("shielded", out.String())
		_, _ = os.Stdin.Read(make([]byte, 1))
		return
	}
	shielded(t)
}
