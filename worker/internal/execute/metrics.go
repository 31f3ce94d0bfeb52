package execute

import (
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics tell how long invocations wait.
type metrics struct {
	wait map[function.Kind]prometheus.Observer
}

func newMetrics(registry prometheus.Registerer) metrics {
	wait := promauto.With(registry).NewHistogramVec(prometheus.HistogramOpts{
		Name:    "nightshift_worker_queue_wait_seconds",
		Help:    "Time from when an invocation was accepted, or might start at the earliest, until its first attempt began. By the clock of Redis.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 900, 3600},
	}, []string{"kind"})
	m := metrics{wait: map[function.Kind]prometheus.Observer{}}
	for _, kind := range []function.Kind{function.Background, function.Scheduled} {
		m.wait[kind] = wait.WithLabelValues(string(kind))
	}
	return m
}

// began notes the wait of an invocation whose newest attempt has begun. Waits for
// a further attempt are as long as they were meant to be, and say nothing.
func (m metrics) began(inv *invocation.Invocation) {
	wait, ok := m.wait[inv.Kind]
	if !ok || len(inv.Attempts) != 1 {
		return
	}
	from := inv.CreatedAt
	if inv.NotBefore.After(from) {
		from = inv.NotBefore
	}
	wait.Observe(max(0, inv.Attempts[0].StartedAt.Sub(from)).Seconds())
}
