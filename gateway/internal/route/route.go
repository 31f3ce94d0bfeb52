// Package route finds the function, or the static file, that a request is for.
//
// The host decides site and deploy: <site>.<base> is the site's published
// deploy, <deploy-id>--<site>.<base> that very deploy, for as long as it is kept,
// <branch>--<site>.<base> the newest deploy of the branch, and any other host
// the default site. The path then decides the function: one of the
// functions' own patterns, or /.netlify/functions/<name>. What is left is for the
// redirects of the deploy, see [Target.Follow], and then a static file, or nothing.
//
// Published deploys stand compiled in a snapshot that is swapped whole when the
// catalog changes, so a request sees one catalog from start to end. Deploys
// that are not published are read when somebody asks for one, and kept in a
// bounded cache for a while: a deploy that is ready changes in nothing but
// being there.
package route

import (
	"context"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2" // a bounded cache with the right eviction, so that permalinks cannot fill memory
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/store"
)

const (
	// permalinks is how many unpublished deploys stay compiled, and fresh is for
	// how long nobody asks whether they are still there.
	permalinks = 256
	fresh      = time.Minute
)

// InvalidName is the answer to a function name with bad characters, in
// Netlify's words.
const InvalidName = "Function name should consist only of alphanumeric characters, hyphen & underscores."

// prefix is where functions without paths of their own are served.
const prefix = "/.netlify/functions/"

// Target is what a request is for: a function, a file, or another place.
type Target struct {
	Site      string
	Deploy    string
	Branch    string // of the deploy; empty if it has none
	Published bool   // the deploy is the site's published one
	// Context is what the deploy is for: deploy.Deploy's Context, or "dev".
	Context string
	// Of these three one is set. Only Follow sets Redirect.
	Function *function.Function
	File     *File
	Redirect *Redirect
	// Route is the pattern that matched; empty on the default URL.
	Route string
	// Query is what the function is to see, if it was reached by a redirect that
	// says so; else that of the request.
	Query string

	table *table // the deploy that all of it comes from
	dev   bool
}

// Deploys reads deploys that are not published. Unknown ones are
// fault.NotFound, and a store that does not answer is fault.Unavailable.
type Deploys interface {
	Deploy(ctx context.Context, id string) (deploy.Deploy, error)
}

// Options are fixed for the life of a Router.
type Options struct {
	// BaseDomain is what site names stand in front of, without a port.
	BaseDomain string
	// DefaultSite answers for every host that names no site.
	DefaultSite string
	// Dev lets scheduled functions be called over HTTP, and is the context of
	// every deploy.
	Dev bool
	// Now is the clock by which read deploys grow old. Default time.Now.
	Now func() time.Time
}

// Router is safe for concurrent use.
type Router struct {
	opts     Options
	deploys  Deploys
	snapshot atomic.Pointer[snapshot]
	previews *lru.Cache[string, preview]

	mu      sync.Mutex
	changed chan struct{} // closed at the next Update
}

// preview is a deploy that is not published, as it was read.
type preview struct {
	*table
	read time.Time
}

// snapshot is one catalog, compiled.
type snapshot struct {
	version  int64
	sites    map[string]*table
	branches map[string]map[string]string
}

// New makes a router that answers fault.Unavailable until the first Update.
func New(opts Options, deploys Deploys) *Router {
	previews, err := lru.New[string, preview](permalinks)
	if err != nil {
		panic(err) // only for a size below one
	}
	opts.BaseDomain = strings.ToLower(opts.BaseDomain)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Router{opts: opts, deploys: deploys, previews: previews, changed: make(chan struct{})}
}

// Update compiles a catalog and routes by it from now on. Compiled deploys that
// stay published are taken over. It is not to be called twice at once.
func (r *Router) Update(catalog store.Catalog) {
	old := r.snapshot.Load()
	next := &snapshot{version: catalog.Version, sites: make(map[string]*table, len(catalog.Published)), branches: catalog.Branches}
	for site, d := range catalog.Published {
		if old != nil && old.sites[site] != nil && old.sites[site].deploy.ID == d.ID {
			next.sites[site] = old.sites[site]
			continue
		}
		next.sites[site] = compile(d)
	}
	r.snapshot.Store(next)
	r.mu.Lock()
	close(r.changed)
	r.changed = make(chan struct{})
	r.mu.Unlock()
}

// Ready reports whether there was a first Update.
func (r *Router) Ready() bool { return r.snapshot.Load() != nil }

// Await waits until requests are routed by a version of the catalog, or by a
// later one, or until ctx ends.
func (r *Router) Await(ctx context.Context, version int64) {
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		if s := r.snapshot.Load(); s != nil && s.version >= version {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// Route finds the target of a request, given its Host header, its method and
// its escaped path. Errors are faults that the caller may be shown.
func (r *Router) Route(ctx context.Context, host, method, path string) (Target, error) {
	s := r.snapshot.Load()
	if s == nil {
		return Target{}, fault.New(fault.Unavailable, "The gateway has not read its sites from Redis yet. Try again in a moment.").After(retryAfter)
	}
	site, label := r.split(host)
	published := s.sites[site]
	deployID := s.named(site, label)
	t := published
	if deployID != "" && (published == nil || published.deploy.ID != deployID) {
		var err error
		if t, err = r.permalink(ctx, site, deployID); err != nil {
			return Target{}, err
		}
	}
	if t == nil {
		return Target{}, fault.New(fault.NotFound, "Site not found... Nothing is published on site %q yet. Deploy to it first.", site)
	}
	target, err := t.find(method, path, r.opts.Dev)
	target.Published = t == published
	target.Branch, target.Context = t.deploy.Branch, t.deploy.Context(target.Published)
	if r.opts.Dev {
		target.Context = deploy.Dev
	}
	return target, err
}

// Elsewhere finds what another path is for in the deploy that the target comes
// from, whatever was published meanwhile.
func (target Target) Elsewhere(method, path string) (Target, error) {
	found, err := target.table.find(method, path, target.dev)
	found.Published, found.Branch, found.Context = target.Published, target.Branch, target.Context
	return found, err
}

// named is the deploy that a label before a site means: the newest of a branch,
// or the one with this ID. A branch cannot take the name of a deploy.
func (s *snapshot) named(site, label string) string {
	if id, ok := s.branches[site][label]; ok && !idShape.MatchString(label) {
		return id
	}
	return label
}

var idShape = regexp.MustCompile(`^[0-9a-f]{24}$`)

// Site is the site that a Host header names, whether it is there or not.
func (r *Router) Site(host string) string {
	site, _ := r.split(host)
	return site
}

// split reads a Host header: the site, and what names a deploy of it.
func (r *Router) split(host string) (site, label string) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	name, ok := strings.CutSuffix(host, "."+r.opts.BaseDomain)
	if !ok {
		return r.opts.DefaultSite, ""
	}
	if label, site, ok := strings.Cut(name, "--"); ok && deploy.ValidSite(site) {
		return site, label
	}
	if deploy.ValidSite(name) {
		return name, ""
	}
	return r.opts.DefaultSite, ""
}

// permalink finds a deploy that is not published.
func (r *Router) permalink(ctx context.Context, site, id string) (*table, error) {
	known, ok := r.previews.Get(id)
	ok = ok && known.deploy.Site == site
	if ok && r.opts.Now().Sub(known.read) < fresh {
		return known.table, nil
	}
	missing := fault.New(fault.NotFound, "Deploy not found... Site %q has no complete deploy or branch %q.", site, id)
	if !validID(id) {
		return nil, missing
	}
	read := r.opts.Now()
	d, err := r.deploys.Deploy(ctx, id)
	switch {
	case fault.Is(err, fault.NotFound), err == nil && (d.Site != site || d.State != deploy.Ready):
		if ok { // not to be brought back when the store is away
			r.previews.Remove(id)
		}
		return nil, missing
	case err != nil && ok:
		return known.table, nil // it is not likely to have gone just now
	case err != nil:
		return nil, fault.Wrap(err, fault.Unavailable, "The deploy %q could not be read. Try again in a moment.", id).After(retryAfter)
	}
	t := known.table
	if !ok {
		t = compile(d)
	}
	r.previews.Add(id, preview{t, read})
	return t, nil
}

// validID keeps what cannot be a deploy ID away from the store.
func validID(id string) bool {
	return id != "" && len(id) <= 64 && strings.Trim(id, "0123456789abcdefghijklmnopqrstuvwxyz-") == ""
}
