package queue

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/redis/go-redis/v9"
)

const (
	// parkTime bounds how long an idle loop stays parked, should its wake-up get
	// lost: with a connection that is dead and does not say so.
	parkTime = 5 * time.Second
	// blockTime bounds a blocking command. It is above parkTime, so that as a rule
	// parked loops look, and ask for the next one, before this one ends.
	blockTime = 6 * time.Second
	// pausedTime is how often a queue is looked at that is paused and not empty.
	pausedTime = time.Second
	// errorPause is the pause after an error of Redis, where asynq makes none.
	errorPause = 250 * time.Millisecond
)

// waker parks loops that found all queues empty and wakes them when there is
// something in one.
//
// A waiter per queue blocks in BLMOVE q q RIGHT RIGHT, which waits for the list
// to have an element and moves its head onto itself: it changes nothing, works
// for whoever pushed (a client, a retry that is due, the reaper, asynqmon), and
// a push wakes the waiters of all workers.
//
// A waiter blocks only on demand of a parked loop, made after the loop found the
// queues empty. While all loops are busy the list may stay full, and nothing
// spins.
type waker struct {
	rdb     redis.UniversalClient
	log     *slog.Logger
	ctx     context.Context // ends with Pause
	stop    context.CancelFunc
	running sync.WaitGroup
	waiters []*waiter
	atMost  time.Duration // parkTime; tests change it before start

	mu     sync.Mutex
	parked []chan function.Kind // a bell per parked loop, with room for one ring
}

type waiter struct {
	queue function.Kind
	// demand has a token while a loop wants to be woken.
	demand chan struct{}
	// took says that one of our loops got a task of the queue since the last block.
	took atomic.Bool
}

func newWaker(rdb redis.UniversalClient, log *slog.Logger) *waker {
	w := &waker{rdb: rdb, log: log, atMost: parkTime}
	w.ctx, w.stop = context.WithCancel(context.Background())
	for _, q := range queues {
		w.waiters = append(w.waiters, &waiter{queue: q, demand: make(chan struct{}, 1)})
	}
	return w
}

func (w *waker) start() {
	for _, q := range w.waiters {
		w.running.Go(func() { w.serve(q) })
	}
}

// park returns when there may be something to dequeue, or it is time to look,
// or the waker stops. The caller has found all queues empty. It returns the
// queue that has something, or "" if any may have.
func (w *waker) park() function.Kind {
	// First the bell, then the demand: a waiter that rings in between has woken
	// this loop.
	bell := make(chan function.Kind, 1)
	w.mu.Lock()
	w.parked = append(w.parked, bell)
	w.mu.Unlock()
	for _, q := range w.waiters {
		q.ask()
	}
	timer := time.NewTimer(w.atMost)
	defer timer.Stop()
	select {
	case queue := <-bell:
		return queue
	case <-timer.C:
	case <-w.ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.parked = slices.DeleteFunc(w.parked, func(b chan function.Kind) bool { return b == bell })
	return ""
}

// ring wakes one parked loop, the last to have come, and reports whether there
// are more.
func (w *waker) ring(queue function.Kind) (more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.parked) == 0 {
		return false
	}
	last := len(w.parked) - 1
	w.parked[last] <- queue
	w.parked = w.parked[:last]
	return last > 0
}

// ask makes the waiter block once more.
func (q *waiter) ask() {
	select {
	case q.demand <- struct{}{}:
	default:
	}
}

// took notes that a loop got a task out of the queue.
func (w *waker) took(kind function.Kind) {
	for _, q := range w.waiters {
		if q.queue == kind {
			q.took.Store(true)
		}
	}
}

func (w *waker) stopped() bool { return w.ctx.Err() != nil }

// sleep pauses for d or until the waker stops.
func (w *waker) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.ctx.Done():
	}
}

func (w *waker) serve(q *waiter) {
	rang := false
	for {
		select {
		case <-q.demand:
		case <-w.ctx.Done():
			return
		}
		// The queue had something, yet none of our loops could take it, and they
		// are parked again. Another worker was faster, or the queue is paused and
		// stays full: then blocking would return at once, again and again.
		if rang && !q.took.Load() && w.paused(q.queue) {
			w.sleep(pausedTime)
		}
		q.took.Store(false)
		err := w.rdb.BLMove(w.ctx, pendingKey(q.queue), pendingKey(q.queue), "RIGHT", "RIGHT", blockTime).Err()
		rang = err == nil
		switch {
		case err == nil:
			// One loop is enough for one task: waking all would make them race for
			// it. If there are more tasks, blocking again finds out at once.
			if w.ring(q.queue) {
				q.ask()
			}
		case w.stopped():
		default:
			if !errors.Is(err, redis.Nil) { // a lost connection, a failover
				w.log.Debug("waiting for tasks was interrupted", "queue", string(q.queue), "error", err)
				w.sleep(errorPause)
			}
			if w.awaited() { // they would hear nothing until they look by themselves
				q.ask()
			}
		}
	}
}

// awaited reports whether a loop is parked.
func (w *waker) awaited() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.parked) > 0
}

func (w *waker) paused(kind function.Kind) bool {
	n, err := w.rdb.Exists(w.ctx, pausedKey(kind)).Result()
	return err == nil && n > 0
}
