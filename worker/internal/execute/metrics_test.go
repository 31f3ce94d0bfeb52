package execute

import (
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/prometheus/client_golang/prometheus"
)

func TestQueueWait(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	m := newMetrics(registry)
	accepted := time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)
	begun := func(kind function.Kind, notBefore time.Time, waits ...time.Duration) {
		inv := invocation.Invocation{Kind: kind, CreatedAt: accepted, NotBefore: notBefore}
		for _, wait := range waits {
			inv.Attempts = append(inv.Attempts, invocation.Attempt{StartedAt: accepted.Add(wait)})
		}
		m.began(&inv)
	}
	begun(function.Background, time.Time{}, 2*time.Second)
	begun(function.Background, accepted.Add(time.Hour), time.Hour+3*time.Second) // was not to start before
	begun(function.Background, accepted.Add(-time.Hour), time.Second)
	begun(function.Background, time.Time{}, time.Second, time.Hour) // a retry
	begun(function.Scheduled, time.Time{}, -time.Millisecond)       // Redis's clock was set back
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("%d families, %v", len(families), err)
	}
	type wait struct {
		count uint64
		sum   float64
	}
	want := map[string]wait{"background": {3, 6}, "scheduled": {1, 0}}
	for _, metric := range families[0].GetMetric() {
		kind, h := metric.GetLabel()[0].GetValue(), metric.GetHistogram()
		if got := (wait{h.GetSampleCount(), h.GetSampleSum()}); got != want[kind] {
			t.Errorf("%s: %+v, want %+v", kind, got, want[kind])
		}
	}
}

// TestMetricsAllocateNothing is not parallel: it counts what the process allocates.
func TestMetricsAllocateNothing(t *testing.T) {
	m, inv := newMetrics(nil), &invocation.Invocation{Kind: function.Background, Attempts: make([]invocation.Attempt, 1)}
	if n := testing.AllocsPerRun(100, func() { m.began(inv) }); n != 0 {
		t.Errorf("noting a wait allocates %v times", n)
	}
}

func BenchmarkMetrics(b *testing.B) {
	m, inv := newMetrics(prometheus.NewRegistry()), &invocation.Invocation{Kind: function.Background, Attempts: make([]invocation.Attempt, 1)}
	b.ReportAllocs()
	for b.Loop() {
		m.began(inv)
	}
}
