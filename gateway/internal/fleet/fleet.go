// Package fleet knows the live workers and picks one for each sync call.
//
// What it knows is about a second old while calls come: workers report to Redis,
// and a call that meets an older list has it read again, behind its back. Without
// calls it is read each 3 s, so that the first call finds hardly a worker that is
// gone. Between two reads the fleet counts its own calls on top of what the workers
// reported, and drops a worker that refuses connections at once. If Redis does not
// answer, the last list stays: sync calls need no Redis.
package fleet

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/store"
)

const (
	// maxAge is how old a list a call may meet that has none read.
	maxAge = time.Second
	// idleInterval is the time between two reads of the list without calls.
	idleInterval = 3 * time.Second
	// minPause is the least time between two reads.
	minPause    = 50 * time.Millisecond
	defaultWait = 2 * time.Second
)

// Lister lists the live workers, draining ones included.
type Lister interface {
	Workers(ctx context.Context) ([]store.Worker, error)
}

// Config configures a Fleet.
type Config struct {
	Workers Lister
	Logger  *slog.Logger
	// Wait is how long a call waits for the first worker to appear. Default 2 s.
	Wait time.Duration
}

// Fleet is safe for concurrent use.
type Fleet struct {
	cfg  Config
	log  *slog.Logger
	wake chan struct{} // asks Run to read the list now

	mu      sync.Mutex
	asked   time.Time // when the list was last asked for
	members map[string]*member
	changed chan struct{} // closed and replaced after each read of the list
}

// member is a worker as this gateway sees it.
type member struct {
	worker store.Worker
	calls  int            // running calls of ours
	taken  map[string]int // warm processes that we took since the worker reported
}

// Lease is a worker that one call may use.
type Lease struct {
	ID   string
	Addr string // host:port

	fleet  *Fleet
	member *member
}

// New makes a fleet that knows no worker yet.
func New(cfg Config) *Fleet {
	if cfg.Wait == 0 {
		cfg.Wait = defaultWait
	}
	return &Fleet{
		cfg: cfg, log: cfg.Logger.With("component", "fleet"), wake: make(chan struct{}, 1),
		members: map[string]*member{}, changed: make(chan struct{}),
	}
}

// Run reads the list until ctx ends.
func (f *Fleet) Run(ctx context.Context) {
	timer := time.NewTimer(idleInterval)
	defer timer.Stop()
	failing := false
	for ctx.Err() == nil {
		err := f.read(ctx)
		if (err != nil) != failing && ctx.Err() == nil {
			failing = err != nil
			if failing {
				f.log.Warn("list of workers not read, the last one stays", "error", err)
			} else {
				f.log.Info("list of workers read again")
			}
		}
		// Calls that wait for a worker ask again after each list; the pause keeps
		// them from asking Redis as fast as it answers.
		select {
		case <-ctx.Done():
		case <-time.After(minPause):
		}
		timer.Reset(idleInterval - minPause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-f.wake:
		}
	}
}

// read takes over the list.
func (f *Fleet) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	f.mu.Lock()
	f.asked = time.Now() // calls that come meanwhile need not ask again
	f.mu.Unlock()
	workers, err := f.cfg.Workers.Workers(ctx)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	next := make(map[string]*member, len(workers))
	for _, w := range workers {
		m := f.members[w.ID]
		if m == nil {
			m = &member{}
		}
		m.worker, m.taken = w, map[string]int{}
		next[w.ID] = m
	}
	f.members = next
	close(f.changed)
	f.changed = make(chan struct{})
	return nil
}

// Pick leases the best worker for a function: one with a warm process free for
// it, then the one with the least running on it. Draining workers, and those
// whose ID stands in tried, are left out. With wait, if none is left, it waits a
// little for one to appear; ok is false if none did.
func (f *Fleet) Pick(ctx context.Context, warmKey string, tried []string, wait bool) (lease *Lease, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Wait)
	defer cancel()
	for {
		lease, changed := f.pick(warmKey, tried)
		if lease != nil || !wait {
			return lease, lease != nil
		}
		f.look()
		select {
		case <-ctx.Done():
			return nil, false
		case <-changed:
		}
	}
}

// look asks Run to read the list now.
func (f *Fleet) look() {
	select {
	case f.wake <- struct{}{}:
	default: // it is asked already
	}
}

// pick is Pick without waiting. changed is closed once there is a list newer
// than the one that it looked at.
func (f *Fleet) pick(warmKey string, tried []string) (lease *Lease, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.asked) >= maxAge {
		f.look()
	}
	var best *member
	ties := 0
	for _, m := range f.members {
		if m.worker.Draining || slices.Contains(tried, m.worker.ID) {
			continue
		}
		switch order := compare(m, best, warmKey); {
		case order < 0:
			best, ties = m, 1
		case order == 0:
			// Among equals each is as likely, so that gateways that start
			// together do not all choose the same worker.
			ties++
			chosen := rand.IntN(ties) == 0 // #nosec G404 -- no secret
			if chosen {
				best = m
			}
		}
	}
	if best == nil {
		return nil, f.changed
	}
	best.calls++
	best.taken[warmKey]++
	return &Lease{ID: best.worker.ID, Addr: best.worker.Addr, fleet: f, member: best}, f.changed
}

// compare orders a before b if it is the better choice.
func compare(a, b *member, warmKey string) int {
	if b == nil {
		return -1
	}
	if warmA, warmB := a.warm(warmKey), b.warm(warmKey); warmA != warmB {
		if warmA {
			return -1
		}
		return 1
	}
	return a.load() - b.load()
}

// warm reports whether an idle process that has loaded the function is left.
func (m *member) warm(key string) bool { return m.worker.Warm[key] > m.taken[key] }

// load is what runs there, as far as we know. Our own calls may stand in the
// report as well; they do for every worker, so the order stays right.
func (m *member) load() int { return m.worker.Busy + m.calls }

// Release ends the lease. It is called exactly once.
func (l *Lease) Release() {
	l.fleet.mu.Lock()
	defer l.fleet.mu.Unlock()
	l.member.calls--
}

// Drop takes the lease's worker off the list until it is read again, because it
// refuses connections.
func (l *Lease) Drop() {
	l.fleet.mu.Lock()
	defer l.fleet.mu.Unlock()
	if l.fleet.members[l.ID] == l.member {
		delete(l.fleet.members, l.ID)
	}
}

// Size is how many workers are known, draining ones included.
func (f *Fleet) Size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.members)
}
