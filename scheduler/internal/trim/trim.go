// Package trim keeps the index of invocations from growing beyond its records:
// records expire by themselves, their entries do not. The leader runs it; two at
// once would do no harm. An entry that is there too long costs memory only, since
// lists skip it.
package trim

import (
	"context"
	"log/slog"
	"time"
)

// Interval is the time between two trims.
const Interval = time.Minute

// Trimmer does one bounded round; store.Store is one.
type Trimmer interface {
	// TrimIndex returns how many entries it removed; more than 0 says that there may be more.
	TrimIndex(ctx context.Context) (int, error)
}

// Run trims until ctx ends: at once, and then every Interval, each time until
// nothing is left to remove. An error is said once, and again after it was over.
func Run(ctx context.Context, t Trimmer, log *slog.Logger) {
	ticker := time.NewTicker(Interval)
	defer ticker.Stop()
	failing := false
	for {
		err := all(ctx, t, log)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			log.Warn("cannot trim the index of invocations", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// all trims until there is nothing left.
func all(ctx context.Context, t Trimmer, log *slog.Logger) error {
	total := 0
	defer func() {
		if total > 0 {
			log.Debug("index of invocations trimmed", "invocations", total)
		}
	}()
	for ctx.Err() == nil {
		n, err := t.TrimIndex(ctx)
		total += n
		if err != nil || n == 0 {
			return err
		}
	}
	return nil
}
