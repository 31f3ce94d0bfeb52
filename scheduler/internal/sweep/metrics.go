package sweep

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics count what sweeps do, over all terms of a process.
type Metrics struct{ handedBack, released prometheus.Counter }

// NewMetrics makes the collectors and registers them; with nil, nowhere.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	factory := promauto.With(registry)
	return &Metrics{
		handedBack: factory.NewCounter(prometheus.CounterOpts{
			Name: "nightshift_scheduler_tasks_handed_back_total", Help: "Tasks of dead workers that this scheduler gave back to their queues.",
		}),
		released: factory.NewCounter(prometheus.CounterOpts{
			Name: "nightshift_scheduler_tasks_released_total", Help: "Waiting tasks that this scheduler released because the fleet had grown.",
		}),
	}
}
