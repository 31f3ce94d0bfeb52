package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/nightshift/nightshift/test/load/installation"
	"github.com/nightshift/nightshift/test/load/meter"
)

// noRewrite keeps Redis from writing its file anew, so that what it grows by is
// what was written.
var noRewrite = []string{"--auto-aof-rewrite-percentage", "0"}

// busy is how much of a core is planned with: the rest is for what comes at once,
// and for what Redis does beside.
const busy = 0.7

// cost measures what an invocation costs each process and Redis.
func (b *bench) cost(ctx context.Context) (err error) {
	o := installation.Options{Gateways: 1, Workers: 1, RedisArgs: noRewrite}
	in, err := b.start(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if b.profiled { // Close gives them no time to be written
		defer func() { err = errors.Join(err, in.Stop(ctx, "worker1")) }()
	}
	if _, err := b.drain(ctx, in, o, b.warming()); err != nil {
		return err
	}
	redis, err := meter.NewRedis(ctx, in.Redis.Addr())
	if err != nil {
		return err
	}
	defer redis.Close()
	before, err := redis.Read(ctx)
	if err != nil {
		return err
	}
	d, err := b.drain(ctx, in, o, b.calls)
	if err != nil {
		return err
	}
	after, err := redis.Read(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("\ncost of an invocation, in a drain of %d calls of 1 KiB over %d connections: %.0f a second\n", b.calls, connections, d.perSecond)
	for _, kind := range kinds {
		fmt.Printf("%12s %6.0f µs\n", kind, d.cost[kind])
	}
	fmt.Printf("%12s %6.0f µs\n", "all", d.total())
	rate := func(kinds ...string) (perSecond float64) {
		sum := 0.0
		for _, kind := range kinds {
			sum += d.cost[kind]
		}
		return busy * 1e6 / sum
	}
	fmt.Printf("with %.0f %% of a core for each: Redis does %.0f a second, a gateway %.0f, a worker with its functions %.0f\n",
		100*busy, rate("redis"), rate("gateway"), rate("worker", "functions"))
	each := func(now, then int64) float64 { return float64(now-then) / float64(b.calls) }
	fmt.Printf("Redis executes %.1f commands, receives %.0f bytes and sends %.0f, keeps %.0f in memory, and writes %.0f into its file\n",
		each(after.Commands, before.Commands), each(after.In, before.In), each(after.Out, before.Out),
		each(after.Memory, before.Memory), each(after.File, before.File))
	return b.sent(ctx, in, o, redis)
}

// sent counts the commands that services send, in a drain that is slower for it.
func (b *bench) sent(ctx context.Context, in *installation.Installation, o installation.Options, redis *meter.Redis) error {
	watch, err := redis.StartWatch()
	if err != nil {
		return err
	}
	_, failed := b.drain(ctx, in, o, b.calls)
	sent, err := watch.Stop()
	if err := errors.Join(failed, err); err != nil {
		return err
	}
	total := 0
	for _, n := range sent {
		total += n
	}
	fmt.Printf("services send it %.2f commands:", float64(total)/float64(b.calls))
	names := slices.SortedFunc(maps.Keys(sent), func(a, b string) int { return sent[b] - sent[a] })
	for _, name := range names {
		if share := float64(sent[name]) / float64(b.calls); share >= 0.005 {
			fmt.Printf(" %s %.2f", name, share)
		}
	}
	fmt.Println()
	return nil
}
