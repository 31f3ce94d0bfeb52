package invocation_test

import (
	"slices"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
)

var states = []invocation.State{
	invocation.Queued, invocation.Running, invocation.Failed, invocation.Succeeded, invocation.Dead, invocation.Cancelled,
}

func TestNothingFollowsATerminalStateButARetryOfADeadOne(t *testing.T) {
	t.Parallel()
	for _, from := range states {
		moves := 0
		for _, to := range states {
			retry := from == invocation.Dead && to == invocation.Queued
			if retry && !invocation.CanMove(from, to) {
				t.Error("a dead invocation cannot be retried")
			}
			if !retry && invocation.CanMove(from, to) {
				moves++
			}
		}
		if from.Terminal() != (moves == 0) {
			t.Errorf("%s: Terminal() = %v, but %d moves", from, from.Terminal(), moves)
		}
	}
}

func TestEveryStateCanReachAnEnd(t *testing.T) {
	t.Parallel()
	for _, from := range states {
		seen := map[invocation.State]bool{from: true}
		for frontier := []invocation.State{from}; len(frontier) > 0; frontier = frontier[1:] {
			for _, to := range states {
				if invocation.CanMove(frontier[0], to) && !seen[to] {
					seen[to] = true
					frontier = append(frontier, to)
				}
			}
		}
		if !seen[invocation.Succeeded] && !seen[invocation.Dead] && !seen[invocation.Cancelled] {
			t.Errorf("%s reaches no terminal state", from)
		}
	}
}

func TestFromIsTheInverseOfCanMove(t *testing.T) {
	t.Parallel()
	for _, to := range states {
		from := invocation.From(to)
		for _, s := range states {
			if got, want := slices.Contains(from, s), invocation.CanMove(s, to); got != want {
				t.Errorf("From(%s) has %s: %v, want %v", to, s, got, want)
			}
		}
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	f := &function.Function{}
	tests := []struct {
		outcome  invocation.Outcome
		failures int
		want     invocation.Verdict
	}{
		{invocation.OK, 0, invocation.Verdict{State: invocation.Succeeded}},
		{invocation.Aborted, 0, invocation.Verdict{State: invocation.Cancelled}},
		{invocation.Drained, 0, invocation.Verdict{State: invocation.Queued}},
		{invocation.WorkerLost, 2, invocation.Verdict{State: invocation.Queued}},
		{invocation.Error, 1, invocation.Verdict{State: invocation.Failed, Delay: time.Minute}},
		{invocation.TimedOut, 2, invocation.Verdict{State: invocation.Failed, Delay: 2 * time.Minute}},
		{invocation.Crashed, 3, invocation.Verdict{State: invocation.Dead}},
		{invocation.OutOfMemory, 3, invocation.Verdict{State: invocation.Dead}},
		{invocation.InitError, 3, invocation.Verdict{State: invocation.Dead}},
		{invocation.BadResponse, 1, invocation.Verdict{State: invocation.Failed, Delay: time.Minute}},
	}
	for _, tt := range tests {
		t.Run(string(tt.outcome), func(t *testing.T) {
			t.Parallel()
			got := invocation.Decide(f, tt.outcome, tt.failures)
			if got != tt.want {
				t.Errorf("Decide(%s, %d) = %+v, want %+v", tt.outcome, tt.failures, got, tt.want)
			}
			if !invocation.CanMove(invocation.Running, got.State) {
				t.Errorf("Decide(%s) leads to %s, where a running invocation cannot go", tt.outcome, got.State)
			}
		})
	}
}
