// Package validate holds what must be true after any run, whatever broke: the
// promises of the system as functions over the history and the final records.
// Each invariant returns what contradicts it, and how much it has looked at, so
// that one that had nothing to look at is not taken for one that holds.
package validate

import (
	"fmt"
	"slices"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/test/chaos/history"
)

// Run is all that is known about a run when it is over.
type Run struct {
	Calls   []history.Call
	Cancels []history.Cancel
	Deploys []history.Deploy
	Effects []history.Effect
	Drifts  []history.Drift
	Moved   []history.Sight                            // what was seen of records after their end
	End     func(id string) (history.Sight, bool)      // how they were first seen finished
	Records map[string]invocation.Invocation           // final, of both kinds, all that there are
	States  map[function.Kind]map[invocation.State]int // counted in Redis, apart from the records
	Counts  map[function.Kind]store.Counts             // as the system itself counts
	// Untold are the calls, by number, of background invocations that no answer
	// has told of, by their ID.
	Untold  map[string]int
	Answers []history.Answer
	Ran     map[int]int // how often each sync call ran, by its number
	Told    []history.Told
	// DeadCallbacks are the invocations whose callback was given up.
	DeadCallbacks map[string]bool
	// Bounds are the functions of which only so many attempts may run at once.
	Bounds map[string]int
	Ticks  store.TickTotals
	// Ledgers are what is kept of the ledgers of schedules, newest first, by function.
	Ledgers map[string][]store.LedgerEntry
	// Retries is how many more attempts follow a failed one.
	Retries int
	// Schedules is how many functions fire each second.
	Schedules int
	// FirstTick and LastTick bound the time in which each second must have fired.
	FirstTick, LastTick time.Time
}

// Verdict is what an invariant found.
type Verdict struct {
	Name     string
	Looked   int      // at how many things
	Problems []string // what contradicts it
}

// most is how many problems of an invariant are kept in words.
const most = 20

func (v *Verdict) problem(format string, args ...any) {
	if len(v.Problems) < most {
		v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
	} else if len(v.Problems) == most {
		v.Problems = append(v.Problems, "and more")
	}
}

// Invariant is something that must be true after any run.
type Invariant struct {
	Name  string
	Check func(*Run, *Verdict)
}

// Always are the invariants of a Redis that keeps what it has confirmed.
func Always() []Invariant {
	return []Invariant{
		{"no accepted invocation is lost", NoneLost},
		{"one terminal state each", OneEnd},
		{"attempts within the limit", AttemptsWithinLimit},
		{"one attempt at a time", OneAttemptAtATime},
		{"no side effect recorded by a fenced attempt", NothingOfFenced},
		{"one call, one invocation", OneInvocationPerCall},
		{"every invocation ends as its function does", EndsAsTold},
		{"cancelled before it began never runs", CancelledNeverRuns},
		{"a confirmed cancel is the last word", NothingAfterCancel},
		{"one key, one invocation", OneInvocationPerKey},
		{"concurrency is held", ConcurrencyHeld},
		{"sync calls get their function's response or a 5xx", AnsweredRightly},
		{"every end is told, or its callback is dead", EndsTold},
		{"every tick exactly once", TicksOnce},
		{"due ticks = fired + caught up + skipped", TicksAddUp},
		{"conservation: accepted = queued + running + terminal", Conservation},
	}
}

// AfterFailover are those that are left when a master dies and replicas may lack
// its last writes: what was accepted is kept, because a replica had it, while
// the end of an attempt may be forgotten, which then runs again.
func AfterFailover() []Invariant {
	return []Invariant{
		{"no accepted invocation is lost", NoneLost},
		{"attempts within the limit", AttemptsWithinLimit},
		{"one call, one invocation", OneInvocationPerCall},
		{"every invocation ends as its function does", EndsAsTold},
	}
}

// Check checks invariants.
func Check(run *Run, invariants []Invariant) []Verdict {
	var verdicts []Verdict
	for _, i := range invariants {
		v := Verdict{Name: i.Name}
		i.Check(run, &v)
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// NoneLost: what was answered 202 has a record, in a terminal state.
func NoneLost(run *Run, v *Verdict) {
	for _, c := range run.Calls {
		if !c.Accepted() {
			continue
		}
		v.Looked++
		inv, ok := run.Records[c.ID]
		switch {
		case c.ID == "":
			v.problem("call %d was accepted without an ID", c.N)
		case !ok:
			v.problem("call %d was accepted as %s, which has no record", c.N, c.ID)
		case !inv.State.Terminal():
			v.problem("call %d was accepted as %s, which is %s", c.N, c.ID, inv.State)
		}
	}
}

// OneEnd: a record that was once seen finished stays as it was, and only the
// last attempt ended in a way that nothing follows.
func OneEnd(run *Run, v *Verdict) {
	for _, s := range run.Moved {
		first, _ := run.End(s.ID)
		v.problem("%s was %s with %d attempts at %v, and %s with %d at %v", s.ID, first.State, first.Attempts, first.Time, s.State, s.Attempts, s.Time)
	}
	for id, inv := range run.Records {
		v.Looked++
		if end, seen := run.End(id); seen {
			if end.State != string(inv.State) || !end.Finished.Equal(inv.FinishedAt) || end.Attempts != len(inv.Attempts) {
				v.problem("%s was seen %s, finished at %v after %d attempts, and is %s, finished at %v after %d",
					id, end.State, end.Finished, end.Attempts, inv.State, inv.FinishedAt, len(inv.Attempts))
			}
		}
		for i, a := range inv.Attempts {
			if last := i == len(inv.Attempts)-1; !last && (a.Outcome == invocation.OK || a.Outcome == invocation.Aborted) {
				v.problem("%s went on after attempt %d, which %s", id, a.Number, a.Outcome)
			}
		}
		if inv.State == invocation.Succeeded && (len(inv.Attempts) == 0 || inv.Attempts[len(inv.Attempts)-1].Outcome != invocation.OK) {
			v.problem("%s is succeeded, and its last attempt is not", id)
		}
	}
}

// AttemptsWithinLimit: no function failed more often than it may, and none took
// down more workers than it may.
func AttemptsWithinLimit(run *Run, v *Verdict) {
	for id, inv := range run.Records {
		v.Looked++
		var failures, crashes int
		for _, a := range inv.Attempts {
			if a.Outcome.Counts() && a.Outcome != "" {
				failures++
			}
			if a.Outcome == invocation.WorkerLost {
				crashes++
			}
		}
		if failures > run.Retries+1 {
			v.problem("%s failed %d times; it may %d times", id, failures, run.Retries+1)
		}
		if crashes > invocation.MaxCrashes {
			v.problem("%s lost %d workers; it may lose %d", id, crashes, invocation.MaxCrashes)
		}
	}
}

// OneAttemptAtATime: the attempts of a record are numbered without gaps, and one
// begins when the one before is closed.
func OneAttemptAtATime(run *Run, v *Verdict) {
	for id, inv := range run.Records {
		for i, a := range inv.Attempts {
			v.Looked++
			if a.Number != i+1 {
				v.problem("%s has attempt %d in place %d", id, a.Number, i+1)
			}
			if inv.State.Terminal() && a.FinishedAt.IsZero() {
				v.problem("%s is %s, and its attempt %d is open", id, inv.State, a.Number)
			}
			if i > 0 && inv.Attempts[i-1].FinishedAt.IsZero() {
				v.problem("%s has attempt %d while attempt %d is open", id, a.Number, i)
			}
		}
	}
}

// CancelledNeverRuns: what was cancelled before its first attempt left no trace.
func CancelledNeverRuns(run *Run, v *Verdict) {
	ran := map[string]bool{}
	for _, e := range run.Effects {
		ran[e.ID] = true
	}
	for _, c := range run.Cancels {
		if c.Err != "" {
			continue
		}
		v.Looked++
		inv := run.Records[c.ID]
		if c.State == string(invocation.Cancelled) && inv.State != invocation.Cancelled {
			v.problem("%s was cancelled, said the answer, and is %s", c.ID, inv.State)
		}
		if inv.State == invocation.Cancelled && len(inv.Attempts) == 0 && ran[c.ID] {
			v.problem("%s was cancelled before it ran, and ran", c.ID)
		}
	}
}

// Conservation: the records that there are, are those that were accepted and
// those of calls whose answer was lost, each in a state that is known; and the
// system's own counts, which are a metric, say the same and add up at any moment.
func Conservation(run *Run, v *Verdict) {
	accepted := map[string]bool{}
	var unanswered int
	for _, c := range run.Calls {
		if c.Accepted() {
			accepted[c.ID] = true
		} else {
			unanswered++
		}
	}
	records := map[function.Kind]int{}
	var untold int
	for id, inv := range run.Records {
		records[inv.Kind]++
		if inv.Kind == function.Background && !accepted[id] {
			untold++
		}
	}
	if untold > unanswered {
		v.problem("%d invocations were accepted without the caller being told, but only %d calls were not answered with 202", untold, unanswered)
	}
	for _, d := range run.Drifts {
		v.problem("at %v the counts were off by %d: %s", d.Time, d.Drift, d.What)
	}
	for kind, states := range run.States {
		c := run.Counts[kind]
		if drift := c.Drift(); drift != 0 || c.Accepted != int64(records[kind]) {
			v.problem("%d %s invocations are counted as accepted, %d have records; the counts are off by %d", c.Accepted, kind, records[kind], drift)
		}
		for state, counted := range map[invocation.State]int64{
			invocation.Queued: c.Queued, invocation.Running: c.Running, invocation.Failed: c.Failed,
			invocation.Succeeded: c.Succeeded, invocation.Dead: c.Dead, invocation.Cancelled: c.Cancelled,
		} {
			if counted != int64(states[state]) {
				v.problem("%d %s invocations are counted as %s, %d are", counted, kind, state, states[state])
			}
		}
		sum := 0
		for state, n := range states {
			v.Looked += n
			sum += n
			if !slices.Contains([]invocation.State{
				invocation.Queued, invocation.Running, invocation.Failed, invocation.Succeeded, invocation.Dead, invocation.Cancelled,
			}, state) {
				v.problem("%d %s records are in the state %q", n, kind, state)
			}
		}
		if sum != records[kind] {
			v.problem("%d %s records were read, and their states add up to %d: %v", records[kind], kind, sum, states)
		}
	}
}
