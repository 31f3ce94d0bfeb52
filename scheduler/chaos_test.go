package scheduler

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/store"
)

// process is a scheduler in a process of its own.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// fleet is several of them, and what they say.
type fleet struct {
	t       *testing.T
	url     string
	leading chan leading
	mu      sync.Mutex
	lines   []string
}

// leading says that a process leads from now on.
type leading struct {
	p    *process
	term int64
	at   time.Time
}

const chaosTTL = 2 * time.Second

func (f *fleet) start() *process {
	f.t.Helper()
	p := &process{cmd: exec.Command(os.Args[0]), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asProcess+"=1", "NIGHTSHIFT_REDIS_URL="+f.url, "NIGHTSHIFT_SCHEDULER_LOCK_TTL="+chaosTTL.String())
	said, err := p.cmd.StderrPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		for lines := bufio.NewScanner(said); lines.Scan(); {
			f.heard(p, lines.Text())
		}
		_ = p.cmd.Wait() // killed ones end with an error, as they should
	}()
	f.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
	})
	return p
}

func (f *fleet) heard(p *process, line string) {
	at := time.Now()
	f.mu.Lock()
	f.lines = append(f.lines, fmt.Sprintf("%d %s", p.cmd.Process.Pid, line))
	f.mu.Unlock()
	var said struct {
		Msg  string `json:"msg"`
		Term int64  `json:"term"`
	}
	if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "leading" {
		f.leading <- leading{p, said.Term, at}
	}
}

func (f *fleet) leader(within time.Duration) leading {
	f.t.Helper()
	select {
	case l := <-f.leading:
		return l
	case <-time.After(within):
		f.t.Fatalf("nobody led within %v; the processes said:\n%s", within, f.said())
		panic("unreachable")
	}
}

func (f *fleet) said() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.lines, "\n")
}

func (p *process) signal(t *testing.T, s os.Signal) time.Time {
	t.Helper()
	at := time.Now()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("signal %v: %v", s, err)
	}
	return at
}

// TestExactlyOnceThroughFailovers runs three schedulers on every-second
// schedules and stops, freezes and kills the leaders in between: in the end
// each tick is there exactly once.
func TestExactlyOnceThroughFailovers(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb := server.Client()
	s := store.New(rdb, store.Options{})
	const functions = 5
	publish(t, s, "acme", functions)
	ledger := gather(t, server)

	f := &fleet{t: t, url: server.URL(), leading: make(chan leading, 100)}
	for range 3 {
		f.start()
	}
	first := f.leader(10 * time.Second)
	ledger.wait(t, 2*functions)

	killed := first.p.signal(t, syscall.SIGKILL)
	second := f.leader(3 * chaosTTL)
	t.Logf("after kill -9 a standby leads within %v (lock %v)", second.at.Sub(killed).Round(time.Millisecond), chaosTTL)
	f.start() // in its place
	ledger.wait(t, 2*functions)

	frozen := second.p.signal(t, syscall.SIGSTOP)
	third := f.leader(3 * chaosTTL)
	t.Logf("after a freeze a standby leads within %v", third.at.Sub(frozen).Round(time.Millisecond))
	ledger.wait(t, functions)
	second.p.signal(t, syscall.SIGCONT) // it still thinks that it leads
	ledger.wait(t, 2*functions)

	stopped := third.p.signal(t, syscall.SIGTERM)
	fourth := f.leader(3 * chaosTTL)
	t.Logf("after a clean stop a standby leads within %v", fourth.at.Sub(stopped).Round(time.Millisecond))
	ledger.wait(t, 2*functions)
	if !(first.term < second.term && second.term < third.term && third.term < fourth.term) {
		t.Errorf("terms %d, %d, %d, %d do not grow", first.term, second.term, third.term, fourth.term)
	}
	<-third.p.exited
	fourth.p.signal(t, syscall.SIGTERM)
	<-fourth.p.exited

	fired := ledger.check(t, functions)
	totals, err := s.TickTotals(t.Context())
	if err != nil || totals.Drift() != 0 || totals.Fired != int64(fired) || totals.CaughtUp+totals.Skipped != 0 {
		t.Errorf("TickTotals = %+v, %v, want the %d that fired and no drift", totals, err, fired)
	}
	t.Logf("%d ticks were not fired a second time", totals.Suppressed)
	if t.Failed() {
		t.Logf("the processes said:\n%s", f.said())
	}
}

func publish(t *testing.T, s *store.Store, site string, functions int) {
	t.Helper()
	d := deploy.Deploy{ID: "d1", Site: site, State: deploy.Uploading}
	for i := range functions {
		d.Functions = append(d.Functions, function.Function{
			Name: fmt.Sprintf("every-second-%d", i), Kind: function.Scheduled, API: function.APIv2, Runtime: "node",
			Entry: "index.mjs", Artifact: strings.Repeat("0", 64), Schedule: "* * * * * *",
		})
	}
	if err := s.CreateDeploy(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Seal(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(t.Context(), site, d.ID); err != nil {
		t.Fatal(err)
	}
}

// ledger takes every task out of the queue at once, so that no task that is
// still there hides a second one, and keeps its invocation.
type ledger struct {
	mu   sync.Mutex
	list []invocation.Invocation
	more chan struct{}
}

func gather(t *testing.T, server *redistest.Server) *ledger {
	t.Helper()
	l := &ledger{more: make(chan struct{}, 10_000)}
	rdb := server.Client()
	s := store.New(rdb, store.Options{})
	taker, err := queue.NewServer(queue.ServerConfig{
		Redis: rdb, Concurrency: 10, Logger: slog.New(slog.DiscardHandler),
		Handler: func(ctx context.Context, d queue.Delivery) queue.Disposition {
			inv, err := s.Invocation(ctx, d.ID)
			if err != nil {
				t.Errorf("task %s has no record: %v", d.ID, err)
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.list = append(l.list, inv)
			l.more <- struct{}{}
			return queue.Done()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	// The leader lets tasks out as far as there are workers to run them.
	if err := s.Heartbeat(t.Context(), store.Worker{ID: "taker", Concurrency: 10}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := taker.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := taker.Stop(ctx); err != nil {
			t.Errorf("stopping the queue's server: %v", err)
		}
	})
	return l
}

// wait waits for n more invocations.
func (l *ledger) wait(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for range n {
		select {
		case <-l.more:
		case <-deadline:
			t.Fatal("no more ticks fire")
		}
	}
}

// check returns how many ticks fired.
func (l *ledger) check(t *testing.T, functions int) int {
	t.Helper()
	// What was enqueued last may still be on its way here.
	for idle := false; !idle; {
		select {
		case <-l.more:
		case <-time.After(500 * time.Millisecond):
			idle = true
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	ticks := map[string][]time.Time{}
	var late []time.Duration
	for _, inv := range l.list {
		ticks[inv.Function] = append(ticks[inv.Function], inv.Tick)
		late = append(late, inv.CreatedAt.Sub(inv.Tick))
	}
	if len(ticks) != functions {
		t.Errorf("%d functions fired, want %d", len(ticks), functions)
	}
	for name, list := range ticks {
		slices.SortFunc(list, time.Time.Compare)
		for i := 1; i < len(list); i++ {
			switch step := list[i].Sub(list[i-1]); {
			case step == 0:
				t.Errorf("%s: the tick %v fired twice", name, list[i])
			case step != time.Second:
				t.Errorf("%s: no tick between %v and %v", name, list[i-1], list[i])
			}
		}
	}
	slices.Sort(late)
	t.Logf("%d ticks of %d functions, each once; lateness p50 %v, p90 %v, max %v",
		len(l.list), functions, late[len(late)/2], late[len(late)*9/10], late[len(late)-1])
	return len(l.list)
}
