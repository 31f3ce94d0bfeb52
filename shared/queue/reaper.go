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
	// reapInterval bounds the time between two looks at a queue. While no lease can be
	// over, there is nothing to hand back but tasks that are active without one, which
	// only a loss of data leaves.
	reapInterval = 10 * time.Second
)

//go:embed reap.lua
var reapBody string

var reapScript = laneScript(reapBody)

// Reaper hands tasks of dead workers back to their queues. Sweep it about once
// a second, from as many processes as you like. Not safe for concurrent use.
//
// A lease lasts 30 s and is extended every 5 s. So a task whose worker is killed
// is pending again 27 to 34 s later (25 to 30 s of lease left, 2 s of grace, up
// to 1 s of rounding, up to 1 s until the next sweep), and starts within
// milliseconds if a worker is free. One that loses its worker for the second time
// becomes a suspect, and waits for those before it.
type Reaper struct {
	rdb redis.UniversalClient
	log *slog.Logger
	// next is when to look at a queue: when the first lease may be over.
	next map[function.Kind]time.Time
}

// NewReaper makes a reaper. The caller keeps rdb.
func NewReaper(rdb redis.UniversalClient, log *slog.Logger) *Reaper {
	return &Reaper{rdb: rdb, log: log, next: make(map[function.Kind]time.Time)}
}

// Sweep does one round and returns how many tasks it handed back, at most 200
// per queue. It asks Redis about a queue only when a lease there may be over, and
// each 10 s. The error is [fault.Unavailable]; the count is right with it too.
func (r *Reaper) Sweep(ctx context.Context) (int, error) {
	var (
		n    int
		errs []error
	)
	for _, q := range queues {
		now := time.Now()
		if now.Before(r.next[q]) {
			continue
		}
		handed, wait, err := reap(ctx, r.rdb, q, r.log)
		n += handed
		errs = append(errs, err)
		if err == nil && handed < reapBatch {
			// In the middle between two sweeps: none comes to the moment.
			r.next[q] = now.Add(min(wait, reapInterval) - time.Second/2)
		}
	}
	return n, errors.Join(errs...)
}

// reap hands back what one queue has of dead workers. It returns how many tasks, and
// when the next lease may be over.
func reap(ctx context.Context, rdb redis.UniversalClient, queue function.Kind, log *slog.Logger) (n int, next time.Duration, err error) {
	reply, err := reapScript.Run(ctx, rdb, laneKeys(queue), int(reapGrace/time.Second), reapBatch).Slice()
	if err != nil {
		return 0, 0, fault.Wrap(err, fault.Unavailable, "looking for abandoned tasks in queue %s", queue)
	}
	handed, _ := reply[0].([]any)
	suspected, _ := reply[1].([]any)
	for _, id := range handed {
		log.Warn("handed back the task of a lost worker", "invocation", id, "queue", string(queue), "suspect", slices.Contains(suspected, id))
	}
	seconds, _ := reply[2].(int64)
	return len(handed), time.Duration(seconds) * time.Second, nil
}
