// Package metrics tells a monitoring system how the installation is, as
// Prometheus reads it. What it tells is counted in Redis and belongs to the
// installation: each gateway says the same.
package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/store"
	"github.com/prometheus/client_golang/prometheus" // the text format, with its escapes and checks
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// readTimeout bounds reading for one scrape.
	readTimeout = 2 * time.Second
	// fresh is for how long what was read serves other scrapes.
	fresh = time.Second
)

// Store counts; see package store.
type Store interface {
	Counts(ctx context.Context) (store.Counts, error)
	TickTotals(ctx context.Context) (store.TickTotals, error)
	CallbackCounts(ctx context.Context) (store.CallbackCounts, error)
}

// Handler answers scrapes: 500 while Redis does not answer within 2 s, so that
// nobody takes old numbers for new ones.
func Handler(s Store, log *slog.Logger) http.Handler {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(&collector{store: s})
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: errorLog{log}, ErrorHandling: promhttp.HTTPErrorOnError})
}

// errorLog is where promhttp reports failed scrapes.
type errorLog struct{ log *slog.Logger }

func (e errorLog) Println(v ...any) {
	e.log.Warn("metrics not told", "component", "metrics", "error", v)
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("nightshift_"+name, help, labels, nil)
}

var (
	accepted  = desc("invocations_accepted_total", "Background and scheduled invocations that were ever accepted.")
	unended   = desc("invocations", "Invocations that are in a state now.", "state")
	ended     = desc("invocations_finished_total", "Invocations that ended in a state. A retry takes one out of dead again.", "state")
	drift     = desc("conservation_drift", "Accepted invocations less all that are there or have ended: not 0 means that one was lost or counted twice.")
	due       = desc("ticks_due_total", "Ticks that were due, by the arithmetic of the schedules.")
	fired     = desc("ticks_fired_total", "Ticks that made an invocation within the lateness window.")
	caughtUp  = desc("ticks_caught_up_total", "Ticks that made an invocation later than that.")
	skipped   = desc("ticks_skipped_total", "Ticks that made none, by reason.", "reason")
	held      = desc("ticks_suppressed_total", "Ticks that were about to fire a second time and did not.")
	tickDrift = desc("ticks_drift", "Due ticks less all that have an outcome: not 0 means that one was missed or fired twice.")
	lateness  = desc("tick_lateness_seconds", "Time from a tick until it was fired.")
	pending   = desc("callbacks_pending", "Finished invocations whose callback is still to be made.")
	callbacks = desc("callbacks_total", "Callbacks that ended so.", "outcome")
)

// collector reads at most once in the time that a reading is fresh.
type collector struct {
	store Store

	mu   sync.Mutex
	last []prometheus.Metric
	read time.Time
}

func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{accepted, unended, ended, drift, due, fired, caughtUp, skipped, held, tickDrift, lateness, pending, callbacks} {
		out <- d
	}
}

func (c *collector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.read) > fresh {
		metrics, err := c.readAll()
		if err != nil {
			out <- prometheus.NewInvalidMetric(drift, err)
			return
		}
		c.last, c.read = metrics, time.Now()
	}
	for _, m := range c.last {
		out <- m
	}
}

func (c *collector) readAll() ([]prometheus.Metric, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	counts, err := c.store.Counts(ctx)
	if err != nil {
		return nil, err
	}
	ticks, err := c.store.TickTotals(ctx)
	if err != nil {
		return nil, err
	}
	told, err := c.store.CallbackCounts(ctx)
	if err != nil {
		return nil, err
	}
	var out []prometheus.Metric
	add := func(d *prometheus.Desc, kind prometheus.ValueType, value int64, labels ...string) {
		out = append(out, prometheus.MustNewConstMetric(d, kind, float64(value), labels...))
	}
	add(accepted, prometheus.CounterValue, counts.Accepted)
	add(unended, prometheus.GaugeValue, counts.Queued, "queued")
	add(unended, prometheus.GaugeValue, counts.Running, "running")
	add(unended, prometheus.GaugeValue, counts.Failed, "failed")
	add(ended, prometheus.CounterValue, counts.Succeeded, "succeeded")
	add(ended, prometheus.CounterValue, counts.Dead, "dead")
	add(ended, prometheus.CounterValue, counts.Cancelled, "cancelled")
	add(drift, prometheus.GaugeValue, counts.Drift())
	add(due, prometheus.CounterValue, ticks.Due)
	add(fired, prometheus.CounterValue, ticks.Fired)
	add(caughtUp, prometheus.CounterValue, ticks.CaughtUp)
	for reason, n := range ticks.SkippedBy {
		add(skipped, prometheus.CounterValue, n, string(reason))
	}
	add(held, prometheus.CounterValue, ticks.Suppressed)
	add(tickDrift, prometheus.GaugeValue, ticks.Drift())
	out = append(out, latenessOf(ticks))
	add(pending, prometheus.GaugeValue, told.Pending)
	add(callbacks, prometheus.CounterValue, told.Delivered, "delivered")
	add(callbacks, prometheus.CounterValue, told.Died, "dead")
	add(callbacks, prometheus.CounterValue, told.Lost, "lost")
	return out, nil
}

// latenessOf makes the histogram: its buckets hold what is below them too.
func latenessOf(ticks store.TickTotals) prometheus.Metric {
	buckets, sum := map[float64]uint64{}, uint64(0)
	for _, b := range ticks.Lateness {
		sum += uint64(max(b.Count, 0))
		if b.UpTo > 0 {
			buckets[b.UpTo.Seconds()] = sum
		}
	}
	return prometheus.MustNewConstHistogram(lateness, sum, ticks.LateSum.Seconds(), buckets)
}
