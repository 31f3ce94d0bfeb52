package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nightshift/nightshift/test/chaos/system"
)

// Faults of processes.
var (
	// KillWorker kills a worker and starts it again after some seconds. The last
	// worker is spared where there are several: PauseWorker has it.
	KillWorker Fault = killed{always{"KillWorker"}, func(sys *system.System, r *rand.Rand) (string, error) {
		return pick(r, others(sys.Names("worker"))), nil
	}}
	// KillLeader kills the scheduler that leads.
	KillLeader Fault = killed{always{"KillLeader"}, leader}
	// KillGateway kills a gateway.
	KillGateway Fault = killed{always{"KillGateway"}, func(sys *system.System, r *rand.Rand) (string, error) {
		return pick(r, sys.Names("gateway")), nil
	}}
	// PauseWorker freezes the last worker for longer than its leases last, alone
	// or with its functions.
	PauseWorker Fault = paused{always{"PauseWorker"}, 34 * time.Second, 45 * time.Second, func(sys *system.System, _ *rand.Rand) (string, error) {
		workers := sys.Names("worker")
		return workers[len(workers)-1], nil
	}}
	// PauseLeader freezes the scheduler that leads for longer than its lock lasts:
	// it comes back as one that believes to lead.
	PauseLeader Fault = paused{always{"PauseLeader"}, 6 * time.Second, 9 * time.Second, leader}
)

func leader(sys *system.System, _ *rand.Rand) (string, error) { return sys.Leader() }

// others leaves the last one out, if there are others.
func others(names []string) []string { return names[:max(1, len(names)-1)] }

type killed struct {
	always
	whom func(sys *system.System, r *rand.Rand) (string, error)
}

func (k killed) Inject(ctx context.Context, sys *system.System, r *rand.Rand) (string, error) {
	name, err := k.whom(sys, r)
	down := between(r, 0, 3*time.Second)
	what := fmt.Sprintf("%s for %v", name, down.Round(time.Millisecond))
	if err != nil {
		return what, err
	}
	if err := sys.Kill(ctx, name); err != nil {
		return what, err
	}
	wait(ctx, down)
	ctx, cancel := context.WithTimeout(ctx, recovery)
	defer cancel()
	return what, sys.Again(ctx, name)
}

type paused struct {
	always
	least, most time.Duration
	whom        func(sys *system.System, r *rand.Rand) (string, error)
}

func (p paused) Inject(ctx context.Context, sys *system.System, r *rand.Rand) (string, error) {
	name, err := p.whom(sys, r)
	long, family := between(r, p.least, p.most), r.IntN(2) == 0
	what := fmt.Sprintf("%s for %v, with its functions: %t", name, long.Round(time.Millisecond), family)
	if err != nil {
		return what, err
	}
	if err := sys.Stop(name, family); err != nil {
		return what, err
	}
	wait(ctx, long)
	return what, sys.Continue(name, family)
}
