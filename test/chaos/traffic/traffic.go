// Package traffic is what goes on while things break: background calls, cancels
// of some of them, schedules, deploys, and somebody who looks at records all the
// time. Everything is noted with what was meant and what was answered.
package traffic

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/nightshift/nightshift/test/chaos/history"
	"github.com/nightshift/nightshift/test/chaos/system"
	"github.com/nightshift/nightshift/test/harness"
)

// Profile is how much of what there is.
type Profile struct {
	// Invocations is how many background calls are to be accepted.
	Invocations int
	// Duration is the time that they are spread over. It takes up to half as long
	// again if the system does not accept them.
	Duration time.Duration
	// Schedules is how many functions fire each second.
	Schedules int
	// DeployEvery is the time between two deploys; 0: there is only the first.
	DeployEvery time.Duration
	// Backlog is how many accepted calls may be unfinished before callers wait.
	Backlog int
	// Control lets callers ask for more than a run: they send keys, cancel before
	// the time has come, want to be told of the end, and call a function that
	// runs only so often at once.
	Control bool
	// SyncEvery is the time between two calls of a sync function; 0: there are none.
	SyncEvery time.Duration
}

// callers is how many calls are under way at once, at most.
const callers = 48

// Load is traffic on a system.
type Load struct {
	sys     *system.System
	profile Profile
	seed    uint64
	site    *site
	http    *http.Client

	mu         sync.Mutex
	version    int
	accepted   int
	known      map[string]bool // accepted
	unfinished map[string]bool // accepted, and not yet seen finished
	finished   []string        // accepted, and seen finished
}

// New prepares traffic: it makes the first deploy.
func New(ctx context.Context, sys *system.System, profile Profile, seed uint64) (*Load, error) {
	s, err := newSite(ctx, sys.Collector.URL(), profile.Schedules)
	if err != nil {
		return nil, err
	}
	l := &Load{
		sys: sys, profile: profile, seed: seed, site: s, known: map[string]bool{}, unfinished: map[string]bool{},
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}, Timeout: 15 * time.Second},
	}
	sys.Deploy = func(ctx context.Context) error { return l.deploy(ctx, 0, true) }
	if err := sys.Deploy(ctx); err != nil {
		return nil, err
	}
	// Gateways follow a moved pointer within a second.
	n := 0
	return l, harness.Eventually(ctx, func() error {
		for i := range sys.Services.Data {
			n-- // not the number of another call
			if c := l.call(ctx, n, i, plan{name: "ok", function: workName}, ""); !c.Accepted() {
				return fmt.Errorf("gateway %d answers %d %s", i+1, c.Status, c.Err)
			}
		}
		return nil
	})
}

// Run makes the traffic of the profile and returns when all calls are accepted,
// or when ctx ends. Then the schedules have been ended, by a deploy without them.
func (l *Load) Run(ctx context.Context) error {
	defer l.http.CloseIdleConnections()
	side, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { l.watch(side) })
	if l.profile.DeployEvery > 0 {
		beside.Go(func() { l.deploys(side) })
	}
	if l.profile.SyncEvery > 0 {
		beside.Go(func() { l.ask(side) })
	}
	l.calls(ctx)
	stop()
	beside.Wait()
	return ctx.Err()
}

// EndSchedules publishes a deploy without schedules.
func (l *Load) EndSchedules(ctx context.Context) error {
	return harness.Eventually(ctx, func() error { return l.deploy(ctx, 0, false) })
}

// calls makes calls at a steady rate, as long as the system follows.
func (l *Load) calls(ctx context.Context) {
	var wait sync.WaitGroup
	defer wait.Wait()
	run := ctx // of calls, which come to their end
	ctx, cancel := context.WithTimeout(ctx, l.profile.Duration+l.profile.Duration/2)
	defer cancel()
	slots := make(chan struct{}, callers)
	pace := time.NewTicker(max(l.profile.Duration/time.Duration(max(l.profile.Invocations, 1)), 100*time.Microsecond))
	defer pace.Stop()
	for n := 1; ; n++ {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return
		}
		if !l.room(ctx) {
			return
		}
		wait.Go(func() {
			defer func() { <-slots }()
			l.one(run, n)
		})
	}
}

// room waits while too much is unfinished. It reports whether another call is wanted.
func (l *Load) room(ctx context.Context) bool {
	for {
		l.mu.Lock()
		accepted, unfinished := l.accepted, len(l.unfinished)
		l.mu.Unlock()
		if accepted >= l.profile.Invocations {
			return false
		}
		if l.profile.Backlog == 0 || unfinished < l.profile.Backlog {
			return true
		}
		if !pause(ctx, 50*time.Millisecond) {
			return false
		}
	}
}

// Accepted is how many calls were accepted so far.
func (l *Load) Accepted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accepted
}

func (l *Load) deploys(ctx context.Context) {
	for i := 0; pause(ctx, l.profile.DeployEvery); i++ {
		_ = l.deploy(ctx, i%len(l.sys.Control), true) // it is in the history
	}
}

// deploy makes the next version through a gateway and notes it.
func (l *Load) deploy(ctx context.Context, gateway int, schedules bool) error {
	l.mu.Lock()
	l.version++
	d := history.Deploy{Version: l.version, Begun: time.Now()}
	l.mu.Unlock()
	short, done := context.WithTimeout(ctx, 20*time.Second)
	defer done()
	var err error
	d.ID, err = l.site.deploy(short, l.sys.Control[gateway], d.Version, schedules)
	d.Ended = time.Now()
	if err != nil {
		d.Err = err.Error()
	}
	l.sys.History.Deploy(d)
	return err
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Unfinished is how many accepted calls were not seen finished yet.
func (l *Load) Unfinished() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.unfinished)
}

// Ask makes one call by itself, which asks its function for a plan that takes so
// long, and returns the invocation's ID.
func (l *Load) Ask(ctx context.Context, n int, name string, long time.Duration) (id string, err error) {
	c := l.call(ctx, n, 0, plan{name: name, function: workName, ms: int(long.Milliseconds())}, "")
	if !c.Accepted() {
		return "", fmt.Errorf("call %d was answered %d %s", n, c.Status, c.Err)
	}
	return c.ID, nil
}
