// Package fault breaks things. Each fault is a value with a name that knows
// whether it can be injected here, and does so once, drawing whom it strikes and
// how from a source of chance that the seed of the run determines.
//
// A fault is over when Inject returns: what it broke is whole again, processes
// that it killed are started. Around it, the health of the system is checked.
package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nightshift/nightshift/test/chaos/history"
	"github.com/nightshift/nightshift/test/chaos/system"
)

// Fault is one way to break a system.
type Fault interface {
	Name() string
	// Available says why the fault cannot be injected into the system, or nil.
	Available(sys *system.System) error
	// Inject breaks something, waits, and mends it. It returns what it did, also
	// with an error, which means that it could not be done or mended.
	Inject(ctx context.Context, sys *system.System, r *rand.Rand) (what string, err error)
}

// recovery is how long a system may take to be ready after a fault is mended,
// on a machine that may have much else to do. What it really took is reported.
const recovery = 2 * time.Minute

// All are the faults that take seconds. They are injected one after the other.
func All() []Fault {
	return []Fault{
		KillWorker, KillLeader, KillGateway, PauseLeader,
		CutRedis, SlowRedis, DropReply, RestartRedis, FullDisk, SkewedClock, SentinelFailover,
	}
}

// Long are the faults that take longer than a lease. They are injected beside
// the others.
func Long() []Fault { return []Fault{PauseWorker} }

// Named finds faults by their names.
func Named(names []string) ([]Fault, error) {
	var found []Fault
next:
	for _, name := range names {
		for _, f := range append(All(), Long()...) {
			if f.Name() == name {
				found = append(found, f)
				continue next
			}
		}
		return nil, fmt.Errorf("there is no fault %s", name)
	}
	return found, nil
}

// Inject injects one fault, checks health before and after, and notes it in the
// history of the system.
func Inject(ctx context.Context, sys *system.System, f Fault, r *rand.Rand) error {
	if err := healthy(ctx, sys); err != nil {
		return fmt.Errorf("before %s: %w", f.Name(), err)
	}
	noted := history.Fault{Name: f.Name(), Begun: time.Now()}
	var err error
	noted.What, err = f.Inject(ctx, sys, r)
	noted.Healed = time.Now()
	if err == nil {
		err = healthy(ctx, sys)
	}
	noted.Healthy = time.Now()
	if err != nil {
		noted.Err = err.Error()
		err = fmt.Errorf("%s, %s: %w", f.Name(), noted.What, err)
	}
	sys.History.Fault(noted)
	return err
}

func healthy(ctx context.Context, sys *system.System) error {
	ctx, cancel := context.WithTimeout(ctx, recovery)
	defer cancel()
	return sys.Healthy(ctx)
}

// Run injects faults one after the other, with pauses, until enough ends, and
// lets the last one be mended. The order, and all that the faults draw, follow
// from the source of chance alone. The faults come in rounds, so that each has
// its turn. The error is that of a fault that could not be mended.
func Run(ctx context.Context, enough <-chan struct{}, sys *system.System, faults []Fault, gap time.Duration, r *rand.Rand) error {
	if len(faults) == 0 {
		return nil
	}
	for {
		for _, i := range r.Perm(len(faults)) {
			own := rand.New(rand.NewPCG(r.Uint64(), r.Uint64()))
			timer := time.NewTimer(gap/2 + time.Duration(r.Int64N(int64(gap))))
			select {
			case <-enough:
				timer.Stop()
				return nil
			case <-ctx.Done():
				timer.Stop()
				return ctx.Err()
			case <-timer.C:
			}
			if err := Inject(ctx, sys, faults[i], own); err != nil {
				return err
			}
		}
	}
}

// between draws a duration.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)+1))
}

// pick draws one of several.
func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// wait lets a fault last. It ends early with ctx: then it is mended at once.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// always is available everywhere.
type always struct{ name string }

func (a always) Name() string                 { return a.name }
func (always) Available(*system.System) error { return nil }
