// Package intake is the one way by which the gateway makes invocations: from
// calls, replays and ticks that somebody asks for.
//
// Task and record are stored in one step, and with them what an invocation may
// depend on: that its key is new, and that its site has room for it.
package intake

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/telemetry"
	"github.com/oklog/ulid/v2" // sortable IDs in the form that Netlify's request IDs have
)

const (
	// KeyTTL is how long the key of an invocation is remembered.
	KeyTTL = 24 * time.Hour
	// DefaultBacklog is how many invocations of a kind may wait per site.
	DefaultBacklog = 100_000
	// fullFor is when a caller may try again whose site has no room.
	fullFor = 10 * time.Second
	// maxTries bounds how often a key is tried that expires at the very moment.
	maxTries = 3
)

// Queue takes tasks; see [queue.Client.Enqueue].
type Queue interface {
	Enqueue(ctx context.Context, t queue.Task, steps ...redisdb.Step) (verdict int, err error)
}

// Records make the steps that store what an invocation needs; see package store.
type Records interface {
	Create(inv invocation.Invocation, event []byte) redisdb.Step
	Once(kind function.Kind, site, function, key, id string, ttl time.Duration) redisdb.Step
	OnceID(ctx context.Context, kind function.Kind, site, function, key string) (string, error)
	Room(kind function.Kind, site string, limit int) redisdb.Step
}

// Config configures an Intake.
type Config struct {
	Queue   Queue
	Records Records
	// Backlog is how many invocations of a kind may be queued per site. 0 is
	// DefaultBacklog; negative is no bound.
	Backlog int
	// Tracer traces what is made. nil: nothing is traced.
	Tracer *telemetry.Tracer
}

// Intake is safe for concurrent use.
type Intake struct{ cfg Config }

// New makes an Intake.
func New(cfg Config) *Intake {
	if cfg.Backlog == 0 {
		cfg.Backlog = DefaultBacklog
	}
	return &Intake{cfg: cfg}
}

// NewID makes the ID of an invocation. Knowing it is the permission to look, so
// all its randomness is the system's.
func NewID() (string, error) {
	id, err := ulid.New(ulid.Now(), rand.Reader)
	if err != nil {
		return "", fault.Wrap(err, fault.Internal, "making an ID")
	}
	return id.String(), nil
}

// Call is an invocation that is to be made.
type Call struct {
	// Invocation is what the record will say. Function, Kind and State are filled in.
	Invocation invocation.Invocation
	Function   *function.Function
	// Published says that the call is for what is published.
	Published bool
	Event     []byte
	// Key lets only the first call of a function with it be made, for KeyTTL.
	// Empty: none. Keys that begin with a zero byte are ours.
	Key string
	// Original is where the invocation stands in a trace that this one repeats.
	Original telemetry.Place
}

// Accepted is an invocation that is there.
type Accepted struct {
	ID string
	// Replayed says that an earlier call with the same key made it, and this one
	// made nothing.
	Replayed bool
}

// Accept makes an invocation. When it returns, Redis has all of it. It stands in
// the trace that ctx stands in.
//
// A site without room is fault.Throttled, a queue that does not take it
// fault.Unavailable, both with when to try again.
func (i *Intake) Accept(ctx context.Context, c Call) (Accepted, error) {
	ctx, span := i.cfg.Tracer.Enqueue(ctx, telemetry.Call{
		Site: c.Invocation.Site, Deploy: c.Invocation.Deploy, Function: c.Function.Name,
		Kind: string(c.Function.Kind), Invocation: c.Invocation.ID,
	}, telemetry.Enqueued{
		Size: len(c.Event), Tick: c.Invocation.Tick, Cron: c.Function.Schedule, ReplayOf: c.Invocation.ReplayOf, Original: c.Original,
	})
	defer span.End()
	accepted, err := i.accept(ctx, c)
	switch {
	case err != nil:
		span.Failed(string(fault.KindOf(err)))
	case accepted.Replayed:
		span.Invocation(accepted.ID)
		span.Replayed()
	}
	return accepted, err
}

func (i *Intake) accept(ctx context.Context, c Call) (Accepted, error) {
	f, inv := c.Function, c.Invocation
	inv.Function, inv.Kind, inv.State = f.Name, f.Kind, invocation.Queued
	inv.Trace = telemetry.At(ctx).String()
	task := queue.Task{
		ID: inv.ID, Queue: f.Kind, Timeout: f.Timeout(), NotBefore: inv.NotBefore, Concurrency: f.Concurrency,
		Target: queue.Target{Site: inv.Site, Deploy: inv.Deploy, Function: f.Name, Published: c.Published},
	}
	steps := make([]redisdb.Step, 0, 3)
	if c.Key != "" {
		steps = append(steps, i.cfg.Records.Once(f.Kind, inv.Site, f.Name, c.Key, inv.ID, KeyTTL))
	}
	steps = append(steps, i.cfg.Records.Create(inv, c.Event))
	if i.cfg.Backlog > 0 {
		steps = append(steps, i.cfg.Records.Room(f.Kind, inv.Site, i.cfg.Backlog))
	}
	for range maxTries {
		verdict, err := i.cfg.Queue.Enqueue(ctx, task, steps...)
		if err != nil {
			return Accepted{}, err
		}
		switch verdict {
		case queue.Queued, queue.Existed:
			// The ID is ours and fresh, so a record that is there already is this
			// very call's, stored by a try whose reply was lost.
			return Accepted{ID: inv.ID}, nil
		case store.Full:
			return Accepted{}, fault.New(fault.Throttled,
				"Site %s has %d %s invocations waiting, which is as many as may wait. Try again when some have run; the operator sets the limit with NIGHTSHIFT_SITE_BACKLOG.",
				inv.Site, i.cfg.Backlog, f.Kind).After(fullFor)
		case store.Duplicate:
		default:
			return Accepted{}, fault.New(fault.Internal, "queueing invocation %s: refused with %d", inv.ID, verdict)
		}
		first, err := i.cfg.Records.OnceID(ctx, f.Kind, inv.Site, f.Name, c.Key)
		if err != nil {
			return Accepted{}, err
		}
		if first != "" {
			return Accepted{ID: first, Replayed: true}, nil
		}
	}
	return Accepted{}, fault.New(fault.Unavailable, "The key of the call could not be read. Try again in a moment.").After(time.Second)
}
