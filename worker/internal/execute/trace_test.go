package execute

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/telemetry"
	"github.com/nightshift/nightshift/shared/telemetry/telemetrytest"
	"github.com/nightshift/nightshift/worker/internal/pool"
)

const (
	trace    = "0af7651916cd43dd8448eb211c80319c"
	enqueued = "b7ad6b7169203331"
	place    = "00-" + trace + "-" + enqueued + "-01 a=1"
)

// TestAttemptsStandInTheTraceOfTheCall has an attempt fail, the next one be lost
// with its worker, and the third one succeed, as another worker finds it.
func TestAttemptsStandInTheTraceOfTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []telemetry.Place
		b := setup(t, func(ctx context.Context, call pool.Call) (*pool.Response, error) {
			told = append(told, call.Trace)
			if call.Attempt == 1 {
				return throws(invocation.Error)(ctx, call)
			}
			return answers("ok")(ctx, call)
		})
		recorder := telemetrytest.New()
		b.cfg.Tracer = recorder.Tracer()
		b.store.inv.Trace = place
		b.Handle(t.Context(), delivery)
		if _, err := b.store.Begin(t.Context(), delivery.Queue, delivery.ID, "w2"); err != nil {
			t.Fatal(err) // w2 begins attempt 2, and is not heard of again
		}
		b.Handle(t.Context(), delivery)

		spans := recorder.Ended()
		if len(spans) != 2 || len(told) != 2 {
			t.Fatalf("%d spans of %d attempts, want 2 of 2", len(spans), len(told))
		}
		wants := []map[string]string{
			{"nightshift.attempt": "1", "nightshift.outcome": "error", "nightshift.state": "failed", "error.type": "error"},
			{"nightshift.attempt": "3", "nightshift.outcome": "succeeded", "nightshift.state": "succeeded", "error.type": ""},
		}
		for i, span := range spans {
			if span.Trace != trace || span.Parent != enqueued || span.Kind != "consumer" || span.Name != "attempt f" {
				t.Errorf("span %d is %+v, want a child of %s", i, span, place)
			}
			for key, want := range wants[i] {
				if got := span.Attributes[key]; got != want {
					t.Errorf("span %d: %s = %q, want %q", i, key, got, want)
				}
			}
			if span.Failed != (wants[i]["error.type"] != "") {
				t.Errorf("span %d: failed = %v", i, span.Failed)
			}
			if want := (telemetry.Place{Traceparent: span.Traceparent(), Tracestate: "a=1"}); told[i] != want {
				t.Errorf("the function was told %+v, want %+v", told[i], want)
			}
			for _, value := range span.Attributes {
				if strings.Contains(value, "boom") {
					t.Errorf("a span has the function's own words: %v", span.Attributes)
				}
			}
		}
	})
}

// TestTheTraceIsPassedOnWithoutSpans tells the function where the call stands.
func TestTheTraceIsPassedOnWithoutSpans(t *testing.T) {
	t.Parallel()
	for _, at := range []string{place, ""} {
		var told telemetry.Place
		b := setup(t, func(ctx context.Context, call pool.Call) (*pool.Response, error) {
			told = call.Trace
			return answers("ok")(ctx, call)
		})
		b.store.inv.Trace = at
		b.Handle(t.Context(), delivery)
		if told.String() != at {
			t.Errorf("the function was told %q, want %q", told, at)
		}
	}
}

// TestFencedAttemptsFail shows what nobody else would: that an attempt ran in vain.
func TestFencedAttemptsFail(t *testing.T) {
	t.Parallel()
	var b *bench
	b = setup(t, func(ctx context.Context, call pool.Call) (*pool.Response, error) {
		if _, err := b.store.Begin(ctx, delivery.Queue, delivery.ID, "w2"); err != nil {
			t.Error(err)
		}
		return answers("late")(ctx, call)
	})
	recorder := telemetrytest.New()
	b.cfg.Tracer = recorder.Tracer()
	b.Handle(t.Context(), delivery)
	if spans := recorder.Ended(); len(spans) != 1 || !spans[0].Failed || spans[0].Attributes["error.type"] != "fenced" {
		t.Errorf("spans = %+v, want one that failed as fenced", spans)
	}
}
