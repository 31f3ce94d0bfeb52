package leader

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics tell whether this process leads.
type metrics struct{ leader, term prometheus.Gauge }

func newMetrics(registry prometheus.Registerer) metrics {
	factory := promauto.With(registry)
	return metrics{
		leader: factory.NewGauge(prometheus.GaugeOpts{
			Name: "nightshift_scheduler_leader", Help: "1 while this scheduler leads, else 0.",
		}),
		term: factory.NewGauge(prometheus.GaugeOpts{
			Name: "nightshift_scheduler_term", Help: "Number of the term in which this scheduler leads, or has led last; 0 if it never has.",
		}),
	}
}
