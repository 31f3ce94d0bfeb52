package attempt_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/worker/internal/attempt"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	m := attempt.NewMetrics(registry)
	if n, err := testutil.GatherAndCount(registry, "nightshift_worker_attempts_total"); n != 3*9 || err != nil {
		t.Errorf("%d series before the first attempt, %v; want one for each kind and outcome", n, err)
	}
	m.Ended(function.Background, invocation.OK, 2*time.Second)
	m.Ended(function.Background, invocation.TimedOut, 900*time.Second)
	m.Ended(function.Background, "made up", time.Second)
	m.Ended("made up", invocation.OK, time.Second)
	for _, line := range []string{
		`nightshift_worker_attempts_total{kind="background",outcome="succeeded"} 1`,
		`nightshift_worker_attempts_total{kind="background",outcome="timeout"} 1`,
		`nightshift_worker_attempts_total{kind="scheduled",outcome="succeeded"} 0`,
		`nightshift_worker_attempt_duration_seconds_bucket{kind="background",le="5"} 1`,
		`nightshift_worker_attempt_duration_seconds_bucket{kind="background",le="900"} 2`,
		`nightshift_worker_attempt_duration_seconds_sum{kind="background"} 902`,
	} {
		if text := scrape(t, registry); !strings.Contains(text, line+"\n") {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
}

// TestMetricsAllocateNothing is not parallel: it counts what the process allocates.
func TestMetricsAllocateNothing(t *testing.T) {
	m := attempt.NewMetrics(nil)
	if n := testing.AllocsPerRun(100, func() { m.Ended(function.Sync, invocation.Crashed, time.Second) }); n != 0 {
		t.Errorf("counting an attempt allocates %v times", n)
	}
}

// scrape is what a monitoring system reads.
func scrape(t *testing.T, registry *prometheus.Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func BenchmarkMetrics(b *testing.B) {
	m := attempt.NewMetrics(prometheus.NewRegistry())
	b.ReportAllocs()
	for b.Loop() {
		m.Ended(function.Background, invocation.OK, time.Second)
	}
}
