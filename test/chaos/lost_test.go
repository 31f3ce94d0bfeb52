package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/test/chaos/history"
	"github.com/nightshift/nightshift/test/chaos/report"
	"github.com/nightshift/nightshift/test/chaos/system"
	"github.com/nightshift/nightshift/test/chaos/traffic"
	"github.com/nightshift/nightshift/test/harness"
)

// frozen is how long a worker is stopped: several leases.
const frozen = 130 * time.Second

// lost is a system of which workers are taken away.
type lost struct {
	*testing.T
	sys  *system.System
	load *traffic.Load
}

func startLost(t *testing.T) *lost {
	t.Helper()
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes minutes")
	}
	h := history.New()
	sys, err := system.Start(t.Context(), binDir, system.Shape{Gateways: 1, Workers: 2, Schedulers: 1, Concurrency: 2, Processes: 4}, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			dir, err := report.Keep(out, t.Name(), 0, h, sys)
			t.Logf("history, logs and the data of Redis are in %s (%v)", dir, err)
		}
		if err := sys.Close(); err != nil {
			t.Error(err)
		}
	})
	l := &lost{T: t, sys: sys}
	l.load, err = traffic.New(t.Context(), sys, traffic.Profile{}, 0)
	l.must(err)
	return l
}

func (l *lost) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// until waits until a record is as it should be.
func (l *lost) until(id string, within time.Duration, what string, is func(invocation.Invocation) bool) invocation.Invocation {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), within)
	defer cancel()
	var inv invocation.Invocation
	l.must(harness.Eventually(ctx, func() (err error) {
		if inv, err = l.sys.Store.Invocation(ctx, id); err == nil && !is(inv) {
			err = fmt.Errorf("%s is %s, which is not %s: %+v", id, inv.State, what, inv.Attempts)
		}
		return err
	}))
	return inv
}

// victim asks for a call and returns it with the worker that runs it, once its
// function has reported that it does.
func (l *lost) victim(plan string, long time.Duration) (id string, worker *harness.Process) {
	l.Helper()
	id, err := l.load.Ask(l.Context(), 1, plan, long)
	l.must(err)
	inv := l.until(id, 30*time.Second, "running its function", func(inv invocation.Invocation) bool {
		return inv.State == invocation.Running && l.runs(id, "begin") == 1
	})
	worker, err = l.sys.Worker(l.Context(), inv.Attempts[0].Worker)
	l.must(err)
	return id, worker
}

// runs is how often the function of an invocation has come to a phase.
func (l *lost) runs(id, phase string) (n int) {
	for _, e := range l.sys.History.Effects() {
		if e.ID == id && e.Phase == phase {
			n++
		}
	}
	return n
}

// TestKilledWorker kills the worker of a function that always fails: it is run
// again in time, and has all of its retries left.
func TestKilledWorker(t *testing.T) {
	l := startLost(t)
	id, worker := l.victim("fail", 4*time.Second)
	l.must(worker.Signal(syscall.SIGKILL))
	died := time.Now()
	inv := l.until(id, 2*report.Promised, "at its second attempt", func(inv invocation.Invocation) bool { return len(inv.Attempts) == 2 })
	again := inv.Attempts[1].StartedAt.Sub(died)
	t.Logf("run again %v after its worker was killed", again.Round(10*time.Millisecond))
	if again > report.Promised {
		t.Errorf("run again %v after its worker was killed; %v is promised", again, report.Promised)
	}
	inv = l.until(id, time.Minute, "finished", func(inv invocation.Invocation) bool { return inv.State.Terminal() })
	var outcomes []string
	for _, a := range inv.Attempts {
		outcomes = append(outcomes, string(a.Outcome))
	}
	if got, want := strings.Join(outcomes, " "), "worker_lost error error error"; got != want || inv.State != invocation.Dead {
		t.Errorf("the attempts are %s and then it is %s; want %s and dead", got, inv.State, want)
	}
}

// TestFrozenWorker stops a worker for many leases. Its function goes on and
// comes to its end, and another worker runs the invocation as well. When the
// first one comes back with its own end, it is refused.
func TestFrozenWorker(t *testing.T) {
	l := startLost(t)
	id, worker := l.victim("slow", 8*time.Second)
	l.must(worker.Signal(syscall.SIGSTOP))
	thaw := time.After(frozen)
	before := l.until(id, time.Minute, "finished by another worker", func(inv invocation.Invocation) bool { return inv.State.Terminal() })
	var got struct {
		Run string `json:"run"`
	}
	if before.State != invocation.Succeeded || len(before.Attempts) != 2 || before.Attempts[0].Outcome != invocation.WorkerLost {
		t.Fatalf("it is %s after the attempts %+v", before.State, before.Attempts)
	}
	l.must(json.Unmarshal([]byte(before.Result.Body), &got))
	effects := l.sys.History.Effects()
	if first := effects[firstOf(effects, id)]; first.Run == got.Run {
		t.Fatalf("the result is of the run %s, whose worker was stopped", first.Run)
	}
	if n := l.runs(id, "end"); n != 2 {
		t.Errorf("%d runs came to their end; the function of the stopped worker should have, and that of the other", n)
	}
	<-thaw
	l.must(worker.Signal(syscall.SIGCONT))
	const refused = "attempt dropped; a newer one owns the invocation"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l.must(harness.Eventually(ctx, func() error {
		if !strings.Contains(worker.Log.String(), refused) {
			return fmt.Errorf("%s does not say %q:\n%s", worker.Name, refused, worker.Log.Tail(10))
		}
		return nil
	}))
	after, err := l.sys.Store.Invocation(t.Context(), id)
	l.must(err)
	if !reflect.DeepEqual(before, after) {
		t.Errorf("the record was\n%+v\nbefore the stopped worker came back, and is\n%+v", before, after)
	}
	l.must(l.sys.Healthy(ctx))
	t.Logf("stopped for %v; refused when it came back; the record stayed as the other worker made it", frozen)
}

func firstOf(effects []history.Effect, id string) int {
	for i, e := range effects {
		if e.ID == id {
			return i
		}
	}
	return -1
}
