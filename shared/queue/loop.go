package queue

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/redis/go-redis/v9"
)

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
	// due remembers when the tasks are to run again whose handlers said so.
	due *dueTimes
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

// onRedisTime translates the time in the script that sets leases: its first argument.
func (c *loopClient) onRedisTime(ctx context.Context, keys []string, args []any) []any {
	if !dequeueShape.matches(keys, args) {
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
	case forwardShape.matches(keys, args), returnShape.matches(keys, args):
		return c.forward(ctx, keys[0])
	case expiredShape.matches(keys, args):
		return c.reap(ctx, keys[0])
	case doneShape.matches(keys, args), retryShape.matches(keys, args), archiveShape.matches(keys, args):
		return c.settle(ctx, keys, args, run)
	case settles: // asynq bounds these by the end of the task's lease
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

// forward moves tasks that are due, in place of asynq's script.
func (c *loopClient) forward(ctx context.Context, source string) *redis.Cmd {
	kind, name := splitKey(source)
	return forwardScript.Run(ctx, c.UniversalClient, laneKeys(kind), name)
}

// reap hands the tasks of dead workers back in place of asynq's own recovery,
// which lists them first and settles each later, by when a reaper may have given
// it to a worker that runs it. asynq asks at its start and once a minute, so that
// nothing is lost for long while no scheduler lives; it is told of no task.
func (c *loopClient) reap(ctx context.Context, lease string) *redis.Cmd {
	kind, _ := splitKey(lease)
	cmd := redis.NewCmd(ctx)
	if _, err := reap(ctx, c.UniversalClient, kind, c.log); err != nil {
		cmd.SetErr(err)
		return cmd
	}
	cmd.SetVal([]any{})
	return cmd
}
