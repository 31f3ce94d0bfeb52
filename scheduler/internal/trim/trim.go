// Package trim keeps the index of invocations from growing beyond its records:
// records expire by themselves, their entries do not. The leader runs it; two at
// once would do no harm. An entry that is there too long costs memory only, since
// lists skip it.
package trim

import (
	"context"
	"log/slog"
	"time"

	"github.com/nightshift/nightshift/shared/daemon"
)

// Interval is the time between two trims.
const Interval = time.Minute

// Trimmer does one bounded round; store.Store is one.
type Trimmer interface {
	// TrimIndex returns how many entries it removed; more than 0 says that there may be more.
	TrimIndex(ctx context.Context) (int, error)
}

// Run trims until ctx ends: at once, and then every Interval, each time until
// nothing is left to remove.
func Run(ctx context.Context, t Trimmer, log *slog.Logger) {
	daemon.Every(ctx, Interval, log, "cannot trim the index of invocations", func(ctx context.Context) error {
		return all(ctx, t, log)
	})
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
