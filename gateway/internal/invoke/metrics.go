package invoke

import (
	"errors"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/intake"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// outcome is what became of a call, as it is counted.
type outcome string

const (
	wasAccepted    outcome = "accepted"    // stored; the caller gets 202, or the answer that it waits for
	wasRepeated    outcome = "repeated"    // an earlier call with the same key was
	wasRefused     outcome = "refused"     // the site has no room
	wasAnswered    outcome = "answered"    // with what the function returned, whatever its status
	hasFailed      outcome = "failed"      // the function has
	hasTimedOut    outcome = "timeout"     // the function has run into its limit
	isGone         outcome = "gone"        // the caller hung up, or the answer broke off
	wasUnavailable outcome = "unavailable" // Redis did not take it, or no worker did
	wentWrong      outcome = "error"       // anything else, which is not the function's doing
)

// metrics tell how long callers wait.
type metrics struct {
	accepts map[outcome]prometheus.Observer
	calls   map[outcome]prometheus.Observer
}

func newMetrics(registry prometheus.Registerer) metrics {
	factory := promauto.With(registry)
	accepts := factory.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "nightshift_gateway_accept_duration_seconds",
		Help:    "Time from when a background call was read until Redis had it, or had not. The 202 follows at once.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2},
	}, []string{"outcome"})
	calls := factory.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "nightshift_gateway_sync_duration_seconds",
		Help:    "Time from when a sync call was read until the function's answer was passed on to its end, or it was known that there is none.",
		Buckets: []float64{.0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"outcome"})
	m := metrics{accepts: map[outcome]prometheus.Observer{}, calls: map[outcome]prometheus.Observer{}}
	for _, o := range []outcome{wasAccepted, wasRepeated, wasRefused, wasUnavailable, wentWrong} {
		m.accepts[o] = accepts.WithLabelValues(string(o))
	}
	for _, o := range []outcome{wasAnswered, hasFailed, hasTimedOut, isGone, wasUnavailable, wentWrong} {
		m.calls[o] = calls.WithLabelValues(string(o))
	}
	return m
}

// accepted notes what became of a background call.
func (m metrics) accepted(begun time.Time, a intake.Accepted, err error) {
	m.accepts[acceptOutcome(a, err)].Observe(time.Since(begun).Seconds())
}

func acceptOutcome(a intake.Accepted, err error) outcome {
	switch kind := fault.KindOf(err); {
	case err == nil && a.Replayed:
		return wasRepeated
	case err == nil:
		return wasAccepted
	case kind == fault.Throttled:
		return wasRefused
	case kind == fault.Unavailable:
		return wasUnavailable
	default:
		return wentWrong
	}
}

// called notes what became of a sync call. It is deferred, so it takes a pointer.
func (m metrics) called(begun time.Time, err *error) {
	m.calls[callOutcome(*err)].Observe(time.Since(begun).Seconds())
}

func callOutcome(err error) outcome {
	if err == nil {
		return wasAnswered
	}
	if function, ok := errors.AsType[*Failed](err); ok {
		if function.Outcome == invocation.TimedOut {
			return hasTimedOut
		}
		return hasFailed
	}
	switch {
	case errors.Is(err, ErrGone), errors.Is(err, ErrCut):
		return isGone
	case fault.Is(err, fault.Unavailable):
		return wasUnavailable
	default:
		return wentWrong
	}
}
