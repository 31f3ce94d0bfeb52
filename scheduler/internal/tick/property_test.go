package tick

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/schedule"
	"github.com/nightshift/nightshift/shared/store"
)

// TestLedgerTiles: whatever happens to leaders, to Redis and to replies, the
// entries of a ledger cover the ticks of its schedule one after the other, none
// missing and none twice, and what fired is what they say.
func TestLedgerTiles(t *testing.T) {
	t.Parallel()
	seeds := uint64(12)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) { history(t, w, rand.New(rand.NewPCG(seed, 5))) })
		})
	}
}

// history lives through a random history and checks what is left of it.
func history(t *testing.T, w *world, random *rand.Rand) {
	var fs []function.Function
	exprs := []string{"* * * * *", "*/20 * * * * *", "*/7 * * * *", "5 */2 * * *", "@daily"}
	for i, expr := range exprs {
		f := scheduled(fmt.Sprint("f", i), expr)
		f.CatchUp = []string{"", "last", "all", "none"}[random.IntN(4)]
		f.Overlap = []string{"", "skip"}[random.IntN(2)]
		f.Timezone = []string{"", "Europe/Berlin"}[random.IntN(2)]
		w.since(f, time.Now())
		fs = append(fs, f)
	}
	began := time.Now()
	deploys := 0
	redeploy := func() {
		deploys++
		w.publish("acme", fmt.Sprint("d", deploys), fs...)
	}
	redeploy()

	var leaders []func() error
	lead := func() {
		w.set(func() { w.term++ })
		leaders = append(leaders, w.start())
	}
	lead()
	defer func() {
		for _, stop := range leaders {
			_ = stop()
		}
	}()
	name := func() string { return fs[random.IntN(len(fs))].Name }
	for range 50 {
		switch random.IntN(10) {
		case 0: // the leader is frozen and another one takes over: it still acts
			lead()
		case 1: // the leader is killed, and after a while there is another one
			_ = leaders[len(leaders)-1]()
			time.Sleep(time.Duration(random.IntN(3)) * 10 * time.Minute)
			lead()
		case 2:
			w.set(func() { w.paused = map[string]bool{name(): true, name(): true} })
		case 3:
			w.set(func() { w.paused = nil })
		case 4:
			w.set(func() { w.open = map[string]bool{name(): true, name(): true} })
		case 5:
			w.set(func() { w.open = nil })
		case 6:
			w.set(func() { w.down = !w.down })
		case 7:
			redeploy()
		case 8: // replies and requests get lost
			odds, how := random.IntN(4), row(random.IntN(3))
			dice := rand.New(rand.NewPCG(random.Uint64(), 1))
			w.set(func() {
				w.breaks = func(int, queue.Target) (row, bool) { return how, dice.IntN(4) < odds }
			})
		case 9: // Redis is restarted without its newest writes
			synctest.Wait()
			w.mu.Lock()
			cursors, fired := maps.Clone(w.cursors), slices.Clone(w.fired)
			ledger := map[string][]store.LedgerEntry{}
			for key, entries := range w.ledger {
				ledger[key] = slices.Clone(entries)
			}
			w.mu.Unlock()
			time.Sleep(time.Duration(random.IntN(120)) * time.Second)
			w.set(func() { w.cursors, w.ledger, w.fired = cursors, ledger, fired })
		}
		time.Sleep(time.Duration(random.ExpFloat64() * float64(4*time.Minute)))
	}
	w.set(func() { w.down, w.breaks, w.paused, w.open = false, nil, nil, nil })
	lead()
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	outcomes := map[store.TickOutcome]int{}
	for _, f := range fs {
		w.tiles(f, began, outcomes)
	}
	t.Logf("%v in %v, %d deploys, %d terms", outcomes, time.Since(began).Round(time.Second), deploys, w.term)
}

// tiles checks the ledger of a schedule of site acme against its ticks since a
// moment, and against what fired.
func (w *world) tiles(f function.Function, since time.Time, outcomes map[store.TickOutcome]int) {
	s, err := schedule.Parse(f.Schedule, f.Timezone)
	if err != nil {
		w.t.Fatal(err)
	}
	made := map[string]time.Time{}
	for _, e := range w.fired {
		if e.task.Target.Function == f.Name {
			if _, twice := made[e.task.ID]; twice {
				w.t.Errorf("%s: the invocation %s was made twice", f.Name, e.task.ID)
			}
			made[e.task.ID] = e.invocation.Tick
		}
	}
	cursor := since
	for _, e := range w.ledger[schedule.Key("acme", f.Name, s)] {
		outcomes[e.Outcome] += e.Count
		if e.Outcome == store.TickSuppressed {
			continue
		}
		first, _ := s.Next(cursor)
		if count, _ := s.Count(cursor, e.Tick, math.MaxInt); !e.From.Equal(first) || e.Count != count || count < 1 {
			w.t.Errorf("%s: after %v comes the entry %+v, want it to begin with %v and to cover %d", f.Name, cursor, e, first, count)
		}
		cursor = e.Tick
		if e.Outcome == store.TickSkipped {
			continue
		}
		if tick, ok := made[e.Invocation]; !ok || !tick.Equal(e.Tick) {
			w.t.Errorf("%s: the entry of %v names an invocation of %v", f.Name, e.Tick, tick)
		}
		delete(made, e.Invocation)
	}
	if len(made) > 0 {
		w.t.Errorf("%s: %d invocations are in no ledger", f.Name, len(made))
	}
	if next, _ := s.Next(cursor); !next.After(time.Now()) {
		w.t.Errorf("%s: the tick %v has no entry at %v", f.Name, next, time.Now())
	}
}
