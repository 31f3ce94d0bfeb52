package queue

import (
	"context"
	_ "embed"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed depth.lua
	depthSource string

	depthScript = redis.NewScript(depthSource)
)

// Depth is how many tasks a queue has, at one moment.
type Depth struct {
	Pending int64 // released, and a worker with a free slot takes them
	Waiting int64 // in their lanes, for a slot
	Delayed int64 // until the time before which they must not run
	Active  int64 // held by workers
	Retry   int64 // until their next attempt is due
	Buried  int64 // in the archive; their invocations are dead
	// Oldest is for how long the first of those that could run has been able to:
	// the head of the pending ones, or the one that is the longest overdue among the
	// delayed ones and the retries, which nobody moves while there is no worker. Of
	// those that wait in lanes it says nothing; their records do, see
	// store.LongestQueued. 0: there is none.
	Oldest time.Duration
}

// Depth reads how many tasks a queue has. It costs Redis the same however many
// there are. Errors are as those of Withdraw.
func (c *Client) Depth(ctx context.Context, kind function.Kind) (Depth, error) {
	if !isQueue(kind) {
		return Depth{}, fault.New(fault.Internal, "reading a queue: there is no queue %q", kind)
	}
	n, err := depthScript.Run(ctx, c.redis.UniversalClient,
		[]string{pendingKey(kind), delayedKey(kind), activeKey(kind), retryKey(kind), archivedKey(kind), taskKeyPrefix(kind)}).Int64Slice()
	if err != nil {
		return Depth{}, fault.Wrap(err, fault.Unavailable, "reading queue %s", kind)
	}
	if len(n) != 7 {
		return Depth{}, fault.New(fault.Internal, "reading queue %s: %d numbers", kind, len(n))
	}
	return Depth{
		Pending: n[0], Waiting: n[1], Delayed: n[2], Active: n[3], Retry: n[4], Buried: n[5],
		Oldest: time.Duration(n[6]) * time.Millisecond,
	}, nil
}
