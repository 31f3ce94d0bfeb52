package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/nightshift/nightshift/test/harness"
	"github.com/nightshift/nightshift/test/load/installation"
	"github.com/nightshift/nightshift/test/load/meter"
)

// masters are those of a cluster, which are the first of its nodes.
const masters = 3

// cluster drains on a Redis Cluster, and shows what each master does of it.
func (b *bench) cluster(ctx context.Context) (err error) {
	var fleet harness.Fleet
	defer func() { err = errors.Join(err, fleet.Close()) }()
	c, err := fleet.StartCluster(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fleet.Close(), c.Remove()) }()
	o := installation.Options{Gateways: 1, Workers: 1, Redis: c.URL()}
	in, err := b.start(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if _, err := b.drain(ctx, in, o, b.warming()); err != nil {
		return err
	}
	before, err := readMasters(ctx, &fleet, c)
	if err != nil {
		return err
	}
	d, err := b.drain(ctx, in, o, b.calls)
	if err != nil {
		return err
	}
	after, err := readMasters(ctx, &fleet, c)
	if err != nil {
		return err
	}
	fmt.Printf("\ncluster of %d masters with a replica each: %d calls over %d connections, %.0f a second\n", masters, b.calls, connections, d.perSecond)
	fmt.Printf("%8s %12s %12s %12s %12s\n", "master", "CPU", "commands", "bytes kept", "bytes in")
	each := func(now, then int64) float64 { return float64(now-then) / float64(b.calls) }
	for i := range masters {
		was, is := before[i], after[i]
		fmt.Printf("%8d %9.0f µs %12.1f %12.0f %12.0f\n", i+1, each(is.cpu, was.cpu),
			each(is.Commands, was.Commands), each(is.Memory, was.Memory), each(is.In, was.In))
	}
	return nil
}

// node is what a server has done.
type node struct {
	meter.Counters
	cpu int64 // µs
}

func readMasters(ctx context.Context, fleet *harness.Fleet, c *harness.Cluster) ([masters]node, error) {
	var all [masters]node
	for i := range masters {
		p, err := fleet.Process(fmt.Sprint("redis", i+1))
		if err != nil {
			return all, err
		}
		used, err := meter.Of(p.Pid())
		if err != nil {
			return all, err
		}
		redis, err := meter.NewRedis(ctx, c.Nodes[i].Addr())
		if err != nil {
			return all, err
		}
		counters, err := redis.Read(ctx)
		redis.Close()
		if err != nil {
			return all, err
		}
		all[i] = node{counters, (used[0].CPU + used[0].Family).Microseconds()}
	}
	return all, nil
}
