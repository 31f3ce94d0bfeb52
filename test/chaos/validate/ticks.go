package validate

import (
	"slices"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/store"
)

// TicksOnce: each schedule has one invocation for each second between the first
// and the last, with no second left out and none twice.
func TicksOnce(run *Run, v *Verdict) {
	if run.Schedules == 0 {
		return
	}
	bySchedule := map[string]map[int64]string{}
	for id, inv := range run.Records {
		if inv.Kind != function.Scheduled {
			continue
		}
		v.Looked++
		if inv.Tick.IsZero() {
			v.problem("%s of %s has no tick", id, inv.Function)
			continue
		}
		ticks := bySchedule[inv.Function]
		if ticks == nil {
			ticks = map[int64]string{}
			bySchedule[inv.Function] = ticks
		}
		second := inv.Tick.Unix()
		if other, twice := ticks[second]; twice {
			v.problem("%s fired twice for %v: %s and %s", inv.Function, inv.Tick, other, id)
		}
		ticks[second] = id
		if !inv.State.Terminal() {
			v.problem("%s, the tick %v of %s, is %s", id, inv.Tick, inv.Function, inv.State)
		}
	}
	if len(bySchedule) != run.Schedules {
		v.problem("%d of %d schedules fired", len(bySchedule), run.Schedules)
	}
	for name, ticks := range bySchedule {
		seconds := make([]int64, 0, len(ticks))
		for second := range ticks {
			seconds = append(seconds, second)
		}
		slices.Sort(seconds)
		for i := 1; i < len(seconds); i++ {
			if missing := seconds[i] - seconds[i-1] - 1; missing > 0 {
				v.problem("%s missed %d ticks after %v", name, missing, time.Unix(seconds[i-1], 0).UTC())
			}
		}
		if first := time.Unix(seconds[0], 0); first.After(run.FirstTick) {
			v.problem("%s fired first at %v, and was there at %v", name, first.UTC(), run.FirstTick.UTC())
		}
		if last := time.Unix(seconds[len(seconds)-1], 0); last.Before(run.LastTick) {
			v.problem("%s fired last at %v, and was there until %v", name, last.UTC(), run.LastTick.UTC())
		}
	}
}

// TicksAddUp: the totals of ticks, which are a metric, add up and count what
// there is a record of; and each ledger has one entry for each record, as far
// back as it is kept, and no entry without one.
func TicksAddUp(run *Run, v *Verdict) {
	if run.Schedules == 0 {
		return
	}
	records := map[string]map[int64]string{} // by function and second
	all := int64(0)
	for id, inv := range run.Records {
		if inv.Kind != function.Scheduled {
			continue
		}
		all++
		if records[inv.Function] == nil {
			records[inv.Function] = map[int64]string{}
		}
		records[inv.Function][inv.Tick.Unix()] = id
	}
	t := run.Ticks
	if t.Drift() != 0 {
		v.problem("%d ticks were due, %d fired, %d were caught up and %d skipped: %d have no outcome", t.Due, t.Fired, t.CaughtUp, t.Skipped, t.Drift())
	}
	if t.Fired+t.CaughtUp != all {
		v.problem("%d ticks are counted as fired and %d as caught up; %d have records", t.Fired, t.CaughtUp, all)
	}
	for name, entries := range run.Ledgers {
		if len(entries) == 0 {
			v.problem("the ledger of %s is empty", name)
			continue
		}
		v.Looked += len(entries)
		dealt := ledgerTicks(name, entries, records[name], v)
		oldest := entries[len(entries)-1].Tick.Unix()
		for second, id := range records[name] {
			if second > oldest && !dealt[second] {
				v.problem("%s, the tick %v of %s, is in no entry of the ledger", id, time.Unix(second, 0).UTC(), name)
			}
		}
	}
}

// ledgerTicks are the ticks that the entries of a ledger deal with, by second.
func ledgerTicks(name string, entries []store.LedgerEntry, records map[int64]string, v *Verdict) map[int64]bool {
	dealt := map[int64]bool{}
	for _, e := range entries {
		if e.Outcome == store.TickSuppressed {
			continue // on top of another outcome
		}
		made := e.Outcome == store.TickFired || e.Outcome == store.TickCaughtUp
		for second := e.From.Unix(); second <= e.Tick.Unix(); second++ { // schedules are of each second
			if dealt[second] {
				v.problem("the ledger of %s has %v twice", name, time.Unix(second, 0).UTC())
			}
			dealt[second] = true
			if got := records[second]; made && got != e.Invocation {
				v.problem("the ledger of %s says that %v was %s as %q; its record is %q", name, e.Tick, e.Outcome, e.Invocation, got)
			} else if !made && got != "" {
				v.problem("the ledger of %s says that %v was %s (%s), and %s is its record", name, e.Tick, e.Outcome, e.Reason, got)
			}
		}
	}
	return dealt
}
