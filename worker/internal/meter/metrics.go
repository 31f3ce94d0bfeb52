package meter

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics tell who was ended, and how near the others came.
type metrics struct {
	ended  map[Kind]prometheus.Counter
	spent  prometheus.Counter
	memory prometheus.Observer
}

func newMetrics(registry prometheus.Registerer) metrics {
	factory := promauto.With(registry)
	ended := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "nightshift_worker_functions_over_limit_total",
		Help: "Function processes that were ended because they went over a limit: memory, tasks (processes and threads), tmp (temporary files).",
	}, []string{"limit"})
	m := metrics{ended: map[Kind]prometheus.Counter{}}
	for _, kind := range []Kind{Memory, Tasks, Tmp} {
		m.ended[kind] = ended.WithLabelValues(string(kind))
	}
	m.spent = factory.NewCounter(prometheus.CounterOpts{
		Name: "nightshift_worker_meter_seconds_total", Help: "Processor time spent on measuring functions.",
	})
	m.memory = factory.NewHistogram(prometheus.HistogramOpts{
		Name:    "nightshift_worker_function_memory_bytes",
		Help:    "The most memory that a function process was seen to use, with all that it started, when it has ended. Pages of files are counted unless that is near the limit.",
		Buckets: prometheus.ExponentialBuckets(32<<20, 2, 9),
	})
	return m
}
