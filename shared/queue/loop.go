package queue

import (
	"context"
	_ "embed"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/redis/go-redis/v9"
)

const (
	// maxTaken bounds the tasks of one script, during which Redis does nothing else.
	maxTaken = 64
	// takeGap lets slots that come free one shortly after the other be filled by one
	// script, while most of them are taken: what waits then waits for slots anyway.
	takeGap = time.Millisecond
	// emptyFor is how long a queue that was found empty is taken for empty while one
	// behind it is not. The bell tells at once what comes while both are.
	emptyFor = 5 * time.Millisecond
)

var (
	//go:embed take.lua
	takeSource string
	//go:embed untake.lua
	untakeSource string

	takeScript   = redis.NewScript(takeSource)
	untakeScript = redis.NewScript(untakeSource)
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
	// looks says when to look for tasks whose time has come.
	looks *looks
	// settler knows which tasks need not be settled any more. It may be nil.
	settler *Settler

	// slots is how many handlers run at once, and busy how many do, or are about to.
	slots int
	busy  atomic.Int64
	// took is when a script gave us tasks, and empty when one found a queue empty.
	// Only asynq's dequeuing goroutine uses them.
	took  time.Time
	empty map[function.Kind]time.Time
	// taken are tasks that are ours and that asynq has not asked for yet: as many as
	// there were free slots, so they do not wait for anybody. Only asynq's
	// dequeuing goroutine uses it, and giveBack after its end.
	taken []takenTask
}

// takenTask is a task that is taken from the queue.
type takenTask struct {
	kind        function.Kind
	id, message string
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
		kind, _ := splitKey(keys[0])
		return c.dequeue(ctx, kind, func(most int) ([]takenTask, error) { return c.take(ctx, kind, keys, args, most) })
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
//
// asynq asks for one task at a time. A round trip takes as many as there are free
// slots, so that those which come free together are filled together.
func (c *loopClient) dequeue(ctx context.Context, kind function.Kind, take func(most int) ([]takenTask, error)) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	if len(c.taken) > 0 {
		c.answer(cmd, kind)
		return cmd
	}
	if c.waker.stopped() || c.rang != "" && kind != c.rang {
		cmd.SetErr(redis.Nil)
		return cmd
	}
	last := kind == queues[len(queues)-1]
	if c.rang == "" {
		if !last && time.Since(c.empty[kind]) < emptyFor {
			cmd.SetErr(redis.Nil)
			return cmd
		}
		if wait := takeGap - time.Since(c.took); wait > 0 && 2*c.room() < c.slots {
			c.waker.sleep(wait)
		}
	}
	c.rang = ""
	var err error
	c.taken, err = take(min(c.room(), maxTaken))
	switch {
	case err == nil && len(c.taken) > 0:
		c.took = time.Now()
		c.waker.took(kind)
		c.answer(cmd, kind)
		return cmd
	case err == nil:
		err = redis.Nil
		if !last {
			c.empty[kind] = time.Now()
		}
		if last {
			c.rang = c.waker.park()
		}
	default:
		// asynq would ask again at once, for as long as Redis is away.
		c.waker.sleep(errorPause)
	}
	cmd.SetErr(err)
	return cmd
}

// room is how many slots there are for more tasks: one at least, asynq's, that asks.
func (c *loopClient) room() int { return max(c.slots-int(c.busy.Load()), 1) }

// take takes tasks with what asynq gave its own script.
func (c *loopClient) take(ctx context.Context, kind function.Kind, keys []string, args []any, most int) (tasks []takenTask, err error) {
	list, err := takeScript.Run(ctx, c.UniversalClient, keys, append(slices.Clip(args), most)...).StringSlice()
	for pair := range slices.Chunk(list, 2) {
		tasks = append(tasks, takenTask{kind, pair[0], pair[1]})
	}
	return tasks, err
}

// answer gives asynq the first of the tasks that are taken, if it is of that queue.
func (c *loopClient) answer(cmd *redis.Cmd, kind function.Kind) {
	if c.taken[0].kind != kind {
		cmd.SetErr(redis.Nil)
		return
	}
	cmd.SetVal(c.taken[0].message)
	c.taken = c.taken[1:]
	c.busy.Add(1)
}

// returned notes that a handler has returned.
func (c *loopClient) returned() { c.busy.Add(-1) }

// giveBack puts tasks that nobody has asked for back to the head of their queue.
// Where Redis is away, the reaper does it.
func (c *loopClient) giveBack() {
	ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
	defer cancel()
	for _, t := range slices.Backward(c.taken) {
		if err := untakeScript.Run(ctx, c.UniversalClient, []string{queuePrefix(t.kind)}, t.id).Err(); err != nil {
			c.log.Warn("a task could not be given back; it waits until its lease is over", "queue", string(t.kind), "error", err)
			return
		}
	}
	c.taken = nil
}

// forward moves tasks that are due, in place of asynq's script, which asynq runs
// for one set and then for the other, until it moves nothing.
func (c *loopClient) forward(ctx context.Context, source string) *redis.Cmd {
	kind, name := splitKey(source)
	cmd := redis.NewCmd(ctx)
	cmd.SetVal(int64(0))
	if name != "scheduled" || !c.looks.due(kind) {
		return cmd
	}
	reply, err := forwardScript.Run(ctx, c.UniversalClient, laneKeys(kind)).Int64Slice()
	if err != nil {
		c.looks.in(kind, 0)
		cmd.SetErr(err)
		return cmd
	}
	c.looks.in(kind, time.Duration(reply[1])*time.Millisecond)
	cmd.SetVal(reply[0])
	return cmd
}

// reap hands the tasks of dead workers back in place of asynq's own recovery,
// which lists them first and settles each later, by when a reaper may have given
// it to a worker that runs it. asynq asks at its start and once a minute, so that
// nothing is lost for long while no scheduler lives; it is told of no task.
func (c *loopClient) reap(ctx context.Context, lease string) *redis.Cmd {
	kind, _ := splitKey(lease)
	cmd := redis.NewCmd(ctx)
	if _, _, err := reap(ctx, c.UniversalClient, kind, c.log); err != nil {
		cmd.SetErr(err)
		return cmd
	}
	cmd.SetVal([]any{})
	return cmd
}
