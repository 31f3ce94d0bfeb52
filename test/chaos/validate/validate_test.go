package validate

import (
	"slices"
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
// not answered, and ran; the call 5 has a key, its first answer was lost, and it
// was cancelled while it ran; F and G ran at once, and two may; T fires each
// second. B and F are told, and the callback of G is dead. A sync call is
// answered, another one has failed.
func sound() *Run {
	h := history.New()
	for n, c := range []history.Call{
		{Plan: "ok", Status: 202, ID: "A"}, {Plan: "fail", Status: 202, ID: "B"}, {Plan: "cancel", Status: 202, ID: "C"}, {Plan: "ok", Status: 503},
		{N: 5, Plan: "cancel", Key: "five"}, {N: 5, Plan: "cancel", Key: "five", Status: 202, ID: "E"},
		{N: 6, Plan: "slow", Status: 202, ID: "F"}, {N: 7, Plan: "slow", Status: 202, ID: "G"},
	} {
		if c.N == 0 {
			c.N = n + 1
		}
		h.Call(c)
	}
	h.Cancel(history.Cancel{ID: "C", State: "cancelled"})
	h.Cancel(history.Cancel{ID: "E", State: "running", Attempts: 1})
	h.Deploy(history.Deploy{Version: 1, ID: "dep"})
	for _, e := range []history.Effect{
		{ID: "A", N: 1, Attempt: 1, Run: "a1"}, {ID: "A", N: 1, Attempt: 2, Run: "a2"},
		{ID: "B", N: 2, Attempt: 1, Run: "b1"}, {ID: "B", N: 2, Attempt: 2, Run: "b2"}, {ID: "D", N: 4, Attempt: 1, Run: "d1"},
		{ID: "E", N: 5, Attempt: 1, Run: "e1"}, {ID: "F", N: 6, Attempt: 1, Run: "f1", Time: at(1)},
		{ID: "G", N: 7, Attempt: 1, Run: "g1", Time: at(2)},
		{ID: "F", N: 6, Attempt: 1, Run: "f1", Time: at(3), Phase: "end"}, {ID: "G", N: 7, Attempt: 1, Run: "g1", Time: at(4), Phase: "end"},
	} {
		if e.Version = 1; e.Phase == "" {
			e.Phase = "begin"
		}
		h.Effect(e)
	}
	for _, told := range []history.Told{
		{Invocation: "B", State: "dead", Genuine: true, Answer: 503}, {Invocation: "B", State: "dead", Genuine: true, Answer: 204},
		{Invocation: "F", State: "succeeded", Genuine: true, Answer: 204}, {Invocation: "G", State: "succeeded", Genuine: true, Answer: 410},
	} {
		h.Told(told)
	}
	h.Answer(history.Answer{N: 3, Plan: "ok", Status: 201, Body: "3 3 3 3 ", Of: "3"})
	h.Answer(history.Answer{N: 4, Plan: "fail", Status: 500, Body: "{}"})
	h.Ran(3)
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
		"E": record("E", function.Background, invocation.Cancelled, invocation.Aborted),
		"F": record("F", function.Background, invocation.Succeeded, invocation.OK),
		"G": record("G", function.Background, invocation.Succeeded, invocation.OK),
	}}
	for id, state := range map[string]invocation.CallbackState{
		"B": invocation.CallbackDelivered, "F": invocation.CallbackDelivered, "G": invocation.CallbackDead,
	} {
		inv := run.Records[id]
		inv.Function, inv.Callback = "narrow", &invocation.Callback{State: state}
		run.Records[id] = inv
	}
	body := func(id, text string) {
		inv := run.Records[id]
		inv.Result = &invocation.Result{Status: 200, Body: text}
		run.Records[id] = inv
	}
	body("A", `{"n":1,"run":"a2","attempt":2,"version":1}`)
	body("D", `{"n":4,"run":"d1","attempt":1,"version":1}`)
	body("F", `{"n":6,"run":"f1","attempt":1,"version":1}`)
	body("G", `{"n":7,"run":"g1","attempt":1,"version":1}`)
	run.Untold, run.DeadCallbacks, run.Bounds = map[string]int{"D": 4}, map[string]bool{"G": true}, map[string]int{"narrow": 2}
	run.Answers, run.Ran, run.Told = h.Answers(), h.Runs(), h.Telling()
	run.Ticks = store.TickTotals{Due: 3, Fired: 2, CaughtUp: 1}
	var ledger []store.LedgerEntry // newest first
	for i := range 3 {
		id := "T" + string(rune('0'+i))
		inv := record(id, function.Scheduled, invocation.Succeeded, invocation.OK)
		inv.Function, inv.Tick = "tick", at(i)
		run.Records[id] = inv
		ledger = append([]store.LedgerEntry{{Tick: at(i), From: at(i), Count: 1, Outcome: store.TickFired, Invocation: id}}, ledger...)
	}
	ledger[0].Outcome = store.TickCaughtUp
	run.Ledgers = map[string][]store.LedgerEntry{"tick": ledger}
	h.Sight(history.Sight{ID: "A", State: "succeeded", Attempts: 2, Finished: at(9)}, true)
	run.Calls, run.Cancels, run.Deploys, run.Effects, run.Moved, run.End = h.Calls(), h.Cancels(), h.Deploys(), h.Effects(), h.Moved(), h.End
	run.States = map[function.Kind]map[invocation.State]int{
		function.Background: {invocation.Succeeded: 4, invocation.Dead: 1, invocation.Cancelled: 2},
		function.Scheduled:  {invocation.Succeeded: 3},
	}
	run.Counts = map[function.Kind]store.Counts{
		function.Background: {Accepted: 7, Succeeded: 4, Dead: 1, Cancelled: 2},
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
	if n.Keys != 1 || n.KeysRefused != 0 || n.KeysRanAnyway != 0 || n.Answers != 2 || n.AnswersRight != 1 || n.AnswersFailed != 1 || n.Callbacks != 3 || n.CallbacksDead != 1 || n.Tellings != 4 {
		t.Errorf("counted %+v", n)
	}
	if n.Accepted != 6 || n.Untold != 1 || n.RanAnyway != 1 || n.Lost != 1 || n.Failures != 2 || n.Duplicates != 1 || n.Ticks != 3 {
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
		{"an attempt after the cancel of a queued one", "last word", change("C", func(inv *invocation.Invocation) {
			inv.Attempts = []invocation.Attempt{{Number: 1}}
		})},
		{"a run after the cancel of a queued one", "last word", func(run *Run) { run.Effects[4].ID = "C" }},
		{"an attempt after the cancel of a running one", "last word", func(run *Run) { run.Cancels[1].Attempts = 0 }},
		{"retried though it was cancelled", "last word", change("E", func(inv *invocation.Invocation) { inv.State = invocation.Failed })},
		{"cancelled when queued, and succeeded", "last word", change("C", func(inv *invocation.Invocation) { inv.State = invocation.Succeeded })},
		{"a key has two answers", "one key", func(run *Run) { run.Calls[4].Status, run.Calls[4].ID = 202, "D" }},
		{"a key ran twice", "one key", func(run *Run) { run.Effects[4].N = 5 }},
		{"a key made one that nobody was told of", "one key", func(run *Run) { run.Untold["D"] = 5 }},
		{"three at once", "concurrency", func(run *Run) { run.Bounds["narrow"] = 1 }},
		{"the answer of another call", "sync calls", func(run *Run) { run.Answers[0].N = 4 }},
		{"half of an answer", "sync calls", func(run *Run) { run.Answers[0].Body = "3 3 " }},
		{"the header of another answer", "sync calls", func(run *Run) { run.Answers[0].Of = "4" }},
		{"another status", "sync calls", func(run *Run) { run.Answers[0].Status = 404 }},
		{"success of what fails", "sync calls", func(run *Run) { run.Answers[1].Status = 200 }},
		{"a sync call ran twice", "sync calls", func(run *Run) { run.Ran[4] = 2 }},
		{"an answer out of nothing", "sync calls", func(run *Run) { delete(run.Ran, 3) }},
		{"nobody was told", "every end is told", func(run *Run) { run.Told = run.Told[:2] }},
		{"told what is not so", "every end is told", func(run *Run) { run.Told[1].State = "succeeded" }},
		{"told somebody who did not ask", "every end is told", func(run *Run) { run.Told[0].Invocation = "A" }},
		{"told by somebody else", "every end is told", func(run *Run) { run.Told[0].Genuine = false }},
		{"noted as told, and refused", "every end is told", func(run *Run) { run.Told[1].Answer = 503 }},
		{"never settled", "every end is told", change("F", func(inv *invocation.Invocation) {
			inv.Callback = &invocation.Callback{State: invocation.CallbackPending}
		})},
		{"dead, and in no list", "every end is told", func(run *Run) { run.DeadCallbacks = nil }},
		{"a tick without an outcome", "due ticks", func(run *Run) { run.Ticks.Due++ }},
		{"a tick is counted and has no record", "due ticks", func(run *Run) { run.Ticks.Due++; run.Ticks.Fired++ }},
		{"a record that the ledger does not have", "due ticks", func(run *Run) {
			run.Ledgers["tick"] = append(run.Ledgers["tick"][:1:1], run.Ledgers["tick"][2])
		}},
		{"a tick stands in the ledger twice", "due ticks", func(run *Run) {
			run.Ledgers["tick"] = append(run.Ledgers["tick"], run.Ledgers["tick"][2])
		}},
		{"the ledger has another record", "due ticks", func(run *Run) { run.Ledgers["tick"][1].Invocation = "T0" }},
		{"skipped, and fired", "due ticks", func(run *Run) { run.Ledgers["tick"][1].Outcome = store.TickSkipped }},
		{"skipped in a span, and fired", "due ticks", func(run *Run) {
			run.Ledgers["tick"] = []store.LedgerEntry{{From: at(0), Tick: at(2), Count: 3, Outcome: store.TickSkipped}}
		}},
		{"there is no ledger", "due ticks", func(run *Run) { run.Ledgers["tick"] = nil }},
		{"a record without a call", "conservation", func(run *Run) {
			run.Calls = slices.Delete(run.Calls, 3, 5)
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
