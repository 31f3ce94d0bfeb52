package pool

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/worker/internal/polltest"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// running starts a call that takes so many milliseconds, and waits until it runs.
func running(t *testing.T, p *Pool, code Code, ms string) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	var call sync.WaitGroup
	call.Go(func() { _, _, _ = do(ctx, p, code, ms, true) })
	polltest.Until(t, "the call runs", func() bool { return p.Stats().Busy == 1 })
	return func() {
		cancel(ErrCancelled)
		call.Wait()
	}
}

func (p *Pool) setPace(key string, pace time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pace.Add(key, pace)
}

func (p *Pool) processes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.all)
}

func TestQuickFunctionsShareAProcess(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 4})
	p.patience = time.Minute
	code := corpus(t, "sleep", "sleep.js")
	must(t, p, code, "0")
	p.setPace(code.Key, time.Millisecond)
	end := running(t, p, code, "300")
	defer end()
	must(t, p, code, "0")
	if n := p.processes(); n != 1 {
		t.Errorf("%d processes, want one: the second call waits for it", n)
	}
	if n := p.waitsFor(code.Key); n != 0 {
		t.Errorf("%d calls wait still", n)
	}
}

// A process that is not free soon is not waited for, or not for long.
func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ pace, patience time.Duration }{
		"seemed quick": {time.Millisecond, patience},
		"slow":         {time.Second, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, Config{Max: 4})
			p.patience = tc.patience
			code := corpus(t, "sleep", "sleep.js")
			must(t, p, code, "0")
			p.setPace(code.Key, tc.pace)
			end := running(t, p, code, "60000")
			defer end()
			must(t, p, code, "0")
			if n := p.processes(); n != 2 {
				t.Errorf("%d processes, want a second one", n)
			}
		})
	}
}

// A call that is given up while it waits starts no process.
func TestPatienceEndsWithTheContext(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 4})
	p.patience = time.Minute
	code := corpus(t, "sleep", "sleep.js")
	must(t, p, code, "0")
	p.setPace(code.Key, time.Millisecond)
	end := running(t, p, code, "60000")
	defer end()
	ctx, cancel := context.WithCancelCause(t.Context())
	failure := make(chan error, 1)
	go func() {
		_, _, err := do(ctx, p, code, "0", true)
		failure <- err
	}()
	polltest.Until(t, "it waits", func() bool { return p.waitsFor(code.Key) == 1 })
	cancel(ErrCancelled)
	if err := <-failure; failedOf(err) == nil || failedOf(err).Outcome != invocation.Aborted {
		t.Errorf("a call that was given up: %v, want aborted", err)
	}
	if n := testutil.ToFloat64(p.metrics.calls[cold]); n != 1 {
		t.Errorf("%v processes were started, want none for it", n)
	}
}

func (p *Pool) waitsFor(key string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.patient[key])
}

// As many wait as the processes should serve within a moment.
func TestPatienceIsForSome(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 4})
	code := corpus(t, "sleep", "sleep.js")
	must(t, p, code, "0")
	p.setPace(code.Key, quick/2)
	end := running(t, p, code, "60000")
	defer end()
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, want := range []bool{true, true, false} {
		if got := p.worthWaiting(code.Key, n, 0); got != want {
			t.Errorf("with %d that wait: %v, want %v", n, got, want)
		}
	}
}

// Calls of a function that nothing is known of start no more processes at once than
// there are cores; the others wait and see.
func TestABurstStartsSome(t *testing.T) {
	t.Parallel()
	enough := runtime.GOMAXPROCS(0)
	p := start(t, Config{Max: enough + 4})
	p.patience, p.startPatience = time.Minute, time.Minute
	code := source(t, "gated", `
		const { existsSync } = require('fs')
		while (!existsSync(__dirname + '/gate')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
		exports.handler = async () => ({ statusCode: 200 })`)
	var calls sync.WaitGroup
	for range enough + 4 {
		calls.Go(func() {
			if _, _, err := do(t.Context(), p, code, "", true); err != nil {
				t.Error(err)
			}
		})
	}
	polltest.Until(t, "all have started or wait", func() bool { return p.processes() == enough && p.waitsFor(code.Key) == 4 })
	if err := os.WriteFile(filepath.Join(code.Dir, "gate"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	calls.Wait()
}

// Processes that take long to start are not waited for all the time.
func TestPatienceWithStartsEnds(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 1})
	p.mu.Lock()
	defer p.mu.Unlock()
	enough := runtime.GOMAXPROCS(0)
	for _, tc := range []struct {
		launching int
		waited    time.Duration
		want      bool
	}{
		{enough - 1, 0, false},
		{enough, 0, true},
		{enough, startPatience - 1, true},
		{enough, startPatience, false},
	} {
		p.launching["f"] = tc.launching
		if got := p.worthWaiting("f", 0, tc.waited); got != tc.want {
			t.Errorf("with %d that start, after %v: %v, want %v", tc.launching, tc.waited, got, tc.want)
		}
	}
	// Where the pace is known, only those that start soon make up for more of it.
	p.pace.Add("f", time.Millisecond)
	if !p.worthWaiting("f", 0, startPatience-1) || p.worthWaiting("f", 0, startPatience) {
		t.Error("a call of a quick function waits for one that starts, and not for longer than that may take")
	}
	delete(p.launching, "f")
}

func TestThePaceFollowsTheCalls(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 1})
	p.mu.Lock()
	defer p.mu.Unlock()
	i := &instance{key: "f"}
	p.note(i, 100*time.Millisecond)
	if pace, _ := p.pace.Get("f"); pace != 100*time.Millisecond/firstFactor {
		t.Errorf("after the first call of all the pace is %v", pace)
	}
	p.note(i, time.Millisecond)
	pace, _ := p.pace.Get("f")
	if pace != time.Millisecond {
		t.Errorf("after a quick one the pace is %v", pace)
	}
	p.note(i, time.Second)
	if pace, _ = p.pace.Get("f"); pace > 2*time.Millisecond {
		t.Errorf("after a slow one the pace is %v", pace)
	}
	for range 500 {
		p.note(i, time.Second)
	}
	if pace, _ = p.pace.Get("f"); pace != time.Second {
		t.Errorf("after many slow ones the pace is %v", pace)
	}
	p.note(&instance{key: "f"}, time.Second)
	if now, _ := p.pace.Get("f"); now != pace {
		t.Errorf("the first call of another process makes the pace %v", now)
	}
}

// A pool that stops keeps nobody waiting.
func TestStopEndsPatience(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 4})
	p.patience = time.Minute
	code := corpus(t, "sleep", "sleep.js")
	must(t, p, code, "0")
	p.setPace(code.Key, time.Millisecond)
	end := running(t, p, code, "60000")
	defer end()
	failure := make(chan error, 1)
	go func() {
		_, _, err := do(t.Context(), p, code, "0", true)
		failure <- err
	}()
	polltest.Until(t, "it waits", func() bool { return p.waitsFor(code.Key) == 1 })
	stop(t, p)
	if err := <-failure; failedOf(err) == nil {
		t.Errorf("a call that waited: %v, want drained", err)
	}
}
