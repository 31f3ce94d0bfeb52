package audit

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics count what audits find, over all terms of a process.
type Metrics struct{ restored prometheus.Counter }

// NewMetrics makes the collectors and registers them; with nil, nowhere.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	return &Metrics{restored: promauto.With(registry).NewCounter(prometheus.CounterOpts{
		Name: "nightshift_scheduler_tasks_restored_total", Help: "Invocations that had lost their task and that this scheduler queued again.",
	})}
}
