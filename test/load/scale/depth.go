package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nightshift/nightshift/test/load/drive"
	"github.com/nightshift/nightshift/test/load/installation"
	"github.com/nightshift/nightshift/test/load/meter"
)

const (
	worker = "worker1"
	// At each depth so many calls are made one after the other, and so many are
	// let start.
	singles = 1000
	taken   = 3000
)

// depth measures a queue that gets longer and longer.
func (b *bench) depth(ctx context.Context) (err error) {
	o := installation.Options{Gateways: 1, Workers: 1, RedisArgs: noRewrite}
	in, err := b.start(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if err := drive.Warm(ctx, in.URL(0, function), 1, time.Minute); err != nil {
		return err
	}
	if err := in.Stop(ctx, worker); err != nil {
		return err
	}
	redis, err := meter.NewRedis(ctx, in.Redis.Addr())
	if err != nil {
		return err
	}
	defer redis.Close()
	most := b.depths[len(b.depths)-1] + len(b.depths)*(singles+taken)
	sink, err := drive.NewSink(most)
	if err != nil {
		return err
	}
	defer sink.Close()
	q := &long{b: b, in: in, redis: redis, sink: sink}
	fmt.Printf("\ndepth: %d calls one after the other are accepted, and a worker starts %d\n", singles, taken)
	fmt.Printf("%9s %12s %11s %11s %11s %10s %11s\n", "waiting", "bytes each", "accept p50", "accept p99", "Redis", "started/s", "Redis")
	for _, depth := range b.depths {
		if err := q.at(ctx, depth); err != nil {
			return fmt.Errorf("at %d: %w", depth, err)
		}
	}
	return nil
}

// long is a queue and what is known of it.
type long struct {
	b     *bench
	in    *installation.Installation
	redis *meter.Redis
	sink  *drive.Sink
	made  int // calls, of which the sink heard some
}

func (q *long) waiting() int { return q.made - q.sink.Heard() }

// at fills the queue up to a depth, and measures there.
func (q *long) at(ctx context.Context, depth int) error {
	before, err := q.redis.Read(ctx)
	if err != nil {
		return err
	}
	more := max(0, depth-q.waiting())
	if err := q.fill(ctx, more, connections, nil); err != nil {
		return err
	}
	after, err := q.redis.Read(ctx)
	if err != nil {
		return err
	}
	each := "–"
	if more > singles { // else the tables that grow in one go count for too much
		each = fmt.Sprintf("%.0f", float64(after.Memory-before.Memory)/float64(more))
	}
	var took []time.Duration
	accepting, err := q.cpu(func() error { return q.fill(ctx, singles, 1, &took) })
	if err != nil {
		return err
	}
	if err := q.fill(ctx, max(0, taken-q.waiting()), connections, nil); err != nil {
		return err
	}
	var begun time.Time
	starting, err := q.cpu(func() error { begun, err = q.take(ctx); return err })
	if err != nil {
		return err
	}
	perSecond := float64(taken) / time.Since(begun).Seconds()
	if err := q.in.Stop(ctx, worker); err != nil {
		return err
	}
	at := func(p float64) time.Duration {
		return time.Duration(drive.Percentile(took, p)).Round(10 * time.Microsecond)
	}
	fmt.Printf("%9d %12s %11v %11v %8.0f µs %10.0f %8.0f µs\n", depth, each, at(50), at(99),
		float64(accepting.Microseconds())/singles, perSecond, float64(starting.Microseconds())/taken)
	return nil
}

func (q *long) fill(ctx context.Context, calls, connections int, took *[]time.Duration) error {
	if calls == 0 {
		return nil
	}
	waits, err := drive.Fill(ctx, q.sink, q.made, q.made+calls, connections, q.in.URL(0, function))
	q.made += calls
	if took != nil {
		*took = waits
	}
	return err
}

// take lets the worker start some calls, and says when it began with the first.
func (q *long) take(ctx context.Context) (begun time.Time, err error) {
	heard := q.sink.Heard()
	if err := q.in.Services.Again(ctx, worker); err != nil {
		return begun, err
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for q.sink.Heard() < heard+taken {
		if begun.IsZero() && q.sink.Heard() > heard {
			begun = time.Now()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return begun, ctx.Err()
		}
	}
	return begun, nil
}

// cpu is what Redis computes while something is done.
func (q *long) cpu(do func() error) (time.Duration, error) {
	pid, err := q.in.Pid("redis")
	if err != nil {
		return 0, err
	}
	before, err := meter.Of(pid)
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	after, err := meter.Of(pid)
	if err != nil {
		return 0, err
	}
	return after[0].CPU - before[0].CPU, nil
}
