package tick

import (
	"container/heap"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/store"
)

// Waits between tries, doubled from the first to the last.
const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 2 * time.Second
	// lastOwnBackoff is for a tick that fails for reasons of its own.
	lastOwnBackoff = time.Minute
)

func backoff(failures int, last time.Duration) time.Duration {
	return min(firstBackoff<<min(failures-1, 20), last)
}

// termLoop is the state of the loop in one term. One goroutine uses it.
type termLoop struct {
	Config
	log      *slog.Logger
	term     int64
	clock    *clock
	catalogs <-chan store.Catalog // looked at for whether one waits

	catalog store.Catalog
	known   bool // a catalog has come
	synced  bool // plan is that of catalog
	plan    plan

	// While Redis does not answer, nothing is tried until paused.
	paused   time.Time
	failures int
}

// adopt takes a new catalog; the next step makes it the plan.
func (t *termLoop) adopt(c store.Catalog) {
	t.catalog, t.known, t.synced = c, true, false
}

// untilNext is how long to sleep, or false when only a new catalog can wake.
func (t *termLoop) untilNext() (time.Duration, bool) {
	if wait := time.Until(t.paused); wait > 0 {
		return wait, true
	}
	switch {
	case t.known && !t.synced:
		return 0, true
	case len(t.plan) == 0:
		return 0, false
	}
	return max(0, min(t.plan[0].wake().Sub(t.clock.now()), maxAge-t.clock.age())), true
}

// step does what is due now. The error is store.ErrSuperseded.
func (t *termLoop) step(ctx context.Context) error {
	if !t.known || time.Until(t.paused) > 0 {
		return nil
	}
	err := t.work(ctx)
	switch {
	case err == nil:
		if t.failures > 0 {
			t.log.Info("redis answers again", "failures", t.failures)
		}
		t.failures = 0
	case errors.Is(err, store.ErrSuperseded):
		return err
	case ctx.Err() != nil:
	default:
		t.failures++
		if t.failures == 1 { // once per outage
			t.log.Warn("redis does not answer; ticks wait", "error", err)
		}
		t.paused = time.Now().Add(backoff(t.failures, lastBackoff))
	}
	return nil
}

// work syncs, measures and fires, as far as each is due.
func (t *termLoop) work(ctx context.Context) error {
	if !t.synced {
		if err := t.sync(ctx); err != nil {
			return err
		}
	}
	if len(t.plan) > 0 && t.clock.age() >= maxAge {
		if err := t.clock.measure(ctx); err != nil {
			return err
		}
	}
	for len(t.plan) > 0 && len(t.catalogs) == 0 && ctx.Err() == nil && t.synced {
		now := t.clock.now()
		e := t.plan[0]
		if e.wake().After(now) {
			return nil
		}
		if err := t.deal(ctx, e, now); err != nil {
			return err
		}
		if e.due.IsZero() {
			heap.Pop(&t.plan)
		} else {
			heap.Fix(&t.plan, 0)
		}
	}
	return nil
}

// sync makes the plan of the catalog.
func (t *termLoop) sync(ctx context.Context) error {
	entries := read(t.catalog, t.log)
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = e.key
	}
	cursors, err := t.Store.SyncCursors(ctx, t.term, keys)
	if err != nil {
		return err
	}
	t.plan, t.synced = newPlan(entries, cursors), true
	t.log.Info("schedules read", "catalog", t.catalog.Version, "schedules", len(t.plan))
	return nil
}

// resync reads the cursors again in the next round.
func (t *termLoop) resync() { t.synced = false }

// hold puts off an entry that fails for reasons of its own, so that it holds up
// no other one. It never skips a tick.
func (t *termLoop) hold(e *entry, now time.Time, err error) {
	e.failures++
	e.notBefore = now.Add(backoff(e.failures, lastOwnBackoff))
	t.log.Error("a tick cannot be enqueued; trying again", "site", e.site, "function", e.function.Name,
		"tick", e.due, "failures", e.failures, "error", err)
}

// unavailable reports whether an error means that Redis did not answer, rather
// than that it refused this very request.
func unavailable(err error) bool {
	return fault.Is(err, fault.Unavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
