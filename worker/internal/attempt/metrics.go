package attempt

import (
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics count the attempts of this worker. Its methods are safe for concurrent
// use and allocate nothing.
type Metrics struct {
	ended    map[end]prometheus.Counter
	duration map[function.Kind]prometheus.Observer
}

// end is what attempts are counted by.
type end struct {
	kind    function.Kind
	outcome invocation.Outcome
}

// kinds and outcomes are what a worker can tell of: that a worker was lost, it
// cannot tell itself.
var (
	kinds    = []function.Kind{function.Sync, function.Background, function.Scheduled}
	outcomes = []invocation.Outcome{
		invocation.OK, invocation.Error, invocation.TimedOut, invocation.Crashed, invocation.OutOfMemory,
		invocation.InitError, invocation.BadResponse, invocation.Aborted, invocation.Drained,
	}
)

// NewMetrics makes the collectors and registers them; with nil, nowhere.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	factory := promauto.With(registry)
	ended := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "nightshift_worker_attempts_total", Help: "Attempts that ended on this worker.",
	}, []string{"kind", "outcome"})
	duration := factory.NewHistogramVec(prometheus.HistogramOpts{
		Name: "nightshift_worker_attempt_duration_seconds", Help: "Time from the start of an attempt until nothing of it ran any more.",
		Buckets: []float64{.01, .05, .1, .5, 1, 5, 10, 30, 60, 120, 300, 600, 900},
	}, []string{"kind"})
	m := &Metrics{ended: map[end]prometheus.Counter{}, duration: map[function.Kind]prometheus.Observer{}}
	// All of them from the beginning, so that a rate sees the first one too.
	for _, kind := range kinds {
		m.duration[kind] = duration.WithLabelValues(string(kind))
		for _, outcome := range outcomes {
			m.ended[end{kind, outcome}] = ended.WithLabelValues(string(kind), string(outcome))
		}
	}
	return m
}

// Ended counts an attempt. Kinds and outcomes that are in no list of ours are not.
func (m *Metrics) Ended(kind function.Kind, outcome invocation.Outcome, took time.Duration) {
	counter, ok := m.ended[end{kind, outcome}]
	if !ok {
		return
	}
	counter.Inc()
	m.duration[kind].Observe(took.Seconds())
}
