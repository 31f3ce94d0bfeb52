package tick

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
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

// errCursors: cursors are gone, or are not where this term believes them to be.
var errCursors = errors.New("the schedule's cursor is gone, or somewhere else")

// atOnce is how many ticks are on their way into the queue at once, at most; the
// queue's client has them share round trips.
const atOnce = 256

// termLoop is the state of the loop in one term. One goroutine uses it; those
// that deal with ticks only read it, and change each their own entry.
type termLoop struct {
	Config
	log      *slog.Logger
	term     int64
	clock    *clock
	catalogs <-chan store.Catalog // looked at for whether one waits
	metrics  metrics

	catalog store.Catalog
	known   bool                     // a catalog has come
	synced  bool                     // sites and plan are those of catalog
	sites   map[string]siteSchedules // by site; nil: cursors are not known
	plan    plan
	parser  parser

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
	begun := time.Now()
	err := t.work(ctx)
	if ctx.Err() == nil { // else the error, if there is one, is the end of the term
		t.metrics.passedIn(begun, err)
	}
	switch {
	case err == nil:
		if t.failures > 0 {
			t.log.Info("redis answers again", "failures", t.failures)
		}
		t.failures = 0
	case errors.Is(err, store.ErrSuperseded):
		return err
	case errors.Is(err, errCursors):
		t.log.Warn("reading all cursors again", "why", err)
		t.resync()
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
	for len(t.plan) > 0 {
		if t.clock.age() >= maxAge {
			if err := t.clock.measure(ctx); err != nil {
				return err
			}
		}
		due := t.plan.take(t.clock.now())
		if len(due) == 0 {
			return nil
		}
		err := t.dealAll(ctx, due)
		t.plan.put(due)
		if err != nil || len(t.catalogs) > 0 || ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// dealAll deals with the next tick of each of some schedules, side by side, so
// that one with many late ticks does not keep the others waiting. It leaves the
// rest as they are after an error, when a catalog waits, or when the clock has to
// be read again. In each case some were dealt with, so that catalogs that come one
// after the other stop no tick for good. Of several errors it returns the one that
// says most about the others.
func (t *termLoop) dealAll(ctx context.Context, due []*entry) error {
	var next atomic.Int64
	errs := make([]error, min(len(due), atOnce))
	var failed atomic.Bool
	var workers sync.WaitGroup
	for w := range errs {
		workers.Go(func() {
			for !failed.Load() && ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(due) {
					return
				}
				if errs[w] = t.deal(ctx, due[i], t.clock.now()); errs[w] != nil {
					failed.Store(true)
				}
				if len(t.catalogs) > 0 || t.clock.age() >= maxAge {
					return
				}
			}
		})
	}
	workers.Wait()
	err := errors.Join(errs...)
	switch {
	case errors.Is(err, store.ErrSuperseded):
		return store.ErrSuperseded
	case errors.Is(err, errCursors):
		return errCursors
	}
	for _, err := range errs {
		if err != nil {
			return err // of many that say that Redis does not answer, one is enough
		}
	}
	return nil
}

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
