// Package scenario puts a system, its traffic and its faults together.
package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/test/chaos/fault"
	"github.com/nightshift/nightshift/test/chaos/history"
	"github.com/nightshift/nightshift/test/chaos/report"
	"github.com/nightshift/nightshift/test/chaos/system"
	"github.com/nightshift/nightshift/test/chaos/traffic"
	"github.com/nightshift/nightshift/test/chaos/validate"
	"github.com/nightshift/nightshift/test/harness"
)

// Scenario is a run that can be made again.
type Scenario struct {
	Name    string // of its test
	Seed    uint64 // of the calls and of the faults
	Shape   system.Shape
	Traffic traffic.Profile
	// Faults are injected one after the other, Long ones beside them.
	Faults, Long []fault.Fault
	// Gap is the mean time between two faults.
	Gap time.Duration
	// Drain bounds the time after the traffic in which everything must finish.
	Drain time.Duration
	// Invariants must be true at the end.
	Invariants []validate.Invariant
	// Log is told how it goes.
	Log func(format string, args ...any)
}

// Run makes the run on a system of the shape. The report is complete if err is nil.
func (s Scenario) Run(ctx context.Context, sys *system.System) (*report.Report, error) {
	r := &report.Report{Scenario: s.Name, Seed: s.Seed, Wanted: s.Traffic.Invocations}
	load, err := traffic.New(ctx, sys, s.Traffic, s.Seed)
	if err != nil {
		return r, fmt.Errorf("making the first deploy: %w", err)
	}
	faults, long := s.available(sys, s.Faults, r), s.available(sys, s.Long, r)
	begun := time.Now()
	if err := s.storm(ctx, sys, load, faults, long); err != nil {
		return r, err
	}
	r.Took = time.Since(begun)
	s.Log("the traffic is over after %v; %d calls are accepted", r.Took.Round(time.Second), load.Accepted())
	ended := time.Now()
	short, cancel := context.WithTimeout(ctx, s.Drain)
	defer cancel()
	if s.Traffic.Schedules > 0 {
		if err := s.catchUp(short, sys, ended); err != nil {
			return r, err
		}
		if err := load.EndSchedules(short); err != nil {
			return r, fmt.Errorf("ending the schedules: %w", err)
		}
	}
	// What is not finished then, the invariants tell more about.
	drained := errors.Join(load.Drain(short), s.settle(short, sys))
	r.Drained = time.Since(ended)
	if drained != nil {
		s.Log("%v", drained)
	}
	return r, s.judge(ctx, sys, r, begun, ended)
}

// available leaves out what cannot be injected.
func (s Scenario) available(sys *system.System, all []fault.Fault, r *report.Report) []fault.Fault {
	var can []fault.Fault
	for _, f := range all {
		if err := f.Available(sys); err != nil {
			r.Missing = append(r.Missing, f.Name()+": "+err.Error())
			continue
		}
		can = append(can, f)
	}
	return can
}

// storm lets traffic and faults go on together, until the traffic is over.
func (s Scenario) storm(ctx context.Context, sys *system.System, load *traffic.Load, faults, long []fault.Fault) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	enough := make(chan struct{})
	var beside sync.WaitGroup
	for i, lane := range [][]fault.Fault{faults, long} {
		r := rand.New(rand.NewPCG(s.Seed, uint64(1+i)))
		beside.Go(func() {
			if err := fault.Run(ctx, enough, sys, lane, s.Gap, r); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	beside.Go(func() { s.tell(ctx, enough, sys, load) })
	_ = load.Run(ctx) // which ends early only with ctx
	close(enough)
	beside.Wait()
	return context.Cause(ctx)
}

// tell says now and then how it goes.
func (s Scenario) tell(ctx context.Context, enough <-chan struct{}, sys *system.System, load *traffic.Load) {
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-enough:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
			faults := sys.History.Faults()
			last := "none"
			if len(faults) > 0 {
				f := faults[len(faults)-1]
				last = f.Name + " " + f.What
			}
			s.Log("%d calls are accepted, %d unfinished; %d faults are over, the last one: %s", load.Accepted(), load.Unfinished(), len(faults), last)
		}
	}
}

// catchUp waits until the schedules have come to a time: ticks that are due when
// their schedule is taken away are not fired any more, and the last fault may
// have kept the leader from them for seconds.
func (s Scenario) catchUp(ctx context.Context, sys *system.System, to time.Time) error {
	return harness.Eventually(ctx, func() error {
		cursors, err := sys.Store.Cursors(ctx)
		if err == nil && len(cursors) < s.Traffic.Schedules {
			err = fmt.Errorf("%d of %d schedules have a cursor", len(cursors), s.Traffic.Schedules)
		}
		for key, at := range cursors {
			if at.Before(to.Truncate(time.Second)) {
				err = fmt.Errorf("the schedule %s is at %v, and should be at %v", key, at, to)
			}
		}
		return err
	})
}

// settle waits until the records of ticks, too, are finished, and all callbacks
// are taken or given up.
func (s Scenario) settle(ctx context.Context, sys *system.System) error {
	for {
		open := 0
		for _, kind := range []function.Kind{function.Background, function.Scheduled} {
			states, err := sys.States(ctx, kind)
			if err != nil {
				return err
			}
			for state, n := range states {
				if !state.Terminal() {
					open += n
				}
			}
		}
		callbacks, err := sys.Store.CallbackCounts(ctx)
		if err != nil {
			return err
		}
		if open == 0 && callbacks.Pending == 0 {
			return nil
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d records are not finished, %d callbacks are not made", open, callbacks.Pending)
		}
	}
}

// judge reads the final records and checks the invariants.
func (s Scenario) judge(ctx context.Context, sys *system.System, r *report.Report, begun, ended time.Time) error {
	h := sys.History
	run := &validate.Run{
		Calls: h.Calls(), Cancels: h.Cancels(), Deploys: h.Deploys(), Effects: h.Effects(), Moved: h.Moved(), End: h.End, Drifts: h.Drifts(),
		Records: map[string]invocation.Invocation{}, States: map[function.Kind]map[invocation.State]int{},
		Untold: map[string]int{}, Answers: h.Answers(), Ran: h.Runs(), Told: h.Telling(), Bounds: traffic.Bounds(),
		Retries: traffic.Retries, Schedules: s.Traffic.Schedules,
		// Schedulers follow a deploy within a second.
		FirstTick: begun.Add(3 * time.Second), LastTick: ended.Add(-2 * time.Second),
	}
	var err error
	if run.Counts, err = sys.Store.CountsByKind(ctx); err != nil {
		return err
	}
	for _, kind := range []function.Kind{function.Background, function.Scheduled} {
		ids, err := sys.IDs(ctx, kind)
		if err != nil {
			return err
		}
		records, err := sys.Records(ctx, ids)
		if err != nil {
			return err
		}
		for id, inv := range records {
			run.Records[id] = inv
		}
		if run.States[kind], err = sys.States(ctx, kind); err != nil {
			return err
		}
	}
	if err := s.judgeControl(ctx, sys, run); err != nil {
		return err
	}
	r.Ticks = run.Ticks
	r.Faults, r.Sights = h.Faults(), h.Seen()
	r.Counts, r.Verdicts = validate.Count(run), validate.Check(run, s.Invariants)
	r.Again, r.Suspects = again(run, r.Faults)
	r.Notes = append(r.Notes, fmt.Sprintf("writes of attempts that a newer one had replaced, refused and logged: %d",
		sys.Count("worker", "attempt dropped; a newer one owns the invocation")))
	return nil
}

// judgeControl reads what else is left: calls that nobody was told of, dead
// callbacks, and what became of ticks.
func (s Scenario) judgeControl(ctx context.Context, sys *system.System, run *validate.Run) (err error) {
	told := map[string]bool{}
	for _, c := range run.Calls {
		told[c.ID] = told[c.ID] || c.Accepted()
	}
	for id, inv := range run.Records {
		if inv.Kind != function.Background || told[id] {
			continue
		}
		if run.Untold[id], err = sys.CallOf(ctx, id); err != nil {
			return err
		}
	}
	if run.DeadCallbacks, err = sys.DeadCallbacks(ctx, traffic.SiteName); err != nil {
		return err
	}
	if run.Ticks, err = sys.Store.TickTotals(ctx); err != nil {
		return err
	}
	keys, err := traffic.ScheduleKeys(s.Traffic.Schedules)
	if err != nil {
		return err
	}
	run.Ledgers = map[string][]store.LedgerEntry{}
	for name, key := range keys {
		if run.Ledgers[name], err = sys.Ledger(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// again finds how long after the death of their worker attempts were made again:
// those that lost their first worker, and those that lost another one before, which
// wait for each other. A worker died by the first kill after its last attempt began.
func again(run *validate.Run, faults []history.Fault) (first, suspects []report.Rerun) {
	last := map[string]time.Time{}
	for _, inv := range run.Records {
		for _, a := range inv.Attempts {
			if a.StartedAt.After(last[a.Worker]) {
				last[a.Worker] = a.StartedAt
			}
		}
	}
	death := func(worker string) (at time.Time, killed bool) {
		for _, f := range faults { // in the order of their time
			// It can begin one more while the killer makes up its mind.
			if f.Name == fault.KillWorker.Name() && f.Begun.Add(100*time.Millisecond).After(last[worker]) {
				return f.Begun, true
			}
		}
		return time.Time{}, false
	}
	for id, inv := range run.Records {
		lost := 0
		for i, next := range inv.Attempts {
			if i > 0 && inv.Attempts[i-1].Outcome == invocation.WorkerLost {
				lost++
				died, killed := death(inv.Attempts[i-1].Worker)
				switch {
				case !killed || next.StartedAt.Before(died): // it was frozen
				case lost == 1:
					first = append(first, report.Rerun{ID: id, Died: died, Begun: next.StartedAt})
				default:
					suspects = append(suspects, report.Rerun{ID: id, Died: died, Begun: next.StartedAt})
				}
			}
		}
	}
	return first, suspects
}
