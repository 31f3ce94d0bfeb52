package gateway_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

// nthScript matches the nth script from now on that touches a key.
func nthScript(n int, key string) func(redis.Cmder) bool {
	seen := 0
	return func(cmd redis.Cmder) bool {
		if cmd.Name() != "evalsha" || !touches(key)(cmd) {
			return false
		}
		seen++
		return seen == n
	}
}

// order is something that an operator asks for, for the table below.
type order struct {
	name   string
	key    string // what its scripts touch
	breaks int    // which of them breaks, from 1
	// prepare makes what it needs, loads its scripts, and returns its parts: do
	// gives the order, done says how much of it is there.
	prepare func(b *bundle) (do func() error, done func() int)
	whole   int    // how much that is in the end
	before  string // what the error says of the part that was made before
	// again is whether the same order succeeds after one that failed and was done.
	again func(error) bool
}

func isNil(err error) bool      { return err == nil }
func isConflict(err error) bool { return fault.Is(err, fault.Conflict) }

// made counts the invocations that are accepted from now on.
func (b *bundle) made() func() int {
	count := func() int {
		b.t.Helper()
		counts, err := b.store.Counts(b.t.Context())
		if err != nil || counts.Drift() != 0 {
			b.t.Errorf("counts = %+v, %v; want no drift", counts, err)
		}
		return int(counts.Accepted)
	}
	before := count()
	return func() int { return count() - before }
}

var orders = []order{
	{"retry", "nightshift:{background}:lane", 1, func(b *bundle) (func() error, func() int) {
		b.deploy("default", job)
		ids := b.dead(2)
		if _, err := b.api.Retry(b.t.Context(), ids[0]); err != nil {
			b.t.Fatal(err)
		}
		return func() error {
				_, err := b.api.Retry(b.t.Context(), ids[1])
				return err
			}, func() int {
				inv, err := b.api.Invocation(b.t.Context(), ids[1])
				if err != nil {
					b.t.Error(err)
				}
				if inv.State == invocation.Dead {
					return 0
				}
				return 1
			}
	}, 1, "", isConflict},
	{"replay by filter", "nightshift:{background}:lane", 2, func(b *bundle) (func() error, func() int) {
		b.deploy("default", job)
		if _, err := b.api.Replay(b.t.Context(), b.dead(1)[0], "first"); err != nil {
			b.t.Fatal(err)
		}
		b.dead(2)
		return func() error {
			_, err := b.api.ReplayAll(b.t.Context(), "default", api.ReplayInvocations{}, "k")
			return err
		}, b.made()
	}, 3, "1 of 3 were made before", isNil},
	{"trigger", "nightshift:{scheduled}:lane", 1, func(b *bundle) (func() error, func() int) {
		b.deploy("default", ticker)
		if _, err := b.api.Trigger(b.t.Context(), "default", "tick", "first"); err != nil {
			b.t.Fatal(err)
		}
		return func() error {
			_, err := b.api.Trigger(b.t.Context(), "default", "tick", "k")
			return err
		}, b.made()
	}, 1, "", isNil},
	{"backfill", "nightshift:{scheduled}:lane", 2, func(b *bundle) (func() error, func() int) {
		b.deploy("default", ticker)
		if _, err := b.api.Trigger(b.t.Context(), "default", "tick", "first"); err != nil {
			b.t.Fatal(err)
		}
		from := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		return func() error {
			_, err := b.api.Backfill(b.t.Context(), "default", "tick", api.Backfill{From: from, To: from.Add(3 * time.Minute)}, "")
			return err
		}, b.made()
	}, 3, "1 of", isNil},
	{"pause", "nightshift:{scheduled}:pauses:", 1, func(b *bundle) (func() error, func() int) {
		b.deploy("default", ticker, function.Function{Name: "other", Kind: function.Scheduled, Schedule: "@daily"})
		if err := b.api.PauseSchedule(b.t.Context(), "default", "other"); err != nil {
			b.t.Fatal(err)
		}
		return func() error { return b.api.PauseSchedule(b.t.Context(), "default", "tick") }, func() int {
			list, err := b.api.Schedules(b.t.Context(), "default")
			if err != nil {
				b.t.Error(err)
			}
			if list[0].PausedSince == nil {
				return 0
			}
			return 1
		}
	}, 1, "", isNil},
	{"resume", "nightshift:{scheduled}:pauses:", 1, func(b *bundle) (func() error, func() int) {
		b.deploy("default", ticker, function.Function{Name: "other", Kind: function.Scheduled, Schedule: "@daily"})
		for _, name := range []string{"tick", "other"} {
			if err := b.api.PauseSchedule(b.t.Context(), "default", name); err != nil {
				b.t.Fatal(err)
			}
		}
		if err := b.api.ResumeSchedule(b.t.Context(), "default", "other"); err != nil {
			b.t.Fatal(err)
		}
		return func() error { return b.api.ResumeSchedule(b.t.Context(), "default", "tick") }, func() int {
			paused, err := b.store.Paused(b.t.Context(), "default")
			if err != nil {
				b.t.Error(err)
			}
			return 1 - len(paused)
		}
	}, 1, "", isNil},
	{"retry of a callback", "nightshift:{background}:callbacks:dead:", 1, func(b *bundle) (func() error, func() int) {
		b.deploy("default", job)
		ids := b.deadCallbacks(2)
		if _, err := b.api.RetryCallback(b.t.Context(), ids[0]); err != nil {
			b.t.Fatal(err)
		}
		return func() error {
				_, err := b.api.RetryCallback(b.t.Context(), ids[1])
				return err
			}, func() int {
				list, err := b.api.DeadCallbacks(b.t.Context(), "default", "", 0)
				if err != nil {
					b.t.Error(err)
				}
				return 1 - len(list.Callbacks)
			}
	}, 1, "", isConflict},
}

// Whatever Redis loses, an order is done once, and who gives it knows where it stands.
func TestOrderFaults(t *testing.T) {
	t.Parallel()
	for _, o := range orders {
		for how, name := range map[redistest.Fault]string{redistest.Failed: "failed", redistest.FailedButDone: "failed but done"} {
			t.Run(o.name+" "+name, func(t *testing.T) {
				t.Parallel()
				b := setup(t, callbacksOn)
				do, done := o.prepare(b)
				b.broken.Break(1, how, nthScript(o.breaks, o.key))
				err := do()
				if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), o.before) || b.broken.Broke() != 1 {
					t.Errorf("first = %v after %d faults; want unavailable, with %q", err, b.broken.Broke(), o.before)
				}
				want := o.breaks - 1
				if how == redistest.FailedButDone {
					want++
				}
				if got := done(); got != want {
					t.Errorf("%d are done after it, want %d", got, want)
				}
				again := isNil
				if how == redistest.FailedButDone {
					again = o.again
				}
				if err := do(); !again(err) {
					t.Errorf("the same again = %v", err)
				}
				if got := done(); got != o.whole {
					t.Errorf("%d are done in the end, want %d", got, o.whole)
				}
			})
		}
	}
}
