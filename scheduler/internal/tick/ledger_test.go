package tick

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/queue"
)

func (w *world) expectLedger(what string, f function.Function, want ...string) {
	w.t.Helper()
	if got := w.outcomes(f); !slices.Equal(got, want) {
		w.t.Errorf("%s: the ledger has\n%q, want\n%q", what, got, want)
	}
}

// What becomes of late ticks stands in the ledger, each tick once.
func TestLedgerOfLateTicks(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		expr string
		away time.Duration
		want []string
	}{
		// What is due from five minutes before now on is on time.
		"last":            {"*/30 * * * *", 2 * time.Hour, []string{"00:30:00-01:00:00 (2) skipped missed", "01:30:00 caught_up", "02:00:00 fired"}},
		"last, only one":  {"0 1 * * *", 2 * time.Hour, []string{"01:00:00 caught_up"}},
		"last, two":       {"0,30 1 * * *", 2 * time.Hour, []string{"01:00:00 skipped missed", "01:30:00 caught_up"}},
		"last, none late": {"58 1 * * *", 2 * time.Hour, []string{"01:58:00 fired"}},
		"all":             {"*/30 * * * *", 2 * time.Hour, []string{"00:30:00 caught_up", "01:00:00 caught_up", "01:30:00 caught_up", "02:00:00 fired"}},
		"none":            {"*/30 * * * *", 2 * time.Hour, []string{"00:30:00-01:30:00 (3) skipped catch_up_none", "02:00:00 fired"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				f := scheduled("f", tt.expr)
				f.CatchUp, _, _ = strings.Cut(name, ",")
				w.since(f, time.Now())
				time.Sleep(tt.away)
				w.publish("acme", "d1", f)
				stop := w.start()
				defer stop()
				w.expectLedger(name, f, tt.want...)
			})
		})
	}
	t.Run("all, too many", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *world) {
			f := scheduled("f", "* * * * * *")
			f.CatchUp = "all"
			w.since(f, time.Now())
			time.Sleep(time.Hour)
			w.publish("acme", "d1", f)
			stop := w.start()
			defer stop()
			got := w.outcomes(f)
			if len(got) != 1+maxCatchUp+301 || got[0] != "00:00:01-00:38:19 (2299) skipped missed" || got[1] != "00:38:20 caught_up" || got[1001] != "00:55:00 fired" {
				t.Errorf("the ledger has %d entries: %q, %q … %q; want %d", len(got), got[0], got[1], got[min(1001, len(got)-1)], 1302)
			}
		})
	})
}

// A tick that could not be fired in time goes by catchUp, although it was tried.
func TestTriedForTooLong(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var fs []function.Function
		for _, catchUp := range []string{"last", "all", "none"} {
			f := scheduled(catchUp, "*/5 * * * *")
			f.CatchUp = catchUp
			fs = append(fs, f)
		}
		w.publish("acme", "d1", fs...)
		stop := w.start()
		defer stop()
		time.Sleep(time.Second)
		w.set(func() { w.breaks = func(int, queue.Target) (row, bool) { return failed, true } })
		time.Sleep(17 * time.Minute)
		w.set(func() { w.breaks = nil })
		time.Sleep(3 * time.Second)
		w.expectLedger("last", fs[0], "00:05:00 skipped missed", "00:10:00 caught_up", "00:15:00 fired")
		w.expectLedger("all", fs[1], "00:05:00 caught_up", "00:10:00 caught_up", "00:15:00 fired")
		w.expectLedger("none", fs[2], "00:05:00-00:10:00 (2) skipped catch_up_none", "00:15:00 fired")
	})
}

func TestOverlap(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		allow, skip := scheduled("allow", "* * * * *"), scheduled("skip", "* * * * *")
		skip.Overlap = "skip"
		w.publish("acme", "d1", allow, skip)
		stop := w.start()
		defer stop()
		time.Sleep(90 * time.Second)
		w.set(func() { w.open = map[string]bool{"allow": true, "skip": true} })
		time.Sleep(2 * time.Minute)
		w.set(func() { w.open = nil })
		time.Sleep(time.Minute)
		w.expectLedger("skip", skip, "00:01:00 fired", "00:02:00 skipped overlap", "00:03:00 skipped overlap", "00:04:00 fired")
		w.expectLedger("allow", allow, "00:01:00 fired", "00:02:00 fired", "00:03:00 fired", "00:04:00 fired")
	})
}

// What was due in a pause is skipped, and not caught up when it is over.
func TestPause(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		f := scheduled("f", "* * * * *")
		f.CatchUp = "all"
		w.publish("acme", "d1", f)
		stop := w.start()
		defer stop()
		time.Sleep(90 * time.Second)
		w.set(func() { w.paused = map[string]bool{"f": true} })
		time.Sleep(2 * time.Minute)
		w.set(func() { w.paused = nil })
		time.Sleep(time.Minute)
		w.expectLedger("a pause", f, "00:01:00 fired", "00:02:00 skipped paused", "00:03:00 skipped paused", "00:04:00 fired")
	})
}

// A try whose reply was lost is made again, does nothing, and is noted.
func TestSuppressed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		f := scheduled("f", "* * * * *")
		w.breaks = func(try int, _ queue.Target) (row, bool) { return failedButDone, try == 2 }
		w.publish("acme", "d1", f)
		stop := w.start()
		defer stop()
		time.Sleep(3*time.Minute + time.Second)
		w.expect("three minutes", minutes("f", time.Minute, 3*time.Minute)...)
		w.expectLedger("three minutes", f, "00:01:00 fired", "00:02:00 fired", "00:02:00 suppressed", "00:03:00 fired")
	})
}

// A schedule with many late ticks keeps no other one waiting: in each round it
// has its turn once.
func TestCatchingUpHoldsUpNoOther(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		late, other := scheduled("late", "* * * * * *"), scheduled("other", "* * * * *")
		late.CatchUp = "all"
		w.since(late, time.Now())
		time.Sleep(30 * time.Minute)
		w.since(other, time.Now().Add(-time.Minute))
		w.publish("acme", "d1", late, other)
		stop := w.start()
		defer stop()
		i := slices.IndexFunc(w.fired, func(f fired) bool { return f.task.Target.Function == "other" })
		if i < 0 || i > 1 {
			t.Errorf("the other one fired as number %d of %d, want first or second", i, len(w.fired))
		}
	})
}
