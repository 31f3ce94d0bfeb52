// Package code finds what a call names: the function in its deploy, unpacked on
// disk and with its environment, ready for the process pool.
package code

import (
	"context"

	lru "github.com/hashicorp/golang-lru/v2" // a bounded map; deploys never change, so it needs no expiry
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/worker/internal/bundle"
	"github.com/nightshift/nightshift/worker/internal/pool"
)

// maxDeploys is how many deploys are remembered: 256 of 100 functions each are
// some 10 MB.
const maxDeploys = 256

// Deploys is where deploys are read: store.Store.
type Deploys interface {
	// Deploy reads a deploy, or fault.NotFound, or fault.Unavailable.
	Deploy(ctx context.Context, id string) (deploy.Deploy, error)
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
	known   *lru.Cache[string, *deploy.Deploy] // ready ones only: they are final
}

// NewSource makes a source. dev tells functions that they run on a developer's machine.
func NewSource(deploys Deploys, bundles Bundles, dev bool) *Source {
	known, err := lru.New[string, *deploy.Deploy](maxDeploys)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &Source{dev: dev, deploys: deploys, bundles: bundles, known: known}
}

// Loaded is a function whose code stays on disk until Release.
type Loaded struct {
	pool.Code
	Release func() // idempotent
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
	handle, err := s.bundles.Acquire(ctx, f.Artifact)
	if fault.Is(err, fault.NotFound) {
		return nil, fault.Wrap(err, fault.NotFound, "the code of function %s (artifact %s) is not in the artifact store; deploy again", f.Name, f.Artifact)
	}
	if err != nil {
		return nil, err
	}
	return &Loaded{
		Code: pool.Code{
			Key:      store.WarmKey(d.ID, f.Name),
			Dir:      handle.Dir,
			Function: *f,
			Env:      environment(d, s.dev),
		},
		Release: handle.Release,
	}, nil
}

func (s *Source) deploy(ctx context.Context, id string) (*deploy.Deploy, error) {
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
	s.known.Add(id, &d)
	return &d, nil
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

// environment is what every function of a deploy sees beside what the runtime
// itself sets: the names that Netlify has for where code runs. SITE_NAME,
// SITE_ID and URL are what Netlify gives to running functions; the others it
// gives to builds only, and functions ask for them all the same. NETLIFY is not
// among them, because code takes it for a promise of Netlify's own services.
func environment(d *deploy.Deploy, dev bool) []string {
	env := []string{
		"SITE_NAME=" + d.Site,
		"SITE_ID=" + d.Site,
		"DEPLOY_ID=" + d.ID,
		"NIGHTSHIFT=true",
	}
	if d.SiteURL != "" { // deploys of before the URLs were kept have none
		env = append(env, "URL="+d.SiteURL, "DEPLOY_URL="+d.URL, "DEPLOY_PRIME_URL="+d.URL)
	}
	if d.Branch != "" {
		env = append(env, "BRANCH="+d.Branch)
	}
	if dev {
		return append(env, "CONTEXT="+deploy.Dev, "NETLIFY_DEV=true", "NETLIFY_LOCAL=true")
	}
	return append(env, "CONTEXT="+d.Context(!d.Draft))
}
