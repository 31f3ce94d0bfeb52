package tick

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/store"
)

// Time in these tests is synctest's: it starts on 2000-01-01 at 00:00:00 UTC.

func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(t, newWorld(t)) })
}

func TestFiresOnTime(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish("acme", "d1", scheduled("minutely", "* * * * *"), scheduled("half", "30 * * * * *"), function.Function{Name: "plain", Kind: function.Sync})
		stop := w.start()
		defer stop()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		for _, f := range w.fired {
			if late := f.at.Sub(f.invocation.Tick); late < 0 || late > 10*time.Millisecond {
				t.Errorf("%s of %v fired %v late", f.task.Target.Function, f.invocation.Tick, late)
			}
		}
		w.expect("two minutes", "half 00:00:30", "minutely 00:01:00", "half 00:01:30", "minutely 00:02:00")
	})
}

func TestInvocation(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		f := scheduled("report", "*/10 * * * *")
		f.TimeoutMS = 7000
		w.publish("acme", "d1", f)
		stop := w.start()
		defer stop()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if len(w.fired) != 1 {
			t.Fatalf("%d ticks in ten minutes, want 1", len(w.fired))
		}
		got := w.fired[0]
		if got.task.Target != (queue.Target{Site: "acme", Deploy: "d1", Function: "report", Published: true}) || got.task.Queue != function.Scheduled || got.task.Timeout != 7*time.Second {
			t.Errorf("task = %+v", got.task)
		}
		inv := got.invocation
		if inv.ID != got.task.ID || len(inv.ID) != 26 || inv.Site != "acme" || inv.Deploy != "d1" || inv.Function != "report" || inv.Kind != function.Scheduled {
			t.Errorf("invocation = %+v", inv)
		}
		for _, part := range []string{`{\"next_run\":\"2000-01-01T00:20:00.000Z\"}`, "Netlify Clockwork", "acme.localhost/.netlify/functions/report", inv.ID} {
			if !strings.Contains(string(got.event), part) {
				t.Errorf("the event lacks %s:\n%s", part, got.event)
			}
		}
	})
}

func TestMissedTicks(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	tests := map[string]struct {
		expr, catchUp string
		want          []string
	}{
		// Now is 02:00:00, the cursor is at 00:00:00. On time is what is due from 01:55:00 on.
		"last":                {"* * * * *", "last", slices.Concat(minutes("f", 114*time.Minute, 114*time.Minute), minutes("f", 115*time.Minute, 2*hour))},
		"default is last":     {"* * * * *", "", slices.Concat(minutes("f", 114*time.Minute, 2*hour))},
		"all":                 {"* * * * *", "all", minutes("f", time.Minute, 2*hour)},
		"none":                {"* * * * *", "none", minutes("f", 115*time.Minute, 2*hour)},
		"last, one missed":    {"30 1 * * *", "last", []string{"f 01:30:00"}},
		"none, one missed":    {"30 1 * * *", "none", nil},
		"last, in the window": {"58 1 * * *", "last", []string{"f 01:58:00"}},
		"none, in the window": {"58 1 * * *", "none", []string{"f 01:58:00"}},
		"none missed":         {"30 2 * * *", "last", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				f := scheduled("f", tt.expr)
				f.CatchUp = tt.catchUp
				w.since(f, time.Now())
				time.Sleep(2 * hour)
				w.publish("acme", "d1", f)
				stop := w.start()
				defer stop()
				w.expect(name, tt.want...)
				// Whatever was missed, the next one is on time.
				time.Sleep(time.Minute)
				if tt.expr == "* * * * *" {
					w.expect("the next one", "f 02:01:00")
				}
			})
		})
	}
}

func TestCatchUpIsBounded(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		f := scheduled("f", "* * * * * *")
		f.CatchUp = "all"
		w.since(f, time.Now())
		time.Sleep(3 * time.Hour)
		w.publish("acme", "d1", f)
		stop := w.start()
		defer stop()
		got := w.ticks()
		// 02:55:00 is just in the window, 02:54:59 the newest late one.
		want := time.Date(2000, 1, 1, 2, 54, 59, 0, time.UTC).Add(-999 * time.Second).Format(time.TimeOnly)
		if len(got) != 1000+301 || got[0] != "f "+want {
			t.Errorf("%d ticks from %s, want 1301 from %s", len(got), got[0], want)
		}
	})
}

// TestEnqueueFaults: whatever happens to a write, each tick is there once, in order.
func TestEnqueueFaults(t *testing.T) {
	t.Parallel()
	third := func(how row) func(int, queue.Target) (row, bool) {
		return func(try int, _ queue.Target) (row, bool) { return how, try >= 3 && try <= 5 }
	}
	for name, breaks := range map[string]func(int, queue.Target) (row, bool){
		"failed":            third(failed),
		"failed, but done":  third(failedButDone),
		"every second one":  func(try int, _ queue.Target) (row, bool) { return failed, try%2 == 0 },
		"every reply":       func(try int, _ queue.Target) (row, bool) { return failedButDone, try%2 == 0 },
		"the request's own": third(ownFault),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.breaks = breaks
				w.publish("acme", "d1", scheduled("f", "* * * * *"))
				stop := w.start()
				defer stop()
				time.Sleep(10 * time.Minute)
				time.Sleep(10 * time.Second)
				w.expect("ten minutes", minutes("f", time.Minute, 10*time.Minute)...)
			})
		})
	}
}

// TestOneBadTickHoldsUpNoOther: a tick that is refused for reasons of its own
// is tried again for ever, and everything else goes on.
func TestOneBadTickHoldsUpNoOther(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.breaks = func(_ int, target queue.Target) (row, bool) { return ownFault, target.Function == "bad" }
		w.publish("acme", "d1", scheduled("bad", "* * * * *"), scheduled("good", "* * * * *"))
		stop := w.start()
		defer stop()
		time.Sleep(3 * time.Minute)
		w.expect("three minutes", minutes("good", time.Minute, 3*time.Minute)...)
		w.set(func() { w.breaks = nil })
		time.Sleep(time.Minute + 500*time.Millisecond)
		got := w.ticks()
		slices.Sort(got)
		if want := slices.Concat(minutes("bad", time.Minute, 4*time.Minute), []string{"good 00:04:00"}); !slices.Equal(got, want) {
			t.Errorf("fired %q, want %q", got, want)
		}
	})
}

func TestOutage(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		down time.Duration
		want []string
	}{
		"within the window": {4 * time.Minute, minutes("f", time.Minute, 4*time.Minute)},
		// Back at about 20:01; 00:01 to 00:15 are late then.
		"beyond the window": {20*time.Minute + time.Second, minutes("f", 15*time.Minute, 20*time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.publish("acme", "d1", scheduled("f", "* * * * *"))
				stop := w.start()
				defer stop()
				time.Sleep(time.Second)
				w.set(func() { w.down = true })
				time.Sleep(tt.down)
				w.set(func() { w.down = false })
				time.Sleep(2500 * time.Millisecond)
				w.expect(name, tt.want...)
				if w.tries > 700 {
					t.Errorf("%d tries during the outage", w.tries)
				}
			})
		})
	}
}

func TestSuperseded(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish("acme", "d1", scheduled("f", "* * * * *"))
		stop := w.start()
		time.Sleep(time.Minute)
		w.expect("the first minute", "f 00:01:00")
		w.set(func() { w.term++ })
		time.Sleep(time.Minute)
		w.expect("superseded")
		if err := stop(); !errors.Is(err, store.ErrSuperseded) {
			t.Errorf("Run = %v, want %v", err, store.ErrSuperseded)
		}
	})
}

// TestSupersededWhileStarting: the number was old before the loop began.
func TestSupersededWhileStarting(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish("acme", "d1", scheduled("f", "* * * * *"))
		stop := w.start()
		w.set(func() { w.term++ })
		w.publish("acme", "d2", scheduled("f", "* * * * *"))
		if err := stop(); !errors.Is(err, store.ErrSuperseded) {
			t.Errorf("Run = %v, want %v", err, store.ErrSuperseded)
		}
	})
}

func TestCursorsLost(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish("acme", "d1", scheduled("f", "* * * * *"))
		stop := w.start()
		defer stop()
		time.Sleep(90 * time.Second)
		w.set(func() { clear(w.cursors) })
		time.Sleep(2 * time.Minute)
		// The tick that noticed it is lost with its cursor; a schedule starts at now.
		w.expect("around the loss", "f 00:01:00", "f 00:03:00")
	})
}

func TestFailover(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish("acme", "d1", scheduled("f", "* * * * *"))
		stopFirst := w.start()
		time.Sleep(2*time.Minute + time.Second)
		if err := stopFirst(); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		time.Sleep(2 * time.Minute)
		w.set(func() { w.term++ })
		stopSecond := w.start()
		defer stopSecond()
		time.Sleep(time.Minute)
		w.expect("two leaders with a gap", minutes("f", time.Minute, 5*time.Minute)...)
	})
}

func TestDeploys(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish("acme", "d1", scheduled("same", "*/2 * * * *"), scheduled("changed", "*/2 * * * *"), scheduled("gone", "*/2 * * * *"))
		stop := w.start()
		defer stop()
		time.Sleep(3*time.Minute + time.Second)
		w.expect("the first deploy", "changed 00:02:00", "gone 00:02:00", "same 00:02:00")

		// Another spelling is the same schedule; it is due from its old cursor.
		w.set(func() { w.down = true })
		time.Sleep(90 * time.Second) // 00:04:00 cannot be fired
		w.publish("acme", "d2", scheduled("same", "0-59/2 * * * *"), scheduled("changed", "*/1 * * * *"), scheduled("new", "* * * * *"))
		w.set(func() { w.down = false })
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(w.fired) != 1 || w.fired[0].task.Target.Deploy != "d2" {
			t.Errorf("fired %+v, want one of deploy d2", w.fired)
		}
		w.expect("what the outage held back", "same 00:04:00")
		time.Sleep(90 * time.Second)
		w.expect("the second deploy", "changed 00:05:00", "new 00:05:00", "changed 00:06:00", "new 00:06:00", "same 00:06:00")
	})
}

func TestBadScheduleHoldsUpNoOther(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish("acme", "d1", scheduled("bad", "whenever"), scheduled("good", "* * * * *"))
		stop := w.start()
		defer stop()
		time.Sleep(time.Minute)
		w.expect("a minute", "good 00:01:00")
	})
}

// A burst that is under way when a catalog comes ends soon, since that may have
// other schedules, and not before some ticks have fired.
func TestACatalogInterruptsABurst(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		const n = 4 * atOnce
		catalogs := make(chan store.Catalog, 1)
		loop := &termLoop{
			Config:   Config{Store: w, Queue: w, BaseURL: func(string) string { return "" }},
			log:      slog.New(slog.DiscardHandler),
			term:     w.term,
			clock:    &clock{redisNow: w.redisNow, localNow: w.localNow, log: slog.New(slog.DiscardHandler)},
			catalogs: catalogs,
			parser:   parser{},
			metrics:  newMetrics(nil),
		}
		if err := loop.clock.measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		d := deploy.Deploy{ID: "d1"}
		for i := range n {
			d.Functions = append(d.Functions, scheduled(fmt.Sprintf("f%d", i), "* * * * *"))
		}
		var due []*entry
		for key, e := range loop.parser.read("acme", &d, loop.log) {
			w.add([]string{key})
			e.advance(w.cursors[key])
			due = append(due, e)
		}
		catalogs <- store.Catalog{}
		if err := loop.dealAll(t.Context(), due); err != nil {
			t.Fatal(err)
		}
		if len(w.fired) == 0 || len(w.fired) > atOnce {
			t.Errorf("%d ticks fired while a catalog waited, want 1 to %d", len(w.fired), atOnce)
		}
		<-catalogs
		loop.clock.at = loop.clock.at.Add(-maxAge)
		w.fired = nil
		if err := loop.dealAll(t.Context(), due); err != nil {
			t.Fatal(err)
		}
		if len(w.fired) == 0 || len(w.fired) > atOnce {
			t.Errorf("%d ticks fired by an old clock, want 1 to %d", len(w.fired), atOnce)
		}
		if err := loop.clock.measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.fired = nil
		if err := loop.dealAll(t.Context(), due); err != nil || len(w.fired) != n {
			t.Errorf("%d ticks fired, %v, want all %d", len(w.fired), err, n)
		}
	})
}

func TestIdleCostsNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish("acme", "d1", function.Function{Name: "plain", Kind: function.Sync})
		stop := w.start()
		defer stop()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if w.clocked != 0 || w.syncs != 1 || w.tries != 0 {
			t.Errorf("a day without schedules: %d clock readings, %d syncs, %d tries; want 0, 1, 0", w.clocked, w.syncs, w.tries)
		}
		w.publish("acme", "d2", scheduled("yearly", "@yearly"))
		time.Sleep(time.Hour)
		synctest.Wait()
		if w.clocked > 121 {
			t.Errorf("%d clock readings in an hour, want one every 30 s", w.clocked)
		}
	})
}

func TestClock(t *testing.T) {
	t.Parallel()
	minutely := scheduled("f", "* * * * *")
	tests := map[string]func(t *testing.T, w *world){
		"a local clock that is a little off is believed": func(t *testing.T, w *world) {
			w.set(func() { w.skew = 1500 * time.Millisecond })
			defer w.start()()
			time.Sleep(59 * time.Second)
			w.expect("by local time it is not due")
			time.Sleep(time.Second)
			w.expect("now it is", "f 00:01:00")
		},
		"one that is far off is not": func(t *testing.T, w *world) {
			w.set(func() { w.jump = 40 * time.Minute })
			defer w.start()()
			time.Sleep(time.Minute)
			w.expect("by the time of Redis", "f 00:01:00")
		},
		"set forth while running, nothing fires early": func(t *testing.T, w *world) {
			defer w.start()()
			time.Sleep(30500 * time.Millisecond)
			w.set(func() { w.jump = 40 * time.Minute })
			time.Sleep(2 * time.Minute)
			w.expect("by the time of Redis", "f 00:01:00", "f 00:02:00")
		},
		"set back while running, nothing fires again or late": func(t *testing.T, w *world) {
			defer w.start()()
			time.Sleep(2*time.Minute + time.Second)
			w.set(func() { w.jump = -40 * time.Minute })
			time.Sleep(time.Minute)
			w.expect("by the time of Redis", "f 00:01:00", "f 00:02:00", "f 00:03:00")
		},
		"the clock of Redis set back, nothing fires again": func(t *testing.T, w *world) {
			defer w.start()()
			time.Sleep(10*time.Minute + time.Second)
			w.ticks()
			w.set(func() { w.skew = -5 * time.Minute })
			time.Sleep(5 * time.Minute)
			w.expect("its time is passed a second time")
			time.Sleep(time.Minute)
			w.expect("and then goes on", "f 00:11:00")
		},
		"the clock of Redis set forth, what lies between was missed": func(t *testing.T, w *world) {
			defer w.start()()
			time.Sleep(time.Minute + time.Second)
			w.ticks()
			w.set(func() { w.skew = time.Hour })
			time.Sleep(50 * time.Second) // 01:01:51 by Redis
			w.expect("the newest missed one, and the window", minutes("f", 56*time.Minute, 61*time.Minute)...)
		},
	}
	for _, jump := range []time.Duration{-26 * time.Hour, -3 * time.Hour, 3 * time.Hour, 26 * time.Hour} {
		tests["the local clock is off from the start by "+jump.String()] = func(t *testing.T, w *world) {
			w.set(func() { w.jump = jump })
			defer w.start()()
			time.Sleep(2 * time.Minute)
			w.expect("by the time of Redis", "f 00:01:00", "f 00:02:00")
		}
		tests["the local clock is set again and again by "+jump.String()] = func(t *testing.T, w *world) {
			defer w.start()()
			for range 60 {
				time.Sleep(7 * time.Second)
				w.set(func() { w.jump += jump })
				time.Sleep(3 * time.Second)
				w.set(func() { w.jump = max(0, w.jump-jump) })
			}
			w.expect("by the time of Redis", minutes("f", time.Minute, 10*time.Minute)...)
			w.expectLedger("by the time of Redis", minutely, fires(minutes("", time.Minute, 10*time.Minute))...)
		}
		tests["both clocks are off from the start by "+jump.String()] = func(t *testing.T, w *world) {
			w.set(func() { w.jump, w.skew = jump, jump })
			defer w.start()()
			time.Sleep(time.Minute)
			w.expect("the tick of that time", "f "+time.Now().Add(jump).UTC().Format(time.TimeOnly))
		}
	}
	// The bound: a local clock that is believed is wrong by 2 s at most.
	tests["no tick fires more than 2 s early or late by the clock of Redis"] = func(t *testing.T, w *world) {
		for _, skew := range []time.Duration{-maxSkew, -time.Second, 0, time.Second, maxSkew, -time.Hour, time.Hour} {
			w.set(func() {
				w.skew, w.ledger = skew, map[string][]store.LedgerEntry{}
				clear(w.cursors)
			})
			stop := w.start()
			time.Sleep(3 * time.Minute)
			_ = stop()
			for _, entries := range w.ledger {
				for _, e := range entries {
					if e.Lateness.Abs() > maxSkew+10*time.Millisecond || e.Outcome != store.TickFired {
						t.Errorf("with Redis %v ahead, the tick %v: %s, %v late", skew, e.Tick, e.Outcome, e.Lateness)
					}
				}
				if len(entries) < 2 {
					t.Errorf("with Redis %v ahead, %d ticks in three minutes", skew, len(entries))
				}
			}
			w.ticks()
		}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.publish("acme", "d1", minutely)
				test(t, w)
			})
		})
	}
}

// fires lists ticks as the ledger has those that fired.
func fires(ticks []string) []string {
	for i, tick := range ticks {
		ticks[i] = strings.TrimSpace(tick) + " fired"
	}
	return ticks
}
