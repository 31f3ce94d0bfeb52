package queue

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/redis/go-redis/v9"
)

const (
	// clockAge is how long a comparison with the clock of Redis holds.
	clockAge = time.Minute
	// clockPause is the pause after a comparison that failed.
	clockPause = 5 * time.Second
	// clockTolerance is the difference that nothing is done about: leases are
	// kept in whole seconds, and the reaper's grace is longer.
	clockTolerance = time.Second
)

// clock says how far this machine's clock is from that of Redis. asynq writes
// leases by the local clock, and reapers read them by that of Redis: on a worker
// that is half a minute slow, every lease would be over as soon as it begins,
// and each task would run again and again until it counts as poison.
type clock struct {
	rdb redis.UniversalClient
	log *slog.Logger
	now func() time.Time

	mu       sync.Mutex
	ahead    time.Duration // of Redis over us, in whole seconds; 0 within the tolerance
	measured time.Time
}

// offset is what to add to a local Unix time, in seconds. It asks Redis about
// once a minute, and keeps its last answer while Redis is away.
func (c *clock) offset(ctx context.Context) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.now()
	if before.Sub(c.measured) < clockAge {
		return int64(c.ahead / time.Second)
	}
	redisNow, err := redisdb.Now(ctx, c.rdb)
	if err != nil {
		// Not at every call: each would wait for Redis in turn, under the lock.
		c.measured = c.now().Add(clockPause - clockAge)
		return int64(c.ahead / time.Second)
	}
	after := c.now()
	c.measured = after
	ahead := redisNow.Sub(before.Add(after.Sub(before) / 2)).Round(time.Second)
	if ahead.Abs() <= clockTolerance {
		ahead = 0
	}
	if ahead != c.ahead {
		c.log.Warn("the clocks of this machine and of Redis differ; leases follow Redis", "redis_ahead", ahead)
	}
	c.ahead = ahead
	return int64(c.ahead / time.Second)
}
