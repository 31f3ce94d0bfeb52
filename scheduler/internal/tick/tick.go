// Package tick turns schedules into invocations, exactly one per tick.
//
// A schedule is a function of a site's published deploy, with its expression
// and zone. Its cursor, kept by the store, is the last tick that was dealt with.
// It survives deploys that leave the schedule as it is, and starts at now for a
// schedule that is new or changed: nothing fires for the time before.
//
// # Exactly once
//
// Due are the ticks after the cursor. One script checks the term and the
// cursor, makes the record, enqueues the task, advances the cursor and enters
// the tick into the ledger, or does none of it. So it does not matter who fires,
// how often it is tried, or whether the reply arrives:
//
//	queued       it fired now
//	already      it had fired: by a predecessor, or by a try whose reply was lost;
//	             the ledger notes it as suppressed
//	superseded   another term leads; this one ends
//	unknown      the schedule's cursor is gone, or is elsewhere, because Redis lost
//	             its newest writes; all cursors are read again
//	paused       the schedule is paused, or was when the tick was due: skipped
//	overlap      the function's last one is not finished, and overlap is skip: skipped
//	an error     not known; the same tick is tried again, and none after it
//
// Ticks of different schedules are dealt with side by side and share round
// trips; those of one schedule strictly one after the other.
//
// # Late ticks
//
// A tick up to [Window] late simply fires, which covers every failover. What
// becomes of older ones, after an outage, the function's catchUp says:
//
//	last   the newest of them is caught up, the others are skipped (the default)
//	all    all of them are caught up, the newest 1,000 at most
//	none   all of them are skipped
//
// # Time
//
// Ticks are moments of the local clock as long as it agrees with that of Redis
// to 2 s, and else of Redis's clock. Between two measurements time passes
// monotonically, so that a clock that is set has no effect until it has been
// compared. So no tick fires more than 2 s before Redis's clock shows it, and
// a local clock that is wrong makes none later than that. A clock set back
// repeats nothing, because the cursor is past it. The clock of Redis itself is
// believed: where it is set forth, what lies between is late, and goes by catchUp.
//
// Nothing polls: the loop sleeps until the next tick is due, or until its
// measurement of the clock is 30 s old, or for good when there is no schedule.
package tick

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/telemetry"
	"github.com/prometheus/client_golang/prometheus"
)

// Window is how late a tick may be and still fire as if it were on time.
const Window = 5 * time.Minute

// Store is what the loop needs of the store; see store.Store for the contracts.
type Store interface {
	WatchCatalog(ctx context.Context, fn func(store.Catalog)) error
	SyncCursors(ctx context.Context, term int64, keys []string) (map[string]time.Time, error)
	MoveCursors(ctx context.Context, term int64, add, drop []string) (map[string]time.Time, error)
	Skip(ctx context.Context, term int64, k store.Skipping) error
	Suppress(ctx context.Context, term int64, key string, tick time.Time) error
	Fire(term int64, f store.Firing) redisdb.Step
	Create(inv invocation.Invocation, event []byte) redisdb.Step
}

// Queue is what the loop needs of the queue; see queue.Client.
type Queue interface {
	Enqueue(ctx context.Context, t queue.Task, steps ...redisdb.Step) (verdict int, err error)
}

// Config configures a Loop. All of it but Metrics and Tracer is required.
type Config struct {
	Store Store
	Queue Queue
	// RedisNow reads the clock of Redis.
	RedisNow func(ctx context.Context) (time.Time, error)
	// BaseURL is scheme://host of a site, which its functions see in their events.
	BaseURL func(site string) string
	// Dev tells them that they run under nightshift dev.
	Dev    bool
	Logger *slog.Logger
	// Metrics is where the loop's figures are registered; nil: nowhere.
	Metrics prometheus.Registerer
	// Tracer traces ticks. nil: nothing is traced.
	Tracer *telemetry.Tracer
}

// Loop fires ticks while its process leads.
type Loop struct {
	cfg Config
	// localNow is the wall clock, which may jump; tests set it.
	localNow func() time.Time
	metrics  metrics
}

// New makes a loop.
func New(cfg Config) *Loop {
	return &Loop{cfg: cfg, localNow: time.Now, metrics: newMetrics(cfg.Metrics)}
}

// Run fires ticks in a term until ctx ends, and then returns nil, or until a
// newer term leads, and then returns store.ErrSuperseded.
func (l *Loop) Run(ctx context.Context, term int64) error {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()

	catalogs := make(chan store.Catalog, 1)
	watchEnded := make(chan error, 1)
	watch.Go(func() {
		watchEnded <- l.cfg.Store.WatchCatalog(ctx, func(c store.Catalog) {
			select { // only the newest one counts
			case <-catalogs:
			default:
			}
			catalogs <- c
		})
	})

	t := &termLoop{
		Config:   l.cfg,
		log:      l.cfg.Logger.With("term", term),
		term:     term,
		clock:    &clock{redisNow: l.cfg.RedisNow, localNow: l.localNow, log: l.cfg.Logger},
		catalogs: catalogs,
		parser:   parser{},
		metrics:  l.metrics,
	}
	defer l.metrics.schedules.Set(0)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-watchEnded:
			if ctx.Err() != nil {
				return nil
			}
			return err
		case c := <-catalogs:
			t.adopt(c)
		case <-timer.C:
		}
		if err := t.step(ctx); err != nil {
			return err
		}
		if d, any := t.untilNext(); any {
			timer.Reset(d)
		} else {
			timer.Stop()
		}
	}
}
