package fleet

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/shared/store"
)

// list is a list of workers that can be changed and broken.
type list struct {
	mu      sync.Mutex
	workers []store.Worker
	err     error
	reads   int
	takes   time.Duration // a read
}

func (l *list) Workers(context.Context) ([]store.Worker, error) {
	l.mu.Lock()
	takes := l.takes
	l.mu.Unlock()
	time.Sleep(takes) // on the bubble's clock
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	return l.workers, l.err
}

func (l *list) set(err error, workers ...store.Worker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.workers, l.err = workers, err
}

// run runs f with a running fleet of the workers, in a bubble with a clock of its own.
func run(t *testing.T, f func(t *testing.T, fleet *Fleet, l *list), workers ...store.Worker) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &list{workers: workers}
		fleet := New(Config{Workers: l, Logger: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { fleet.Run(ctx) })
		synctest.Wait()
		f(t, fleet, l)
		cancel()
		wg.Wait()
	})
}

// pick picks and fails the test if there is none.
func pick(t *testing.T, f *Fleet, key string, tried ...string) *Lease {
	t.Helper()
	lease, ok := f.Pick(t.Context(), key, tried, false)
	if !ok {
		t.Fatalf("Pick(%q, %v) found no worker", key, tried)
	}
	return lease
}

func TestLeastOutstanding(t *testing.T) {
	run(t, func(t *testing.T, f *Fleet, _ *list) {
		// a reports 2 more than b, so b gets two calls before both are equal.
		for i, want := range []string{"b", "b"} {
			if got := pick(t, f, "d/f").ID; got != want {
				t.Errorf("call %d went to %s, want %s", i, got, want)
			}
		}
		third, fourth := pick(t, f, "d/f"), pick(t, f, "d/f")
		if third.ID == fourth.ID {
			t.Errorf("both of two equal workers should get one call, got %s twice", third.ID)
		}
		third.Release()
		if got := pick(t, f, "d/f").ID; got != third.ID {
			t.Errorf("after a release the call went to %s, want %s", got, third.ID)
		}
	}, store.Worker{ID: "a", Busy: 2}, store.Worker{ID: "b"}, store.Worker{ID: "c", Draining: true})
}

func TestWarmFirst(t *testing.T) {
	run(t, func(t *testing.T, f *Fleet, _ *list) {
		if got := pick(t, f, "d/f").ID; got != "warm" {
			t.Errorf("the first call went to %s, want the warm worker", got)
		}
		if got := pick(t, f, "d/f").ID; got != "cold" {
			t.Errorf("with the warm process taken the call went to %s, want the idle worker", got)
		}
		if got := pick(t, f, "d/other").ID; got != "cold" {
			t.Errorf("another function went to %s, want the idle worker", got)
		}
	}, store.Worker{ID: "warm", Busy: 5, Warm: map[string]int{"d/f": 1}}, store.Worker{ID: "cold"})
}

func TestTriedAndDropped(t *testing.T) {
	run(t, func(t *testing.T, f *Fleet, l *list) {
		if got := pick(t, f, "k", "a").ID; got != "b" {
			t.Errorf("with a tried the call went to %s", got)
		}
		if _, ok := f.Pick(t.Context(), "k", []string{"a", "b"}, false); ok {
			t.Error("a worker was found though all were tried")
		}
		lease := pick(t, f, "k", "b")
		lease.Release()
		lease.Drop()
		if got := f.Size(); got != 1 {
			t.Errorf("after a drop %d workers are known, want 1", got)
		}
		time.Sleep(idleInterval + minPause) // on the bubble's clock: it reports again
		if got := f.Size(); got != 2 {
			t.Errorf("after the next list %d workers are known, want 2", got)
		}
	}, store.Worker{ID: "a"}, store.Worker{ID: "b"})
}

func TestWaitsForAWorker(t *testing.T) {
	run(t, func(t *testing.T, f *Fleet, l *list) {
		time.AfterFunc(700*time.Millisecond, func() { l.set(nil, store.Worker{ID: "late"}) })
		begun := time.Now()
		lease, ok := f.Pick(t.Context(), "k", nil, true)
		if !ok || lease.ID != "late" || time.Since(begun) > 800*time.Millisecond {
			t.Errorf("Pick = %v, %v after %v; want the late worker soon after 700ms", lease, ok, time.Since(begun))
		}
	})
}

// With a call each 100 ms the list is read about each second, without any each 3 s;
// and while it cannot be read no more often than that.
func TestReadsAsOftenAsCallsNeed(t *testing.T) {
	for name, err := range map[string]error{"Redis answers": nil, "Redis is away": errors.New("away")} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, f *Fleet, l *list) {
				l.set(err, store.Worker{ID: "a"})
				l.mu.Lock()
				l.takes = 250 * time.Millisecond // so that calls come meanwhile
				l.mu.Unlock()
				reads := func(calls bool) int {
					l.mu.Lock()
					before := l.reads
					l.mu.Unlock()
					for range 300 { // half a minute
						time.Sleep(100 * time.Millisecond)
						if calls {
							pick(t, f, "k").Release()
						}
					}
					synctest.Wait()
					l.mu.Lock()
					defer l.mu.Unlock()
					return l.reads - before
				}
				if got := reads(true); got < 25 || got > 30 {
					t.Errorf("with calls the list is read %d times in 30 s", got)
				}
				if got := reads(false); got < 9 || got > 11 {
					t.Errorf("without calls the list is read %d times in 30 s", got)
				}
				time.Sleep(maxAge)
				l.set(nil, store.Worker{ID: "b"})
				pick(t, f, "k").Release()
				time.Sleep(minPause + time.Second)
				synctest.Wait()
				if got := pick(t, f, "k").ID; got != "b" {
					t.Errorf("soon after calls have come again, one goes to %s, which is gone", got)
				}
			}, store.Worker{ID: "a"})
		})
	}
}

func TestGivesUpWaiting(t *testing.T) {
	run(t, func(t *testing.T, f *Fleet, l *list) {
		begun := time.Now()
		if _, ok := f.Pick(t.Context(), "k", nil, true); ok || time.Since(begun) != 2*time.Second {
			t.Errorf("Pick = %v after %v, want none after 2s", ok, time.Since(begun))
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.reads > 45 {
			t.Errorf("the list was read %d times in 2 s of waiting", l.reads)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, ok := f.Pick(ctx, "k", nil, true); ok {
			t.Error("Pick found a worker under a cancelled context")
		}
	})
}

func TestKeepsTheLastListWithoutRedis(t *testing.T) {
	run(t, func(t *testing.T, f *Fleet, l *list) {
		l.set(errors.New("Redis is away"))
		time.Sleep(time.Minute)
		if got := pick(t, f, "k").ID; got != "a" {
			t.Errorf("the call went to %q, want a", got)
		}
		l.set(nil)
		time.Sleep(idleInterval + minPause)
		if _, ok := f.Pick(t.Context(), "k", nil, false); ok {
			t.Error("a worker that is gone was picked")
		}
	}, store.Worker{ID: "a"})
}
