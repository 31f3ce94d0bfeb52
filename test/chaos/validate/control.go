package validate

import (
	"slices"
	"strconv"
	"time"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/test/chaos/history"
)

// NothingAfterCancel: after a cancel that was confirmed no attempt begins. What
// was queued is cancelled; what was running is cancelled, or has come to its
// end before the cancel came to its worker.
func NothingAfterCancel(run *Run, v *Verdict) {
	newest := map[string]int{} // the newest attempt that reported, by invocation
	for _, e := range run.Effects {
		newest[e.ID] = max(newest[e.ID], e.Attempt)
	}
	for _, c := range run.Cancels {
		if c.Err != "" {
			continue
		}
		v.Looked++
		inv, ok := run.Records[c.ID]
		if !ok {
			v.problem("%s was cancelled and has no record", c.ID)
			continue
		}
		if n := max(newest[c.ID], len(inv.Attempts)); n > c.Attempts {
			v.problem("%s was cancelled, confirmed at %v after %d attempts, and attempt %d began", c.ID, c.Ended, c.Attempts, n)
		}
		running := c.State == string(invocation.Running)
		if inv.State != invocation.Cancelled && (!running || !inv.State.Terminal()) {
			v.problem("%s was cancelled when it was %s, and is %s", c.ID, c.State, inv.State)
		}
	}
}

// OneInvocationPerKey: all tries of a call with a key are one invocation, also
// those whose answer was lost, and exactly one if any was accepted.
func OneInvocationPerKey(run *Run, v *Verdict) {
	keys := map[int]string{} // of calls, by number
	made := map[string][]string{}
	add := func(n int, id string) {
		if key, ok := keys[n]; ok && !slices.Contains(made[key], id) {
			made[key] = append(made[key], id)
		}
	}
	for _, c := range run.Calls {
		if c.Key != "" {
			keys[c.N] = c.Key
		}
	}
	for _, c := range run.Calls {
		if c.Accepted() {
			add(c.N, c.ID)
		}
	}
	for _, e := range run.Effects {
		if e.Run != "tick" {
			add(e.N, e.ID)
		}
	}
	for id, n := range run.Untold {
		add(n, id)
	}
	v.Looked = len(keys)
	for key, ids := range made {
		if len(ids) > 1 {
			v.problem("the key %s made %d invocations: %v", key, len(ids), ids)
		}
	}
}

// span is the time in which an attempt certainly ran.
type span struct {
	place
	begin, end time.Time
}

// ConcurrencyHeld: of a bounded function, never more attempts ran at once than
// may. Attempts that were taken from their worker are left out: nobody can stop
// what a frozen worker has begun.
func ConcurrencyHeld(run *Run, v *Verdict) {
	spans := map[string][]span{} // by function
	begun := map[place]time.Time{}
	for _, e := range run.Effects {
		p := place{e.ID, e.Attempt}
		if e.Phase == "begin" {
			begun[p] = e.Time
			continue
		}
		inv := run.Records[e.ID]
		from, known := begun[p]
		if run.Bounds[inv.Function] == 0 || !known || e.Attempt > len(inv.Attempts) || inv.Attempts[e.Attempt-1].Outcome == invocation.WorkerLost {
			continue
		}
		spans[inv.Function] = append(spans[inv.Function], span{p, from, e.Time})
	}
	for name, all := range spans {
		v.Looked += len(all)
		slices.SortFunc(all, func(a, b span) int { return a.begin.Compare(b.begin) })
		var open []span
		for _, s := range all {
			open = slices.DeleteFunc(open, func(o span) bool { return !o.end.After(s.begin) })
			if open = append(open, s); len(open) > run.Bounds[name] {
				v.problem("at %v %d attempts of %s ran at once, and %d may: %v", s.begin, len(open), name, run.Bounds[name], places(open))
			}
		}
	}
}

func places(spans []span) (list []place) {
	for _, s := range spans {
		list = append(list, s.place)
	}
	return list
}

// AnsweredRightly: a sync call is answered with the response of its own run, to
// the last byte, or with a 5xx, or not at all; and it never runs twice.
func AnsweredRightly(run *Run, v *Verdict) {
	for _, a := range run.Answers {
		if n := run.Ran[a.N]; n > 1 {
			v.problem("sync call %d ran %d times", a.N, n)
		}
		if a.Status == 0 || a.Status >= 500 {
			continue
		}
		v.Looked++
		status, body := history.SyncResponse(a.N)
		switch {
		case a.Plan == "fail":
			v.problem("sync call %d, whose function fails, was answered %d %.80q", a.N, a.Status, a.Body)
		case a.Status != status || a.Body != body || a.Of != strconv.Itoa(a.N):
			v.problem("sync call %d was answered %d %.80q (%d bytes, of %q); its function answers %d and %d bytes", a.N, a.Status, a.Body, len(a.Body), a.Of, status, len(body))
		case run.Ran[a.N] == 0:
			v.problem("sync call %d was answered and never ran", a.N)
		}
	}
}
