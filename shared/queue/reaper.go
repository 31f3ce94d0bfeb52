package queue

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/redis/go-redis/v9"
)

const (
	// reapGrace is how long a lease must be over. A worker whose clock agrees
	// with that of Redis has given the task up before.
	reapGrace = 2 * time.Second
	// reapBatch bounds what a sweep does to one queue, as Redis does nothing
	// else meanwhile.
	reapBatch = 200
)

//go:embed reap.lua
var reapBody string

var reapScript = laneScript(reapBody)

// Reaper hands tasks of dead workers back to their queues. Sweep it about once
// a second, from as many processes as you like.
//
// A lease lasts 30 s and is extended every 5 s. So a task whose worker is killed
// is pending again 27 to 34 s later (25 to 30 s of lease left, 2 s of grace, up
// to 1 s of rounding, up to 1 s until the next sweep), and starts within
// milliseconds if a worker is free. One that loses its worker for the second time
// becomes a suspect, and waits for those before it.
type Reaper struct {
	rdb redis.UniversalClient
	log *slog.Logger
}

// NewReaper makes a reaper. The caller keeps rdb.
func NewReaper(rdb redis.UniversalClient, log *slog.Logger) *Reaper {
	return &Reaper{rdb: rdb, log: log}
}

// Sweep does one round and returns how many tasks it handed back, at most 200
// per queue. The error is [fault.Unavailable]; the count is right with it too.
func (r *Reaper) Sweep(ctx context.Context) (int, error) {
	var (
		n    int
		errs []error
	)
	for _, q := range queues {
		handed, err := reap(ctx, r.rdb, q, r.log)
		n += handed
		errs = append(errs, err)
	}
	return n, errors.Join(errs...)
}

// reap hands back what one queue has of dead workers, and returns how many tasks.
func reap(ctx context.Context, rdb redis.UniversalClient, queue function.Kind, log *slog.Logger) (int, error) {
	reply, err := reapScript.Run(ctx, rdb, laneKeys(queue), int(reapGrace/time.Second), reapBatch).Slice()
	if err != nil {
		return 0, fault.Wrap(err, fault.Unavailable, "looking for abandoned tasks in queue %s", queue)
	}
	handed, _ := reply[0].([]any)
	suspected, _ := reply[1].([]any)
	for _, id := range handed {
		log.Warn("handed back the task of a lost worker", "invocation", id, "queue", string(queue), "suspect", slices.Contains(suspected, id))
	}
	return len(handed), nil
}
