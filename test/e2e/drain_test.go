package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift/nightshift/test/harness"
)

// What the services of this test wait for when they end.
const (
	grace    = 3 * time.Second  // workers, for what they run
	drain    = 15 * time.Second // gateways, for answers
	lameDuck = time.Second      // gateways, to be seen as not ready
)

// bounds are how long each service may take to end: what it waits for, and time
// to put things away.
var bounds = map[string]time.Duration{
	"gateway":   lameDuck + drain,
	"worker":    grace + 15*time.Second,
	"scheduler": 10 * time.Second,
}

// lockTTL is how long a scheduler that resigns would be in the way of the next
// one if it did not say so. It takes a second at most, and on a busy machine less
// than takeover.
const (
	lockTTL  = 30 * time.Second
	takeover = 3 * time.Second
)

// TestRollingRestart ends every service with SIGTERM and starts it again, one
// after the other, while calls of all kinds go on.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	s := launch(t, harness.Setup{
		Gateways: 2, Workers: 2, Schedulers: 2,
		Env: []string{
			"NIGHTSHIFT_LAME_DUCK=" + lameDuck.String(), "NIGHTSHIFT_DRAIN=" + drain.String(),
			"NIGHTSHIFT_WORKER_DRAIN=" + grace.String(), "NIGHTSHIFT_WORKER_CONCURRENCY=4", "NIGHTSHIFT_WORKER_PROCESSES=16",
			"NIGHTSHIFT_SCHEDULER_LOCK_TTL=" + lockTTL.String(),
		},
	}, map[string]string{
		"netlify.toml":                           "[build]\npublish = \"public\"\n",
		"public/page.txt":                        "a static page",
		"netlify/functions/quick-background.mjs": quick,
		"netlify/functions/hello.mjs":            "export default () => new Response('hello');\nexport const config = { timeout: 60 };\n",
		// Longer than the interval at which callers look whether a gateway is ready.
		"netlify/functions/slow.mjs": `
export default () => new Promise((resolve) => setTimeout(resolve, 1500, new Response('slow')));
export const config = { timeout: 60 };
`,
		"netlify/functions/tick.mjs": `
export default async (request, context) => { await fetch('@COLLECTOR@/?tick=1&id=' + context.requestId); };
export const config = { schedule: '* * * * * *' };
`,
		// Longer than the grace, and without a retry to spend.
		"netlify/functions/long-background.mjs": `
import { setTimeout as pause } from 'node:timers/promises';

export default async (request, context) => {
  await fetch('@COLLECTOR@/?id=' + context.requestId + '&attempt=' + context.attempt + '&pid=' + process.pid);
  if (context.attempt === 1) await pause(600_000);
};
export const config = { retries: 0 };
`,
	})
	l := startLoad(s)
	defer l.stop()
	l.flows()

	for _, name := range []string{"gateway1", "gateway2"} {
		s.restart(name)
		l.flows()
	}
	long := s.call("long-background")
	first := s.owner(s.started(30*time.Second, long, 1).number("pid")).Name
	second := map[string]string{"worker1": "worker2", "worker2": "worker1"}[first]
	s.restart(first)
	l.flows()
	if inv := s.await(20*time.Second, long, "succeeded"); outcomes(inv) != "drained succeeded" {
		t.Errorf("a job longer than the grace has the outcomes %q, want drained succeeded", outcomes(inv))
	}
	s.restart(second)
	l.flows()

	leader, standby := s.schedulers()
	begun := s.restart(leader)
	led := s.leadsSince(standby)
	t.Logf("%s led %v after %s was told to end", standby, led.Sub(begun).Round(time.Millisecond), leader)
	if led.Sub(begun) > takeover {
		t.Errorf("%s led only %v after %s was told to end, want %v", standby, led.Sub(begun), leader, takeover)
	}
	s.restart(standby)
	l.flows()
	l.stop()
	l.check()
}

// restart ends a service, starts it again, and returns when it was told to end.
func (s *system) restart(name string) time.Time {
	s.Helper()
	bound := bounds[strings.TrimRight(name, "0123456789")]
	p, begun := s.process(name), time.Now()
	s.must(p.Signal(syscall.SIGTERM))
	ctx, cancel := context.WithTimeout(s.Context(), 2*bound)
	defer cancel()
	code, err := p.Wait(ctx)
	s.must(err)
	took := time.Since(begun)
	s.Logf("%s ended after %v", name, took.Round(time.Millisecond))
	if code != 0 || took > bound {
		s.Errorf("%s ended with %d after %v, want 0 within %v", name, code, took, bound)
	}
	if left := p.Survivors(); len(left) > 0 {
		s.Errorf("%s left the processes %v behind", name, left)
	}
	again, done := context.WithTimeout(s.Context(), 30*time.Second)
	defer done()
	s.must(s.services.Again(again, name))
	return begun
}

// schedulers says which one leads.
func (s *system) schedulers() (leader, standby string) {
	s.Helper()
	s.eventually(10*time.Second, func() error {
		for name, other := range map[string]string{"scheduler1": "scheduler2", "scheduler2": "scheduler1"} {
			if s.process(name).Log.Count(leading) > 0 {
				leader, standby = name, other
				return nil
			}
		}
		return errors.New("no scheduler says that it leads")
	})
	return leader, standby
}

var ledAt = regexp.MustCompile(`\{"time":"([^"]+)","level":"INFO","msg":"leading"`)

// leadsSince waits until a scheduler leads, and returns since when.
func (s *system) leadsSince(name string) (at time.Time) {
	s.Helper()
	s.eventually(2*lockTTL, func() (err error) {
		found := ledAt.FindStringSubmatch(s.process(name).Log.String())
		if found == nil {
			return fmt.Errorf("%s does not say that it leads", name)
		}
		at, err = time.Parse(time.RFC3339Nano, found[1])
		return err
	})
	return at
}

// load are callers behind a load balancer, of the simplest kind: in turn to each
// gateway that says it is ready. It sends again only what could not be sent.
type load struct {
	*system
	client *http.Client
	ready  []atomic.Bool // by gateway
	turn   atomic.Int64
	ended  chan struct{}
	once   sync.Once
	wait   sync.WaitGroup

	mu       sync.Mutex
	answered map[string]int // by kind of call
	accepted []string       // locations
	failures []string
}

// look is how often the balancer asks whether a gateway is ready.
const look = 100 * time.Millisecond

func startLoad(s *system) *load {
	l := &load{
		system: s, ended: make(chan struct{}), answered: map[string]int{}, ready: make([]atomic.Bool, len(s.services.Data)),
		client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 16}},
	}
	for i, admin := range s.services.Admin {
		l.ready[i].Store(true)
		l.every(look, func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/readyz", nil)
			if err != nil {
				return
			}
			res, err := client.Do(req)
			if err == nil {
				_ = res.Body.Close()
			}
			l.ready[i].Store(err == nil && res.StatusCode == http.StatusOK)
		})
	}
	l.every(25*time.Millisecond, func() { l.call("static", http.MethodGet, "/page.txt", 200, "a static page") })
	l.every(50*time.Millisecond, func() {
		l.call("sync", http.MethodPost, "/.netlify/functions/hello", 200, "hello")
	})
	l.every(50*time.Millisecond, func() {
		l.call("background", http.MethodPost, "/.netlify/functions/quick-background", 202, "")
	})
	for range 2 {
		l.every(time.Millisecond, func() { l.call("slow", http.MethodPost, "/.netlify/functions/slow", 200, "slow") })
	}
	return l
}

// every does something again and again until stop.
func (l *load) every(pause time.Duration, do func()) {
	l.wait.Go(func() {
		for {
			select {
			case <-l.ended:
				return
			case <-time.After(pause):
				do()
			}
		}
	})
}

func (l *load) stop() {
	l.once.Do(func() { close(l.ended) })
	l.wait.Wait()
	l.client.CloseIdleConnections()
}

// call makes one call, and notes what came of it.
func (l *load) call(kind, method, path string, status int, body string) {
	location, err := l.send(method, path, status, body)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failures = append(l.failures, fmt.Sprintf("%v: %s: %v", time.Now().UTC().Format(time.StampMilli), kind, err))
		return
	}
	l.answered[kind]++
	if location != "" {
		l.accepted = append(l.accepted, location)
	}
}

func (l *load) send(method, path string, status int, body string) (location string, err error) {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		i := int(l.turn.Add(1)) % len(l.ready)
		if !l.ready[i].Load() {
			i = (i + 1) % len(l.ready)
		}
		location, err = l.attempt(method, l.services.Data[i]+path, status, body)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return location, err
		}
	}
	return "", fmt.Errorf("no gateway takes connections: %w", err)
}

// attempt sends a request once. The driver repeats some requests by itself when a
// connection breaks, as no caller may count on; that is a failure here.
func (l *load) attempt(method, url string, status int, body string) (location string, err error) {
	sent := 0
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{WroteHeaders: func() { sent++ }})
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return "", err
	}
	res, err := l.client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: the answer broke off: %w", url, err)
	case res.StatusCode != status || string(got) != body:
		return "", fmt.Errorf("%s: %s %q", url, res.Status, got)
	case sent != 1:
		return "", fmt.Errorf("%s was sent %d times, because a connection broke", url, sent)
	}
	if where, err := res.Location(); err == nil {
		location = where.String()
	}
	return location, nil
}

// flows waits until calls of each kind were answered after now.
func (l *load) flows() {
	l.Helper()
	counts := func() map[string]int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return maps.Clone(l.answered)
	}
	before := counts()
	l.eventually(20*time.Second, func() error {
		now := counts()
		for _, kind := range []string{"static", "sync", "background", "slow"} {
			if now[kind] < before[kind]+2 {
				return fmt.Errorf("calls are not answered: %v, and before %v", now, before)
			}
		}
		return nil
	})
}

// check looks at what came of all calls, and of all ticks.
func (l *load) check() {
	l.Helper()
	l.Logf("answered: %v", l.answered)
	if n := len(l.failures); n > 0 {
		l.Errorf("%d calls were not answered as they should, for example\n%s", n, strings.Join(l.failures[:min(n, 10)], "\n"))
	}
	for _, location := range l.accepted {
		// A gateway may have gone since; any of them knows all invocations.
		inv := l.await(30*time.Second, location, "succeeded")
		for _, a := range inv.Attempts[:len(inv.Attempts)-1] {
			if a.Outcome != "drained" {
				l.Errorf("%s: outcomes %q", location, outcomes(inv))
			}
		}
	}
	seen := map[int64]string{}
	for _, hit := range l.collector.Hits() {
		if hit.Query.Get("tick") == "" {
			continue
		}
		inv, _, err := record(l.services.Data[0] + "/.nightshift/invocations/" + hit.Query.Get("id"))
		l.must(err)
		if other, twice := seen[inv.Tick.Unix()]; twice && other != inv.ID {
			l.Errorf("the tick %v was fired twice: %s and %s", inv.Tick, other, inv.ID)
		}
		seen[inv.Tick.Unix()] = inv.ID
	}
	if err := gap(seen); err != nil {
		l.Error(err)
	}
	if len(seen) < 10 {
		l.Errorf("%d ticks were fired, want those of the whole test", len(seen))
	}
	l.Logf("%d invocations and %d ticks, none lost", len(l.accepted), len(seen))
}
