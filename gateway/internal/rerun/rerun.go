// Package rerun lets what was accepted run once more.
//
// A retry is the same invocation: a dead one is queued again, with its attempts
// anew, on the deploy that accepted it. A replay is another one: it has the same
// request and runs on what is published now, so that a repair is of use to it.
// A replay of a preview's call stays on that preview.
package rerun

import (
	"context"

	"github.com/nightshift/nightshift/gateway/internal/intake"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/event"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/telemetry"
)

// Store is what it reads, and the step that queues a dead invocation again; see
// package store.
type Store interface {
	Invocation(ctx context.Context, id string) (invocation.Invocation, error)
	Invocations(ctx context.Context, f store.Filter, cursor string, limit int) (list []invocation.Invocation, next string, err error)
	Event(ctx context.Context, id string) ([]byte, error)
	Site(ctx context.Context, name string) (deploy.Site, error)
	Deploy(ctx context.Context, id string) (deploy.Deploy, error)
	Retry(kind function.Kind, id string) redisdb.Step
}

// Queue takes tasks; see [queue.Client.Enqueue].
type Queue interface {
	Enqueue(ctx context.Context, t queue.Task, steps ...redisdb.Step) (verdict int, err error)
}

// Intake makes invocations; see package intake.
type Intake interface {
	Accept(ctx context.Context, c intake.Call) (intake.Accepted, error)
}

// Config configures a Service. All of it is required.
type Config struct {
	Store  Store
	Queue  Queue
	Intake Intake
	// Dev says that deploys are for local development, whatever they are.
	Dev bool
}

// Service is safe for concurrent use.
type Service struct{ Config }

// New makes a service.
func New(cfg Config) *Service { return &Service{cfg} }

// Retry queues a dead invocation again. Unknown: fault.NotFound. Not dead, or
// its deploy cannot run it any more: fault.Conflict.
func (s *Service) Retry(ctx context.Context, id string) (invocation.Invocation, error) {
	inv, err := s.Store.Invocation(ctx, id)
	if err != nil {
		return inv, err
	}
	if inv.State != invocation.Dead {
		return inv, notDead(inv)
	}
	d, f, err := s.own(ctx, inv)
	if err != nil {
		return inv, err
	}
	if f == nil {
		return inv, fault.New(fault.Conflict, "retrying invocation %s: its deploy %s is gone; replay it on what is published now (nightshift replay %s)", inv.ID, inv.Deploy, inv.ID)
	}
	verdict, err := s.Queue.Enqueue(ctx, queue.Task{
		ID: inv.ID, Queue: inv.Kind, Timeout: f.Timeout(), Concurrency: f.Concurrency,
		Target: queue.Target{Site: inv.Site, Deploy: d.ID, Function: f.Name},
	}, s.Store.Retry(inv.Kind, inv.ID))
	switch {
	case err != nil:
		return inv, err
	case verdict == queue.Queued || verdict == queue.Existed:
		return s.Store.Invocation(ctx, id)
	case verdict == store.NotDead: // somebody else was first
		if inv, err = s.Store.Invocation(ctx, id); err != nil {
			return inv, err
		}
		return inv, notDead(inv)
	case verdict == store.Gone:
		return inv, fault.New(fault.NotFound, "there is no invocation %s any more; it has just expired", inv.ID)
	default:
		return inv, fault.New(fault.Internal, "retrying invocation %s: refused with %d", inv.ID, verdict)
	}
}

func notDead(inv invocation.Invocation) error {
	if inv.State.Terminal() {
		return fault.New(fault.Conflict, "retrying invocation %s: it is %s, and only dead ones can be retried; a replay runs it once more as another one (nightshift replay %s)", inv.ID, inv.State, inv.ID)
	}
	return fault.New(fault.Conflict, "retrying invocation %s: it is %s, so it is not finished yet", inv.ID, inv.State)
}

// Made is a replay.
type Made struct {
	ID       string
	Of       string // the invocation that it repeats
	Replayed bool   // an earlier request with the same key made it
}

// Replay makes an invocation with the request of a finished one. key, if not
// empty, lets requests with the same key make it once. Unknown: fault.NotFound.
// Not finished, or nothing can run it: fault.Conflict.
func (s *Service) Replay(ctx context.Context, id, key string) (Made, error) {
	inv, err := s.Store.Invocation(ctx, id)
	if err != nil {
		return Made{}, err
	}
	return s.replay(ctx, inv, key, s.newDeploys())
}

func (s *Service) replay(ctx context.Context, inv invocation.Invocation, key string, known *deploys) (Made, error) {
	if !inv.State.Terminal() {
		return Made{}, fault.New(fault.Conflict, "replaying invocation %s: it is %s; wait until it is finished, or cancel it first", inv.ID, inv.State)
	}
	original, err := s.Store.Event(ctx, inv.ID)
	if err != nil {
		return Made{}, err
	}
	to, err := s.target(ctx, inv, inv.Kind == function.Scheduled || event.Published(original), known)
	if err != nil {
		return Made{}, err
	}
	made := Made{Of: inv.ID}
	if made.ID, err = intake.NewID(); err != nil {
		return Made{}, err
	}
	meta := event.Meta{RequestID: made.ID, Site: inv.Site, Deploy: to.deploy.ID, Published: to.published, Context: to.deploy.Context(to.published), Branch: to.deploy.Branch}
	if s.Dev {
		meta.Context = deploy.Dev
	}
	repeated, err := event.Replay(original, meta)
	if err != nil {
		return Made{}, fault.Wrap(err, fault.Internal, "replaying invocation %s", inv.ID)
	}
	if key != "" {
		key = "\x00replay\x00" + key + "\x00" + inv.ID
	}
	accepted, err := s.Intake.Accept(ctx, intake.Call{
		Invocation: invocation.Invocation{ID: made.ID, Site: inv.Site, Deploy: to.deploy.ID, Tick: inv.Tick, ReplayOf: inv.ID},
		Function:   to.function, Published: to.published, Event: repeated, Key: key, Original: telemetry.ParsePlace(inv.Trace),
	})
	made.ID, made.Replayed = accepted.ID, accepted.Replayed
	return made, err
}

// target is what runs a replay.
type target struct {
	deploy    *deploy.Deploy
	function  *function.Function
	published bool
}

// target finds the published function of that name and kind, if the call was for
// what is published, and else the one that ran it.
func (s *Service) target(ctx context.Context, inv invocation.Invocation, published bool, known *deploys) (target, error) {
	live, err := known.site(ctx, inv.Site)
	if err != nil {
		return target{}, err
	}
	for _, id := range []string{live, inv.Deploy} {
		if id == "" || id == live && !published && id != inv.Deploy {
			continue
		}
		d, err := known.deploy(ctx, id)
		if err != nil {
			return target{}, err
		}
		if f := usable(d, inv); f != nil {
			return target{d, f, published && id == live}, nil
		}
	}
	return target{}, fault.New(fault.Conflict, "replaying invocation %s: its deploy %s is gone, and what is published on site %s has no %s function %s; publish one and try again", inv.ID, inv.Deploy, inv.Site, inv.Kind, inv.Function)
}

// own is the deploy and function that an invocation runs on; nil if it is gone.
func (s *Service) own(ctx context.Context, inv invocation.Invocation) (*deploy.Deploy, *function.Function, error) {
	d, err := s.newDeploys().deploy(ctx, inv.Deploy)
	return d, usable(d, inv), err
}

// usable is the function of a deploy that can run an invocation, or nil.
func usable(d *deploy.Deploy, inv invocation.Invocation) *function.Function {
	if d == nil || d.State != deploy.Ready || d.Site != inv.Site {
		return nil
	}
	if f, ok := d.Function(inv.Function); ok && f.Kind == inv.Kind {
		return f
	}
	return nil
}

// deploys are those that one request has read: many invocations have the same.
type deploys struct {
	store Store
	live  map[string]string // published deploys, by site
	byID  map[string]*deploy.Deploy
}

func (s *Service) newDeploys() *deploys {
	return &deploys{store: s.Store, live: map[string]string{}, byID: map[string]*deploy.Deploy{}}
}

// site is the ID of a site's published deploy, or empty.
func (d *deploys) site(ctx context.Context, name string) (string, error) {
	if id, ok := d.live[name]; ok {
		return id, nil
	}
	site, err := d.store.Site(ctx, name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return "", err
	}
	d.live[name] = site.Published
	return site.Published, nil
}

// deploy reads a deploy; nil if there is none.
func (d *deploys) deploy(ctx context.Context, id string) (*deploy.Deploy, error) {
	if known, ok := d.byID[id]; ok {
		return known, nil
	}
	read, err := d.store.Deploy(ctx, id)
	switch {
	case err == nil:
		d.byID[id] = &read
	case fault.Is(err, fault.NotFound):
		d.byID[id] = nil
	default:
		return nil, err
	}
	return d.byID[id], nil
}
