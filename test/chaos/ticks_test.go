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

// TestTicks lets fifty schedules fire each second while leaders are killed and
// stopped: none misses a second, and none fires twice. It is alone, because so
// many ticks need much of a small machine.
func TestTicks(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	run(t, scenario.Scenario{
		Name: t.Name(), Seed: drawSeed(), Log: t.Logf,
		Shape:   system.Shape{Gateways: 1, Workers: 1, Schedulers: 3, Concurrency: 8, Processes: 80},
		Traffic: traffic.Profile{Invocations: int(*tickTime / time.Second), Duration: *tickTime, Schedules: 50},
		Faults:  []fault.Fault{fault.KillLeader, fault.PauseLeader},
		Gap:     1500 * time.Millisecond, Drain: 3 * time.Minute, Invariants: validate.Always(),
	})
}
