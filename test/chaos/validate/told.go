package validate

import (
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/test/chaos/history"
)

// EndsTold: who asked for the end of an invocation was told of it at least once,
// as it is and signed, or the callback is in the list of the dead; and the
// record says which.
func EndsTold(run *Run, v *Verdict) {
	heard := map[string][]history.Told{}
	for _, t := range run.Told {
		heard[t.Invocation] = append(heard[t.Invocation], t)
		inv, ok := run.Records[t.Invocation]
		switch {
		case !ok || inv.Callback == nil:
			v.problem("a callback told of %q, and nobody asked for it", t.Invocation)
		case t.State != string(inv.State):
			v.problem("a callback told that %s is %s, and it is %s", t.Invocation, t.State, inv.State)
		case !t.Genuine:
			v.problem("a callback of %s had a wrong signature", t.Invocation)
		}
	}
	for id, inv := range run.Records {
		if inv.Callback == nil || !inv.State.Terminal() {
			continue // NoneLost says so
		}
		v.Looked++
		taken := false
		for _, t := range heard[id] {
			taken = taken || t.Answer/100 == 2
		}
		state, dead := inv.Callback.State, run.DeadCallbacks[id]
		switch {
		case len(heard[id]) == 0 && !dead:
			v.problem("nobody was told that %s is %s, and its callback is not dead but %s", id, inv.State, state)
		case state == invocation.CallbackDelivered && !taken:
			v.problem("the callback of %s is noted as delivered, and no receiver took it", id)
		case dead != (state == invocation.CallbackDead):
			v.problem("the callback of %s is %s, and in the list of the dead: %t", id, state, dead)
		case state == invocation.CallbackPending:
			v.problem("the callback of %s is still pending after %d requests (%s)", id, inv.Callback.Attempts, inv.Callback.Error)
		}
	}
}
