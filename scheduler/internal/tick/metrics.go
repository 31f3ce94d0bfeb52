package tick

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics tell how this process fires, while it leads. What became of the ticks
// of the installation, the gateways tell.
type metrics struct {
	schedules prometheus.Gauge
	lateness  prometheus.Histogram
	pass      prometheus.Histogram
	passed    prometheus.Gauge
	failed    prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) metrics {
	factory := promauto.With(registry)
	return metrics{
		schedules: factory.NewGauge(prometheus.GaugeOpts{
			Name: "nightshift_scheduler_schedules", Help: "Schedules that have a further tick, while this scheduler leads; else 0.",
		}),
		lateness: factory.NewHistogram(prometheus.HistogramOpts{
			Name: "nightshift_scheduler_tick_lateness_seconds", Help: "Time from a tick until this scheduler had fired it.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}),
		pass: factory.NewHistogram(prometheus.HistogramOpts{
			Name: "nightshift_scheduler_pass_duration_seconds", Help: "Time of a pass over what is due; there is one at least each 30 s while there are schedules.",
			Buckets: []float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5, 10, 30},
		}),
		passed: factory.NewGauge(prometheus.GaugeOpts{
			Name: "nightshift_scheduler_last_pass_timestamp_seconds", Help: "When the last pass ended well, in Unix time; 0 if none has.",
		}),
		failed: factory.NewCounter(prometheus.CounterOpts{
			Name: "nightshift_scheduler_passes_failed_total", Help: "Passes that an error ended; what was due is tried again.",
		}),
	}
}

// passedIn notes a pass.
func (m metrics) passedIn(begun time.Time, err error) {
	now := time.Now()
	m.pass.Observe(now.Sub(begun).Seconds())
	if err != nil {
		m.failed.Inc()
		return
	}
	m.passed.Set(float64(now.UnixMilli()) / 1000)
}
