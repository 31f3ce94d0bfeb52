package leader

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// Causes with which the context of a term ends.
var (
	ErrStopping     = errors.New("the scheduler is stopping")
	ErrLockLost     = errors.New("the leader's lock is not ours any more")
	ErrTrustExpired = errors.New("the leader's lock could not be renewed in time")

	// errYielded: the work returned by itself.
	errYielded = errors.New("the work gave its term up")
)

// Terms numbers the terms; store.Store does.
type Terms interface {
	// BeginTerm returns a number higher than all before. From then on writes
	// with another number are refused.
	BeginTerm(ctx context.Context) (int64, error)
}

// Config configures an Elector. All of it but Metrics is required.
type Config struct {
	// Redis is a client of the elector's own, so that neither a full pool nor
	// long retries stand between a leader and its renewal: one retry, and a read
	// timeout well below the TTL. The caller closes it.
	Redis  redis.UniversalClient
	Terms  Terms
	TTL    time.Duration // how long the lock outlives its last renewal
	Logger *slog.Logger
	// Metrics is where the elector's figures are registered; nil: nowhere.
	Metrics prometheus.Registerer
}

// Elector competes for leadership. See the package doc.
type Elector struct {
	lock    func() lock
	terms   Terms
	ttl     time.Duration
	log     *slog.Logger
	metrics metrics
}

// New makes an elector. It does nothing until [Elector.Lead].
func New(cfg Config) *Elector {
	return &Elector{
		lock:    func() lock { return newRedisLock(cfg.Redis, cfg.TTL) },
		terms:   cfg.Terms,
		ttl:     cfg.TTL,
		log:     cfg.Logger,
		metrics: newMetrics(cfg.Metrics),
	}
}

// margin is what trust ends before the lock does.
func (e *Elector) margin() time.Duration { return e.ttl / 10 }

// jitter spreads a wait by a quarter, so that standbys do not try in step.
func jitter(d time.Duration) time.Duration { return d + rand.N(d/4+1) } // #nosec G404 -- no secret

// Lead competes until ctx ends and calls work for each term that it wins, with
// the term's number. work must return soon after its context has ended. When it
// returns before, the term is given up. Lead returns after the last work has
// returned and its lock is released.
func (e *Elector) Lead(ctx context.Context, work func(ctx context.Context, term int64)) {
	l := e.lock()
	defer func() {
		if err := l.Close(); err != nil {
			e.log.Debug("closing the lock", "error", err)
		}
	}()
	failing := false
	for wait := time.Duration(0); sleep(ctx, wait, l.Released()); {
		wait = jitter(e.ttl / 4)
		t, err := e.acquire(ctx, l)
		switch {
		case ctx.Err() != nil:
			// Whatever came of the attempt, acquire left no lock behind.
		case err != nil:
			if !failing { // once per outage
				e.log.Warn("cannot compete for leadership", "error", err)
			}
			failing = true
			continue
		case failing:
			e.log.Info("competing for leadership again")
		}
		failing = false
		if t != nil {
			e.serve(ctx, l, t, work)
		}
	}
}

// sleep waits until d has passed or early delivers, and reports whether ctx
// still holds.
func sleep(ctx context.Context, d time.Duration, early <-chan struct{}) bool {
	if ctx.Err() != nil {
		return false
	}
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-early:
	case <-timer.C:
	}
	return true
}

// term is one stretch of leadership.
type term struct {
	number       int64
	trustedUntil time.Time // monotonic
}

func (e *Elector) trust(attemptStarted time.Time) time.Time {
	return attemptStarted.Add(e.ttl - e.margin())
}

// acquire takes the lock and a number. It returns nil if another has the lock.
// When it returns no term, it leaves no lock behind, as far as Redis can be told.
func (e *Elector) acquire(ctx context.Context, l lock) (*term, error) {
	started := time.Now()
	ok, err := l.Acquire(ctx)
	if !ok {
		return nil, err
	}
	t := &term{trustedUntil: e.trust(started)}
	// The number must not be drawn after the trust has run out: it would
	// supersede whoever leads by then.
	beginCtx, cancel := context.WithDeadline(ctx, t.trustedUntil)
	defer cancel()
	if t.number, err = e.terms.BeginTerm(beginCtx); err != nil {
		e.release(ctx, l)
		return nil, err
	}
	return t, nil
}

func (e *Elector) release(ctx context.Context, l lock) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.ttl/2)
	defer cancel()
	if err := l.Release(ctx); err != nil {
		// The lock's expiry will do it.
		e.log.Warn("the lock could not be released", "error", err)
	}
}

// serve runs work for one term and keeps the lock meanwhile.
func (e *Elector) serve(ctx context.Context, l lock, t *term, work func(ctx context.Context, term int64)) {
	log := e.log.With("term", t.number)
	// Not derived from ctx: the cause must be ours, and say which of both ended.
	workCtx, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	// The timer ends the work also while a renewal hangs.
	expiry := time.AfterFunc(time.Until(t.trustedUntil), func() { end(ErrTrustExpired) })
	defer expiry.Stop()

	log.Info("leading")
	e.metrics.term.Set(float64(t.number))
	e.metrics.leader.Set(1)
	defer e.metrics.leader.Set(0)
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		work(workCtx, t.number)
		end(errYielded) // without effect when something else ended it
	}()
	end(e.keep(ctx, workCtx, l, t, expiry, log))
	<-worked

	cause := context.Cause(workCtx)
	log.Info("not leading any more", "reason", cause)
	if !errors.Is(cause, ErrLockLost) {
		e.release(ctx, l)
	}
}

// keep renews the lock until the term ends and returns why.
func (e *Elector) keep(ctx, workCtx context.Context, l lock, t *term, expiry *time.Timer, log *slog.Logger) error {
	renew := time.NewTimer(e.ttl / 3)
	defer renew.Stop()
	for {
		select {
		case <-ctx.Done():
			return ErrStopping
		case <-workCtx.Done():
			return context.Cause(workCtx)
		case <-renew.C:
		}
		started := time.Now()
		if !started.Before(t.trustedUntil) {
			// The process was frozen, and the timer for this has not run yet.
			return ErrTrustExpired
		}
		ours, err := e.renew(workCtx, l, t)
		switch {
		case err != nil:
			log.Warn("the lock could not be renewed", "error", err, "trusted_for", time.Until(t.trustedUntil))
			renew.Reset(e.ttl / 20)
		case !ours:
			return ErrLockLost
		default:
			t.trustedUntil = e.trust(started)
			if !expiry.Reset(time.Until(t.trustedUntil)) {
				return ErrTrustExpired // it ran while the renewal was under way
			}
			renew.Reset(e.ttl / 3)
		}
	}
}

func (e *Elector) renew(ctx context.Context, l lock, t *term) (bool, error) {
	ctx, cancel := context.WithDeadline(ctx, t.trustedUntil)
	defer cancel()
	return l.Renew(ctx)
}
