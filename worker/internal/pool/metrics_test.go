package pool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/worker/internal/jail/jailtest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	p := start(t, Config{Max: 3, MaxOutput: 10, Metrics: registry})
	code := corpus(t, "count", "count.js")
	for _, call := range []string{"first", "second", "third"} {
		must(t, p, code, call)
	}
	loud := code
	loud.Key, loud.Dir, loud.Function.Entry = "loud", jailtest.Dir(t), "loud.js"
	text := "exports.handler = async () => { console.log('x'.repeat(100)); return { statusCode: 200 } }"
	if err := os.WriteFile(filepath.Join(loud.Dir, "loud.js"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, p, loud, "")
	err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP nightshift_worker_calls_total Calls that got a function process: warm, with the function loaded; spare, a ready one that had to load it; cold, one that was started for the call.
# TYPE nightshift_worker_calls_total counter
nightshift_worker_calls_total{start="cold"} 2
nightshift_worker_calls_total{start="spare"} 0
nightshift_worker_calls_total{start="warm"} 2
# HELP nightshift_worker_processes Function processes: busy with a call, idle with a function loaded, spare without one.
# TYPE nightshift_worker_processes gauge
nightshift_worker_processes{state="busy"} 0
nightshift_worker_processes{state="idle"} 2
nightshift_worker_processes{state="spare"} 0
# HELP nightshift_worker_processes_limit Function processes that may exist at once.
# TYPE nightshift_worker_processes_limit gauge
nightshift_worker_processes_limit 3
`), "nightshift_worker_calls_total", "nightshift_worker_processes", "nightshift_worker_processes_limit")
	if err != nil {
		t.Error(err)
	}
	if dropped := testutil.ToFloat64(p.metrics.dropped); dropped <= 0 {
		t.Errorf("%v bytes of output dropped, want what is over 10", dropped)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "nightshift_worker_start_duration_seconds" {
			continue
		}
		for _, m := range family.GetMetric() {
			from, h := m.GetLabel()[0].GetValue(), m.GetHistogram()
			if want := map[string]uint64{"cold": 2}[from]; h.GetSampleCount() != want || want > 0 && h.GetSampleSum() <= 0 {
				t.Errorf("%s starts: %d in %v s, want %d", from, h.GetSampleCount(), h.GetSampleSum(), want)
			}
		}
	}
}

// TestMetricsAllocateNothing is not parallel: it counts what the process allocates.
func TestMetricsAllocateNothing(t *testing.T) {
	m := newMetrics(nil, nil)
	got := taken{from: cold, at: time.Now()}
	n := testing.AllocsPerRun(100, func() {
		m.calls[got.from].Inc()
		m.delivered(got, got.at)
	})
	if n != 0 {
		t.Errorf("counting a call allocates %v times", n)
	}
}

func BenchmarkMetrics(b *testing.B) {
	m := newMetrics(prometheus.NewRegistry(), nil)
	got := taken{from: warm, at: time.Now()}
	b.ReportAllocs()
	for b.Loop() {
		m.calls[got.from].Inc()
		m.delivered(got, got.at)
	}
}
