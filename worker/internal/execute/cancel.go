package execute

import (
	"context"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/worker/internal/pool"
)

const (
	// pollInterval is how often is asked while something runs, so that an attempt
	// ends within a second of its cancellation also if the message was lost:
	// after this, a round trip, and pool.CancelGrace. A question is one round
	// trip, of two fields for each attempt that runs here.
	pollInterval = 250 * time.Millisecond
	watchRestart = time.Second // after a watch that broke
)

// Run cancels running attempts when somebody asks for it, until ctx ends. The
// watch tells it at once; asking now and then finds what the watch missed.
func (e *Executor) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { e.watchCancels(ctx) })
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.began:
			e.pollCancels(ctx)
		}
	}
}

// pollCancels asks while something runs.
func (e *Executor) pollCancels(ctx context.Context) {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for e.runs() {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			e.askForCancels(ctx)
		}
	}
}

func (e *Executor) runs() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.running) > 0
}

func (e *Executor) watchCancels(ctx context.Context) {
	for {
		err := e.cfg.Store.WatchCancels(ctx, e.cancel)
		if ctx.Err() != nil {
			return
		}
		e.log.Warn("watch for cancellations broke; starting it again", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchRestart):
		}
	}
}

// askForCancels asks about what runs.
func (e *Executor) askForCancels(ctx context.Context) {
	byKind := map[function.Kind][]string{}
	e.mu.Lock()
	for id, r := range e.running {
		byKind[r.kind] = append(byKind[r.kind], id)
	}
	e.mu.Unlock()
	for kind, ids := range byKind {
		callCtx, done := context.WithTimeout(ctx, storeTimeout)
		cancelled, err := e.cfg.Store.CancelRequested(callCtx, kind, ids)
		done()
		if err != nil {
			e.log.Debug("asking for cancellations failed", "error", err)
			continue
		}
		for _, id := range cancelled {
			e.cancel(id)
		}
	}
}

// cancel ends the attempt of an invocation if it runs here. It may be asked
// again while the attempt is ending.
func (e *Executor) cancel(id string) {
	e.mu.Lock()
	r, ok := e.running[id]
	first := ok && !r.cancelled
	if ok {
		r.cancelled = true
	}
	e.mu.Unlock()
	if first {
		e.log.Info("cancelling", "invocation", id)
		r.cancel(pool.ErrCancelled)
	}
}
