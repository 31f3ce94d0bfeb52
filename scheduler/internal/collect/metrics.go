package collect

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics tell what rounds did.
type metrics struct {
	expired, removed, blobs, bytes prometheus.Counter
	left                           prometheus.Gauge
	completed                      prometheus.Gauge
}

func newMetrics(registry prometheus.Registerer) metrics {
	factory := promauto.With(registry)
	counter := func(name, help string) prometheus.Counter {
		return factory.NewCounter(prometheus.CounterOpts{Name: "nightshift_scheduler_" + name, Help: help})
	}
	return metrics{
		expired: counter("deploys_expired_total", "Deploys that this scheduler took out of use."),
		removed: counter("deploys_removed_total", "Deploys that this scheduler removed."),
		blobs:   counter("blobs_deleted_total", "Blobs that this scheduler deleted."),
		bytes:   counter("blobs_deleted_bytes_total", "Bytes of the blobs that this scheduler deleted."),
		left: factory.NewGauge(prometheus.GaugeOpts{
			Name: "nightshift_scheduler_garbage_blobs", Help: "Garbage that the last round of this scheduler left for the next one.",
		}),
		completed: factory.NewGauge(prometheus.GaugeOpts{
			Name: "nightshift_scheduler_last_collection_timestamp_seconds", Help: "When the last round of garbage collection ended well, in Unix time; 0 if none has.",
		}),
	}
}

// did notes a round, also one that an error has ended.
func (m metrics) did(n counts, err error) {
	m.expired.Add(float64(n.expired))
	m.removed.Add(float64(n.removed))
	m.blobs.Add(float64(n.blobs))
	m.bytes.Add(float64(n.bytes))
	if err == nil {
		m.left.Set(float64(n.left))
		m.completed.Set(float64(time.Now().Unix()))
	}
}
