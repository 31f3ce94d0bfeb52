package logs

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics count the lines that are lost. All writers of a worker share them.
type Metrics struct{ lost prometheus.Counter }

// NewMetrics makes the collectors and registers them; with nil, nowhere.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	return &Metrics{lost: promauto.With(registry).NewCounter(prometheus.CounterOpts{
		Name: "nightshift_worker_log_lines_lost_total", Help: "Log lines of functions that the log store did not take, or not in time.",
	})}
}

// Lose counts lines that whoever had them from [Writer.Finish] could not send.
func (m *Metrics) Lose(lines int) { m.lost.Add(float64(lines)) }
