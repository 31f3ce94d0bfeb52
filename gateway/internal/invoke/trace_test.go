package invoke_test

import (
	"testing"

	"github.com/nightshift/nightshift/gateway/internal/invoke"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/telemetry/telemetrytest"
)

// TestDispatchSpans has one worker refuse the connection, one be busy, and one
// run the function, which fails.
func TestDispatchSpans(t *testing.T) {
	t.Parallel()
	const refused = "127.0.0.1:1"
	full, last := newWorker(t, busy), newWorker(t, fail(invocation.Crashed, invocation.Failure{Type: "Runtime.ExitError", Message: "hush"}))
	recorder := telemetrytest.New()
	b := setupConfig(t, 0, invoke.Config{Tracer: recorder.Tracer()}, syncFunction, refused, full.addr(), last.addr())
	if resp, text, _ := b.call("POST", "x"); resp.StatusCode != 502 {
		t.Fatalf("answer = %d %q, want 502", resp.StatusCode, text)
	}
	spans := recorder.Ended()
	if len(spans) != 3 {
		t.Fatalf("%d spans, want one for each worker that was tried: %+v", len(spans), spans)
	}
	for i, want := range []map[string]string{
		{"nightshift.worker": refused, "error.type": "not_reached", "http.request.resend_count": ""},
		{"nightshift.worker": full.addr(), "error.type": "busy", "http.request.resend_count": "1"},
		{"nightshift.worker": last.addr(), "error.type": "crash", "http.request.resend_count": "2"},
	} {
		if spans[i].Name != "dispatch hello" || spans[i].Kind != "client" || !spans[i].Failed {
			t.Errorf("span %d is %+v", i, spans[i])
		}
		for key, value := range want {
			if got := spans[i].Attributes[key]; got != value {
				t.Errorf("span %d: %s = %q, want %q", i, key, got, value)
			}
		}
	}
	if got := last.calls[0].Get("Traceparent"); got != spans[2].Traceparent() {
		t.Errorf("the worker was told %q, want %q", got, spans[2].Traceparent())
	}
}
