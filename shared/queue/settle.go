package queue

import (
	"context"
	_ "embed"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// settleTimeout bounds one try to acknowledge, retry, archive or hand back.
const settleTimeout = 5 * time.Second

var (
	//go:embed settle.lua
	settleBody string
	//go:embed forward.lua
	forwardBody string
	//go:embed handback.lua
	handBackSource string

	settleScript   = laneScript(settleBody)
	forwardScript  = laneScript(dueHead + forwardBody)
	handBackScript = redis.NewScript(handBackSource)
)

// settle runs a script that ends a delivery. asynq cancels the context of the
// first try and repeats a failed one under it, which can only fail: then the
// task would run again although it is finished. The deadline of the context is
// that of the lease and stays: what is over belongs to somebody else.
func (c *loopClient) settle(ctx context.Context, keys []string, args []any, run func(context.Context) *redis.Cmd) *redis.Cmd {
	if doneShape.matches(keys, args) && c.settler.took(args[0]) {
		cmd := redis.NewCmd(ctx)
		cmd.SetVal("OK")
		return cmd
	}
	deadline := time.Now().Add(settleTimeout)
	if lease, ok := ctx.Deadline(); ok && lease.Before(deadline) {
		deadline = lease
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()

	cmd := c.settleScript(ctx, keys, args, run)
	if redis.HasErrorPrefix(cmd.Err(), "NOT FOUND") {
		// The task is not active: an earlier try got through and its reply was
		// lost, or the lease was over and the task is somebody else's. Repeating
		// could only take it away from a worker that has it now.
		c.log.Warn("the task was settled before", "key", keys[0])
		cmd.SetErr(nil)
		cmd.SetVal("OK")
	}
	return cmd
}

// settleScript runs our script with what asynq gave its own, or the one thing
// that asynq has no word for, or asynq's own: that puts the task of a handler
// that does not return back into the queue, with its slot.
func (c *loopClient) settleScript(ctx context.Context, keys []string, args []any, run func(context.Context) *redis.Cmd) *redis.Cmd {
	switch {
	case doneShape.matches(keys, args): // ID, expiry of the day's counters
		return c.free(ctx, keys[3], keys[3], args[0], "done", args[1], "", 0, 0)
	case archiveShape.matches(keys, args): // ID, message, time of death, oldest, most, expiry
		return c.free(ctx, keys[4], keys[5], args[0], "archived", args[5], args[1], args[2], 1, args[3], args[4])
	case retryShape.matches(keys, args): // ID, message, time, expiry, whether it failed
		retryAt, ok := args[2].(int64)
		id, named := args[0].(string)
		if !ok || !named {
			return run(ctx)
		}
		kind, _ := splitKey(keys[1])
		if isHandBack(retryAt, time.Now().Unix()) {
			token := c.server + ":" + time.Unix(retryAt, 0).UTC().Format(time.RFC3339)
			return handBackScript.Run(ctx, c.UniversalClient,
				[]string{activeKey(kind), leaseKey(kind), pendingKey(kind), keys[0]}, id, token)
		}
		after := c.due.in(id, retryAt)
		cmd := c.free(ctx, keys[4], keys[5], id, "retry", args[3], args[1], after.Milliseconds(), args[4])
		// Also after an error: it may be written all the same.
		c.looks.in(kind, after)
		if err := cmd.Err(); err == nil || redis.HasErrorPrefix(err, "NOT FOUND") {
			c.due.forget(id)
		}
		return cmd
	default:
		return run(ctx)
	}
}

// free runs settle.lua.
func (c *loopClient) free(ctx context.Context, processed, failed string, args ...any) *redis.Cmd {
	kind, _ := splitKey(processed)
	return settleScript.Run(ctx, c.UniversalClient, laneKeys(kind, processed, failed), args...)
}

// dueTimes remembers when tasks are to run again, from their handler's word to
// the script that writes it. asynq carries it there in whole seconds of this
// machine's clock; Redis is told how long it is from now.
type dueTimes struct{ times sync.Map } // task ID → time.Time

func (d *dueTimes) set(id string, after time.Duration) { d.times.Store(id, time.Now().Add(after)) }
func (d *dueTimes) forget(id string)                   { d.times.Delete(id) }

// in is how long it is until the task is to run again: as its handler said, or
// asynq, when it gave the task up by itself.
func (d *dueTimes) in(id string, retryAt int64) time.Duration {
	at, ok := d.times.Load(id)
	if !ok {
		return max(time.Until(time.Unix(retryAt, 0)), 0)
	}
	// In whole milliseconds, and not early.
	return max(time.Until(at.(time.Time))+time.Millisecond-1, 0).Truncate(time.Millisecond)
}
