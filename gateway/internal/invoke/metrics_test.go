package invoke

import (
	"errors"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/intake"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/prometheus/client_golang/prometheus"
)

func TestOutcomes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err              error
		accepted, called outcome
	}{
		{nil, wasAccepted, wasAnswered},
		{fault.New(fault.Throttled, "full"), wasRefused, wentWrong},
		{fault.New(fault.Unavailable, "away"), wasUnavailable, wasUnavailable},
		{fault.New(fault.BadGateway, "went away"), wentWrong, wentWrong},
		{errors.New("a bug"), wentWrong, wentWrong},
		{&Failed{Outcome: invocation.Error}, wentWrong, hasFailed},
		{&Failed{Outcome: invocation.TimedOut}, wentWrong, hasTimedOut},
		{ErrGone, wentWrong, isGone},
		{ErrCut, wentWrong, isGone},
	} {
		if got := acceptOutcome(intake.Accepted{}, tc.err); got != tc.accepted {
			t.Errorf("accepting: %v is told as %s, want %s", tc.err, got, tc.accepted)
		}
		if got := callOutcome(tc.err); got != tc.called {
			t.Errorf("calling: %v is told as %s, want %s", tc.err, got, tc.called)
		}
	}
	if got := acceptOutcome(intake.Accepted{Replayed: true}, nil); got != wasRepeated {
		t.Errorf("a call with a known key is told as %s", got)
	}
}

// TestMetricsAllocateNothing is not parallel: it counts what the process allocates.
func TestMetricsAllocateNothing(t *testing.T) {
	m, begun, none := newMetrics(nil), time.Now(), error(nil)
	n := testing.AllocsPerRun(100, func() {
		m.accepted(begun, intake.Accepted{}, nil)
		m.called(begun, &none)
	})
	if n != 0 {
		t.Errorf("noting two calls allocates %v times", n)
	}
}

func BenchmarkMetrics(b *testing.B) {
	m, begun := newMetrics(prometheus.NewRegistry()), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		m.accepted(begun, intake.Accepted{}, nil)
	}
}
