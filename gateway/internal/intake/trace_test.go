package intake_test

import (
	"testing"

	"github.com/nightshift/nightshift/gateway/internal/intake"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/telemetry"
	"github.com/nightshift/nightshift/shared/telemetry/telemetrytest"
)

const (
	callersTrace = "0af7651916cd43dd8448eb211c80319c"
	callersSpan  = "b7ad6b7169203331"
	callers      = "00-" + callersTrace + "-" + callersSpan + "-01 a=1"
)

// TestTheRecordHasTheTrace is about the field, which is there only where there is
// something to say.
func TestTheRecordHasTheTrace(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	recorder := telemetrytest.New()
	q, err := queue.NewClient(b.redis, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	traced := intake.New(intake.Config{Queue: q, Records: store.New(b.redis, store.Options{}), Tracer: recorder.Tracer()})
	for name, test := range map[string]struct {
		intake *intake.Intake
		caller string
		spans  bool
	}{
		"no trace":                       {intake: b.intake},
		"the caller's, and no spans":     {intake: b.intake, caller: callers},
		"of spans, and none of a caller": {intake: traced, spans: true},
		"of spans, in the caller's":      {intake: traced, caller: callers, spans: true},
	} {
		before := len(recorder.Ended())
		c := b.call("shop", "", &job)
		if _, err := test.intake.Accept(telemetry.ParsePlace(test.caller).Enter(t.Context()), c); err != nil {
			t.Fatal(err)
		}
		want := test.caller
		if test.spans {
			span := recorder.Ended()[before]
			want = span.Traceparent()
			if test.caller != "" {
				want += " a=1"
				if span.Trace != callersTrace || span.Parent != callersSpan {
					t.Errorf("%s: the span is %+v, no child of the caller's", name, span)
				}
			}
			if span.Failed || span.Attributes["faas.invocation_id"] != c.Invocation.ID {
				t.Errorf("%s: the span is %+v", name, span)
			}
		}
		inv, err := b.store.Invocation(t.Context(), c.Invocation.ID)
		if err != nil || inv.Trace != want {
			t.Errorf("%s: the record says %q, %v; want %q", name, inv.Trace, err, want)
		}
		if there := b.redis.HExists(t.Context(), "nightshift:{background}:inv:"+c.Invocation.ID, "trace").Val(); there != (want != "") {
			t.Errorf("%s: the field is there: %v", name, there)
		}
	}
}

// TestSpansSayHowItWent is about calls that make nothing.
func TestSpansSayHowItWent(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	recorder := telemetrytest.New()
	q, err := queue.NewClient(b.redis, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	traced := intake.New(intake.Config{Queue: q, Records: store.New(b.redis, store.Options{}), Backlog: 1, Tracer: recorder.Tracer()})
	first := b.call("shop", "k", &job)
	if _, err := traced.Accept(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if _, err := traced.Accept(t.Context(), b.call("shop", "k", &job)); err != nil {
		t.Fatal(err)
	}
	if _, err := traced.Accept(t.Context(), b.call("shop", "", &job)); err == nil {
		t.Fatal("a site without room had a call accepted")
	}
	spans := recorder.Ended()
	if len(spans) != 3 {
		t.Fatalf("%d spans, want 3", len(spans))
	}
	if s := spans[1]; s.Failed || s.Attributes["nightshift.replayed"] != "true" || s.Attributes["faas.invocation_id"] != first.Invocation.ID {
		t.Errorf("the span of a call with a known key is %+v, want one of invocation %s that was replayed", s, first.Invocation.ID)
	}
	if s := spans[2]; !s.Failed || s.Attributes["error.type"] != "throttled" {
		t.Errorf("the span of a call without room is %+v, want one that failed as throttled", s)
	}
}
