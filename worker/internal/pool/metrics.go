package pool

import (
	"time"

	"github.com/nightshift/nightshift/worker/internal/runtimeapi"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// origin is where a call got its process from.
type origin string

const (
	warm  origin = "warm"  // it had the function loaded
	spare origin = "spare" // it was ready, and loaded the function first
	cold  origin = "cold"  // it was started for the call
)

// metrics tell how calls get their processes.
type metrics struct {
	calls    map[origin]prometheus.Counter
	duration map[origin]prometheus.Observer // none for warm
	dropped  prometheus.Counter
	refused  map[runtimeapi.Reason]prometheus.Counter
}

// newMetrics makes the collectors; those of a pool's processes ask the pool.
func newMetrics(registry prometheus.Registerer, p *Pool) metrics {
	factory := promauto.With(registry)
	calls := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "nightshift_worker_calls_total",
		Help: "Calls that got a function process: warm, with the function loaded; spare, a ready one that had to load it; cold, one that was started for the call.",
	}, []string{"start"})
	duration := factory.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "nightshift_worker_start_duration_seconds",
		Help:    "Time until a process that had to load the function, or to be started first, took the call.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"start"})
	m := metrics{calls: map[origin]prometheus.Counter{}, duration: map[origin]prometheus.Observer{}}
	for _, from := range []origin{warm, spare, cold} {
		m.calls[from] = calls.WithLabelValues(string(from))
		if from != warm {
			m.duration[from] = duration.WithLabelValues(string(from))
		}
	}
	m.dropped = factory.NewCounter(prometheus.CounterOpts{
		Name: "nightshift_worker_output_dropped_bytes_total", Help: "Bytes of output that attempts wrote beyond what one may write.",
	})
	refused := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "nightshift_worker_runtime_api_refused_total",
		Help: "Attempts to use the runtime API of a function: peer, by a process that is not the function's; secret, without the path that it was told.",
	}, []string{"reason"})
	m.refused = map[runtimeapi.Reason]prometheus.Counter{}
	for _, reason := range []runtimeapi.Reason{runtimeapi.NotOwner, runtimeapi.NoSecret} {
		m.refused[reason] = refused.WithLabelValues(string(reason))
	}
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "nightshift_worker_processes_limit", Help: "Function processes that may exist at once.",
	}, func() float64 { return float64(p.cfg.Max) })
	for state, count := range map[string]func(Stats) int{
		"busy":  func(s Stats) int { return s.Busy },
		"idle":  func(s Stats) int { return s.Idle() },
		"spare": func(s Stats) int { return s.Spares },
	} {
		factory.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "nightshift_worker_processes", Help: "Function processes: busy with a call, idle with a function loaded, spare without one.",
			ConstLabels: prometheus.Labels{"state": state},
		}, func() float64 { return float64(count(p.Stats())) })
	}
	return m
}

// refusedAPI notes that somebody was not let into a function's API.
func (m metrics) refusedAPI(reason runtimeapi.Reason) { m.refused[reason].Inc() }

// taken is a process that a call has got.
type taken struct {
	*instance
	from origin
	at   time.Time // when it was known which one, or that one may be started
}

// delivered notes when the process has taken the call.
func (m metrics) delivered(t taken, at time.Time) {
	if duration, ok := m.duration[t.from]; ok {
		duration.Observe(max(0, at.Sub(t.at)).Seconds())
	}
}
