// Package keyring holds the keys that gateways sign calls of workers with, and
// workers verify them by.
//
// Redis is where the two meet, and what both trust anyway. There is a new key
// each hour, made by whoever first finds that it is time; everybody reads the
// keys each minute. A key is signed with once it is so old that everybody has
// read it, so that calls go on if Redis goes away at that moment, and is good
// for 3 h. While Redis does not answer, the keys last read go on for a day, as
// sync calls do not need Redis otherwise.
//
// The ring also tells the time of Redis, so that signatures do not depend on the
// clocks of the machines.
package keyring

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/fault"
)

const (
	interval = time.Minute     // between two reads
	rotate   = time.Hour       // age of the newest key from which there is another one
	settled  = 3 * interval    // age from which everybody has a key
	keep     = 3 * rotate      // age from which a key is no good
	outage   = 24 * time.Hour  // how long keys go on that cannot be read again
	patience = time.Second     // for one read
	pause    = time.Second     // least time between two reads that callers ask for
	first    = 2 * time.Second // how long a call waits for the first read
)

// Store is where the keys are: store.Store.
type Store interface {
	// CallKeys returns the keys, the newest first, and the time of Redis. If the
	// newest is older than rotate, there is a new one; those older than keep are gone.
	CallKeys(ctx context.Context, rotate, keep time.Duration) ([]dispatch.Key, time.Time, error)
}

// Ring is safe for concurrent use.
type Ring struct {
	store Store
	log   *slog.Logger
	ready chan struct{} // closed with the first read

	mu      sync.Mutex
	keys    []dispatch.Key // the newest first
	readAt  time.Time      // by the clock of this machine
	clock   time.Time      // of Redis, at readAt
	reading chan struct{}  // closed when the read that runs has ended; nil: none does
	ended   time.Time      // when the last read did
}

// New makes a ring that knows no key until it is read.
func New(store Store, log *slog.Logger) *Ring {
	return &Ring{store: store, log: log.With("component", "keyring"), ready: make(chan struct{})}
}

// Run reads the keys each minute, and each second while that fails, until ctx ends.
func (r *Ring) Run(ctx context.Context) {
	failing := false
	for {
		err := r.read(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			r.log.Warn("keys of calls not read, the last ones stay for a day", "error", err)
		}
		failing = err != nil
		wait := interval
		if failing {
			wait = pause
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (r *Ring) known() bool {
	select {
	case <-r.ready:
		return true
	default:
		return false
	}
}

// read takes over the keys of Redis. Of several who ask at once, one reads and
// the others wait for it.
func (r *Ring) read(ctx context.Context) error {
	r.mu.Lock()
	if running := r.reading; running != nil {
		r.mu.Unlock()
		select {
		case <-running:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	done := make(chan struct{})
	r.reading = done
	r.mu.Unlock()

	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	keys, clock, err := r.store.CallKeys(bounded, rotate, keep)

	r.mu.Lock()
	defer r.mu.Unlock()
	r.reading, r.ended = nil, time.Now()
	close(done)
	if err != nil {
		return err
	}
	r.keys, r.clock, r.readAt = keys, clock, r.ended
	if !r.known() {
		close(r.ready)
	}
	return nil
}

// Renew reads the keys now, unless that was done within the last second: who
// sends garbage makes no more reads than that. It returns when they are read, or
// cannot be.
func (r *Ring) Renew(ctx context.Context) {
	r.mu.Lock()
	early := r.reading == nil && time.Since(r.ended) < pause
	r.mu.Unlock()
	if early {
		return
	}
	// The caller may hang up; who waits for the same read has not.
	if err := r.read(context.WithoutCancel(ctx)); err != nil {
		r.log.Debug("keys of calls not read", "error", err)
	}
}

// Current returns the key to sign with, and the time. Where there is none yet it
// waits a little for the first one. Errors are fault.Unavailable.
func (r *Ring) Current(ctx context.Context) (dispatch.Key, time.Time, error) {
	if !r.known() {
		timer := time.NewTimer(first)
		defer timer.Stop()
		select {
		case <-r.ready:
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	keys, now := r.good()
	for _, key := range keys {
		if now.Sub(key.MadeAt) >= settled {
			return key, now, nil
		}
	}
	if len(keys) == 0 {
		return dispatch.Key{}, now, fault.New(fault.Unavailable, "There is no key to sign calls with: Redis could not be read. Try again in a moment.").After(2 * time.Second)
	}
	return keys[len(keys)-1], now, nil // the oldest: if any is known to all, it is
}

// Find returns the key with an ID. One that is not known is looked for in Redis.
func (r *Ring) Find(ctx context.Context, id string) (dispatch.Key, bool) {
	if key, ok := r.find(id); ok {
		return key, true
	}
	r.Renew(ctx)
	return r.find(id)
}

func (r *Ring) find(id string) (dispatch.Key, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys, _ := r.good()
	for _, key := range keys {
		if key.ID == id {
			return key, true
		}
	}
	return dispatch.Key{}, false
}

// Now is the time of Redis, as far as this ring knows it.
func (r *Ring) Now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now()
}

// good is the keys, unless they were read too long ago, and the time. The caller
// holds mu.
func (r *Ring) good() ([]dispatch.Key, time.Time) {
	if time.Since(r.readAt) > outage {
		return nil, r.now()
	}
	return r.keys, r.now()
}

func (r *Ring) now() time.Time {
	if r.readAt.IsZero() {
		return time.Now()
	}
	return r.clock.Add(time.Since(r.readAt))
}
