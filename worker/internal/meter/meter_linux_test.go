package meter

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/worker/internal/polltest"
	"github.com/nightshift/nightshift/worker/internal/process"
	"golang.org/x/sys/unix"
)

const mib = 1 << 20

// world is a meter with one process, which has been given a call.
type world struct {
	*Meter
	proc  *process.Process
	watch *Watch
	tmp   string
}

// setup starts a Perl script, which every Debian can run and which can fork
// without starting anew. It finds its temporary folder in $t, and is killed at
// the end of the test with all that it left.
func setup(t testing.TB, limits Limits, script string) world {
	t.Helper()
	m := New(Config{Limits: limits, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	tmp := t.TempDir()
	p, err := process.Start(process.Config{
		Path: "/usr/bin/perl", Args: []string{"-e", `$| = 1; $t = shift; ` + script, tmp}, Env: []string{"PATH=/usr/bin:/bin"},
		Log: func(_, text string) { t.Log(text) }, MaxOutput: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	w := m.Watch(Target{PID: p.PID(), Brand: p.Brand(), Tmp: tmp})
	t.Cleanup(func() {
		m.kill(w.root)
		p.Stop(0)
		w.End()
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	w.Busy()
	return world{m, p, w, tmp}
}

// await waits until the process has been ended, and says for which limit.
func (w world) await(t *testing.T) *Excess {
	t.Helper()
	select {
	case <-w.proc.Done():
	case <-time.After(30 * time.Second):
		t.Fatalf("%d processes still run", len(w.members(w.watch.root)))
	}
	e := w.watch.Excess()
	if e == nil {
		t.Fatalf("the process %s, not because of a limit", w.proc.Exit())
	}
	polltest.Until(t, "nothing is left", func() bool { return len(w.members(w.watch.root)) == 0 })
	return e
}

// exists waits for a file that the script makes in its temporary folder.
func (w world) exists(t testing.TB, name string) {
	t.Helper()
	polltest.Until(t, "there is "+name, func() bool {
		_, err := os.Lstat(filepath.Join(w.tmp, name))
		return err == nil
	})
}

func TestOverALimit(t *testing.T) {
	t.Parallel()
	const file = `sub f { open(my $f, '>', $_[0]) or die; my $b = 'x' x 1e6; for (1..$_[1]) { syswrite($f, $b) or die } $f } `
	for _, tc := range []struct {
		name   string
		limits Limits
		script string
		kind   Kind
		text   string
	}{
		{"memory", Limits{Memory: 100 * mib}, `my $x = 'x' x 300e6; sleep 300`, Memory, "its limit is 100 MiB (NIGHTSHIFT_FUNCTION_MEMORY)"},
		{
			"memory of children together", Limits{Memory: 200 * mib},
			`for (1..5) { if (!fork) { my $x = 'x' x 60e6; sleep 300 } } sleep 300`, Memory, "its limit is 200 MiB (NIGHTSHIFT_FUNCTION_MEMORY)",
		},
		{
			"memory of a child in a session of its own", Limits{Memory: 100 * mib},
			`use POSIX; if (!fork) { POSIX::setsid(); my $x = 'x' x 300e6; sleep 300 } sleep 300`, Memory, "(NIGHTSHIFT_FUNCTION_MEMORY)",
		},
		{
			"memory that ignores signals", Limits{Memory: 100 * mib},
			`$SIG{$_} = 'IGNORE' for keys %SIG; my $x = 'x' x 300e6; 1 while 1`, Memory, "(NIGHTSHIFT_FUNCTION_MEMORY)",
		},
		{"processes", Limits{Tasks: 100}, `fork for (1..9); sleep 300`, Tasks, "its limit is 100 (NIGHTSHIFT_FUNCTION_PROCESSES)"},
		{
			// Some 700 at once, and new ones all the time. One without a bound would take
			// all process IDs of a busy machine: here is no wall that stops it (package jail).
			"processes that fork on", Limits{Tasks: 50},
			`$SIG{CHLD} = 'IGNORE'; fork for (1..6); while (1) { if (!(fork // 1)) { sleep 1; exit } select(undef, undef, undef, 0.1) }`,
			Tasks, "its limit is 50 (NIGHTSHIFT_FUNCTION_PROCESSES)",
		},
		{"zombies", Limits{Tasks: 100}, `for (1..200) { fork or exit } sleep 300`, Tasks, "its limit is 100 (NIGHTSHIFT_FUNCTION_PROCESSES)"},
		{"one file", Limits{Tmp: 20 * mib}, file + `f("$t/a", 50); sleep 300`, Tmp, "its temporary folder held"},
		{"many files", Limits{Tmp: 1 * mib}, `for (1..300) { open(my $f, '>', "$t/$_") } sleep 300`, Tmp, "its temporary folder held 257 files and folders, and its limit is 256, 256 for each MiB of 1 MiB (NIGHTSHIFT_FUNCTION_TMP)"},
		{"files in folders", Limits{Tmp: 20 * mib}, file + `for (1..5) { mkdir "$t/$_"; f("$t/$_/a", 6) } sleep 300`, Tmp, "its limit is 20 MiB (NIGHTSHIFT_FUNCTION_TMP)"},
		{
			"deep folders", Limits{Tmp: 20 * mib},
			`chdir $t; for (1..1000) { mkdir 'd'; chdir 'd' } sleep 300`, Tmp, "folders are nested more than 128 deep",
		},
		{
			"a file without a name", Limits{Tmp: 20 * mib},
			file + `my $f = f("$t/a", 1); unlink "$t/a"; syswrite($f, 'x' x 1e6) for (1..50); sleep 300`, Tmp, "in deleted files that it kept open",
		},
		{
			"a file without a name, of a child", Limits{Tmp: 20 * mib},
			file + `if (!fork) { my $f = f("$t/a", 1); unlink "$t/a"; syswrite($f, 'x' x 1e6) for (1..50); sleep 300 } sleep 300`, Tmp, "in deleted files that it kept open",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, tc.limits, tc.script)
			if e := w.await(t); e.Kind != tc.kind || !strings.Contains(e.String(), tc.text) {
				t.Errorf("ended for %s: %s; want %s: %s", e.Kind, e, tc.kind, tc.text)
			}
		})
	}
}

func TestMemoryInFilesThatOnlyExistInMemory(t *testing.T) {
	t.Parallel()
	// memfd_create by its number, which differs; Perl knows neither.
	number := map[bool]int{true: 319, false: 279}[unix.SYS_READ == 0]
	w := setup(t, Limits{Tmp: 20 * mib}, fmt.Sprintf(`my $n = 'a'; my $fd = syscall(%d, $n, 0); open(my $f, '>&=', $fd) or die; syswrite($f, 'x' x 1e6) for (1..50); sleep 300`, number))
	if e := w.await(t); e.Kind != Tmp || !strings.Contains(e.String(), "deleted files") {
		t.Errorf("ended for %s: %s", e.Kind, e)
	}
}

// What is below the limits goes on, and what is shared counts once.
func TestWithinTheLimits(t *testing.T) {
	t.Parallel()
	limits := Limits{Memory: 200 * mib, Tasks: 100, Tmp: 20 * mib}
	w := setup(t, limits, `
		my $x = 'x'; vec($x, 100_000_000, 8) = 1; for (1..4) { fork or sleep 300 }
		open(my $sparse, '>', "$t/sparse"); seek($sparse, 1e9, 0); syswrite($sparse, 'x');
		open(my $f, '>', "$t/a"); syswrite($f, 'x' x 15e6); link("$t/a", "$t/b"); symlink('/usr', "$t/usr"); mkdir("$t/locked", 0);
		open($f, '>', "$t/ready"); sleep 300`)
	w.exists(t, "ready")
	tree := w.members(w.watch.root)
	if len(tree) != 5 {
		t.Fatalf("the tree is %+v", tree)
	}
	if used := own(tree); used <= limits.Memory {
		t.Errorf("the processes by themselves have %d MiB; the test wants more than the limit", used/mib)
	}
	if used := w.memory(tree, limits.Memory); used < 100*mib || used > 150*mib {
		t.Errorf("together they use %d MiB, want about 100", used/mib)
	}
	found := w.Meter.tmp(w.watch, tree)
	if found.hidden != "" || found.bytes < 15e6 || found.bytes > 17*mib || found.files != 6 || found.open != 0 {
		t.Errorf("found %+v, want 15 MB in 6 files", found)
	}
	rounds := w.rounds.Load()
	polltest.Until(t, "it was looked at", func() bool { return w.rounds.Load() > rounds+2 })
	select {
	case <-w.proc.Done():
		t.Errorf("the process %s", w.proc.Exit())
	default:
	}
}

// A folder that its owner has closed is no place to hide.
func TestLockedFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a", "b"), make([]byte, 1e6), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "a"), 0); err != nil {
		t.Fatal(err)
	}
	c := counter{limits: Limits{Tmp: mib}, seen: map[inode]struct{}{}}
	c.folder(dir)
	if c.hidden != "" || c.bytes < 1e6 || c.files != 2 {
		t.Errorf("found %+v", c.usage)
	}
	fd, err := unlock(unix.AT_FDCWD, filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd)
	if err := os.Symlink("a", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := unlock(unix.AT_FDCWD, filepath.Join(dir, "link")); err == nil {
		t.Error("a link was followed")
	}
}

// Before its first call nothing is measured, and without functions nobody looks.
func TestNobodyLooksWithoutNeed(t *testing.T) {
	t.Parallel()
	m := New(Config{Limits: Limits{Memory: 1}})
	p, err := process.Start(process.Config{Path: "/bin/sleep", Args: []string{"300"}})
	if err != nil {
		t.Fatal(err)
	}
	looks := func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.looking
	}
	w := m.Watch(Target{PID: p.PID()})
	if looks() {
		t.Error("a process without foreign code is looked at")
	}
	w.Busy()
	if !looks() {
		t.Error("a process that works is not looked at")
	}
	<-p.Done()
	if e := w.Excess(); e == nil || e.Kind != Memory {
		t.Errorf("ended for %v", e)
	}
	w.End()
	polltest.Until(t, "nobody looks any more", func() bool { return !looks() })
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// Where we may not look into a process, its user has to do, which then is its own.
func TestSocketOfAnotherUser(t *testing.T) {
	t.Parallel()
	const user = 0x4E5FFFFF
	cfg := process.Config{Path: "/bin/sleep", Args: []string{"300"}}
	if os.Getuid() == 0 {
		cfg.Confine = func() error { return process.Become(user, user) }
	}
	p, err := process.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m := New(Config{})
	w := m.Watch(Target{PID: p.PID(), Brand: p.Brand()})
	t.Cleanup(func() {
		p.Stop(0)
		w.End()
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	if got, want := w.ownUser(user), os.Getuid() == 0; got != want {
		t.Errorf("a socket of the process's user is its own: %v, want %v", got, want)
	}
	if w.ownUser(uint32(os.Getuid())) || w.ownUser(user+1) {
		t.Error("a socket of ours, or of a third user's, is taken for the process's")
	}
	if w.HasSocket(1, user+1) {
		t.Error("it has a socket that does not exist")
	}
}

// BenchmarkRound is one look at 24 functions with a child each and some files.
func BenchmarkRound(b *testing.B) {
	limits := Limits{Memory: 1 << 30, Tasks: 1024, Tmp: 512 * mib}
	var w world
	var watches []*Watch
	for range 24 {
		w = setup(b, limits, `for (1..10) { open(my $f, '>', "$t/$_") } fork; sleep 300`)
		w.watch.Idle()
		w.exists(b, "10")
		watches = append(watches, w.watch)
	}
	for _, due := range []bool{false, true} {
		b.Run(fmt.Sprintf("files=%v", due), func(b *testing.B) {
			for b.Loop() {
				trees, err := w.trees(watches)
				if err != nil {
					b.Fatal(err)
				}
				for n, watch := range watches {
					if watch.nextTmp = time.Now().Add(time.Hour); due {
						watch.nextTmp = time.Time{}
					}
					if e := w.measure(watch, trees[n], time.Now()); e != nil {
						b.Fatal(e)
					}
				}
			}
		})
	}
}
