package queue

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/redis/go-redis/v9"
)

const (
	// fleetAge is how long a capacity is believed. Without a leader nobody says
	// how large the fleet is, and then lanes with no concurrency of their own have
	// no bound: better unfair than standing still.
	fleetAge = time.Minute
	// slotBatch is about how many slots a sweep looks at, and releaseBatch how
	// many tasks one script releases, as Redis does nothing else meanwhile.
	slotBatch    = 200
	releaseBatch = 200
	// dueBatch is how many tasks of a set one script admits whose time has come.
	dueBatch = 100
	// maxSweeps bounds a sweep of one queue, in scripts.
	maxSweeps = 50
	// silentLease is what is left of a lease, in seconds, when its worker has missed
	// two renewals: asynq makes it 30 s long and renews it every 5 s.
	silentLease = 20
)

var (
	//go:embed lane.lua
	laneHead string
	//go:embed sweep.lua
	sweepBody string
	//go:embed withdraw.lua
	withdrawSource string
	//go:embed due.lua
	dueHead string

	sweepScript    = laneScript(dueHead + sweepBody)
	withdrawScript = redis.NewScript(withdrawSource)
)

// laneScript makes a script of a body and lane.lua, which is its head, or stands
// where the body says. To define all its functions is a good part of what a short
// script costs.
func laneScript(body string) *redis.Script {
	return redis.NewScript(redisdb.ClockHead + laneBody(body))
}

func laneBody(body string) string {
	const mark = "--[[LANES]]\n"
	if !strings.Contains(body, mark) {
		body = mark + body
	}
	return strings.Replace(body, mark, laneHead, 1)
}

// laneKeys are the first keys of such a script.
func laneKeys(kind function.Kind, more ...string) []string {
	return append([]string{queuePrefix(kind), lanePrefix(kind)}, more...)
}

// Fleet is what all workers together can run. It bounds each queue by itself.
type Fleet struct {
	// Capacity is how many deliveries the live workers run at once, 0 or more. With
	// 0 all tasks wait, in their lanes, for the first worker. What a dead worker ran
	// is added to it: that keeps its slots until the reaper has it, half a minute
	// later, and must not keep the others idle.
	Capacity int
	// SiteLimit is how many tasks of one site may be pending or running at once.
	// 0: no limit.
	SiteLimit int
}

// Lanes does the upkeep of the lanes: it says how large the fleet is, admits tasks
// whose time has come, releases those that need not wait any more, and takes back
// slots of tasks that were moved behind this package's back. Sweep it about once a second, from one
// process; two at once do no harm if they agree about the fleet. Not safe for
// concurrent use.
type Lanes struct {
	rdb redis.UniversalClient
	log *slog.Logger
	at  map[function.Kind]string // where to go on looking for lost slots
}

// NewLanes makes one. The caller keeps rdb.
func NewLanes(rdb redis.UniversalClient, log *slog.Logger) *Lanes {
	return &Lanes{rdb: rdb, log: log, at: make(map[function.Kind]string)}
}

// Sweep does one round and returns how many tasks it released, at most 10,000
// per queue. What it says about the fleet holds for a minute. The error is
// [fault.Unavailable], or [fault.Internal] for a fleet that cannot be; the count
// is right with it too.
func (l *Lanes) Sweep(ctx context.Context, fleet Fleet) (int, error) {
	if fleet.Capacity < 0 || fleet.SiteLimit < 0 {
		return 0, fault.New(fault.Internal, "sweeping the lanes: a fleet of %+v cannot be", fleet)
	}
	var (
		n    int
		errs []error
	)
	for _, q := range queues {
		for range maxSweeps {
			released, more, err := l.sweep(ctx, q, fleet)
			n += released
			if err != nil {
				errs = append(errs, fault.Wrap(err, fault.Unavailable, "sweeping the lanes of queue %s", q))
			}
			if !more {
				break
			}
		}
	}
	return n, errors.Join(errs...)
}

// sweep runs the script once, and says whether there may be more to do.
func (l *Lanes) sweep(ctx context.Context, kind function.Kind, fleet Fleet) (n int, more bool, err error) {
	at := l.at[kind]
	if at == "" {
		at = "0"
	}
	reply, err := sweepScript.Run(ctx, l.rdb, laneKeys(kind),
		fleet.Capacity, fleet.SiteLimit, fleetAge.Milliseconds(), at, slotBatch, releaseBatch, silentLease).Slice()
	if err != nil {
		return 0, false, err
	}
	next, _ := reply[0].(string)
	released, _ := reply[1].(int64)
	due, _ := reply[2].(int64)
	lost, _ := reply[3].([]any)
	l.at[kind] = next
	for _, id := range lost {
		l.log.Warn("took back the slot of a task that is neither pending nor active", "invocation", id, "queue", string(kind))
	}
	return int(released), released == releaseBatch || due == dueBatch, nil
}

// Withdraw removes a task that waits for its time, for its retry or for its
// turn, and reports whether there is no such task now. false: it is pending,
// active or buried, and stays. Withdrawing twice is the same as once. The error
// is [fault.Unavailable], or [fault.Internal] for a kind that is not queued.
func (c *Client) Withdraw(ctx context.Context, kind function.Kind, id string) (bool, error) {
	if !isQueue(kind) {
		return false, fault.New(fault.Internal, "withdrawing task %s: there is no queue %q", id, kind)
	}
	gone, err := withdrawScript.Run(ctx, c.redis.UniversalClient,
		[]string{taskKeyPrefix(kind) + id, delayedKey(kind), retryKey(kind)}, id).Bool()
	if err != nil {
		return false, fault.Wrap(err, fault.Unavailable, "withdrawing task %s", id)
	}
	return gone, nil
}

// Missing returns those of the IDs that have no task at all, neither waiting nor
// running nor buried, in the order given. It asks in one round trip; a task that
// is being enqueued or settled meanwhile may be in the answer or not. Errors are
// as those of Withdraw.
func (c *Client) Missing(ctx context.Context, kind function.Kind, ids []string) ([]string, error) {
	if !isQueue(kind) {
		return nil, fault.New(fault.Internal, "looking for missing tasks: there is no queue %q", kind)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	found := make([]*redis.IntCmd, len(ids))
	_, err := c.redis.UniversalClient.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, id := range ids {
			found[i] = pipe.Exists(ctx, taskKeyPrefix(kind)+id)
		}
		return nil
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "looking for missing tasks of queue %s", kind)
	}
	var missing []string
	for i, id := range ids {
		if found[i].Val() == 0 {
			missing = append(missing, id)
		}
	}
	return missing, nil
}
