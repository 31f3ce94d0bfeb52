package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/test/harness"
)

// stubborn runs until it is killed, and so does the child that it starts.
const stubborn = `
import { spawn } from 'node:child_process';

export default async (request, context) => {
  process.on('SIGTERM', () => {});
  const child = spawn('sh', ['-c', 'trap "" TERM; sleep 600 & wait; sleep 600'], { stdio: 'ignore' });
  await new Promise((resolve) => child.once('spawn', resolve));
  await fetch('@COLLECTOR@/?id=' + context.requestId + '&pid=' + process.pid + '&child=' + child.pid);
  await new Promise(() => setInterval(() => {}, 1000));
};
`

const quick = `
export default async (request, context) => {
  await fetch('@COLLECTOR@/?id=' + context.requestId + '&attempt=' + context.attempt);
};
`

// cancelled is how long a cancelled attempt may still run.
const cancelled = time.Second

// TestCancelRunning cancels attempts that do not listen to anything, on a worker
// that hears of it and on one to which the message is lost.
func TestCancelRunning(t *testing.T) {
	t.Parallel()
	s := launch(t, harness.Setup{Gateways: 1, Workers: 2, Env: []string{"NIGHTSHIFT_WORKER_CONCURRENCY=1"}},
		map[string]string{"netlify/functions/stubborn-background.mjs": stubborn}, "worker2")
	took := map[string][]time.Duration{}
	for range 5 {
		// Each worker runs one of two at a time.
		both := []string{s.call("stubborn-background"), s.call("stubborn-background")}
		seen := map[string]bool{}
		for _, location := range both {
			r := s.started(30*time.Second, location, 1)
			process, child := s.descendant(r.number("pid")), s.descendant(r.number("child"))
			worker := s.owner(r.number("pid")).Name
			seen[worker] = true
			s.cancel(location)
			took[worker] = append(took[worker], s.ends(20*time.Second, "after a cancellation", process, child))
			if inv := s.await(10*time.Second, location, "cancelled"); outcomes(inv) != "cancelled" {
				t.Errorf("outcomes %q, want cancelled", outcomes(inv))
			}
		}
		if len(seen) != 2 {
			t.Fatalf("both ran on the same worker: %v", seen)
		}
	}
	for worker, all := range took {
		slices.Sort(all)
		t.Logf("cancelled on %s: processes were gone after %v (median), at most %v", worker, all[len(all)/2], all[len(all)-1])
		// The median, so that a busy machine may be slow once.
		if all[len(all)/2] > cancelled {
			t.Errorf("cancelled on %s: processes were gone after %v, want %v", worker, all, cancelled)
		}
	}
	if s.deaf["worker2"].Lost() < 5 {
		t.Errorf("%d messages were lost on the way to worker2, want all 5", s.deaf["worker2"].Lost())
	}
}

// TestCancelQueued cancels what waits behind something else.
func TestCancelQueued(t *testing.T) {
	t.Parallel()
	s := launch(t, harness.Setup{Gateways: 1, Workers: 2, Env: []string{"NIGHTSHIFT_WORKER_CONCURRENCY=1"}}, map[string]string{
		"netlify/functions/stubborn-background.mjs": stubborn,
		"netlify/functions/quick-background.mjs":    quick,
	})
	running := []string{s.call("stubborn-background"), s.call("stubborn-background")}
	for _, location := range running {
		s.started(30*time.Second, location, 1)
	}
	var waiting []string
	for range 6 {
		waiting = append(waiting, s.call("quick-background"))
	}
	for _, location := range waiting[:5] {
		s.cancel(location)
		s.await(time.Second, location, "cancelled")
	}
	for _, location := range running {
		s.cancel(location)
	}
	// The queue is served in order: when the last has run, the others would have.
	s.await(30*time.Second, waiting[5], "succeeded")
	for _, location := range waiting[:5] {
		inv := s.await(time.Second, location, "cancelled")
		if ran := s.reports(location); len(ran) > 0 || len(inv.Attempts) > 0 {
			t.Errorf("a cancelled invocation has run: %v, %+v", ran, inv.Attempts)
		}
	}
	if got := s.reports(waiting[5]); len(got) != 1 || got[0].number("attempt") != 1 {
		t.Errorf("what was not cancelled has told %v, want attempt 1", got)
	}
	if n := strings.Count(fmt.Sprint(s.process("worker1").Log)+fmt.Sprint(s.process("worker2").Log), `"msg":"cancelling"`); n != 2 {
		t.Errorf("%d attempts were cancelled, want the 2 that ran", n)
	}
}
