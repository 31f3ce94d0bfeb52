package redis

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/nightshift/nightshift/test/harness"
)

// gatewayWaits is the gateway that waits for a replica before it answers 202;
// gatewayPlain does not.
const (
	gatewayPlain = 0
	gatewayWaits = 1
)

// TestSentinel takes the master away in three ways, while two gateways accept
// calls, and looks at what became of each 202. It logs how long nothing was
// accepted, and how many were lost where losing some is allowed.
func TestSentinel(t *testing.T) {
	w := newWorld(t)
	redis, err := w.fleet.StartSentinels(t.Context())
	w.must(err)
	w.start(redis, harness.Setup{Gateways: 2, Workers: 1, Schedulers: 2, Own: map[string][]string{
		"gateway2": {"NIGHTSHIFT_REDIS_WAIT_REPLICAS=1"},
	}})
	w.deploy()
	w.eventually(20*time.Second, func() error { return w.accepts(gatewayPlain) })
	w.eventually(20*time.Second, func() error { return w.accepts(gatewayWaits) })

	failures := []struct {
		name string
		fail func(ctx context.Context, master *harness.Node) error
		heal func(ctx context.Context, master *harness.Node) error
		// kept says that nothing may be lost without waiting either.
		minReplicas int
	}{
		{
			name: "kill -9 of the master",
			fail: func(ctx context.Context, master *harness.Node) error { return master.Kill(ctx) },
			heal: func(ctx context.Context, master *harness.Node) error { return master.Restart(ctx) },
		},
		{name: "the master cut off from its replicas, not from the gateways", fail: redis.CutOff, heal: redis.Join},
		{name: "the same with min-replicas-to-write 1", fail: redis.CutOff, heal: redis.Join, minReplicas: 1},
	}
	for _, f := range failures {
		for _, n := range redis.Nodes {
			w.must(redis.Do(t.Context(), n, "config", "set", "min-replicas-to-write", f.minReplicas))
		}
		master, err := redis.Master(t.Context())
		w.must(err)
		loads := []*load{
			w.callers(4, gatewayPlain, http.MethodPost, work, 20*time.Millisecond),
			w.callers(4, gatewayWaits, http.MethodPost, work, 20*time.Millisecond),
		}
		w.pause(time.Second)
		failed := time.Now()
		w.must(f.fail(t.Context(), master))
		w.eventually(20*time.Second, func() error {
			next, err := redis.Master(t.Context())
			if err == nil && next == master {
				err = errSame
			}
			return err
		})
		elected := time.Now()
		w.eventually(20*time.Second, func() error { return w.accepts(gatewayPlain) })
		w.eventually(20*time.Second, func() error { return w.accepts(gatewayWaits) })
		back := time.Now()
		w.pause(time.Second)
		plain, waits := loads[0].end(), loads[1].end()
		lostPlain, lostWaits := w.fates(accepted(plain), time.Minute), w.fates(accepted(waits), time.Minute)
		t.Logf("%s: a new master after %v, accepted again after %v", f.name, elected.Sub(failed).Round(10*time.Millisecond), back.Sub(failed).Round(10*time.Millisecond))
		t.Logf("  replication alone: answers %v, accepted and lost %d", tally(plain), len(lostPlain))
		t.Logf("  waiting for one replica: answers %v, accepted and lost %d", tally(waits), len(lostWaits))
		if len(lostWaits) > 0 {
			t.Errorf("%s: %d calls that a replica had are lost, %s for one", f.name, len(lostWaits), lostWaits[0])
		}
		for status := range tally(append(plain, waits...)) {
			if status != http.StatusAccepted && status != http.StatusServiceUnavailable {
				t.Errorf("%s: answered %d", f.name, status)
			}
		}
		w.must(f.heal(t.Context(), master))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err = redis.Settled(ctx, 2)
		cancel()
		w.must(err)
	}
	t.Logf("ticks: none left out, %d ran twice", w.checkTicks())
}
