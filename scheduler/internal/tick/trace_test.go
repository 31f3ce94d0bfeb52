package tick

import (
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/telemetry/telemetrytest"
)

// TestEachTickBeginsATrace has the second tick take three tries, the reply about
// the third one get lost, and the fourth one be skipped.
func TestEachTickBeginsATrace(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		recorder := telemetrytest.New()
		w.tracer = recorder.Tracer()
		w.breaks = func(try int, _ queue.Target) (row, bool) {
			if try == 4 {
				return failedButDone, true
			}
			return failed, try == 2 || try == 3
		}
		w.publish("acme", "d1", scheduled("f", "* * * * *"))
		stop := w.start()
		defer stop()
		time.Sleep(3*time.Minute + 30*time.Second)
		w.set(func() { w.paused = map[string]bool{"f": true} })
		time.Sleep(time.Minute)

		w.mu.Lock()
		fired := w.fired
		w.mu.Unlock()
		spans := recorder.Ended()
		if len(fired) != 3 || len(spans) != 3 {
			t.Fatalf("%d ticks fired, with %d spans, want 3 with one each", len(fired), len(spans))
		}
		seen := map[string]bool{}
		for i, span := range spans {
			if span.Name != "enqueue scheduled" || span.Kind != "producer" || span.Parent != "0000000000000000" || seen[span.Trace] {
				t.Errorf("span %d is %+v, want the root of a trace of its own", i, span)
			}
			seen[span.Trace] = true
			inv := fired[i].invocation
			if inv.Trace != span.Traceparent() {
				t.Errorf("the record of tick %v says %q, and its span is %s", inv.Tick, inv.Trace, span.Traceparent())
			}
			for key, want := range map[string]string{
				"nightshift.tick": inv.Tick.UTC().Format(time.RFC3339), "faas.invocation_id": inv.ID, "faas.cron": "* * * * *",
			} {
				if got := span.Attributes[key]; got != want {
					t.Errorf("span %d: %s = %q, want %q", i, key, got, want)
				}
			}
		}
	})
}

func TestTicksStandInNoTraceWithoutSpans(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish("acme", "d1", scheduled("f", "* * * * *"))
		stop := w.start()
		defer stop()
		time.Sleep(90 * time.Second)
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.fired) != 1 || w.fired[0].invocation.Trace != "" {
			t.Errorf("fired %+v, want one tick in no trace", w.fired)
		}
	})
}
