// Package audit looks for invocations that are not finished and have no task. An
// operator deleted it with asynq's tools, say; or Redis failed over between the
// end of an attempt and the acknowledgement of its task, and has forgotten only the
// first. They would wait for ever, so they get a task again. The leader runs it; two at once would do no harm, since a task
// of one ID is there once, and a worker drops that of a finished invocation.
package audit

import (
	"context"
	"log/slog"
	"time"

	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb"
)

const (
	// Interval is the time between two rounds. A lost task is back after one to
	// two of them, if the round reaches its invocation.
	Interval = 10 * time.Second
	// minAge is how old an invocation is before it is looked at: most have ended by then.
	minAge = 30 * time.Second
	// page and pages bound what a round looks at, for each kind: the next one goes
	// on from there.
	page  = 200
	pages = 10
	// maxLost bounds what a round remembers, and enqueues, for each kind.
	maxLost = 1000
)

// Records reads invocations and deploys; store.Store does.
type Records interface {
	Unfinished(ctx context.Context, kind function.Kind, after string, limit int) ([]invocation.Invocation, string, error)
	Invocation(ctx context.Context, id string) (invocation.Invocation, error)
	Deploy(ctx context.Context, id string) (deploy.Deploy, error)
}

// Queue is where tasks are looked for; queue.Client is one.
type Queue interface {
	Missing(ctx context.Context, kind function.Kind, ids []string) ([]string, error)
	Enqueue(ctx context.Context, t queue.Task, steps ...redisdb.Step) (int, error)
}

// Config configures an Audit. All but Metrics is required.
type Config struct {
	Records Records
	Queue   Queue
	Now     func(context.Context) (time.Time, error) // the clock of Redis, which dates records
	Metrics *Metrics                                 // default: what is done is not told
	Logger  *slog.Logger
}

// Audit remembers what the last round found. Not safe for concurrent use.
type Audit struct {
	cfg  Config
	lost map[function.Kind][]string // had no task in the last round
	at   map[function.Kind]string   // where to go on
}

// New makes one.
func New(cfg Config) *Audit {
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	return &Audit{cfg: cfg, lost: map[function.Kind][]string{}, at: map[function.Kind]string{}}
}

// Run does a round each Interval until ctx ends.
func (a *Audit) Run(ctx context.Context) {
	daemon.Every(ctx, Interval, a.cfg.Logger, "cannot look for invocations without a task", func(ctx context.Context) error {
		_, err := a.Round(ctx)
		return err
	})
}

// Round enqueues the invocations that had no task in the last round and have none
// now, and then looks for others. Two looks, since a record is read before its
// task is looked for, and may be finished between. It returns how many it
// enqueued, which is right with an error too.
func (a *Audit) Round(ctx context.Context) (int, error) {
	now, err := a.cfg.Now(ctx)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, kind := range []function.Kind{function.Scheduled, function.Background} {
		n, err := a.restore(ctx, kind)
		total += n
		if err != nil {
			return total, err
		}
		if err := a.search(ctx, kind, now.Add(-minAge)); err != nil {
			return total, err
		}
	}
	return total, nil
}

// restore enqueues those of the lost ones that are still.
func (a *Audit) restore(ctx context.Context, kind function.Kind) (int, error) {
	ids := a.lost[kind]
	delete(a.lost, kind)
	n := 0
	deploys := map[string]deploy.Deploy{}
	for len(ids) > 0 {
		some := ids[:min(page, len(ids))]
		ids = ids[len(some):]
		unfinished := map[string]invocation.Invocation{}
		for _, id := range some {
			inv, err := a.cfg.Records.Invocation(ctx, id)
			if fault.Is(err, fault.NotFound) || err == nil && inv.State.Terminal() {
				continue
			}
			if err != nil {
				return n, err
			}
			unfinished[id] = inv
		}
		missing, err := a.cfg.Queue.Missing(ctx, kind, some)
		if err != nil {
			return n, err
		}
		for _, id := range missing {
			inv, ok := unfinished[id]
			if !ok {
				continue
			}
			if err := a.enqueue(ctx, inv, deploys); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

// enqueue gives the invocation a task. Its deploy may be gone: then it gets one all
// the same, so that a worker says why it cannot run.
func (a *Audit) enqueue(ctx context.Context, inv invocation.Invocation, deploys map[string]deploy.Deploy) error {
	d, known := deploys[inv.Deploy]
	if !known {
		var err error
		if d, err = a.cfg.Records.Deploy(ctx, inv.Deploy); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		deploys[inv.Deploy] = d
	}
	f, ok := d.Function(inv.Function)
	if !ok {
		f = &function.Function{Kind: inv.Kind}
	}
	t := queue.Task{
		ID: inv.ID, Queue: inv.Kind, Timeout: f.Timeout(), Concurrency: f.Concurrency, NotBefore: inv.NotBefore,
		// A record does not say whether the call was for what is published. A tick is;
		// any other runs on the deploy that accepted it.
		Target: queue.Target{Site: inv.Site, Deploy: inv.Deploy, Function: inv.Function, Published: !inv.Tick.IsZero()},
	}
	if inv.State == invocation.Failed {
		t.NotBefore = inv.NextAttemptAt
	}
	verdict, err := a.cfg.Queue.Enqueue(ctx, t)
	if err != nil {
		return err
	}
	if verdict != queue.Queued {
		return fault.New(fault.Internal, "queueing invocation %s once more: refused with %d", inv.ID, verdict)
	}
	a.cfg.Metrics.restored.Inc()
	a.cfg.Logger.Warn("an invocation had lost its task and was queued again", "invocation", inv.ID, "site", inv.Site,
		"function", inv.Function, "deploy", inv.Deploy, "state", string(inv.State), "not_before", t.NotBefore)
	return nil
}

// search remembers unfinished invocations without a task that were made before a
// time, and where it stopped.
func (a *Audit) search(ctx context.Context, kind function.Kind, before time.Time) error {
	for range pages {
		list, next, err := a.cfg.Records.Unfinished(ctx, kind, a.at[kind], page)
		if err != nil {
			return err
		}
		var ids []string
		for _, inv := range list {
			if !inv.CreatedAt.Before(before) {
				next = "" // all that follow are younger
				break
			}
			ids = append(ids, inv.ID)
		}
		missing, err := a.cfg.Queue.Missing(ctx, kind, ids)
		if err != nil {
			return err
		}
		a.lost[kind] = append(a.lost[kind], missing...)
		a.at[kind] = next
		if next == "" || len(a.lost[kind]) >= maxLost {
			return nil
		}
	}
	return nil
}
