package validate

import (
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/test/chaos/history"
)

var start = time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// sound is a small run in which all is well: A ran twice, because its first
// worker died; B failed for good; C was cancelled before it ran; the call 4 was
// not answered, and ran; T fires each second.
func sound() *Run {
	h := history.New()
	for n, c := range []history.Call{
		{Plan: "ok", Status: 202, ID: "A"}, {Plan: "fail", Status: 202, ID: "B"}, {Plan: "cancel", Status: 202, ID: "C"}, {Plan: "ok", Status: 503},
	} {
		c.N = n + 1
		h.Call(c)
	}
	h.Cancel(history.Cancel{ID: "C", State: "cancelled"})
	h.Deploy(history.Deploy{Version: 1, ID: "dep"})
	for _, e := range []history.Effect{
		{ID: "A", N: 1, Attempt: 1, Run: "a1"}, {ID: "A", N: 1, Attempt: 2, Run: "a2"},
		{ID: "B", N: 2, Attempt: 1, Run: "b1"}, {ID: "B", N: 2, Attempt: 2, Run: "b2"}, {ID: "D", N: 4, Attempt: 1, Run: "d1"},
	} {
		e.Phase, e.Version = "begin", 1
		h.Effect(e)
	}
	record := func(id string, kind function.Kind, state invocation.State, outcomes ...invocation.Outcome) invocation.Invocation {
		inv := invocation.Invocation{ID: id, Kind: kind, State: state, Deploy: "dep", FinishedAt: at(9)}
		for i, o := range outcomes {
			inv.Attempts = append(inv.Attempts, invocation.Attempt{Number: i + 1, StartedAt: at(i), FinishedAt: at(i + 1), Outcome: o})
		}
		return inv
	}
	run := &Run{Retries: 1, Schedules: 1, FirstTick: at(1), LastTick: at(2), Records: map[string]invocation.Invocation{
		"A": record("A", function.Background, invocation.Succeeded, invocation.WorkerLost, invocation.OK),
		"B": record("B", function.Background, invocation.Dead, invocation.Error, invocation.Error),
		"C": record("C", function.Background, invocation.Cancelled),
		"D": record("D", function.Background, invocation.Succeeded, invocation.OK),
	}}
	body := func(id, text string) {
		inv := run.Records[id]
		inv.Result = &invocation.Result{Status: 200, Body: text}
		run.Records[id] = inv
	}
	body("A", `{"n":1,"run":"a2","attempt":2,"version":1}`)
	body("D", `{"n":4,"run":"d1","attempt":1,"version":1}`)
	for i := range 3 {
		id := "T" + string(rune('0'+i))
		inv := record(id, function.Scheduled, invocation.Succeeded, invocation.OK)
		inv.Function, inv.Tick = "tick", at(i)
		run.Records[id] = inv
	}
	h.Sight(history.Sight{ID: "A", State: "succeeded", Attempts: 2, Finished: at(9)}, true)
	run.Calls, run.Cancels, run.Deploys, run.Effects, run.Moved, run.End = h.Calls(), h.Cancels(), h.Deploys(), h.Effects(), h.Moved(), h.End
	run.States = map[function.Kind]map[invocation.State]int{
		function.Background: {invocation.Succeeded: 2, invocation.Dead: 1, invocation.Cancelled: 1},
		function.Scheduled:  {invocation.Succeeded: 3},
	}
	run.Counts = map[function.Kind]store.Counts{
		function.Background: {Accepted: 4, Succeeded: 2, Dead: 1, Cancelled: 1},
		function.Scheduled:  {Accepted: 3, Succeeded: 3},
	}
	return run
}

func TestASoundRunHolds(t *testing.T) {
	t.Parallel()
	for _, v := range Check(sound(), Always()) {
		if len(v.Problems) > 0 || v.Looked == 0 {
			t.Errorf("%s: looked at %d, %q", v.Name, v.Looked, v.Problems)
		}
	}
	n := Count(sound())
	if n.Accepted != 3 || n.Untold != 1 || n.RanAnyway != 1 || n.Lost != 1 || n.Failures != 2 || n.Duplicates != 1 || n.Ticks != 3 {
		t.Errorf("counted %+v", n)
	}
}

// change alters a record of a run.
func change(id string, alter func(*invocation.Invocation)) func(*Run) {
	return func(run *Run) {
		inv := run.Records[id]
		inv.Attempts = append([]invocation.Attempt(nil), inv.Attempts...)
		alter(&inv)
		run.Records[id] = inv
	}
}

func TestInvariantsSeeWhatIsWrong(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, invariant string
		spoil           func(*Run)
	}{
		{"a record is gone", "no accepted", func(run *Run) { delete(run.Records, "A") }},
		{"a record is not finished", "no accepted", change("A", func(inv *invocation.Invocation) { inv.State = invocation.Queued })},
		{"finished twice, seen on the way", "one terminal", func(run *Run) {
			run.Moved = []history.Sight{{ID: "A", State: "running", Attempts: 3}}
		}},
		{"finished twice, seen at the end", "one terminal", change("A", func(inv *invocation.Invocation) { inv.FinishedAt = at(20) })},
		{"an attempt after success", "one terminal", change("A", func(inv *invocation.Invocation) { inv.Attempts[0].Outcome = invocation.OK })},
		{"success without a successful attempt", "one terminal", change("D", func(inv *invocation.Invocation) { inv.Attempts[0].Outcome = invocation.Error })},
		{"a retry too many", "within the limit", func(run *Run) { run.Retries = 0 }},
		{"a number is missing", "one attempt at a time", change("A", func(inv *invocation.Invocation) { inv.Attempts[1].Number = 3 })},
		{"an attempt stays open", "one attempt at a time", change("A", func(inv *invocation.Invocation) { inv.Attempts[0].FinishedAt = time.Time{} })},
		{"the result of the attempt before", "fenced", change("A", func(inv *invocation.Invocation) {
			inv.Result = &invocation.Result{Body: `{"n":1,"run":"a1","attempt":1,"version":1}`}
		})},
		{"the result of another invocation", "fenced", change("A", func(inv *invocation.Invocation) {
			inv.Result = &invocation.Result{Body: `{"n":4,"run":"d1","attempt":2,"version":1}`}
		})},
		{"no result", "fenced", change("A", func(inv *invocation.Invocation) { inv.Result = nil })},
		{"the code of another deploy", "fenced", func(run *Run) { run.Deploys[0].Version = 2 }},
		{"one run, two attempts", "fenced", func(run *Run) { run.Effects[0].Run = "a2" }},
		{"an attempt ran twice", "fenced", func(run *Run) { run.Effects[0].Attempt = 2 }},
		{"an attempt that the record does not know", "fenced", func(run *Run) { run.Effects[1].Attempt = 3 }},
		{"one call, two invocations", "one call", func(run *Run) { run.Effects[4].N = 1 }},
		{"an end that nobody asked for", "ends as its function", func(run *Run) { run.Calls[1].Plan = "ok" }},
		{"ran though it was cancelled", "never runs", func(run *Run) { run.Effects[4].ID = "C" }},
		{"cancelled, said the answer", "never runs", change("C", func(inv *invocation.Invocation) { inv.State = invocation.Queued })},
		{"a tick is missing", "tick", func(run *Run) { delete(run.Records, "T1") }},
		{"a tick fired twice", "tick", change("T1", func(inv *invocation.Invocation) { inv.Tick = at(2) })},
		{"ticks begin late", "tick", func(run *Run) { run.FirstTick = at(-1) }},
		{"ticks end early", "tick", func(run *Run) { run.LastTick = at(3) }},
		{"a schedule never fired", "tick", func(run *Run) { run.Schedules = 2 }},
		{"a record without a call", "conservation", func(run *Run) {
			run.Calls = run.Calls[:3]
		}},
		{"a record that is counted and cannot be read", "conservation", func(run *Run) { run.States[function.Background][invocation.Queued]++ }},
		{"the counts drifted on the way", "conservation", func(run *Run) { run.Drifts = []history.Drift{{Drift: 1}} }},
		{"the counts say something else", "conservation", func(run *Run) {
			run.Counts[function.Scheduled] = store.Counts{Accepted: 3, Succeeded: 2, Dead: 1}
		}},
		{"the counts do not add up", "conservation", func(run *Run) { run.Counts[function.Scheduled] = store.Counts{Accepted: 3, Succeeded: 2} }},
		{"a state that there is not", "conservation", func(run *Run) { run.States[function.Scheduled] = map[invocation.State]int{"": 3} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			run := sound()
			tt.spoil(run)
			for _, v := range Check(run, Always()) {
				if strings.Contains(v.Name, tt.invariant) {
					if len(v.Problems) == 0 {
						t.Errorf("%q does not see it", v.Name)
					}
					return
				}
			}
			t.Errorf("there is no invariant %q", tt.invariant)
		})
	}
}
