package queue

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/redis/go-redis/v9"
)

// settleTimeout bounds one try to acknowledge, retry, archive or hand back.
const settleTimeout = 5 * time.Second

//go:embed handback.lua
var handBackSource string

var handBackScript = redis.NewScript(handBackSource)

// loopClient is the Redis that one asynq server sees. It is a client and not a
// go-redis hook, so that a parked loop is no slow command in anybody's traces,
// and the caller's client stays as it is.
type loopClient struct {
	redis.UniversalClient
	waker  *waker
	clock  *clock
	server string // unique per server
	log    *slog.Logger
	// rang is the queue that ended the last wait, until it is asked. Only
	// asynq's dequeuing goroutine uses it.
	rang function.Kind
}

// EvalSha is how asynq runs its scripts.
func (c *loopClient) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	args = c.onRedisTime(ctx, keys, args)
	return c.script(ctx, keys, args, func(ctx context.Context) *redis.Cmd {
		return c.UniversalClient.EvalSha(ctx, sha, keys, args...)
	})
}

// Eval is what asynq falls back to when Redis does not know a script yet.
func (c *loopClient) Eval(ctx context.Context, src string, keys []string, args ...any) *redis.Cmd {
	args = c.onRedisTime(ctx, keys, args)
	return c.script(ctx, keys, args, func(ctx context.Context) *redis.Cmd {
		return c.UniversalClient.Eval(ctx, src, keys, args...)
	})
}

// ZAddXX is how asynq extends leases.
func (c *loopClient) ZAddXX(ctx context.Context, key string, members ...redis.Z) *redis.IntCmd {
	if strings.HasSuffix(key, "}:lease") {
		members = slices.Clone(members)
		for i := range members {
			members[i].Score += float64(c.clock.offset(ctx))
		}
	}
	return c.UniversalClient.ZAddXX(ctx, key, members...)
}

// onRedisTime translates the time in scripts that set leases or judge them: it
// is the first argument of each.
func (c *loopClient) onRedisTime(ctx context.Context, keys []string, args []any) []any {
	if !dequeueShape.matches(keys, args) && !expiredShape.matches(keys, args) {
		return args
	}
	local, ok := args[0].(int64)
	if !ok || c.waker.stopped() {
		return args
	}
	args = slices.Clone(args)
	args[0] = local + c.clock.offset(ctx)
	return args
}

func (c *loopClient) script(ctx context.Context, keys []string, args []any, run func(context.Context) *redis.Cmd) *redis.Cmd {
	switch _, settles := ctx.Deadline(); {
	case dequeueShape.matches(keys, args):
		return c.dequeue(ctx, keys[0], run)
	case settles: // asynq bounds only these, by the end of the task's lease
		return c.settle(ctx, keys, args, run)
	default:
		return run(ctx)
	}
}

// dequeue turns asynq's poll into a wait. asynq asks the queues in order of
// priority and pauses for a nanosecond when all are empty; so the answer for the
// last queue is held back until asking again makes sense.
//
// The first round after a wait asks only the queue that ended it. The others
// were empty when the wait began, and their own bell tells when they are not:
// a round trip less before a task starts.
func (c *loopClient) dequeue(ctx context.Context, pending string, run func(context.Context) *redis.Cmd) *redis.Cmd {
	if c.waker.stopped() || c.rang != "" && pending != pendingKey(c.rang) {
		empty := redis.NewCmd(ctx)
		empty.SetErr(redis.Nil)
		return empty
	}
	c.rang = ""
	cmd := run(ctx)
	switch err := cmd.Err(); {
	case err == nil:
		c.waker.took(pending)
	case errors.Is(err, redis.Nil):
		if pending == pendingKey(queues[len(queues)-1]) {
			c.rang = c.waker.park()
		}
	case redis.HasErrorPrefix(err, "NOSCRIPT"):
		// asynq goes on with Eval.
	default:
		// asynq would ask again at once, for as long as Redis is away.
		c.waker.sleep(errorPause)
	}
	return cmd
}

// settle runs a script that ends a delivery. asynq cancels the context of the
// first try and repeats a failed one under it, which can only fail: then the
// task would run again although it is finished. The deadline of the context is
// that of the lease and stays: what is over belongs to somebody else.
func (c *loopClient) settle(ctx context.Context, keys []string, args []any, run func(context.Context) *redis.Cmd) *redis.Cmd {
	deadline := time.Now().Add(settleTimeout)
	if lease, _ := ctx.Deadline(); lease.Before(deadline) {
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

func (c *loopClient) settleScript(ctx context.Context, keys []string, args []any, run func(context.Context) *redis.Cmd) *redis.Cmd {
	if !retryShape.matches(keys, args) {
		return run(ctx)
	}
	retryAt, ok := args[2].(int64)
	if !ok || !isHandBack(retryAt, time.Now().Unix()) {
		return run(ctx)
	}
	task, active, lease := keys[0], keys[1], keys[2]
	pending := lease[:len(lease)-len("lease")] + "pending"
	token := c.server + ":" + time.Unix(retryAt, 0).UTC().Format(time.RFC3339)
	return handBackScript.Run(ctx, c.UniversalClient, []string{active, lease, pending, task}, args[0], token)
}
