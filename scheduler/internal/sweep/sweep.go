// Package sweep does the upkeep that one process is enough for: handing tasks
// of dead workers back to their queues. The leader runs it, so that the cost
// does not grow with the number of standbys; two at once would do no harm.
package sweep

import (
	"context"
	"log/slog"
	"time"
)

// Interval is the time between two sweeps. It adds to how long the task of a
// dead worker stays away, on top of the 30 s of its lease.
const Interval = time.Second

// Sweeper does one round; queue.Reaper is one.
type Sweeper interface {
	// Sweep returns how many tasks it handed back.
	Sweep(ctx context.Context) (int, error)
}

// Run sweeps until ctx ends. An error is said once, and again after it was over.
func Run(ctx context.Context, s Sweeper, log *slog.Logger) {
	ticker := time.NewTicker(Interval)
	defer ticker.Stop()
	failing := false
	for {
		n, err := s.Sweep(ctx)
		if n > 0 {
			log.Warn("tasks of dead workers handed back", "tasks", n)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			log.Warn("cannot look for tasks of dead workers", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
