package pool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/worker/internal/jail"
	"github.com/nightshift/nightshift/worker/internal/polltest"
)

func TestNewChecksItsConfiguration(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{}, {Max: -1}, {Max: 1, Spares: -1}, {Max: 1, IdleTimeout: -1}, {Max: 1, MaxOutput: -1}} {
		cfg.Jail = new(jail.Jail)
		if _, err := New(cfg); !fault.Is(err, fault.Invalid) {
			t.Errorf("New(%+v) = %v, want an invalid fault", cfg, err)
		}
	}
}

func TestProcessIsReused(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 4})
	code := corpus(t, "count", "count.js")
	var first struct{ Calls, PID int }
	for n := range 5 {
		var got struct {
			Calls, PID int
			Said       string
		}
		if err := json.Unmarshal([]byte(must(t, p, code, fmt.Sprint("call", n))), &got); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			first.PID = got.PID
		}
		if got.Calls != n+1 || got.PID != first.PID || got.Said != fmt.Sprint("call", n) {
			t.Errorf("call %d: %+v, want the same process, one call at a time", n, got)
		}
	}
	if s := p.Stats(); s.Busy != 0 || s.Warm["count"] != 1 {
		t.Errorf("Stats = %+v, want one warm process", s)
	}
}

func TestCeiling(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 2, Spares: 1})
	code := corpus(t, "sleep", "sleep.js")
	ctx, cancel := context.WithCancelCause(t.Context())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if _, _, err := do(ctx, p, code, "60000", true); failedOf(err) == nil || failedOf(err).Outcome != invocation.Aborted {
				t.Errorf("cancelled call: %v, want Aborted", err)
			}
		})
	}
	polltest.Until(t, "both run", func() bool { return p.Stats().Busy == 2 })
	if _, _, err := do(t.Context(), p, code, "1", false); !errors.Is(err, ErrBusy) {
		t.Errorf("third call without waiting: %v, want ErrBusy", err)
	}
	waited := make(chan error, 1)
	go func() {
		_, _, err := do(t.Context(), p, corpus(t, "other", "sleep.js"), "1", true)
		waited <- err
	}()
	polltest.Until(t, "the third call waits", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.waiters) == 1
	})
	cancel(ErrCancelled)
	wg.Wait()
	if err := <-waited; err != nil {
		t.Errorf("third call after waiting: %v", err)
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 1})
	code := corpus(t, "sleep", "sleep.js")
	busy, free := context.WithCancelCause(t.Context())
	defer free(nil)
	var wg sync.WaitGroup
	wg.Go(func() { _, _, _ = do(busy, p, code, "60000", true) })
	polltest.Until(t, "one runs", func() bool { return p.Stats().Busy == 1 })

	for _, tc := range []struct {
		cause error
		want  invocation.Outcome
	}{{ErrCancelled, invocation.Aborted}, {ErrDraining, invocation.Drained}, {context.DeadlineExceeded, invocation.TimedOut}} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(tc.cause)
		_, log, err := do(ctx, p, code, "1", true)
		if f := failedOf(err); f == nil || f.Outcome != tc.want {
			t.Errorf("waiting, cancelled because %q: %v, want %s", tc.cause, err, tc.want)
		}
		if log.String() != "" {
			t.Errorf("a call that never ran has a log: %s", log)
		}
	}
	free(ErrCancelled)
	wg.Wait()
}

func TestEvictionTakesTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 3})
	for _, key := range []string{"a", "b", "c", "a"} {
		must(t, p, corpus(t, key, "count.js"), "x")
	}
	must(t, p, corpus(t, "d", "count.js"), "x")
	warm := p.Stats().Warm
	if warm["a"] != 1 || warm["b"] != 0 || warm["c"] != 1 || warm["d"] != 1 {
		t.Errorf("warm = %v, want b evicted", warm)
	}
	// A ceiling full of spares gives way to what cannot use one.
	full := start(t, Config{Max: 1, Spares: 1})
	polltest.Until(t, "the spare stands ready", func() bool { return full.Stats().Spares == 1 })
	code := corpus(t, "own", "count.js")
	code.Env = []string{"NODE_OPTIONS=--no-warnings"}
	must(t, full, code, "x")
}

func TestIdleProcessesAreReaped(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 3, IdleTimeout: 100 * time.Millisecond})
	for _, key := range []string{"a", "b"} {
		must(t, p, corpus(t, key, "count.js"), "x")
	}
	polltest.Until(t, "no process is left", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.slots == 0 && len(p.all) == 0
	})
	must(t, p, corpus(t, "a", "count.js"), "again")
}

func TestSparesAreRefilledWithinTheCeiling(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 3, Spares: 2})
	spares := func(n int) func() bool { return func() bool { return p.Stats().Spares == n } }
	polltest.Until(t, "two spares", spares(2))
	must(t, p, corpus(t, "a", "count.js"), "x")
	polltest.Until(t, "two spares and one warm", spares(2))
	must(t, p, corpus(t, "b", "count.js"), "x")
	polltest.Until(t, "one spare and two warm", spares(1))
	must(t, p, corpus(t, "c", "count.js"), "x")
	polltest.Until(t, "no spare and three warm", spares(0))
	p.Forget("a")
	polltest.Until(t, "a spare in its place", spares(1))
}

func TestForget(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 3})
	code := corpus(t, "sleep", "sleep.js")
	must(t, p, code, "1")
	p.Forget("sleep")
	polltest.Until(t, "the idle process has ended", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.all) == 0 })

	done := make(chan error, 1)
	go func() { _, _, err := do(t.Context(), p, code, "200", true); done <- err }()
	polltest.Until(t, "one runs", func() bool { return p.Stats().Busy == 1 })
	p.Forget("sleep")
	if err := <-done; err != nil {
		t.Errorf("the running call: %v, want it to finish", err)
	}
	polltest.Until(t, "its process has ended", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.all) == 0 })
}

func TestDeadProcessesAreReplaced(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 2, Spares: 1})
	code := corpus(t, "count", "count.js")
	for range 10 {
		must(t, p, code, "x")
		p.mu.Lock()
		all := slices.Collect(maps.Keys(p.all))
		p.mu.Unlock()
		for _, i := range all {
			_ = syscall.Kill(i.proc.PID(), syscall.SIGKILL)
			<-i.proc.Done() // the pool may or may not have noticed yet
		}
	}
}

func TestStopDrainsRunningCalls(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 3, Spares: 1})
	var wg sync.WaitGroup
	for _, entry := range []string{"sleep.js", "deaf.js"} {
		wg.Go(func() {
			_, log, err := do(t.Context(), p, corpus(t, entry, entry), "60000", true)
			if f := failedOf(err); f == nil || f.Outcome != invocation.Drained || !strings.Contains(log.String(), "shutting down") {
				t.Errorf("%s: %v, log %s; want Drained", entry, err, log)
			}
		})
	}
	polltest.Until(t, "both run", func() bool { return p.Stats().Busy == 2 })
	began := time.Now()
	stop(t, p)
	wg.Wait()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Stop took %v", took)
	}
	if _, _, err := do(t.Context(), p, corpus(t, "late", "count.js"), "x", true); failedOf(err) == nil || failedOf(err).Outcome != invocation.Drained {
		t.Errorf("a call after Stop: %v, want Drained", err)
	}
}

func TestBodyClosedEarly(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 1})
	code := corpus(t, "v2", "v2.mjs")
	for range 3 {
		response, err := p.Invoke(t.Context(), code, Call{
			ID: "id", Deadline: time.Now().Add(30 * time.Second), Event: []byte(`{"httpMethod":"GET","rawUrl":"http://a.test/?case=stream"}`),
		}, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(response.Body, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if warm := p.Stats().Warm["v2"]; warm != 1 {
			t.Errorf("after Close: %d warm processes, want 1", warm)
		}
	}
}

func TestCancelDuringTheBody(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 1})
	ctx, cancel := context.WithCancelCause(t.Context())
	response, err := p.Invoke(ctx, corpus(t, "v2", "v2.mjs"), Call{
		ID: "id", Deadline: time.Now().Add(30 * time.Second), Event: []byte(`{"httpMethod":"GET","rawUrl":"http://a.test/?case=stream"}`),
	}, true)
	if err != nil {
		t.Fatal(err)
	}
	cancel(ErrCancelled)
	if _, err = io.ReadAll(response.Body); failedOf(err) == nil || failedOf(err).Outcome != invocation.Aborted {
		t.Errorf("reading on: %v, want Aborted", err)
	}
}

// A reader that does nothing must not keep a process for ever.
func TestDeadlineCountsForAnUnreadBody(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 1})
	code := corpus(t, "v2", "v2.mjs")
	must(t, p, code, "text")
	response, err := p.Invoke(t.Context(), code, Call{
		ID: "id", Deadline: time.Now().Add(time.Second), Event: []byte(`{"httpMethod":"GET","rawUrl":"http://a.test/?case=binary"}`),
	}, true)
	if err != nil {
		t.Fatal(err)
	}
	polltest.Until(t, "the process has been stopped", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.slots == 0 })
	if _, err = io.ReadAll(response.Body); failedOf(err) == nil || failedOf(err).Outcome != invocation.TimedOut {
		t.Errorf("reading late: %v, want TimedOut", err)
	}
}

func TestStress(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 4, Spares: 1, IdleTimeout: 50 * time.Millisecond})
	var wg sync.WaitGroup
	for caller := range 8 {
		wg.Go(func() {
			for n := range 16 {
				said := fmt.Sprintf("%d/%d", caller, n)
				key := fmt.Sprint("fn", (caller+n)%5)
				if n%8 == 7 {
					_, _, err := do(t.Context(), p, corpus(t, "exit", "exit.js"), said, true)
					if f := failedOf(err); f == nil || f.Outcome != invocation.Crashed {
						t.Errorf("%s: %v, want a crash", said, err)
					}
					continue
				}
				got, log, err := do(t.Context(), p, corpus(t, key, "count.js"), said, true)
				if err != nil || !strings.Contains(got, `"said":"`+said+`"`) {
					t.Errorf("%s: %q %v, log %s", said, got, err, log)
				}
				if n%10 == 0 {
					p.Forget(key)
				}
				if s := p.Stats(); s.Busy+s.Spares > 4 {
					t.Errorf("Stats = %+v, over the ceiling", s)
				}
			}
		})
	}
	wg.Wait()
}

func TestACancelledCallHasLittleGrace(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 1, Grace: time.Minute})
	ctx, cancel := context.WithCancelCause(t.Context())
	log, ended := &lines{}, make(chan error, 1)
	go func() {
		_, err := p.Invoke(ctx, corpus(t, "deaf", "deaf.js"), Call{
			ID: "x", Attempt: 1, Event: []byte("{}"), Deadline: time.Now().Add(time.Hour), Log: log.add,
		}, true)
		ended <- err
	}()
	polltest.Until(t, "it does not listen", func() bool { return log.String() != "" })
	cancel(ErrCancelled)
	select {
	case err := <-ended:
		if f := failedOf(err); f == nil || f.Outcome != invocation.Aborted {
			t.Errorf("cancelled call: %v, want Aborted", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("a call that was cancelled was left the grace of one that is not")
	}
}
