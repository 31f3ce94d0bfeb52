package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nightshift/nightshift/test/load/drive"
	"github.com/nightshift/nightshift/test/load/installation"
	"github.com/nightshift/nightshift/test/load/meter"
)

// function is what all calls are of.
const function = "noop-background"

// start starts an installation of some gateways and workers.
func (b *bench) start(ctx context.Context, o installation.Options) (*installation.Installation, error) {
	o.Bin, o.Site = b.bin, installation.Site()
	o.Env = append(append(o.Env, b.env...), "NIGHTSHIFT_WORKER_CONCURRENCY="+b.concurrency)
	return installation.Start(ctx, o)
}

// processes reads what all processes of an installation have used, by kind: the
// workers together, and so on. Descendants of workers are functions.
func processes(in *installation.Installation, o installation.Options) (map[string]time.Duration, error) {
	names := []string{"scheduler1"}
	for i := range o.Gateways {
		names = append(names, fmt.Sprint("gateway", i+1))
	}
	for i := range o.Workers {
		names = append(names, fmt.Sprint("worker", i+1))
	}
	if in.Redis != nil {
		names = append(names, "redis")
	}
	pids := make([]int, len(names))
	for i, name := range names {
		var err error
		if pids[i], err = in.Pid(name); err != nil {
			return nil, err
		}
	}
	used, err := meter.Of(pids...)
	if err != nil {
		return nil, err
	}
	all := map[string]time.Duration{}
	for i, name := range names {
		kind := strings.TrimRight(name, "0123456789")
		all[kind] += used[i].CPU
		if kind == "worker" {
			all["functions"] += used[i].Family
		} else {
			all[kind] += used[i].Family
		}
	}
	return all, nil
}

// kinds are those of processes, in the order of a call's way.
var kinds = []string{"gateway", "redis", "worker", "functions", "scheduler"}

// drained is what a drain has come to.
type drained struct {
	perSecond float64
	cost      map[string]float64 // µs of CPU for an invocation, by kind
}

func (d drained) total() (sum float64) {
	for _, cost := range d.cost {
		sum += cost
	}
	return sum
}

// settle is for how long processes may still do something about what has started.
const settle = 500 * time.Millisecond

// drain makes calls to all gateways, after as many as it takes to have all
// processes of functions that there will be.
func (b *bench) drain(ctx context.Context, in *installation.Installation, o installation.Options, calls int) (drained, error) {
	before, err := processes(in, o)
	if err != nil {
		return drained{}, err
	}
	run, err := drive.Flood(ctx, calls, connections, targets(in, o)...)
	if err != nil {
		return drained{}, err
	}
	if run.Bad > 0 || run.Started < run.Calls {
		return drained{}, fmt.Errorf("of %d calls %d were refused and %d started: %w", run.Calls, run.Bad, run.Started, run.Why)
	}
	if err := pause(ctx, settle); err != nil {
		return drained{}, err
	}
	after, err := processes(in, o)
	if err != nil {
		return drained{}, err
	}
	d := drained{perSecond: float64(run.Started) / run.Draining.Seconds(), cost: map[string]float64{}}
	for kind, used := range after {
		d.cost[kind] = float64((used - before[kind]).Microseconds()) / float64(calls)
	}
	return d, nil
}

func targets(in *installation.Installation, o installation.Options) []string {
	all := make([]string, o.Gateways)
	for i := range all {
		all[i] = in.URL(i, function)
	}
	return all
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fleet drains with more and more processes.
func (b *bench) fleet(ctx context.Context) error {
	fmt.Printf("\nfleet: %d calls over %d connections; µs of CPU for an invocation\n", b.calls, connections)
	fmt.Printf("%8s %8s %10s", "gateways", "workers", "drained/s")
	for _, kind := range kinds {
		fmt.Printf(" %9s", kind)
	}
	fmt.Printf(" %9s\n", "all")
	for _, size := range [][2]int{{1, 1}, {1, 2}, {1, 4}, {2, 1}, {2, 4}} {
		if err := b.fleetOf(ctx, size[0], size[1]); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) fleetOf(ctx context.Context, gateways, workers int) (err error) {
	o := installation.Options{Gateways: gateways, Workers: workers}
	in, err := b.start(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if _, err := b.drain(ctx, in, o, b.warming()); err != nil {
		return err
	}
	d, err := b.drain(ctx, in, o, b.calls)
	if err != nil {
		return err
	}
	fmt.Printf("%8d %8d %10.0f", gateways, workers, d.perSecond)
	for _, kind := range kinds {
		fmt.Printf(" %9.0f", d.cost[kind])
	}
	fmt.Printf(" %9.0f\n", d.total())
	return nil
}

// warming is how many calls come before those that are measured, so that functions
// have all the processes that they will have.
func (b *bench) warming() int { return b.calls / 10 }
