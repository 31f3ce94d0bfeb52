package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/nightshift/nightshift/test/load/installation"
)

// ours is the system that is measured, and the name of its results.
const ours = "nightshift"

// older is the name of results of an older build of ours.
const older = "before"

// startOurs starts a gateway, a scheduler, and a worker if there are to be any.
func startOurs(ctx context.Context, b *bench, workers bool) (*running, error) {
	return b.startBuild(ctx, b.bin, workers)
}

func startOlder(ctx context.Context, b *bench, workers bool) (*running, error) {
	return b.startBuild(ctx, b.before, workers)
}

func (b *bench) startBuild(ctx context.Context, bin string, workers bool) (*running, error) {
	return b.install(ctx, installation.Options{Bin: bin, Site: installation.Site(), Workers: map[bool]int{true: 1}[workers]})
}

// install starts an installation with one gateway.
func (b *bench) install(ctx context.Context, o installation.Options) (*running, error) {
	o.Gateways = 1
	if b.concurrency > 0 {
		o.Env = append(o.Env, fmt.Sprint("NIGHTSHIFT_WORKER_CONCURRENCY=", b.concurrency))
	}
	in, err := installation.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	r := &running{target: in.URL(0, filepath.Base(backgroundPath)), redis: in.Redis.Addr(), close: in.Close}
	names := [][2]string{{"redis", "redis"}, {"gateway", "gateway1"}, {"scheduler", "scheduler1"}}
	if o.Workers > 0 {
		names = append(names, [2]string{"worker", "worker1"})
	}
	for _, name := range names {
		pid, err := in.Pid(name[1])
		if err != nil {
			return nil, errors.Join(err, in.Close())
		}
		r.processes = append(r.processes, process{name[0], pid})
	}
	return r, nil
}
