package validate

import (
	"encoding/json"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
)

// answer is what the background function returns.
type answer struct {
	N       int    `json:"n"`
	Run     string `json:"run"`
	Attempt int    `json:"attempt"`
	Version int    `json:"version"`
}

// place is an attempt of an invocation.
type place struct {
	id      string
	attempt int
}

// placeRuns finds the attempt of each run. Each attempt makes one run, and each
// run is one of an attempt that its record knows.
func placeRuns(run *Run, v *Verdict) map[string]place {
	runs, begun := map[string]place{}, map[place]bool{}
	for _, e := range run.Effects {
		p := place{e.ID, e.Attempt}
		if inv, ok := run.Records[e.ID]; ok && (e.Attempt < 1 || e.Attempt > len(inv.Attempts)) {
			v.problem("a function says it is attempt %d of %s, which has %d", e.Attempt, e.ID, len(inv.Attempts))
		}
		if e.Phase == "begin" && begun[p] {
			v.problem("attempt %d of %s ran twice", p.attempt, p.id)
		}
		begun[p] = true
		if e.Run == "tick" {
			continue
		}
		if other, known := runs[e.Run]; known && other != p {
			v.problem("run %s is of attempt %d of %s and of attempt %d of %s", e.Run, p.attempt, p.id, other.attempt, other.id)
		}
		runs[e.Run] = p
	}
	return runs
}

// NothingOfFenced: the result in a record is that of one run that really took
// place, of the attempt that the record says has succeeded, with the code of the
// deploy that accepted the call; and no run is told of by two attempts.
func NothingOfFenced(run *Run, v *Verdict) {
	runs := placeRuns(run, v)
	versions := map[string]int{}
	for _, d := range run.Deploys {
		versions[d.ID] = d.Version
	}
	for id, inv := range run.Records {
		if inv.Kind != function.Background || inv.State != invocation.Succeeded {
			continue
		}
		v.Looked++
		var got answer
		if inv.Result == nil || json.Unmarshal([]byte(inv.Result.Body), &got) != nil {
			v.problem("%s succeeded with the result %+v", id, inv.Result)
			continue
		}
		p, known := runs[got.Run]
		last := inv.Attempts[len(inv.Attempts)-1].Number
		switch {
		case !known || p.id != id:
			v.problem("%s has the result of run %s, which was of %q", id, got.Run, p.id)
		case p.attempt != last || got.Attempt != last:
			v.problem("%s has the result of attempt %d, and attempt %d succeeded", id, got.Attempt, last)
		case versions[inv.Deploy] != got.Version:
			v.problem("%s was accepted by version %d and ran on version %d", id, versions[inv.Deploy], got.Version)
		}
	}
}

// OneInvocationPerCall: no call, answered or not, became two invocations.
func OneInvocationPerCall(run *Run, v *Verdict) {
	owner := map[int]string{}
	claim := func(n int, id string) {
		v.Looked++
		if other, known := owner[n]; known && other != id {
			v.problem("call %d became %s and %s", n, other, id)
		}
		owner[n] = id
	}
	for _, c := range run.Calls {
		if c.Accepted() {
			claim(c.N, c.ID)
		}
	}
	for _, e := range run.Effects {
		if e.Run != "tick" {
			claim(e.N, e.ID)
		}
	}
}

// EndsAsTold: what its function was asked to do decides how an invocation ends,
// and no fault does. The exceptions are cancellations, and invocations that were
// running on as many workers that died as may die.
func EndsAsTold(run *Run, v *Verdict) {
	for _, c := range run.Calls {
		inv, ok := run.Records[c.ID]
		if !c.Accepted() || !ok || !inv.State.Terminal() {
			continue // NoneLost says so
		}
		v.Looked++
		if givenUp(inv) || c.Plan == "cancel" {
			continue
		}
		want := invocation.Succeeded
		if c.Plan == "fail" {
			want = invocation.Dead
		}
		if inv.State != want {
			v.problem("%s, asked for %q, is %s: %s", c.ID, c.Plan, inv.State, journal(inv))
		}
	}
}

// givenUp says that an invocation lost as many workers as it may.
func givenUp(inv invocation.Invocation) bool {
	crashes := 0
	for _, a := range inv.Attempts {
		if a.Outcome == invocation.WorkerLost {
			crashes++
		}
	}
	return inv.State == invocation.Dead && crashes >= invocation.MaxCrashes
}

// journal is the attempts of a record in a line.
func journal(inv invocation.Invocation) string {
	text := ""
	for _, a := range inv.Attempts {
		text += string(a.Outcome) + " "
		if a.Error != nil {
			text += "(" + a.Error.Message + ") "
		}
	}
	return text
}

// Counts are numbers that are neither good nor bad.
type Counts struct {
	Calls, Accepted, Untold int // Untold: accepted, and the caller does not know
	Refused                 int // answered with an error
	Unanswered              int // not answered at all
	RanAnyway               int // of those that were not answered with 202
	Keys, KeysRefused       int // calls with a key; those that were never accepted
	KeysRanAnyway           int // of those, with an invocation
	Answers, AnswersRight   int // of sync calls; with the function's response
	AnswersFailed           int // with a 5xx
	Callbacks               int // that were asked for
	CallbacksDead           int
	Tellings                int // requests of callbacks
	Attempts                int
	Lost                    int // attempts that ended with their worker
	Drained                 int
	Failures                int // attempts that the function failed
	Runs                    int // that functions began
	Duplicates              int // runs that no failure asked for
	States                  map[invocation.State]int
	GivenUp                 int
	Ticks                   int
	TickDuplicates          int
	Deploys, DeploysFailed  int
	Cancels                 int
}

// Count counts.
func Count(run *Run) Counts {
	n := Counts{States: map[invocation.State]int{}, Cancels: len(run.Cancels), Deploys: len(run.Deploys)}
	accepted := map[string]bool{}
	for _, c := range run.Calls {
		n.Calls++
		switch {
		case c.Accepted():
			n.Accepted++
			accepted[c.ID] = true
		case c.Status != 0:
			n.Refused++
		default:
			n.Unanswered++
		}
	}
	for _, d := range run.Deploys {
		if d.Err != "" {
			n.DeploysFailed++
		}
	}
	begun := map[string]int{}
	for _, e := range run.Effects {
		if e.Phase == "begin" {
			begun[e.ID]++
			n.Runs++
		}
	}
	n.countControl(run, accepted)
	for id, inv := range run.Records {
		n.countRecord(inv, begun[id], accepted[id])
	}
	return n
}

func (n *Counts) countControl(run *Run, accepted map[string]bool) {
	keys := map[int]bool{} // whether it was accepted
	for _, c := range run.Calls {
		if c.Key != "" {
			keys[c.N] = keys[c.N] || c.Accepted()
		}
	}
	n.Keys = len(keys)
	for _, told := range keys {
		if !told {
			n.KeysRefused++
		}
	}
	for id, call := range run.Untold {
		if _, keyed := keys[call]; keyed && !accepted[id] {
			n.KeysRanAnyway++
		}
	}
	for _, a := range run.Answers {
		n.Answers++
		switch {
		case a.Status >= 500:
			n.AnswersFailed++
		case a.Status != 0:
			n.AnswersRight++
		}
	}
	for _, inv := range run.Records {
		if inv.Callback != nil {
			n.Callbacks++
		}
	}
	n.CallbacksDead, n.Tellings = len(run.DeadCallbacks), len(run.Told)
}

func (n *Counts) countRecord(inv invocation.Invocation, begun int, accepted bool) {
	failures := 0
	for _, a := range inv.Attempts {
		n.Attempts++
		switch {
		case a.Outcome == invocation.WorkerLost:
			n.Lost++
		case a.Outcome == invocation.Drained:
			n.Drained++
		case a.Outcome.Counts():
			failures++
		}
	}
	n.Failures += failures
	asked := failures // runs that failed
	if inv.State != invocation.Dead {
		asked++ // and the last one
	}
	duplicates := max(0, begun-asked)
	n.Duplicates += duplicates
	if inv.Kind == function.Scheduled {
		n.Ticks++
		n.TickDuplicates += duplicates
		return
	}
	n.States[inv.State]++
	if givenUp(inv) {
		n.GivenUp++
	}
	if !accepted {
		n.Untold++
		if begun > 0 {
			n.RanAnyway++
		}
	}
}
