// Package await lets callers wait until an invocation is finished.
//
// All waiters of a gateway share one subscription, which begins with the first
// of them. Pub/sub loses messages, so it only makes waiting quick: a waiter also
// reads the record itself, when it begins, when the subscription stands, and
// each second.
package await

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
)

// Defaults.
const (
	defaultLimit = 1000
	defaultCheck = time.Second
)

// Records are where invocations stand; see package store.
type Records interface {
	Invocation(ctx context.Context, id string) (invocation.Invocation, error)
	// WatchFinished calls fn with the ID of each awaited invocation that is
	// finished, until ctx ends, and ready once it hears them.
	WatchFinished(ctx context.Context, ready func(), fn func(id string)) error
}

// Config configures Waiters.
type Config struct {
	Records Records
	Logger  *slog.Logger
	// Limit is how many may wait at once. Default 1,000.
	Limit int
	// Check is the time between two looks at a record that nothing is heard of,
	// and between two tries to subscribe. Default 1 s.
	Check time.Duration
}

// Waiters is safe for concurrent use.
type Waiters struct {
	cfg Config
	log *slog.Logger
	ctx context.Context // ends with Close
	end context.CancelFunc

	subscribe sync.Once
	watching  sync.WaitGroup

	mu      sync.Mutex
	count   int
	waiting map[string]map[chan struct{}]struct{} // by invocation
}

// New makes Waiters. Close ends them.
func New(cfg Config) *Waiters {
	if cfg.Limit == 0 {
		cfg.Limit = defaultLimit
	}
	if cfg.Check == 0 {
		cfg.Check = defaultCheck
	}
	w := &Waiters{cfg: cfg, log: cfg.Logger.With("component", "await"), waiting: map[string]map[chan struct{}]struct{}{}}
	w.ctx, w.end = context.WithCancel(context.Background())
	return w
}

// Close ends all waiting at once. Whoever comes afterwards does not wait.
func (w *Waiters) Close() {
	w.mu.Lock()
	w.end() // under the lock, so that nobody begins to watch after it
	w.mu.Unlock()
	w.watching.Wait()
}

// Wait waits until an invocation is finished, for at most limit, and returns its
// record. It is false if that did not happen: the time was up, ctx ended, there
// is no such record, too many wait already, or the gateway stops.
func (w *Waiters) Wait(ctx context.Context, id string, limit time.Duration) (invocation.Invocation, bool) {
	told, ok := w.enter(id)
	if !ok {
		return invocation.Invocation{}, false
	}
	defer w.leave(id, told)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer context.AfterFunc(w.ctx, cancel)()
	check := time.NewTicker(w.cfg.Check)
	defer check.Stop()
	for {
		inv, err := w.cfg.Records.Invocation(ctx, id)
		switch {
		case err == nil && inv.State.Terminal():
			return inv, true
		case fault.Is(err, fault.NotFound):
			return invocation.Invocation{}, false
		}
		select {
		case <-told:
		case <-check.C:
		case <-ctx.Done():
			return invocation.Invocation{}, false
		}
	}
}

// enter adds a waiter, which is told by the channel.
func (w *Waiters) enter(id string) (chan struct{}, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil || w.count >= w.cfg.Limit {
		return nil, false
	}
	w.subscribe.Do(func() { w.watching.Go(w.watch) })
	w.count++
	told := make(chan struct{}, 1)
	if w.waiting[id] == nil {
		w.waiting[id] = map[chan struct{}]struct{}{}
	}
	w.waiting[id][told] = struct{}{}
	return told, true
}

func (w *Waiters) leave(id string, told chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count--
	delete(w.waiting[id], told)
	if len(w.waiting[id]) == 0 {
		delete(w.waiting, id)
	}
}

// watch keeps the subscription up until Close.
func (w *Waiters) watch() {
	for {
		err := w.cfg.Records.WatchFinished(w.ctx, w.tellAll, w.tell)
		if w.ctx.Err() != nil {
			return
		}
		w.log.Warn("ends of invocations are not heard of, and looked for each second", "error", err)
		select {
		case <-w.ctx.Done():
			return
		case <-time.After(w.cfg.Check):
		}
	}
}

// tell lets those look who wait for an invocation.
func (w *Waiters) tell(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tellLocked(id)
}

// tellAll lets all look: what ended before they were heard of, nobody tells.
func (w *Waiters) tellAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.waiting {
		w.tellLocked(id)
	}
}

func (w *Waiters) tellLocked(id string) {
	for told := range w.waiting[id] {
		select {
		case told <- struct{}{}:
		default: // it is about to look
		}
	}
}
