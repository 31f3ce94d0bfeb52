// Package script runs Lua scripts that serve several callers at once: in one round
// trip ([Batcher]), and with steps of other packages riding in them ([Template]).
package script

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// Flights is how many round trips a Batcher has under way at once by default. One
	// would make a caller wait for half a foreign round trip on average; many would
	// leave each batch small.
	Flights = 2
	// maxBatch and maxBatchBytes bound a round trip: a batch fails as one when it
	// takes longer than its deadline, and events may have hundreds of kilobytes.
	maxBatch      = 256
	maxBatchBytes = 1 << 20
	// maxScript bounds the calls of one script, during which Redis does nothing
	// else: some milliseconds.
	maxScript = 32
)

// Config configures a Batcher.
type Config struct {
	Redis redis.UniversalClient
	// Flights is how many round trips may be under way at once. Default [Flights];
	// with more than there are callers each call is a round trip.
	Flights int
	// Timeout bounds a round trip that is made for several callers.
	Timeout time.Duration
	// Gap is the least time between the starts of two round trips. Who comes after a
	// longer pause leaves at once; of those who come one after the other, more leave
	// together, for as much waiting. Default: none.
	Gap time.Duration
	// Send sends commands in one round trip. Default: [Send].
	Send func(ctx context.Context, cmds []redis.Cmder)
}

// Batcher lets concurrent calls share round trips and scripts. A caller who finds
// a flight free sends its call alone and at once; those who come while all
// flights are taken wait, and leave together with the next one.
//
// go-redis has AutoPipeline for this. It is not used because it keeps commands
// whose callers have given up: after Redis has hung for some seconds, everything
// that was answered 503 meanwhile would run. Here such a call is withdrawn,
// unless it is on its way already. It also costs a lone caller nothing.
//
// What is on its way to a Redis that does not answer runs when that wakes up,
// long after its caller was told 503. So after a flight without an answer the
// next one carries a single call, until one is answered.
//
// It is safe for concurrent use.
type Batcher struct {
	cfg Config

	mu      sync.Mutex
	flights int       // under way
	left    time.Time // when the last flight did
	waiting []*call   // not empty only while all flights are under way, or a gap is kept
	silent  bool      // the last flight that ended had no answer in time
	running sync.WaitGroup
}

// NewBatcher makes a Batcher.
func NewBatcher(cfg Config) *Batcher {
	if cfg.Flights == 0 {
		cfg.Flights = Flights
	}
	if cfg.Send == nil {
		cfg.Send = func(ctx context.Context, cmds []redis.Cmder) { Send(ctx, cfg.Redis, cmds) }
	}
	return &Batcher{cfg: cfg}
}

// Call is what one caller wants of a script.
type Call struct {
	Script *Script
	// Shared are the script's first keys, one at least. Calls that share them and the
	// script may be served by one run of it.
	Shared []string
	// Keys and Args are the call's own, which stand behind those of the calls before it.
	Keys []string
	Args []any
	// Then, if not nil, is a command that follows the script in the same round trip,
	// and again if that has to be sent again. It has an answer of its own, once the
	// call has one. What a script only hands on is better read this way: what goes
	// through Lua costs Redis several times as much.
	Then redis.Cmder
}

// call is a Call that is made.
type call struct {
	Call
	ctx  context.Context
	done chan struct{} // closed when the call has its result:

	result any
	err    error
}

// Do makes the call and returns its element of the script's result, or the
// context's error if ctx ends before there is one.
func (b *Batcher) Do(ctx context.Context, wanted Call) (result any, err error) {
	c := &call{Call: wanted, ctx: ctx}
	b.mu.Lock()
	free := b.flights < b.cfg.Flights
	if free {
		b.flights++
		b.running.Add(1)
	}
	if free && b.gap() == 0 {
		b.left = b.now()
		b.mu.Unlock()
		b.send(ctx, []*call{c})
		b.landed()
		return c.result, c.err
	}
	c.done = make(chan struct{})
	b.waiting = append(b.waiting, c)
	b.mu.Unlock()
	if free {
		b.landed()
	}

	select {
	case <-c.done:
		return c.result, c.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// now is only asked where there is a gap to keep.
func (b *Batcher) now() (t time.Time) {
	if b.cfg.Gap > 0 {
		t = time.Now()
	}
	return t
}

// gap is how long the next flight has to wait. The caller holds mu.
func (b *Batcher) gap() time.Duration {
	if b.cfg.Gap == 0 {
		return 0
	}
	return max(b.cfg.Gap-time.Since(b.left), 0)
}

// landed ends a flight, or starts the next one with all who wait, now or when the
// gap is over.
func (b *Batcher) landed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		b.flights--
		b.running.Done()
		return
	}
	if wait := b.gap(); wait > 0 {
		time.AfterFunc(wait, b.landed)
		return
	}
	b.left = b.now()
	n := batchLen(b.waiting)
	if b.silent {
		n = firstOf(b.waiting)
	}
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
		for _, arg := range c.Args {
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

// firstOf says how many of the calls leave so that one does: those that were given
// up while waiting are withdrawn.
func firstOf(calls []*call) int {
	for i, c := range calls {
		if c.ctx.Err() == nil {
			return i + 1
		}
	}
	return len(calls)
}

func (b *Batcher) fly(batch []*call) {
	// Bounded by itself: each caller has a deadline of its own, and a batch must
	// not fail for all when the first one's is over.
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.Timeout)
	defer cancel()
	calls := make([]*call, 0, len(batch))
	for _, c := range batch {
		if c.err = c.ctx.Err(); c.err == nil { // else it was given up while waiting: withdrawn
			calls = append(calls, c)
		}
	}
	b.send(ctx, calls)
	for _, c := range batch {
		close(c.done)
	}
}

// send makes the calls, in one round trip, or two when Redis does not know a
// script.
func (b *Batcher) send(ctx context.Context, calls []*call) {
	groups := grouped(calls)
	b.run(ctx, groups, false)
	unknown := groups[:0]
	for _, g := range groups {
		if redis.HasErrorPrefix(g.cmd.Err(), "NOSCRIPT") {
			unknown = append(unknown, g)
			continue
		}
		g.tell()
	}
	b.run(ctx, unknown, true)
	for _, g := range unknown {
		g.tell()
	}
	if len(calls) == 0 {
		return
	}
	silent := slices.ContainsFunc(calls, func(c *call) bool { return timedOut(c.err) })
	b.mu.Lock()
	b.silent = silent
	b.mu.Unlock()
}

// timedOut reports whether an error is that nobody answered in time.
func timedOut(err error) bool {
	network, ok := errors.AsType[net.Error](err)
	return ok && network.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

// run sends the scripts of the groups, by their source or by its digest.
func (b *Batcher) run(ctx context.Context, groups []*group, source bool) {
	cmds := make([]redis.Cmder, 0, len(groups))
	for _, g := range groups {
		cmds = append(cmds, g.command(ctx, source))
		for _, c := range g.calls {
			if c.Then != nil {
				cmds = append(cmds, c.Then)
			}
		}
	}
	if len(cmds) > 0 {
		b.cfg.Send(ctx, cmds)
	}
}

// Send sends commands in one round trip. Each has its own answer or error.
func Send(ctx context.Context, rdb redis.UniversalClient, cmds []redis.Cmder) {
	if len(cmds) == 1 {
		_ = rdb.Process(ctx, cmds[0])
		return
	}
	pipe := rdb.Pipeline()
	for _, cmd := range cmds {
		_ = pipe.Process(ctx, cmd)
	}
	_, _ = pipe.Exec(ctx)
}

// group is the calls that one script serves.
type group struct {
	calls []*call
	cmd   *redis.Cmd
}

// grouped puts together what shares script and keys, in the order of the calls.
func grouped(calls []*call) []*group {
	var groups []*group
next:
	for _, c := range calls {
		for _, g := range groups {
			if first := g.calls[0]; first.Script == c.Script && slices.Equal(first.Shared, c.Shared) && len(g.calls) < maxScript {
				g.calls = append(g.calls, c)
				continue next
			}
		}
		groups = append(groups, &group{calls: []*call{c}})
	}
	return groups
}

func (g *group) command(ctx context.Context, source bool) *redis.Cmd {
	first := g.calls[0]
	keys, args := len(first.Shared), 0
	for _, c := range g.calls {
		keys += len(c.Keys)
		args += len(c.Args)
	}
	all := make([]any, 0, 3+keys+args)
	if source {
		all = append(all, "eval", first.Script.source, keys)
	} else {
		all = append(all, "evalsha", first.Script.digest, keys)
	}
	for _, key := range first.Shared {
		all = append(all, key)
	}
	for _, c := range g.calls {
		for _, key := range c.Keys {
			all = append(all, key)
		}
	}
	for _, c := range g.calls {
		all = append(all, c.Args...)
	}
	g.cmd = redis.NewCmd(ctx, all...)
	g.cmd.SetFirstKeyPos(3) // a cluster sends the command to the node of this key
	return g.cmd
}

// tell gives each call what the script answered for it.
func (g *group) tell() {
	results, err := g.cmd.Slice()
	if err == nil && len(results) != len(g.calls) {
		err = fmt.Errorf("a script answered %d results for %d calls (user_script)", len(results), len(g.calls))
	}
	for i, c := range g.calls {
		if err != nil {
			c.err = err
			continue
		}
		if c.err, _ = results[i].(error); c.err == nil {
			c.result = results[i]
		}
	}
}

// Wait returns when no round trip is under way.
func (b *Batcher) Wait() { b.running.Wait() }
