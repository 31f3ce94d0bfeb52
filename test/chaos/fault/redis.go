package fault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nightshift/nightshift/test/chaos/proxy"
	"github.com/nightshift/nightshift/test/chaos/system"
	"github.com/nightshift/nightshift/test/harness"
)

// Faults of Redis and of the network before it.
var (
	// CutRedis parts some services from Redis: connections break and new ones are
	// refused, or they stay and carry nothing.
	CutRedis Fault = network{"CutRedis", func(r *rand.Rand) (string, func(*proxy.Proxy)) {
		if r.IntN(2) == 0 {
			return "refused", (*proxy.Proxy).Cut
		}
		return "silent", (*proxy.Proxy).Freeze
	}}
	// SlowRedis makes each round trip of some services late.
	SlowRedis Fault = network{"SlowRedis", func(r *rand.Rand) (string, func(*proxy.Proxy)) {
		by := between(r, 20*time.Millisecond, 400*time.Millisecond).Round(time.Millisecond)
		return fmt.Sprintf("by %v", by), func(p *proxy.Proxy) { p.Slow(by) }
	}}
	// DropReply lets Redis do what some services told it, and loses the answer.
	DropReply Fault = network{"DropReply", func(r *rand.Rand) (string, func(*proxy.Proxy)) {
		one := 4 + r.IntN(30)
		return fmt.Sprintf("one of %d", one), func(p *proxy.Proxy) { p.Drop(lottery(rand.New(rand.NewPCG(r.Uint64(), 0)), one)) }
	}}
	// RestartRedis kills Redis and starts it on its data again.
	RestartRedis Fault = restarted{}
	// SkewedClock moves the clock of Redis, forward or back, and then to where it was.
	SkewedClock Fault = skewed{}
	// SentinelFailover kills the master, waits until the sentinels have made another
	// one, and lets the old one come back as its replica.
	SentinelFailover Fault = failedOver{}
	// FullDisk fills the disk of the blob store.
	FullDisk Fault = filled{}
)

// lottery loses the reply of one command out of so many, of those that write.
func lottery(r *rand.Rand, one int) func(command string) proxy.Fate {
	return func(command string) proxy.Fate {
		if !strings.HasPrefix(command, "eval") || r.IntN(one) > 0 {
			return proxy.Pass
		}
		return pick(r, []proxy.Fate{proxy.Break, proxy.Silence})
	}
}

// network spoils the way of some services to Redis.
type network struct {
	name string
	draw func(r *rand.Rand) (how string, spoil func(*proxy.Proxy))
}

func (n network) Name() string                     { return n.name }
func (network) Available(sys *system.System) error { return sys.OneRedis() }

func (n network) Inject(ctx context.Context, sys *system.System, r *rand.Rand) (string, error) {
	names := sys.Names("gateway", "worker", "scheduler")
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	names = names[:1+r.IntN(len(names))]
	how, spoil := n.draw(r)
	long := between(r, time.Second, 6*time.Second)
	for _, name := range names {
		spoil(sys.Proxy(name))
	}
	wait(ctx, long)
	for _, name := range names {
		sys.Proxy(name).Heal()
	}
	return fmt.Sprintf("%s for %v, %s", strings.Join(names, " "), long.Round(time.Millisecond), how), nil
}

type restarted struct{}

func (restarted) Name() string                       { return "RestartRedis" }
func (restarted) Available(sys *system.System) error { return sys.OneRedis() }

func (restarted) Inject(ctx context.Context, sys *system.System, r *rand.Rand) (string, error) {
	down := between(r, 0, 3*time.Second)
	what := fmt.Sprintf("for %v", down.Round(time.Millisecond))
	if err := sys.Redis.Kill(ctx); err != nil {
		return what, err
	}
	wait(ctx, down)
	return what, sys.Redis.Restart(ctx)
}

type skewed struct{}

func (skewed) Name() string                       { return "SkewedClock" }
func (skewed) Available(sys *system.System) error { return sys.CanSkew() }

func (skewed) Inject(ctx context.Context, sys *system.System, r *rand.Rand) (string, error) {
	ahead := between(r, 3*time.Second, 20*time.Second)
	if r.IntN(2) == 0 {
		ahead = -ahead
	}
	long := between(r, 2*time.Second, 6*time.Second)
	what := fmt.Sprintf("by %v for %v", ahead.Truncate(time.Second), long.Round(time.Millisecond))
	if err := sys.Skew(ahead); err != nil {
		return what, err
	}
	wait(ctx, long)
	return what, sys.Skew(0)
}

type filled struct{}

func (filled) Name() string                       { return "FullDisk" }
func (filled) Available(sys *system.System) error { return sys.CanFill() }

func (filled) Inject(ctx context.Context, sys *system.System, r *rand.Rand) (string, error) {
	long := between(r, 2*time.Second, 8*time.Second)
	what := fmt.Sprintf("for %v", long.Round(time.Millisecond))
	free, err := sys.Fill()
	if err != nil {
		return what, err
	}
	// Nothing may be called ready whose code could not be kept.
	if err := sys.Deploy(ctx); err == nil {
		return what, errors.Join(errors.New("a deploy became ready while the disk was full"), free())
	}
	wait(ctx, long)
	if err := free(); err != nil {
		return what, err
	}
	ctx, cancel := context.WithTimeout(ctx, recovery)
	defer cancel()
	return what, harness.Eventually(ctx, func() error { return sys.Deploy(ctx) })
}

type failedOver struct{}

func (failedOver) Name() string { return "SentinelFailover" }

func (failedOver) Available(sys *system.System) error {
	if sys.Sentinels == nil {
		return errors.New("there are no sentinels")
	}
	return nil
}

func (failedOver) Inject(ctx context.Context, sys *system.System, r *rand.Rand) (string, error) {
	down := between(r, 0, 3*time.Second)
	master, err := sys.Sentinels.Master(ctx)
	if err != nil {
		return "no master", err
	}
	what := fmt.Sprintf("%s, back %v after its successor", master.Addr(), down.Round(time.Millisecond))
	if err := master.Kill(ctx); err != nil {
		return what, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := harness.Eventually(ctx, func() error {
		next, err := sys.Sentinels.Master(ctx)
		if err == nil && next == master {
			err = errors.New("the sentinels have not made another master")
		}
		return err
	}); err != nil {
		return what, err
	}
	wait(ctx, down)
	if err := master.Restart(ctx); err != nil {
		return what, err
	}
	return what, sys.Sentinels.Settled(ctx, 2)
}
