// Package code finds what a call names: the function in its deploy, unpacked on
// disk and with its environment, ready for the process pool.
package code

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"

	lru "github.com/hashicorp/golang-lru/v2" // a bounded map; deploys never change, so it needs no expiry
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/worker/internal/bundle"
	"github.com/nightshift/nightshift/worker/internal/pool"
	"github.com/nightshift/nightshift/worker/internal/redact"
)

// maxDeploys is how many deploys are remembered: 256 of 100 functions each are
// some 10 MB.
const maxDeploys = 256

// Deploys is where deploys are read: store.Store.
type Deploys interface {
	// Deploy reads a deploy, or fault.NotFound, or fault.Unavailable.
	Deploy(ctx context.Context, id string) (deploy.Deploy, error)
	// Published reads which deploy is published on a site; empty: none.
	Published(ctx context.Context, site string) (deployID string, err error)
	// DeployEnvironment reads the environment that was frozen into a deploy,
	// sealed, or nil, or fault.Unavailable.
	DeployEnvironment(ctx context.Context, id string) ([]byte, error)
}

// Bundles is where unpacked code is: bundle.Cache.
type Bundles interface {
	// Acquire keeps an artifact on disk until the handle is released.
	Acquire(ctx context.Context, digest string) (*bundle.Handle, error)
}

// Source is safe for concurrent use.
type Source struct {
	dev     bool
	deploys Deploys
	bundles Bundles
	box     *secret.Box
	known   *lru.Cache[string, *known] // ready ones only: they are final
}

// known is a deploy with the environment that all of its functions get.
type known struct {
	deploy.Deploy
	env      []string
	redactor *redact.Redactor
}

// NewSource makes a source. box opens the environments of deploys. dev tells
// functions that they run on a developer's machine.
func NewSource(deploys Deploys, bundles Bundles, box *secret.Box, dev bool) *Source {
	cache, err := lru.New[string, *known](maxDeploys)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &Source{dev: dev, deploys: deploys, bundles: bundles, box: box, known: cache}
}

// Loaded is a function whose code stays on disk until Release.
type Loaded struct {
	pool.Code
	Deploy  string // whose code it is; another than the target's if that says so
	Release func() // idempotent
	// Redactor keeps the deploy's secrets out of what the function writes. nil: it has none.
	Redactor *redact.Redactor
}

// Load finds a target. fault.NotFound, fault.Conflict and fault.Invalid mean
// that it cannot be called, now or later, with a message for the function's
// owner; fault.Unavailable that trying again helps.
func (s *Source) Load(ctx context.Context, target queue.Target) (*Loaded, error) {
	d, err := s.deploy(ctx, target.Deploy)
	if err != nil {
		return nil, err
	}
	if d.Site != target.Site {
		return nil, fault.New(fault.NotFound, "the site %s has no deploy %s", target.Site, target.Deploy)
	}
	f, ok := d.Function(target.Function)
	if !ok {
		return nil, fault.New(fault.NotFound, "the deploy %s has no function %s", d.ID, target.Function)
	}
	// Sync calls say nothing of it: a gateway has chosen the deploy just now.
	if target.Published && f.OnRollback == "latest" {
		if d, f, err = s.latest(ctx, d, f); err != nil {
			return nil, err
		}
	}
	handle, err := s.bundles.Acquire(ctx, f.Artifact)
	if fault.Is(err, fault.NotFound) {
		return nil, fault.Wrap(err, fault.NotFound, "the code of function %s (artifact %s) is not in the artifact store; deploy again", f.Name, f.Artifact)
	}
	if err != nil {
		return nil, err
	}
	return &Loaded{
		Deploy: d.ID,
		Code: pool.Code{
			Key:      store.WarmKey(d.ID, f.Name),
			Dir:      handle.Dir,
			Function: *f,
			Env:      d.env,
		},
		Release:  handle.Release,
		Redactor: d.redactor,
	}, nil
}

// latest finds the function of the published deploy that runs in place of one
// that accepted a call. Where that has none of the name and kind, the one that
// accepted the call runs it.
func (s *Source) latest(ctx context.Context, d *known, f *function.Function) (*known, *function.Function, error) {
	id, err := s.deploys.Published(ctx, d.Site)
	if err != nil || id == "" || id == d.ID {
		return d, f, err
	}
	published, err := s.deploy(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	now, ok := published.Function(f.Name)
	if !ok || now.Kind != f.Kind {
		return d, f, nil
	}
	run := *now
	// The queue was told how long an attempt may take when the call was accepted.
	run.TimeoutMS = min(now.Timeout(), f.Timeout()).Milliseconds()
	return published, &run, nil
}

func (s *Source) deploy(ctx context.Context, id string) (*known, error) {
	if d, ok := s.known.Get(id); ok {
		return d, nil
	}
	d, err := s.deploys.Deploy(ctx, id)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, fault.Wrap(err, fault.NotFound, "the deploy %s does not exist any more", id)
	case err != nil && ctx.Err() != nil:
		return nil, fault.Wrap(err, fault.Unavailable, "reading the deploy %s took too long", id)
	case err != nil:
		return nil, err
	case d.State != deploy.Ready && d.State != deploy.Expired: // which is kept for what it has accepted
		return nil, fault.New(fault.Conflict, "the deploy %s is not ready: its state is %q", id, d.State)
	}
	f, err := s.frozen(ctx, &d)
	if err != nil {
		return nil, err
	}
	k := &known{Deploy: d, redactor: redact.New(f.Confidential())}
	for _, key := range slices.Sorted(maps.Keys(f.Values)) {
		k.env = append(k.env, key+"="+string(f.Values[key]))
	}
	k.env = append(k.env, environment(&d, s.dev)...)
	s.known.Add(id, k)
	return k, nil
}

// frozen opens the environment that was frozen into a deploy. One that cannot
// be opened keeps its functions from running here: without their variables
// they might do anything. It is fault.Unavailable, because another worker may
// have the key, and this one after its operator has given it.
func (s *Source) frozen(ctx context.Context, d *deploy.Deploy) (f environ.Frozen, err error) {
	sealed, err := s.deploys.DeployEnvironment(ctx, d.ID)
	switch {
	case err != nil && ctx.Err() != nil:
		return f, fault.Wrap(err, fault.Unavailable, "reading the environment of deploy %s took too long", d.ID)
	case err != nil || sealed == nil:
		return f, err
	}
	plain, err := s.box.Open(sealed)
	if err != nil {
		message, _ := fault.Public(err)
		return f, fault.Wrap(err, fault.Unavailable, "deploy %s of site %s is not run on this worker: %s", d.ID, d.Site, message)
	}
	if err := json.Unmarshal(plain, &f); err != nil || f.Site != d.Site {
		// Without the cause, which quotes what it could not read.
		return f, fault.New(fault.Conflict, "the environment of deploy %s is not one of site %s; deploy again", d.ID, d.Site)
	}
	return f, nil
}

// Keys lists the functions, as store.WarmKey names them, of the remembered
// deploys whose code is an artifact. Their idle processes stand in a directory
// that is gone once the artifact is evicted.
func (s *Source) Keys(digest string) []string {
	var keys []string
	for _, d := range s.known.Values() {
		for _, f := range d.Functions {
			if f.Artifact == digest {
				keys = append(keys, store.WarmKey(d.ID, f.Name))
			}
		}
	}
	return keys
}

// environment is what every function of a deploy sees beside its own variables,
// over which these go, and what the runtime itself sets: the names that Netlify
// has for where code runs. SITE_NAME, SITE_ID and URL are what Netlify gives to
// running functions; the others it gives to builds only, and functions ask for
// them all the same. NETLIFY is not among them, because code takes it for a
// promise of Netlify's own services.
func environment(d *deploy.Deploy, dev bool) []string {
	env := []string{
		"SITE_NAME=" + d.Site,
		"SITE_ID=" + d.Site,
		"DEPLOY_ID=" + d.ID,
		"NIGHTSHIFT=true",
	}
	if d.SiteURL != "" { // deploys of before the URLs were kept have none
		env = append(env, "URL="+d.SiteURL, "DEPLOY_URL="+d.URL, "DEPLOY_PRIME_URL="+cmp.Or(d.PrimeURL, d.URL))
	}
	if d.Branch != "" {
		env = append(env, "BRANCH="+d.Branch)
	}
	if dev {
		return append(env, "CONTEXT="+deploy.Dev, "NETLIFY_DEV=true", "NETLIFY_LOCAL=true")
	}
	return append(env, "CONTEXT="+d.Context(!d.Draft))
}
