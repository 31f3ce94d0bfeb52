package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nightshift/nightshift/test/load/installation"
	"github.com/nightshift/nightshift/test/load/meter"
)

// idleFor is how long an installation is watched to which nothing happens.
const idleFor = 30 * time.Second

// idle counts what is sent to Redis while nothing happens, by how many there are.
func (b *bench) idle(ctx context.Context) error {
	fmt.Printf("\nidle, with one scheduler, for %v\n%8s %8s %12s %12s\n", idleFor, "gateways", "workers", "commands/s", "Redis")
	for _, size := range [][2]int{{1, 1}, {1, 4}, {2, 1}} {
		if err := b.idleOf(ctx, size[0], size[1]); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) idleOf(ctx context.Context, gateways, workers int) (err error) {
	o := installation.Options{Gateways: gateways, Workers: workers}
	in, err := b.start(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	// So that what comes with the first calls is over.
	if _, err := b.drain(ctx, in, o, b.warming()); err != nil {
		return err
	}
	redis, err := meter.NewRedis(ctx, in.Redis.Addr())
	if err != nil {
		return err
	}
	defer redis.Close()
	before, err := processes(in, o)
	if err != nil {
		return err
	}
	watch, err := redis.StartWatch()
	if err != nil {
		return err
	}
	waited := pause(ctx, idleFor)
	sent, err := watch.Stop()
	if err := cmp.Or(waited, err); err != nil {
		return err
	}
	after, err := processes(in, o)
	if err != nil {
		return err
	}
	total := 0
	for _, n := range sent {
		total += n
	}
	fmt.Printf("%8d %8d %12.1f %10.2f %%\n", gateways, workers, float64(total)/idleFor.Seconds(),
		100*(after["redis"]-before["redis"]).Seconds()/idleFor.Seconds())
	return nil
}
