package process

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift/nightshift/worker/internal/polltest"
)

// lines collects what a process writes.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(stream, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, stream+":"+text)
}

func (l *lines) snapshot() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.all...)
}

// start runs a shell script.
func start(t *testing.T, script string, log ...func(stream, text string)) *Process {
	t.Helper()
	log = append(log, func(string, string) {})
	p, err := Start(Config{
		Path: "/bin/sh", Args: []string{"-c", script},
		Env: []string{"PATH=/usr/bin:/bin"}, Log: log[0], MaxOutput: 1 << 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(0) })
	return p
}

func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestExit(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		script string
		want   Exit
		text   string
	}{
		{"exit 0", Exit{}, "exited with code 0"},
		{"exit 3", Exit{Code: 3}, "exited with code 3"},
		{"kill -9 $$", Exit{Code: -1, Signal: syscall.SIGKILL}, "was ended by signal 9 (killed)"},
	} {
		p := start(t, tc.script)
		<-p.Done()
		if got := p.Exit(); got != tc.want || got.String() != tc.text {
			t.Errorf("%s: exit = %+v %q, want %+v %q", tc.script, got, got, tc.want, tc.text)
		}
	}
}

func TestStartReportsAMissingExecutable(t *testing.T) {
	t.Parallel()
	if _, err := Start(Config{Path: "/nowhere/at/all"}); err == nil || !strings.Contains(err.Error(), "/nowhere/at/all") {
		t.Fatalf("Start = %v, want an error that names the file", err)
	}
}

func TestEnvironmentIsOnlyWhatIsGiven(t *testing.T) {
	t.Setenv("NIGHTSHIFT_SECRET_KEY", "worker-secret")
	var got lines
	p, err := Start(Config{Path: "/usr/bin/env", Log: got.add, MaxOutput: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if all := got.snapshot(); len(all) != 0 {
		t.Fatalf("environment = %q, want none", all)
	}
}

func TestFlushAttributesEveryLine(t *testing.T) {
	t.Parallel()
	var got lines
	p := start(t, `i=0; while [ $i -lt 200 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done; printf partial; kill -STOP $$; echo late; sleep 60`, got.add)
	polltest.Until(t, "the script stopped itself", func() bool {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
		return strings.Contains(string(stat), ") T ")
	})
	if err := p.Flush(time.Minute); err != nil {
		t.Fatal(err)
	}
	p.Detach()
	first := got.snapshot()
	if len(first) != 401 || !slices.Contains(first, "stdout:partial") {
		t.Fatalf("got %d lines before the flush, want 401 with the partial one", len(first))
	}
	var second lines
	p.Attach(second.add, 1<<20)
	_ = syscall.Kill(p.PID(), syscall.SIGCONT)
	polltest.Until(t, "the late line came", func() bool { return len(second.snapshot()) > 0 })
	if all := second.snapshot(); len(all) != 1 || all[0] != "stdout:late" {
		t.Fatalf("after the flush: %q, want only the late line", all)
	}
}

// TestFlushTellsRoundsApart has each round write something else at its very end,
// or a process of the child's, or nobody anything.
func TestFlushTellsRoundsApart(t *testing.T) {
	t.Parallel()
	p := start(t, `i=0; while :; do kill -STOP $$
		case $((i % 4)) in
		0) ;;
		1) echo line $i;;
		2) /bin/sh -c "printf 'grandchild %s' $i >&2";;
		3) printf "part $i"; echo "err $i" >&2;;
		esac
		i=$((i+1))
	done`)
	stopped := func() bool {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
		return strings.Contains(string(stat), ") T ")
	}
	polltest.Until(t, "the script stopped itself", stopped)
	for i := range 60 {
		var got lines
		p.Attach(got.add, 1<<20)
		_ = syscall.Kill(p.PID(), syscall.SIGCONT) // when that returns, the script has gone on
		polltest.Until(t, "the script stopped itself again", stopped)
		if err := p.Flush(time.Minute); err != nil {
			t.Fatal(err)
		}
		p.Detach()
		want := [][]string{nil, {fmt.Sprint("stdout:line ", i)}, {fmt.Sprint("stderr:grandchild ", i)}, {fmt.Sprint("stderr:err ", i), fmt.Sprint("stdout:part ", i)}}[i%4]
		all := got.snapshot()
		slices.Sort(all)
		if !slices.Equal(all, want) {
			t.Fatalf("round %d: %q, want %q", i, all, want)
		}
	}
}

func TestFlushAfterTheEnd(t *testing.T) {
	t.Parallel()
	p := start(t, "exit 0")
	<-p.Done()
	if err := p.Flush(time.Minute); err != nil {
		t.Fatal(err)
	}
}

func TestFlushGivesUp(t *testing.T) {
	t.Parallel()
	release, blocked := make(chan struct{}), make(chan struct{})
	p := start(t, "echo one; sleep 60", func(string, string) { close(blocked); <-release })
	t.Cleanup(func() { close(release) })
	<-blocked
	if err := p.Flush(20 * time.Millisecond); err == nil {
		t.Fatal("Flush succeeded while the output was stuck")
	}
}

func TestOutputOverTheLimitIsCountedAndDropped(t *testing.T) {
	t.Parallel()
	var got lines
	p, err := Start(Config{Path: "/bin/sh", Env: []string{"PATH=/usr/bin:/bin"}, Log: got.add, MaxOutput: 1000, Args: []string{"-c", "echo short; head -c 30000000 /dev/zero | tr '\\0' 'a'; echo; echo end"}})
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if all := got.snapshot(); len(all) != 1 || all[0] != "stdout:short" {
		t.Fatalf("given out: %d lines, want the first only", len(all))
	}
	if want := int64(30_000_000 + 1 + 4); p.Dropped() != want {
		t.Fatalf("dropped = %d, want %d", p.Dropped(), want)
	}
}

func TestLongLinesAreSplit(t *testing.T) {
	t.Parallel()
	p := start(t, "printf x; head -c 200000 /dev/zero | sed 's/\\x00/\xc3\xa9/g'; printf '\\r\\ntail'")
	var got lines
	p.Attach(got.add, 1<<30)
	<-p.Done()
	all := got.snapshot()
	var joined strings.Builder
	for _, line := range all {
		if len(line) > MaxLine+len("stdout:") {
			t.Errorf("a line of %d bytes", len(line))
		}
		joined.WriteString(strings.TrimPrefix(line, "stdout:"))
	}
	if want := "x" + strings.Repeat("é", 200000) + "tail"; joined.String() != want {
		t.Fatalf("joined text of %d lines has %d bytes, want %d; a rune was cut", len(all), joined.Len(), len(want))
	}
	if len(all) < 7 {
		t.Fatalf("%d lines, want at least 7", len(all))
	}
}

func TestStopEndsTheGroup(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, script string
		atLeast      time.Duration
	}{
		{"obedient", "sleep 300 & echo $!; wait", 0},
		{"ignores TERM", "trap '' TERM; sleep 300 & echo $!; while :; do wait; done", 50 * time.Millisecond},
		{"leader exits first", "sleep 300 & echo $!", 0},
		{"grandchild in its own session", "setsid sleep 300 & echo $!; wait", 0},
		{"grandchild holds nothing but the brand", "setsid sleep 300 </dev/null >/dev/null 2>&1 & echo $!; sleep 0.2", 0},
		{"daemon without an environment", "env -i /bin/sh -c 'setsid /bin/sh -c \"/bin/sleep 300 </dev/null >/dev/null 2>&1 & echo \\$!\"'; wait", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var got lines
			p := start(t, tc.script, got.add)
			polltest.Until(t, "the pid came", func() bool { return len(got.snapshot()) > 0 })
			pid, err := strconv.Atoi(strings.TrimPrefix(got.snapshot()[0], "stdout:"))
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			p.Stop(50 * time.Millisecond)
			if took := time.Since(began); took < tc.atLeast || took > 5*time.Second {
				t.Errorf("Stop took %v", took)
			}
			polltest.Until(t, "the grandchild is gone", func() bool { return !alive(pid) })
			if alive(p.PID()) {
				t.Error("the child is alive after Stop")
			}
		})
	}
}

func TestConcurrentStops(t *testing.T) {
	t.Parallel()
	p := start(t, "sleep 300")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { p.Stop(10 * time.Millisecond) })
	}
	wg.Wait()
}

// A thread that ends must not take a child with it.
func TestChildOutlivesTheThreadOfItsStarter(t *testing.T) {
	t.Parallel()
	var p *Process
	done := make(chan struct{})
	go func() {
		defer close(done)
		p = start(t, "sleep 300")
	}()
	<-done
	select {
	case <-p.Done():
		t.Fatalf("the child %s", p.Exit())
	default:
	}
}
