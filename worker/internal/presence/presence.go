// Package presence tells gateways that a worker is alive, where it is, and
// which functions it has warm.
package presence

import (
	"context"
	"log/slog"
	"maps"
	"time"

	"github.com/nightshift/nightshift/shared/store"
)

const (
	interval = 2 * time.Second // between heartbeats
	ttl      = 3 * interval    // so that two may be lost
	atMost   = 200 * time.Millisecond
)

// Store is where workers are listed: store.Store.
type Store interface {
	// Heartbeat reports a worker as alive for the ttl.
	Heartbeat(ctx context.Context, w store.Worker, ttl time.Duration) error
	// Withdraw takes a worker off the list at once.
	Withdraw(ctx context.Context, id string) error
}

// Reporter sends heartbeats: one every 2 s, and one more, at most five times a
// second, when what gateways choose by has changed.
type Reporter struct {
	store    Store
	snapshot func() store.Worker
	log      *slog.Logger
	changed  chan struct{}
}

// NewReporter makes a reporter of what snapshot returns, which must be safe for
// concurrent use.
func NewReporter(s Store, snapshot func() store.Worker, log *slog.Logger) *Reporter {
	return &Reporter{store: s, snapshot: snapshot, log: log.With("component", "presence"), changed: make(chan struct{}, 1)}
}

// Changed says that the snapshot may be another one than before. It never waits.
func (r *Reporter) Changed() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// Run reports until ctx ends.
func (r *Reporter) Run(ctx context.Context) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	last := r.snapshot()
	healthy := r.send(ctx, last, true)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			last = r.snapshot()
			healthy = r.send(ctx, last, healthy)
		case <-r.changed:
			if now := r.snapshot(); matters(last, now) {
				last = now
				healthy = r.send(ctx, last, healthy)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(atMost):
			}
		}
	}
}

// Now reports at once, within ctx.
func (r *Reporter) Now(ctx context.Context) { r.send(ctx, r.snapshot(), true) }

// Withdraw takes the worker off the list. Run must have ended.
func (r *Reporter) Withdraw(ctx context.Context) error {
	return r.store.Withdraw(ctx, r.snapshot().ID)
}

// send logs the first of several failures in a row.
func (r *Reporter) send(ctx context.Context, w store.Worker, healthy bool) bool {
	ctx, cancel := context.WithTimeout(ctx, interval)
	defer cancel()
	err := r.store.Heartbeat(ctx, w, ttl)
	switch {
	case err != nil && healthy:
		r.log.Warn("heartbeat failed; gateways will not find this worker", "error", err)
	case err == nil && !healthy:
		r.log.Info("heartbeat works again")
	}
	return err == nil
}

// matters reports whether a gateway would choose otherwise: another function is
// warm, the worker is full or is not full any more, or it is draining.
func matters(before, now store.Worker) bool {
	full := func(w store.Worker) bool { return w.Busy >= w.Capacity }
	sameKeys := maps.EqualFunc(before.Warm, now.Warm, func(int, int) bool { return true })
	return !sameKeys || full(before) != full(now) || before.Draining != now.Draining
}
