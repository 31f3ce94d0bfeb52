package daemon

import (
	"context"
	"log/slog"
	"time"
)

// Every does a round at once, and then one each interval, until ctx ends. A round
// that fails is said with the problem's name, once, and again after it was over.
func Every(ctx context.Context, interval time.Duration, log *slog.Logger, problem string, round func(ctx context.Context) error) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	failing := false
	for {
		err := round(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			log.Warn(problem, "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
