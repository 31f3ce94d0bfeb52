package redis

import (
	"context"
	"errors"
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
	t.Parallel()
	w := newWorld(t)
	redis, err := w.fleet.StartSentinels(t.Context())
	w.must(err)
	wait := []string{"NIGHTSHIFT_REDIS_WAIT_REPLICAS=1"}
	w.start(redis, harness.Setup{Gateways: 2, Workers: 1, Schedulers: 2, Own: map[string][]string{
		"gateway2": wait, "scheduler1": wait, "scheduler2": wait,
	}})
	w.deploy()
	w.eventually(20*time.Second, func() error { return w.accepts(gatewayPlain) })
	w.eventually(20*time.Second, func() error { return w.accepts(gatewayWaits) })

	failures := []*failure{
		{
			name: "kill -9 of the master",
			fail: func(ctx context.Context, master *harness.Node) error { return master.Kill(ctx) },
			heal: func(ctx context.Context, master *harness.Node) error { return master.Restart(ctx) },
		},
		{name: "the master cut off from its replicas, not from the gateways", fail: redis.CutOff, heal: redis.Join},
		{name: "the same with min-replicas-to-write 1", fail: redis.CutOff, heal: redis.Join, minReplicas: 1},
	}
	for _, f := range failures {
		w.failOver(redis, f)
	}
	// Not each time: what a worker had just taken comes back after 30 s.
	for _, f := range failures {
		lostPlain, lostWaits := w.fates(accepted(f.plain), time.Minute), w.fates(accepted(f.waits), time.Minute)
		t.Logf("%s: a new master after %v, accepted again after %v", f.name, f.elected.Round(10*time.Millisecond), f.back.Round(10*time.Millisecond))
		t.Logf("  replication alone: answers %v, accepted and lost %d", tally(f.plain), len(lostPlain))
		t.Logf("  waiting for one replica: answers %v, accepted and lost %d", tally(f.waits), len(lostWaits))
		if len(lostWaits) > 0 {
			t.Errorf("%s: %d calls that a replica had are lost, %s for one", f.name, len(lostWaits), lostWaits[0])
		}
		for status := range tally(append(f.plain, f.waits...)) {
			if status != http.StatusAccepted && status != http.StatusServiceUnavailable {
				t.Errorf("%s: answered %d", f.name, status)
			}
		}
	}
	t.Logf("ticks: none left out, %d ran twice", w.checkTicks())
}

// failure is a way in which a master goes away, and what came of it.
type failure struct {
	name        string
	fail, heal  func(ctx context.Context, master *harness.Node) error
	minReplicas int // without which a master refuses to write

	elected, back time.Duration // since the failure, until there is a master and until all accept
	plain, waits  []answer
}

// failOver lets the master go away under load, and come back as a replica.
func (w *world) failOver(redis *harness.Sentinels, f *failure) {
	w.Helper()
	for _, n := range redis.Nodes {
		w.must(redis.Do(w.Context(), n, "config", "set", "min-replicas-to-write", f.minReplicas))
	}
	master, err := redis.Master(w.Context())
	w.must(err)
	plain := w.callers(4, gatewayPlain, http.MethodPost, work, 20*time.Millisecond)
	waits := w.callers(4, gatewayWaits, http.MethodPost, work, 20*time.Millisecond)
	w.pause(time.Second)
	failed := time.Now()
	w.must(f.fail(w.Context(), master))
	w.eventually(20*time.Second, func() error {
		next, err := redis.Master(w.Context())
		if err == nil && next == master {
			err = errors.New("the master is still the one that failed")
		}
		return err
	})
	f.elected = time.Since(failed)
	w.eventually(20*time.Second, func() error { return w.accepts(gatewayPlain) })
	w.eventually(20*time.Second, func() error { return w.accepts(gatewayWaits) })
	f.back = time.Since(failed)
	w.pause(time.Second)
	f.plain, f.waits = plain.end(), waits.end()
	w.must(f.heal(w.Context(), master))
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	defer cancel()
	w.must(redis.Settled(ctx, 2))
}
