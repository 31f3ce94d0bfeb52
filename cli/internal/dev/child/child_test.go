package child_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift/nightshift/cli/internal/dev/child"
)

// start runs a command and gives its lines.
func start(t *testing.T, command string) (*child.Child, <-chan string) {
	t.Helper()
	lines := make(chan string, 1000)
	c, err := child.Start(command, t.TempDir(), []string{"PATH=/usr/bin:/bin"}, func(line string) { lines <- line })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop(context.Background()) })
	return c, lines
}

func line(t *testing.T, lines <-chan string) string {
	t.Helper()
	select {
	case l := <-lines:
		return l
	case <-time.After(20 * time.Second):
		t.Fatal("no line came")
		return ""
	}
}

func TestLinesAndEnd(t *testing.T) {
	t.Parallel()
	c, lines := start(t, "echo out; echo err >&2; printf last; exit 3")
	<-c.Done()
	var got []string
	for len(lines) > 0 {
		got = append(got, <-lines)
	}
	if strings.Join(got, "|") != "out|err|last" {
		t.Errorf("lines = %q, want out, err, last", got)
	}
	if c.Err() == nil || c.Err().Error() != "exit status 3" {
		t.Errorf("Err = %v, want exit status 3", c.Err())
	}
}

// alive reports whether a process that is no zombie has the number.
func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// gone waits until a process has ended; init needs a moment to bury orphans.
func gone(t *testing.T, pid int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for alive(pid) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d is still there", pid)
		}
		<-tick.C
	}
}

func TestStopEndsTheWholeGroup(t *testing.T) {
	t.Parallel()
	// The grandchild does not hear the TERM.
	c, lines := start(t, `sh -c 'trap "" TERM; echo $$; while :; do sleep 1; done' & wait`)
	pid, err := strconv.Atoi(line(t, lines))
	if err != nil {
		t.Fatal(err)
	}
	c.Stop(t.Context())
	gone(t, pid)
}

func TestStopLetsTheCommandTidyUp(t *testing.T) {
	t.Parallel()
	c, lines := start(t, `trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done`)
	if got := line(t, lines); got != "up" {
		t.Fatalf("line = %q, want up", got)
	}
	begun := time.Now()
	c.Stop(t.Context())
	if took := time.Since(begun); took > time.Second {
		t.Errorf("Stop took %v, although the command ends at once", took)
	}
	// The shell may first say that its sleep was terminated.
	for got := line(t, lines); got != "bye"; got = line(t, lines) {
		if got != "Terminated" {
			t.Fatalf("line = %q, want bye", got)
		}
	}
	c.Stop(t.Context()) // again does no harm
}

func TestStopIsBoundedByItsContext(t *testing.T) {
	t.Parallel()
	c, lines := start(t, `trap '' TERM; echo up; while :; do sleep 0.05; done`)
	line(t, lines)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begun := time.Now()
	c.Stop(ctx)
	if took := time.Since(begun); took > time.Second {
		t.Errorf("Stop took %v after its context had ended", took)
	}
}

func TestLongLinesComeInPieces(t *testing.T) {
	t.Parallel()
	c, lines := start(t, `head -c 200000 /dev/zero | tr '\0' x; echo; echo end`)
	<-c.Done()
	total, last := 0, ""
	for len(lines) > 0 {
		last = <-lines
		total += len(last)
	}
	if total != 200_003 || last != "end" {
		t.Errorf("%d bytes, the last line %q; want 200003 and end", total, last)
	}
}
