// Package tail reads the logs of many invocations of a site as one: of those
// that were, and, as long as somebody looks, of those that come.
//
// The control plane has a log for each invocation and a list of invocations,
// newest first. A tail asks for both again and again: each round lists what was
// made since the round before, reads on where the logs ended that it knows, and
// emits the new lines of all of them by their time. An invocation is read until
// it is finished; its record is read before its log, so that lines which come
// between the two are read the next time and not lost.
package tail

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/fault"
	"golang.org/x/sync/errgroup" // bounds the requests of a round
)

const (
	// page is how many invocations are listed at once; the control plane has no larger pages.
	page = 200
	// maxPages bounds what one round lists.
	maxPages = 10
	// maxOpen bounds the unfinished invocations whose logs are followed.
	maxOpen = 200
	// atOnce bounds the requests that are under way at the same time.
	atOnce = 8
	// skew is how far the clocks of gateways, which say when an invocation was
	// made, may lie apart.
	skew = time.Minute
)

// Source is the control plane, as far as it is needed; see package client.
type Source interface {
	Invocations(ctx context.Context, site string, q client.InvocationQuery) (api.InvocationList, error)
	Invocation(ctx context.Context, id string) (api.Invocation, error)
	Logs(ctx context.Context, id, after string) ([]api.LogLine, error)
}

// Tail is used by one goroutine: Past, and then perhaps Follow.
type Tail struct {
	Source Source
	Site   string
	// Function is the one whose invocations are meant; empty is all of the site.
	Function string
	// Emit is given each line, in order.
	Emit func(api.Invocation, api.LogLine)
	// Trouble is told of what does not end a tail: the control plane does not
	// answer, which is told once until it does, or too much runs at once.
	Trouble func(error)
	// Poll is the time between two rounds.
	Poll time.Duration

	open   map[string]*log      // unfinished, or finished and not yet read to the end
	seen   map[string]time.Time // when each invocation was made that is known
	newest time.Time            // of these
	left   int                  // how many could not be followed
}

// log is how far an invocation has been read.
type log struct {
	api.Invocation
	cursor string
	fresh  bool // the record was read in this round
}

// Past emits the logs of the last n invocations that have begun. It returns how
// many there were.
func (t *Tail) Past(ctx context.Context, n int) (int, error) {
	t.open, t.seen = map[string]*log{}, map[string]time.Time{}
	list, err := t.list(ctx, time.Time{}, n)
	if err != nil {
		return 0, err
	}
	begun := 0
	for _, inv := range list {
		t.know(inv)
		if len(inv.Attempts) > 0 && begun < n {
			begun++
			t.open[inv.ID] = &log{Invocation: inv, fresh: true}
		} else if !inv.State.Terminal() {
			t.watch(inv)
		}
	}
	return begun, t.read(ctx)
}

// Follow emits what is logged from then on, until the context ends, whose error
// it returns, or something fails for good. Past goes before it.
func (t *Tail) Follow(ctx context.Context) error {
	troubled := false
	for {
		timer := time.NewTimer(t.Poll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		err := t.round(ctx)
		switch {
		case err == nil:
			troubled = false
		case ctx.Err() != nil:
			return ctx.Err()
		case !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Throttled):
			return err
		case !troubled: // a gateway that restarts is back soon
			troubled = true
			t.Trouble(err)
		}
	}
}

// round looks once for what is new.
func (t *Tail) round(ctx context.Context) error {
	list, err := t.list(ctx, t.newest.Add(-skew), 0)
	if err != nil {
		return err
	}
	for _, inv := range list {
		if l, ok := t.open[inv.ID]; ok {
			l.Invocation, l.fresh = inv, true
		} else if _, ok := t.seen[inv.ID]; !ok {
			t.watch(inv)
		}
		t.know(inv)
	}
	for id, at := range t.seen {
		if at.Before(t.newest.Add(-2 * skew)) { // never listed again
			delete(t.seen, id)
		}
	}
	return t.read(ctx)
}

// list lists invocations, newest first: all that were made at from or later, or
// with a zero from, enough to have n that have begun.
func (t *Tail) list(ctx context.Context, from time.Time, n int) ([]api.Invocation, error) {
	var out []api.Invocation
	q := client.InvocationQuery{Function: t.Function, From: from, Limit: page}
	begun := 0
	for range maxPages {
		answer, err := t.Source.Invocations(ctx, t.Site, q)
		if err != nil {
			return nil, err
		}
		out = append(out, answer.Invocations...)
		for _, inv := range answer.Invocations {
			if len(inv.Attempts) > 0 {
				begun++
			}
		}
		if q.Cursor = answer.NextCursor; q.Cursor == "" || from.IsZero() && begun >= n {
			break
		}
	}
	return out, nil
}

// know notes that an invocation has been listed.
func (t *Tail) know(inv api.Invocation) {
	t.seen[inv.ID] = inv.CreatedAt
	if inv.CreatedAt.After(t.newest) {
		t.newest = inv.CreatedAt
	}
}

// watch follows an invocation, unless there are too many.
func (t *Tail) watch(inv api.Invocation) {
	if len(t.open) >= maxOpen {
		t.left++
		return
	}
	t.open[inv.ID] = &log{Invocation: inv, fresh: true}
}

// read emits what the logs have that are open, and closes those that are whole.
func (t *Tail) read(ctx context.Context) error {
	if t.left > 0 {
		t.Trouble(fault.New(fault.Throttled, "more than %d invocations are unfinished; the logs of %d are left out here, and nightshift logs ID prints them", maxOpen, t.left))
		t.left = 0
	}
	type line struct {
		inv api.Invocation
		api.LogLine
	}
	var mu sync.Mutex
	var lines []line
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for id, l := range t.open {
		group.Go(func() error {
			if !l.fresh {
				inv, err := t.Source.Invocation(inner, id)
				if err != nil && !fault.Is(err, fault.NotFound) {
					return err
				}
				l.Invocation, l.fresh = inv, true
				if err != nil { // expired: whatever it wrote is gone too
					l.Invocation = api.Invocation{ID: id}
					return nil
				}
			}
			if len(l.Attempts) == 0 {
				return nil // it has written nothing
			}
			more, err := t.Source.Logs(inner, id, l.cursor)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for _, m := range more {
				lines, l.cursor = append(lines, line{l.Invocation, m}), m.Cursor
			}
			return nil
		})
	}
	err := group.Wait()
	slices.SortStableFunc(lines, func(a, b line) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.inv.ID, b.inv.ID))
	})
	for _, l := range lines { // also after an error: their cursors have moved
		t.Emit(l.inv, l.LogLine)
	}
	if err != nil {
		return err
	}
	for id, l := range t.open {
		if l.State == "" || l.State.Terminal() {
			delete(t.open, id)
		}
		l.fresh = false
	}
	return nil
}
