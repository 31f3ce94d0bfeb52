package chaos

import (
	"testing"
	"time"

	"github.com/nightshift/nightshift/test/chaos/fault"
	"github.com/nightshift/nightshift/test/chaos/scenario"
	"github.com/nightshift/nightshift/test/chaos/system"
	"github.com/nightshift/nightshift/test/chaos/traffic"
	"github.com/nightshift/nightshift/test/chaos/validate"
)

// TestFailover lets masters die under sentinels while a 202 waits for one
// replica: nothing that was accepted is lost.
func TestFailover(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes a minute")
	}
	run(t, scenario.Scenario{
		Name: t.Name(), Seed: drawSeed(), Log: t.Logf,
		Shape:      system.Shape{Gateways: 1, Workers: 2, Schedulers: 2, Concurrency: 2, Processes: 6, Sentinels: true},
		Traffic:    traffic.Profile{Invocations: 200, Duration: 60 * time.Second, Backlog: 100},
		Faults:     []fault.Fault{fault.SentinelFailover, fault.KillWorker, fault.KillLeader},
		Gap:        2 * time.Second,
		Drain:      3 * time.Minute,
		Invariants: validate.AfterFailover(),
	})
}
