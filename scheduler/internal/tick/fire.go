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
	"github.com/oklog/ulid/v2" // sortable IDs, with all their randomness from the system
)

// maxCatchUp bounds what catchUp "all" fires.
const maxCatchUp = 1000

// deal deals with the entry's next tick: fires it, or skips late ones.
func (t *termLoop) deal(ctx context.Context, e *entry, now time.Time) error {
	if e.firing == nil {
		if edge := now.Add(-Window); e.due.Before(edge) && e.due.After(e.judged) {
			return t.judge(ctx, e, edge.Add(-1))
		}
		e.firing = t.prepare(e, now)
	}
	verdict, err := t.Queue.Enqueue(ctx, e.firing.task,
		t.Store.Fire(t.term, t.firing(e)), t.Store.Create(e.firing.invocation, e.firing.event))
	log := t.log.With("site", e.site, "function", e.function.Name, "tick", e.due, "invocation", e.firing.task.ID)
	switch {
	case err != nil && unavailable(err):
		return err
	case err != nil:
		t.hold(e, now, err)
	case verdict == queue.Queued || verdict == queue.Existed:
		log.Debug("tick fired", "late", t.clock.now().Sub(e.due))
		t.next(e, e.due)
	case verdict == store.FireAlready:
		log.Debug("tick had been fired")
		t.next(e, e.due)
	case verdict == store.FireSuperseded:
		return store.ErrSuperseded
	case verdict == store.FireUnknown:
		log.Warn("the schedule has no cursor any more; reading all cursors again")
		t.resync()
	default:
		t.hold(e, now, fault.New(fault.Internal, "the queue answered with the unknown verdict %d", verdict))
	}
	return nil
}

// firing describes the entry's next tick to the store.
func (t *termLoop) firing(e *entry) store.Firing {
	due, _ := e.schedule.Count(e.cursor, e.due, math.MaxInt)
	return store.Firing{
		Key: e.key, Site: e.site, Function: e.function.Name, After: e.cursor, Tick: e.due, Due: due,
		CaughtUp: !e.due.After(e.judged), SkipOverlap: e.function.Overlap == "skip", Invocation: e.firing.task.ID,
	}
}

// next goes on to the tick after one.
func (t *termLoop) next(e *entry, tick time.Time) {
	if !e.advance(tick) {
		e.due = time.Time{}
	}
}

// prepare makes the invocation that a tick stands for.
func (t *termLoop) prepare(e *entry, now time.Time) *firing {
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
	return &firing{
		task: queue.Task{
			ID:      id,
			Queue:   function.Scheduled,
			Target:  queue.Target{Site: e.site, Deploy: e.deploy, Function: e.function.Name, Published: true},
			Timeout: e.function.Timeout(),
		},
		invocation: invocation.Invocation{
			ID: id, Site: e.site, Deploy: e.deploy, Function: e.function.Name,
			Kind: function.Scheduled, State: invocation.Queued, CreatedAt: now, Tick: e.due,
		},
		event: event.ForTick(e.function.Name, next, event.Meta{
			RequestID: id, Site: e.site, Deploy: e.deploy, Published: true, Context: why, Branch: e.branch, BaseURL: t.BaseURL(e.site),
		}),
	}
}

// judge applies catchUp to the ticks from the entry's next one up to a time.
func (t *termLoop) judge(ctx context.Context, e *entry, until time.Time) error {
	newest, ok := e.schedule.Last(e.cursor, until)
	if !ok { // cannot be: due lies between them
		newest = e.due
	}
	t.log.Warn("ticks were missed", "site", e.site, "function", e.function.Name,
		"from", e.due, "to", newest, "catch_up", cmp.Or(e.function.CatchUp, "last"))
	switch e.function.CatchUp {
	case "none":
		return t.skip(ctx, e, newest)
	case "all":
		e.due = oldestOf(e.schedule, e.cursor, newest, maxCatchUp)
	default:
		e.due = newest
	}
	e.judged = until
	return nil
}

// skip passes over all ticks up to one.
func (t *termLoop) skip(ctx context.Context, e *entry, tick time.Time) error {
	count, _ := e.schedule.Count(e.cursor, tick, math.MaxInt)
	err := t.Store.Skip(ctx, t.term, store.Skipping{Key: e.key, After: e.cursor, From: e.due, To: tick, Count: count, Reason: store.SkipCatchUpNone})
	switch {
	case err == nil:
		t.next(e, tick)
		return nil
	case fault.Is(err, fault.NotFound):
		t.resync()
		return nil
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
