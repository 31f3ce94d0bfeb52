// Package installation tells a monitoring system how the whole installation is:
// what stands in Redis, and how Redis is. It belongs to no gateway, so each one
// tells the same, and whoever adds it up over gateways counts it twice.
//
// What was read serves other scrapes for a second. While Redis does not answer
// within 2 s, nightshift_redis_up is 0 and all else is left out: nobody takes old
// numbers for new ones, and what the gateway tells of itself is told all the same.
package installation

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// readTimeout bounds reading for one scrape.
	readTimeout = 2 * time.Second
	// fresh is for how long what was read serves other scrapes.
	fresh = time.Second
)

// Store counts what is recorded; see package store.
type Store interface {
	Counts(ctx context.Context) (store.Counts, error)
	TickTotals(ctx context.Context) (store.TickTotals, error)
	CallbackCounts(ctx context.Context) (store.CallbackCounts, error)
	LongestQueued(ctx context.Context, kind function.Kind) (time.Duration, error)
	Workers(ctx context.Context) ([]store.Worker, error)
}

// Queue counts tasks; see [queue.Client.Depth].
type Queue interface {
	Depth(ctx context.Context, kind function.Kind) (queue.Depth, error)
}

// Config configures a Collector. All of it is required.
type Config struct {
	Store Store
	Queue Queue
	// Health asks Redis for its health.
	Health func(ctx context.Context) (redisdb.Health, error)
	Logger *slog.Logger
}

// Collector is a prometheus.Collector.
type Collector struct {
	cfg Config
	log *slog.Logger

	mu      sync.Mutex
	last    []prometheus.Metric
	read    time.Time
	failing bool
}

// New makes a collector.
func New(cfg Config) *Collector {
	return &Collector{cfg: cfg, log: cfg.Logger.With("component", "installation")}
}

// Describe is part of prometheus.Collector.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range described {
		out <- d
	}
}

// Collect is part of prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.read) > fresh {
		ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
		defer cancel()
		r, err := c.cfg.look(ctx)
		if err != nil {
			if !c.failing { // once per outage
				c.log.Warn("figures of the installation are not told while Redis does not answer", "error", err)
			}
			c.failing = true
			out <- prometheus.MustNewConstMetric(up, prometheus.GaugeValue, 0)
			return
		}
		c.last, c.read, c.failing = r.metrics(), time.Now(), false
	}
	for _, m := range c.last {
		out <- m
	}
}

// reading is what one look finds.
type reading struct {
	counts    store.Counts
	ticks     store.TickTotals
	callbacks store.CallbackCounts
	queues    map[function.Kind]queue.Depth // Oldest is that of task or record
	workers   []store.Worker
	health    redisdb.Health
}

// look reads all of it, or nothing.
func (cfg *Config) look(ctx context.Context) (r reading, err error) {
	if r.counts, err = cfg.Store.Counts(ctx); err != nil {
		return r, err
	}
	if r.ticks, err = cfg.Store.TickTotals(ctx); err != nil {
		return r, err
	}
	if r.callbacks, err = cfg.Store.CallbackCounts(ctx); err != nil {
		return r, err
	}
	if r.workers, err = cfg.Store.Workers(ctx); err != nil {
		return r, err
	}
	if r.health, err = cfg.Health(ctx); err != nil {
		return r, err
	}
	r.queues = map[function.Kind]queue.Depth{}
	for _, kind := range []function.Kind{function.Scheduled, function.Background} {
		depth, err := cfg.Queue.Depth(ctx, kind)
		if err != nil {
			return r, err
		}
		// The queue knows of retries, the records of what waits in lanes.
		longest, err := cfg.Store.LongestQueued(ctx, kind)
		if err != nil {
			return r, err
		}
		depth.Oldest = max(depth.Oldest, longest)
		r.queues[kind] = depth
	}
	return r, nil
}
