package tick

import (
	"cmp"
	"context"
	"crypto/rand"
	"math"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/event"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/schedule"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/telemetry"
	"github.com/oklog/ulid/v2" // sortable IDs, with all their randomness from the system
)

// maxCatchUp bounds what catchUp "all" fires.
const maxCatchUp = 1000

// deal deals with the entry's next tick: fires it, or skips late ones. Several
// may run at once, of different entries.
func (t *termLoop) deal(ctx context.Context, e *entry, now time.Time) error {
	if edge := now.Add(-Window); e.unjudged(edge) {
		if err := t.judge(ctx, e, edge.Add(-1)); err != nil || e.due.IsZero() || e.due.After(now) {
			return err
		}
	}
	if e.firing == nil {
		e.firing = t.prepare(ctx, e, now)
	}
	verdict, err := t.Queue.Enqueue(ctx, e.firing.task,
		t.Store.Fire(t.term, e.terms()), t.Store.Create(e.firing.invocation, e.firing.event))
	switch {
	case err != nil && unavailable(err):
		return err
	case err != nil:
		t.hold(e, now, err)
	case verdict == queue.Queued || verdict == queue.Existed:
		late := t.clock.now().Sub(e.due)
		t.metrics.lateness.Observe(late.Seconds())
		t.log.Debug("tick fired", "site", e.site, "function", e.function.Name, "tick", e.due,
			"invocation", e.firing.task.ID, "late", late)
		e.firing.span.End()
		e.advance(e.due)
	case verdict == store.FireAlready:
		t.log.Debug("tick had been fired", "site", e.site, "function", e.function.Name, "tick", e.due)
		// Mostly by a try whose reply was lost, so the record names this span.
		e.firing.span.Replayed()
		e.firing.span.End()
		if err := t.Store.Suppress(ctx, t.term, e.key, e.due); err != nil {
			return err
		}
		e.advance(e.due)
	case verdict == store.FireOverlap:
		return t.skip(ctx, e, e.due, store.SkipOverlap)
	case verdict == store.FirePaused:
		return t.skip(ctx, e, e.due, store.SkipPaused)
	case verdict == store.FireSuperseded:
		return store.ErrSuperseded
	case verdict == store.FireUnknown:
		return errCursors
	default:
		t.hold(e, now, fault.New(fault.Internal, "the queue answered with the unknown verdict %d", verdict))
	}
	return nil
}

// unjudged reports whether catchUp has a say in what becomes of the next tick:
// it is due before the edge of the window, and catchUp was not asked, or it
// wants the newest late tick, and that is another one by now.
func (e *entry) unjudged(edge time.Time) bool {
	if !e.due.Before(edge) {
		return false
	}
	if e.due.After(e.judged) {
		return true
	}
	next, more := e.schedule.Next(e.due)
	return more && next.Before(edge) && cmp.Or(e.function.CatchUp, "last") == "last"
}

// terms describes the entry's next tick to the store. That it is one tick is
// counted and not assumed: the totals show where that is wrong.
func (e *entry) terms() store.Firing {
	due, _ := e.schedule.Count(e.cursor, e.due, math.MaxInt)
	return store.Firing{
		Key: e.key, Site: e.site, Function: e.function.Name, After: e.cursor, Tick: e.due, Due: due,
		CaughtUp: !e.due.After(e.judged), SkipOverlap: e.function.Overlap == "skip", Invocation: e.firing.task.ID,
	}
}

// prepare makes the invocation that a tick stands for.
func (t *termLoop) prepare(ctx context.Context, e *entry, now time.Time) *firing {
	// The ID is all that it takes to read the invocation, so it must not be
	// guessable from others.
	id := ulid.MustNew(ulid.Timestamp(now), rand.Reader).String()
	next, ok := e.schedule.Next(now)
	if !ok {
		next = e.due // the calendar ends here
	}
	why := deploy.Production
	if t.Dev {
		why = deploy.Dev
	}
	body := event.ForTick(e.function.Name, next, event.Meta{
		RequestID: id, Site: e.site, Deploy: e.deploy, Published: true, Context: why, Branch: e.branch, BaseURL: t.BaseURL(e.site),
	})
	// A tick is the root of its trace: nobody has called.
	ctx, span := t.Tracer.Enqueue(ctx, telemetry.Call{
		Site: e.site, Deploy: e.deploy, Function: e.function.Name, Kind: string(function.Scheduled), Invocation: id,
	}, telemetry.Enqueued{Size: len(body), Tick: e.due, Cron: e.function.Schedule})
	return &firing{
		task: queue.Task{
			ID:      id,
			Queue:   function.Scheduled,
			Target:  queue.Target{Site: e.site, Deploy: e.deploy, Function: e.function.Name, Published: true},
			Timeout: e.function.Timeout(), Concurrency: e.function.Concurrency,
		},
		invocation: invocation.Invocation{
			ID: id, Site: e.site, Deploy: e.deploy, Function: e.function.Name,
			Kind: function.Scheduled, State: invocation.Queued, CreatedAt: now, Tick: e.due,
			Trace: telemetry.At(ctx).String(),
		},
		event: body, span: span,
	}
}

// judge applies catchUp to the ticks from the entry's next one up to a time: it
// skips those that are not to fire.
func (t *termLoop) judge(ctx context.Context, e *entry, until time.Time) error {
	newest, ok := e.schedule.Last(e.cursor, until)
	if !ok { // cannot be: due lies between them
		newest = e.due
	}
	t.log.Warn("ticks were missed", "site", e.site, "function", e.function.Name,
		"from", e.due, "to", newest, "catch_up", cmp.Or(e.function.CatchUp, "last"))
	oldest := newest // of those that are to fire
	switch e.function.CatchUp {
	case "none":
		return t.skip(ctx, e, newest, store.SkipCatchUpNone)
	case "all":
		oldest = oldestOf(e.schedule, e.cursor, newest, maxCatchUp)
	}
	if before, some := e.schedule.Last(e.cursor, oldest.Add(-time.Second)); some {
		if err := t.skip(ctx, e, before, store.SkipMissed); err != nil {
			return err
		}
	}
	e.judged = until
	return nil
}

// skip passes over all ticks up to one.
func (t *termLoop) skip(ctx context.Context, e *entry, to time.Time, reason store.SkipReason) error {
	count, _ := e.schedule.Count(e.cursor, to, math.MaxInt)
	err := t.Store.Skip(ctx, t.term, store.Skipping{Key: e.key, After: e.cursor, From: e.due, To: to, Count: count, Reason: reason})
	switch {
	case err == nil:
		e.advance(to)
		return nil
	case fault.Is(err, fault.NotFound):
		return errCursors
	default:
		return err
	}
}

// oldestOf returns the oldest of the n newest ticks in (after, newest].
func oldestOf(s *schedule.Schedule, after, newest time.Time, n int) time.Time {
	// Most of the time there are fewer, and those are quickly counted.
	tick, count := after, 0
	for count <= n && tick.Before(newest) {
		tick, _ = s.Next(tick)
		count++
	}
	if count <= n {
		first, _ := s.Next(after)
		return first
	}
	oldest := newest
	for range n - 1 {
		before, ok := s.Last(after, oldest.Add(-time.Second))
		if !ok {
			break
		}
		oldest = before
	}
	return oldest
}
