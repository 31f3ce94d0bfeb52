package e2e

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift/nightshift/test/harness"
)

// rerun is how soon the attempt of a dead worker begins anew on another one.
const rerun = 35 * time.Second

// TestPoisonIsGivenUp has a function kill each worker that runs it.
func TestPoisonIsGivenUp(t *testing.T) {
	t.Parallel()
	// Without walls: they keep a function from its worker. What kills it in earnest is the machine, for want of memory.
	env := []string{"NIGHTSHIFT_WORKER_CONCURRENCY=2", "NIGHTSHIFT_WORKER_ISOLATION=off"}
	s := launch(t, harness.Setup{Gateways: 1, Workers: 2, Schedulers: 1, Env: env}, map[string]string{
		"netlify/functions/poison-background.mjs": `
import { setTimeout as pause } from 'node:timers/promises';

export default async (request, context) => {
  await fetch('@COLLECTOR@/?id=' + context.requestId + '&attempt=' + context.attempt + '&pid=' + process.pid);
  await pause(2000); // who comes back together with it is to be done by then
  process.kill(process.ppid, 'SIGKILL');
  await pause(600_000);
};
`,
		// It has no retry to spend, and is there when the first worker dies.
		"netlify/functions/bystander-background.mjs": `
import { setTimeout as pause } from 'node:timers/promises';

export default async (request, context) => {
  await fetch('@COLLECTOR@/?id=' + context.requestId);
  if (context.attempt === 1) await pause(8000);
};
export const config = { retries: 0 };
`,
	})
	var bystanders []string
	for range 3 {
		bystanders = append(bystanders, s.call("bystander-background"))
	}
	for _, location := range bystanders {
		s.started(30*time.Second, location, 1)
	}
	poison := s.call("poison-background")
	died := time.Time{}
	for crash := 1; crash <= 3; crash++ {
		r := s.started(60*time.Second, poison, crash)
		if r.number("attempt") != crash {
			t.Errorf("report %d is of attempt %d", crash, r.number("attempt"))
		}
		if took := r.at.Sub(died); crash > 1 {
			t.Logf("attempt %d began %v after its worker had died", crash, took.Round(time.Millisecond))
			if took > rerun {
				t.Errorf("attempt %d began %v after its worker had died, want %v", crash, took, rerun)
			}
		}
		died = s.replaceDead(20 * time.Second)
	}
	inv := s.await(60*time.Second, poison, "dead")
	if want := "worker_lost worker_lost worker_lost"; outcomes(inv) != want {
		t.Errorf("outcomes %q, want %q", outcomes(inv), want)
	}
	lost := 0
	for _, location := range bystanders {
		if inv := s.await(60*time.Second, location, "succeeded"); len(inv.Attempts) > 1 {
			lost++
		}
	}
	if lost == 0 {
		t.Error("no other invocation was on a worker that died, so nothing is shown about those")
	}
	if ran := len(s.reports(poison)); ran != 3 {
		t.Errorf("the poison ran %d times, want 3", ran)
	}
}

// replaceDead waits for the death of a worker, starts it again, and returns when
// it was seen dead.
func (s *system) replaceDead(within time.Duration) time.Time {
	s.Helper()
	name := ""
	s.eventually(within, func() error {
		for _, worker := range []string{"worker1", "worker2"} {
			if !s.process(worker).Running() {
				name = worker
				return nil
			}
		}
		return errors.New("both workers are alive")
	})
	died := time.Now()
	s.must(s.services.Again(s.Context(), name))
	return died
}

// TestZombieIsFencedOff freezes a worker until another one has its invocations,
// and lets it go on: one that is still at work, and one whose function has
// returned meanwhile.
func TestZombieIsFencedOff(t *testing.T) {
	t.Parallel()
	const attempts = `
import { setTimeout as pause } from 'node:timers/promises';

const PAUSES = { first: @FIRST@, later: 20_000 };

export default async (request, context) => {
  await fetch('@COLLECTOR@/?id=' + context.requestId + '&attempt=' + context.attempt + '&pid=' + process.pid);
  await pause(context.attempt === 1 ? PAUSES.first : PAUSES.later);
  return new Response('by attempt ' + context.attempt);
};
export const config = { retries: 0 };
`
	s := launch(t, harness.Setup{Gateways: 1, Workers: 2, Schedulers: 1}, map[string]string{
		"netlify/functions/long-background.mjs":  strings.ReplaceAll(attempts, "@FIRST@", "800_000"),
		"netlify/functions/short-background.mjs": strings.ReplaceAll(attempts, "@FIRST@", "2_000"),
	})
	// All are to be on the worker that is frozen.
	other := s.process("worker2")
	s.must(other.Signal(syscall.SIGTERM))
	if _, err := other.Wait(s.Context()); err != nil {
		t.Fatal(err)
	}
	jobs := map[string]string{"long": s.call("long-background"), "short": s.call("short-background")}
	long := s.descendant(s.started(30*time.Second, jobs["long"], 1).number("pid"))
	s.started(30*time.Second, jobs["short"], 1)
	zombie := s.process("worker1")
	s.must(zombie.Freeze())
	frozen := time.Now()
	s.must(s.services.Again(s.Context(), "worker2"))
	for name, location := range jobs {
		r := s.started(90*time.Second, location, 2)
		t.Logf("%s: attempt 2 began %v after the worker was frozen", name, r.at.Sub(frozen).Round(time.Millisecond))
		if !s.process("worker2").Owns(r.number("pid")) {
			t.Errorf("%s: attempt 2 is not on worker2", name)
		}
	}
	s.must(zombie.Resume())
	// What the zombie ran ends, while the newer attempts go on.
	s.ends(30*time.Second, "the process of the zombie's attempt", long)
	for name, location := range jobs {
		refused := `"attempt dropped; a newer one owns the invocation".*"invocation":"` + location[strings.LastIndexByte(location, '/')+1:] + `"`
		s.logged(30*time.Second, zombie, refused)
		inv, raw, err := record(location)
		s.must(err)
		if inv.State != "running" || inv.Result != nil || len(inv.Attempts) != 2 || inv.Attempts[1].Outcome != "" {
			t.Errorf("%s: after the zombie's write the record does not belong to attempt 2:\n%s", name, raw)
		}
	}
	for name, location := range jobs {
		inv := s.await(60*time.Second, location, "succeeded")
		if outcomes(inv) != "worker_lost succeeded" || inv.Result == nil || inv.Result.Body != "by attempt 2" {
			t.Errorf("%s: outcomes %q, result %+v; want that of attempt 2", name, outcomes(inv), inv.Result)
		}
		if n := len(s.reports(location)); n != 2 {
			t.Errorf("%s: %d attempts ran, want 2", name, n)
		}
	}
}
