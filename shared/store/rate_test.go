package store

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
)

// rate is a limit of n calls per window for a test.
func rate(caller string, n int, window time.Duration) Rate {
	return Rate{Site: "shop", Function: "search", Caller: caller, Limit: function.RateLimit{Limit: n, WindowMS: window.Milliseconds()}}
}

func (b *backend) count(t testing.TB, r Rate) time.Duration {
	t.Helper()
	wait, err := b.CountCall(t.Context(), r)
	if err != nil {
		t.Fatalf("CountCall = %v", err)
	}
	return wait
}

// Out of rest exactly the limit passes, however many ask at once, and on
// however many connections.
func TestExactlyTheLimitPasses(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		const limit = 25
		var passed atomic.Int32
		var group sync.WaitGroup
		for range 4 {
			s := New(b.client(t), Options{})
			for range limit {
				group.Go(func() {
					wait, err := s.CountCall(t.Context(), rate("a", limit, time.Minute))
					if err != nil {
						t.Errorf("CountCall = %v", err)
					}
					if wait == 0 {
						passed.Add(1)
					} else if wait < 0 || wait > time.Minute {
						t.Errorf("wait = %v, want at most the window", wait)
					}
				})
			}
		}
		group.Wait()
		if got := passed.Load(); got != limit {
			t.Errorf("%d of %d calls passed, want %d", got, 4*limit, limit)
		}
	})
}

func TestEachCallerHasALimit(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		other := rate("a", 1, time.Minute)
		other.Function = "other"
		foreign := rate("a", 1, time.Minute)
		foreign.Site = "blog"
		for _, r := range []Rate{rate("a", 1, time.Minute), rate("b", 1, time.Minute), rate("{a}", 1, time.Minute), other, foreign} {
			if wait := b.count(t, r); wait != 0 {
				t.Errorf("first call of %+v waits %v", r, wait)
			}
			if wait := b.count(t, r); wait == 0 {
				t.Errorf("second call of %+v passed", r)
			}
		}
	})
}

// Who waits as long as it was told passes, and what is stored is gone then.
func TestTheWaitIsLongEnough(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		const window = 400 * time.Millisecond
		r := rate("a", 3, window)
		for range 4 { // over several windows
			for range 2 {
				// The refusal itself tells the wait: a moment later another call may pass.
				var wait time.Duration
				for wait == 0 {
					wait = b.count(t, r)
				}
				if wait <= 0 || wait > window {
					t.Fatalf("wait = %v, want up to the window", wait)
				}
				if err := pause(t.Context(), wait); err != nil {
					t.Fatal(err)
				}
				if again := b.count(t, r); again > 2*time.Millisecond { // rounding of two clocks
					t.Errorf("after the wait of %v there are %v more to wait", wait, again)
				}
			}
		}
		eventually(t, "the counters expire", func() bool { return b.rdb.Exists(t.Context(), rateKey(r.Site, r.Function, r.Caller)).Val() == 0 })
	})
}

// The window slides: what was called late in one window counts in the next.
func TestTheWindowSlides(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		key := rateKey("shop", "search", "a")
		r := rate("a", 10, time.Minute)
		now, err := b.rdb.Time(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		tests := []struct {
			name          string
			begun         time.Duration // ago
			count         int
			last          time.Duration // ago
			before        int
			ended         time.Duration // ago
			passes        int
			atLeast, most time.Duration // of the wait after them
		}{
			{"used up just now", time.Second, 10, 0, 0, 0, 0, 59 * time.Second, time.Minute},
			{"used up evenly", 59 * time.Second, 10, 0, 0, 0, 0, 6 * time.Second, 8 * time.Second},
			{"half of the window before is out", 30 * time.Second, 0, 31 * time.Second, 10, 30 * time.Second, 5, 0, 7 * time.Second},
			{"next window", 61 * time.Second, 10, 2 * time.Second, 0, 0, 0, 0, 8 * time.Second},
			{"all of it is out", 61 * time.Second, 10, 60500 * time.Millisecond, 0, 0, 10, 50 * time.Second, time.Minute},
			{"clock set back", -time.Hour, 10, -time.Hour, 0, 0, 10, 50 * time.Second, time.Minute},
		}
		for _, tt := range tests {
			ago := func(d time.Duration) int64 { return now.Add(-d).UnixMilli() }
			if err := b.rdb.HSet(t.Context(), key, "begun", ago(tt.begun), "count", tt.count, "last", ago(tt.last),
				"before", tt.before, "ended", ago(tt.ended)).Err(); err != nil {
				t.Fatal(err)
			}
			passes := 0
			wait := b.count(t, r)
			for ; wait == 0; wait = b.count(t, r) {
				passes++
			}
			if passes != tt.passes || wait < tt.atLeast || wait > tt.most {
				t.Errorf("%s: %d pass, then wait %v; want %d, then %v to %v", tt.name, passes, wait, tt.passes, tt.atLeast, tt.most)
			}
			if ttl := b.rdb.PTTL(t.Context(), key).Val(); passes > 0 && (ttl <= 0 || ttl > time.Minute) {
				t.Errorf("%s: expires in %v, want at most the window", tt.name, ttl)
			}
		}
	})
}

func TestNoLimit(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		if _, err := b.CountCall(t.Context(), rate("a", 0, time.Minute)); err == nil {
			t.Error("CountCall with no calls per window: no error")
		}
	})
}
