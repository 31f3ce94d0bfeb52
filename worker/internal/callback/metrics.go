package callback

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// outcome is what a request did to its callback.
type outcome string

const (
	delivered outcome = "delivered" // the receiver took it
	failed    outcome = "failed"    // the next request follows
	dead      outcome = "dead"      // given up
)

// metrics count requests.
type metrics struct {
	requests map[outcome]prometheus.Counter
	duration prometheus.Histogram
}

func newMetrics(registry prometheus.Registerer) metrics {
	factory := promauto.With(registry)
	requests := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "nightshift_worker_callback_requests_total", Help: "Requests of callbacks that this worker made, by what became of the callback.",
	}, []string{"outcome"})
	m := metrics{requests: map[outcome]prometheus.Counter{}, duration: factory.NewHistogram(prometheus.HistogramOpts{
		Name: "nightshift_worker_callback_request_duration_seconds", Help: "Time that a request of a callback took, with its redirects.",
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15},
	})}
	for _, o := range []outcome{delivered, failed, dead} {
		m.requests[o] = requests.WithLabelValues(string(o))
	}
	return m
}

// requested counts a request.
func (m metrics) requested(o outcome, took time.Duration) {
	m.requests[o].Inc()
	m.duration.Observe(took.Seconds())
}
