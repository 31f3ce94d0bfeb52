// Package sweep does the upkeep of the queue that one process is enough for:
// handing tasks of dead workers back, and telling the lanes how large the fleet
// is, which releases who waits. The leader runs it, so that the cost does not
// grow with the number of standbys; two at once would do no harm.
package sweep

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/store"
)

// Interval is the time between two sweeps. It adds to how long the task of a
// dead worker stays away, on top of the 30 s of its lease, and to how long tasks
// wait for the first worker.
const Interval = time.Second

// Reaper hands back tasks of dead workers; queue.Reaper is one.
type Reaper interface {
	// Sweep returns how many tasks it handed back.
	Sweep(ctx context.Context) (int, error)
}

// Lanes releases waiting tasks; queue.Lanes is one.
type Lanes interface {
	// Sweep returns how many tasks it released.
	Sweep(ctx context.Context, fleet queue.Fleet) (int, error)
}

// Workers lists the live workers; store.Store does.
type Workers interface {
	Workers(ctx context.Context) ([]store.Worker, error)
}

// Config says what to sweep. All but SiteLimit and Metrics are required.
type Config struct {
	Reaper  Reaper
	Lanes   Lanes
	Workers Workers
	// SiteLimit is how many tasks of one site may run at once, over all workers.
	// 0: no limit.
	SiteLimit int
	// Metrics counts what is done. Default: it is not told.
	Metrics *Metrics
	Logger  *slog.Logger
}

// Run sweeps until ctx ends.
func Run(ctx context.Context, cfg Config) {
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	var both sync.WaitGroup
	both.Go(func() { daemon.Every(ctx, Interval, cfg.Logger, "cannot look for tasks of dead workers", cfg.reap) })
	both.Go(func() { daemon.Every(ctx, Interval, cfg.Logger, "cannot release waiting tasks", cfg.release) })
	both.Wait()
}

func (cfg *Config) reap(ctx context.Context) error {
	n, err := cfg.Reaper.Sweep(ctx)
	cfg.Metrics.handedBack.Add(float64(n))
	if n > 0 {
		cfg.Logger.Warn("tasks of dead workers handed back", "tasks", n)
	}
	return err
}

func (cfg *Config) release(ctx context.Context) error {
	workers, err := cfg.Workers.Workers(ctx)
	if err != nil {
		return err
	}
	n, err := cfg.Lanes.Sweep(ctx, queue.Fleet{Capacity: capacity(workers), SiteLimit: cfg.SiteLimit})
	cfg.Metrics.released.Add(float64(n))
	if n > 0 {
		cfg.Logger.Debug("waiting tasks released", "tasks", n)
	}
	return err
}

// capacity is how many tasks the workers run at once. A draining worker counts
// for what it still runs: that has its slots until it is finished, which can be
// minutes, and must not keep its successor idle.
func capacity(workers []store.Worker) int {
	n := 0
	for _, w := range workers {
		if w.Draining {
			n += min(w.Busy, w.Concurrency)
		} else {
			n += w.Concurrency
		}
	}
	return n
}
