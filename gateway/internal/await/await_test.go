package await_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/await"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
)

// records are invocations in memory, whose ends are told as the test says.
type records struct {
	mu      sync.Mutex
	states  map[string]invocation.State
	reads   int
	broken  bool // reading fails
	stuck   bool // reading does not answer
	watches int
	ready   func()
	finish  func(id string)
	lost    chan error // ends the subscription
}

func newRecords() *records {
	return &records{states: map[string]invocation.State{"a": invocation.Queued, "b": invocation.Queued}, lost: make(chan error)}
}

func (r *records) Invocation(ctx context.Context, id string) (invocation.Invocation, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads++
	if r.stuck {
		r.mu.Unlock() // a goroutine that waits for a lock keeps the clock of the test from going on
		defer r.mu.Lock()
		<-ctx.Done()
		return invocation.Invocation{}, ctx.Err()
	}
	if r.broken {
		return invocation.Invocation{}, fault.New(fault.Unavailable, "away")
	}
	state, ok := r.states[id]
	if !ok {
		return invocation.Invocation{}, fault.New(fault.NotFound, "there is no invocation %s", id)
	}
	return invocation.Invocation{ID: id, State: state}, nil
}

func (r *records) WatchFinished(ctx context.Context, ready func(), fn func(id string)) error {
	r.mu.Lock()
	r.watches++
	r.ready, r.finish = ready, fn
	r.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-r.lost:
		return err
	}
}

func (r *records) set(id string, state invocation.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.states[id] = state
}

// end is how a wait went.
type end struct {
	state invocation.State
	ok    bool
	after time.Duration
}

// bundle has waiters on records in memory, in a bubble with a clock of its own.
type bundle struct {
	*records
	waiters *await.Waiters
}

func run(t *testing.T, cfg await.Config, test func(t *testing.T, b *bundle)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRecords()
		cfg.Records, cfg.Logger = r, slog.New(slog.DiscardHandler)
		b := &bundle{records: r, waiters: await.New(cfg)}
		defer b.waiters.Close()
		test(t, b)
	})
}

// wait waits in the background, and has begun to when it returns.
func (b *bundle) wait(ctx context.Context, id string, limit time.Duration) <-chan end {
	ended := make(chan end, 1)
	begun := time.Now()
	go func() {
		inv, ok := b.waiters.Wait(ctx, id, limit)
		ended <- end{inv.State, ok, time.Since(begun)}
	}()
	synctest.Wait()
	return ended
}

// During a wait, time.Sleep moves the clock of the synctest bubble that run makes:
// it takes no time and waits for nobody, and the ends are held to the millisecond.
func TestWait(t *testing.T) {
	t.Parallel()
	ms := time.Millisecond
	tests := []struct {
		name   string
		id     string
		during func(b *bundle)
		want   end
	}{
		{"finished before", "done", func(*bundle) {}, end{invocation.Succeeded, true, 0}},
		{"told", "a", func(b *bundle) {
			time.Sleep(300 * ms)
			b.set("a", invocation.Dead)
			b.finish("a")
		}, end{invocation.Dead, true, 300 * ms}},
		{"told of another one", "a", func(b *bundle) { b.finish("b") }, end{"", false, 5 * time.Second}},
		{"told too early", "a", func(b *bundle) { b.finish("a") }, end{"", false, 5 * time.Second}},
		{"the message is lost", "a", func(b *bundle) {
			time.Sleep(300 * ms)
			b.set("a", invocation.Cancelled)
		}, end{invocation.Cancelled, true, time.Second}},
		{"finished before the subscription stood", "a", func(b *bundle) {
			time.Sleep(300 * ms)
			b.set("a", invocation.Succeeded)
			b.ready()
		}, end{invocation.Succeeded, true, 300 * ms}},
		{"the subscription ends and comes back", "a", func(b *bundle) {
			b.lost <- errors.New("cut")
			time.Sleep(1100 * ms)
			b.set("a", invocation.Succeeded)
			b.finish("a")
		}, end{invocation.Succeeded, true, 1100 * ms}},
		{"unknown", "nope", func(*bundle) {}, end{"", false, 0}},
		{"the store is away and comes back", "a", func(b *bundle) {
			b.set("a", invocation.Succeeded)
			time.Sleep(1500 * ms)
			b.mu.Lock()
			defer b.mu.Unlock()
			b.broken = false
		}, end{invocation.Succeeded, true, 2 * time.Second}},
		{"the store does not answer", "a", func(b *bundle) {}, end{"", false, 5 * time.Second}},
		{"closed", "a", func(b *bundle) {
			time.Sleep(300 * ms)
			b.waiters.Close()
		}, end{"", false, 300 * ms}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			run(t, await.Config{}, func(t *testing.T, b *bundle) {
				b.set("done", invocation.Succeeded)
				b.broken = tt.name == "the store is away and comes back"
				b.stuck = tt.name == "the store does not answer"
				ended := b.wait(t.Context(), tt.id, 5*time.Second)
				tt.during(b)
				if got := <-ended; got != tt.want {
					t.Errorf("the wait ended with %+v, want %+v", got, tt.want)
				}
			})
		})
	}
}

func TestCloseEndsStuckRead(t *testing.T) {
	t.Parallel()
	run(t, await.Config{}, func(t *testing.T, b *bundle) {
		b.stuck = true
		ended := b.wait(t.Context(), "a", time.Minute)
		b.waiters.Close()
		if got := <-ended; got.ok || got.after != 0 {
			t.Errorf("the wait ended with %+v, want at once and without", got)
		}
		if _, ok := b.waiters.Wait(t.Context(), "a", time.Minute); ok {
			t.Error("somebody waited after Close")
		}
	})
}

func TestBoundsAndSharing(t *testing.T) {
	t.Parallel()
	run(t, await.Config{Limit: 2}, func(t *testing.T, b *bundle) {
		if b.watches != 0 {
			t.Error("there is a subscription before anybody waits")
		}
		ctx, hangUp := context.WithCancel(t.Context())
		first, second := b.wait(ctx, "a", time.Minute), b.wait(t.Context(), "a", time.Minute)
		if got := <-b.wait(t.Context(), "b", time.Minute); got.ok || got.after != 0 {
			t.Errorf("the third of two = %+v, want at once and without", got)
		}
		hangUp()
		if got := <-first; got.ok || got.after != 0 {
			t.Errorf("who hung up got %+v", got)
		}
		third := b.wait(t.Context(), "a", time.Minute) // there is room again
		b.set("a", invocation.Succeeded)
		b.finish("a")
		for _, ended := range []<-chan end{second, third} {
			if got := <-ended; got != (end{invocation.Succeeded, true, 0}) {
				t.Errorf("a waiter of two got %+v", got)
			}
		}
		if b.watches != 1 {
			t.Errorf("%d subscriptions, want one for all", b.watches)
		}
		reads := b.reads
		time.Sleep(10 * time.Second)
		if b.reads != reads {
			t.Errorf("%d reads while nobody waits", b.reads-reads)
		}
	})
}
