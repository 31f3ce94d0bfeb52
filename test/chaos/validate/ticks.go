package validate

import (
	"slices"
	"time"

	"github.com/nightshift/nightshift/shared/function"
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
