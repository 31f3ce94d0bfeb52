package queue

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

const (
	// maxFlights is how many round trips are under way at once. One would make a
	// caller wait for half a foreign round trip on average; many would leave
	// each batch small.
	maxFlights = 2
	// maxBatch and maxBatchBytes bound a round trip: a batch fails as one when it
	// takes longer than its deadline, and events may have hundreds of kilobytes.
	maxBatch      = 256
	maxBatchBytes = 1 << 20
)

// batcher lets concurrent commands share round trips. A caller who finds a
// flight free sends its command alone and at once; those who come while all
// flights are taken wait, and leave together with the next one.
//
// go-redis has AutoPipeline for this. It is not used because it keeps commands
// whose callers have given up: after Redis has hung for some seconds, everything
// that was answered 503 meanwhile would run. Here such a command is withdrawn,
// unless it is on its way already. It also costs a lone caller nothing.
type batcher struct {
	rdb redis.UniversalClient
	// replicas is how many of them must have a task before its caller is told.
	replicas int

	mu      sync.Mutex
	flights int     // under way
	waiting []*call // not empty only while all flights are under way
	running sync.WaitGroup
}

type call struct {
	ctx  context.Context
	cmd  *redis.Cmd
	done chan struct{} // closed when cmd has its result
}

// do runs the command and returns it with its result. If ctx ends before that,
// it returns another command with the context's error: the given one may still
// be written to.
func (b *batcher) do(ctx context.Context, cmd *redis.Cmd) *redis.Cmd {
	b.mu.Lock()
	if b.flights < maxFlights {
		b.flights++
		b.running.Add(1)
		b.mu.Unlock()
		b.alone(ctx, cmd)
		b.landed()
		return cmd
	}
	c := &call{ctx: ctx, cmd: cmd, done: make(chan struct{})}
	b.waiting = append(b.waiting, c)
	b.mu.Unlock()

	select {
	case <-c.done:
		return cmd
	case <-ctx.Done():
		gone := redis.NewCmd(ctx)
		gone.SetErr(ctx.Err())
		return gone
	}
}

// alone sends one command.
func (b *batcher) alone(ctx context.Context, cmd *redis.Cmd) {
	if b.replicas > 0 {
		b.replicated(ctx, []*redis.Cmd{cmd})
		return
	}
	_ = b.rdb.Process(ctx, cmd)
}

// landed ends a flight, or starts the next one with all who wait.
func (b *batcher) landed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		b.flights--
		b.running.Done()
		return
	}
	n := batchLen(b.waiting)
	batch := b.waiting[:n:n]
	b.waiting = b.waiting[n:]
	if len(b.waiting) == 0 {
		b.waiting = nil // let go of the array
	}
	// Not on this goroutine: it is a caller's, whose answer is there.
	go func() {
		b.fly(batch)
		b.landed()
	}()
}

// batchLen says how many of the calls leave together: one at least.
func batchLen(calls []*call) int {
	bytes := 0
	for i, c := range calls[:min(len(calls), maxBatch)] {
		for _, arg := range c.cmd.Args() {
			switch arg := arg.(type) {
			case string:
				bytes += len(arg)
			case []byte:
				bytes += len(arg)
			}
		}
		if bytes > maxBatchBytes {
			return max(i, 1)
		}
	}
	return min(len(calls), maxBatch)
}

func (b *batcher) fly(batch []*call) {
	// Bounded by itself: each caller has a deadline of its own, and a batch must
	// not fail for all when the first one's is over.
	ctx, cancel := context.WithTimeout(context.Background(), enqueueTimeout)
	defer cancel()
	cmds := make([]*redis.Cmd, 0, len(batch))
	for _, c := range batch {
		if err := c.ctx.Err(); err != nil {
			c.cmd.SetErr(err) // given up while waiting: withdrawn
			continue
		}
		cmds = append(cmds, c.cmd)
	}
	switch {
	case len(cmds) == 0:
	case b.replicas > 0:
		b.replicated(ctx, cmds)
	default:
		pipe := b.rdb.Pipeline()
		for _, cmd := range cmds {
			_ = pipe.Process(ctx, cmd)
		}
		_, _ = pipe.Exec(ctx) // each command has its own error
	}
	for _, c := range batch {
		close(c.done)
	}
}

// wait returns when no round trip is under way.
func (b *batcher) wait() { b.running.Wait() }
