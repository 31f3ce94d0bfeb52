// Package release is what can be done with the deploys of a site, whoever asks:
// announce one, describe it, take what it consists of, and move the pointer
// that says which one callers get.
//
//	announce ──▶ describe ──▶ receive … receive ──▶ settle ──▶ publish ──▶ rollback
//
// A deploy is nothing to callers until it is settled: code and files are all
// stored, and data, state, branch and pointer move in one script. So a client
// that dies half-way leaves nothing that anybody sees, and each step may be
// repeated by one whose answer was lost.
//
// A deploy consists of what its own site has uploaded, now or for an earlier
// one: that a blob is stored, for another site, makes it nobody's who knows its
// digest. Clients of Netlify's API say less than ours (see Description). What
// their uploads tell is remembered for the site's next deploy, and a deploy is
// filled in before it is settled.
package release

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/store"
)

// Store keeps sites and deploys; see package store.
type Store interface {
	CreateSite(ctx context.Context, name string) error
	Site(ctx context.Context, name string) (deploy.Site, error)
	Sites(ctx context.Context) ([]deploy.Site, error)
	Lock(ctx context.Context, site, deployID string) error
	Unlock(ctx context.Context, site string) error

	CreateDeploy(ctx context.Context, d deploy.Deploy) error
	Describe(ctx context.Context, d deploy.Deploy, environment []byte) error
	Fail(ctx context.Context, deployID, reason string) error
	Remove(ctx context.Context, site, id string, after, abandoned time.Duration) (bool, error)
	Seal(ctx context.Context, d deploy.Deploy) (store.Sealed, error)
	Deploy(ctx context.Context, id string) (deploy.Deploy, error)
	DeploySummaries(ctx context.Context, site string, offset, limit int) ([]deploy.Summary, error)

	Publish(ctx context.Context, site, deployID string) error
	Rollback(ctx context.Context, site string) (deployID string, err error)
	Unpublish(ctx context.Context, site string) error
	CatalogVersion(ctx context.Context) (int64, error)

	Await(ctx context.Context, deployID string, blobs []string) error
	Arrived(ctx context.Context, deployID, blob string) (left int, err error)
	Awaited(ctx context.Context, deployID string) ([]string, error)
	Doomed(ctx context.Context, blobs []string) ([]string, error)

	NoteBlob(ctx context.Context, site, blob string) error
	Uploaded(ctx context.Context, site string, blobs []string) (map[string]bool, error)
	FilesBySHA1(ctx context.Context, site string, sums []string) (map[string]deploy.File, error)
	RememberFile(ctx context.Context, site string, f deploy.File) error
	Zips(ctx context.Context, site string, digests []string) (map[string]store.Zip, error)
	RememberZip(ctx context.Context, site, digest string, z store.Zip) error
}

// Artifacts keeps the code of functions and static files; see package artifact.
type Artifacts interface {
	Put(ctx context.Context, digest string, zip io.Reader) error
	Has(ctx context.Context, digest string) (bool, error)
	PutForeign(ctx context.Context, digest, name string, zip io.Reader) (runtime, entry string, err error)
	PutFile(ctx context.Context, digest string, file io.Reader) error
	PutUpload(ctx context.Context, content io.Reader, limit int64, sha1 string) (digest string, size int64, err error)
	HasFile(ctx context.Context, digest string) (bool, error)
	GetFile(ctx context.Context, digest string) (io.ReadSeekCloser, error)
}

// Environment freezes the variables that a deploy's functions will see; see
// package environment.
type Environment interface {
	Freeze(ctx context.Context, site, why, branch string, own []environ.Variable) (sealed []byte, err error)
}

// Router routes by the catalog; see package route.
type Router interface {
	// Await waits until it routes by a version of the catalog or a later one.
	Await(ctx context.Context, version int64)
}

// Config configures a Service. All of it is required.
type Config struct {
	Store       Store
	Artifacts   Artifacts
	Environment Environment
	Router      Router
	// DefaultSite is the site that there is without anybody making it.
	DefaultSite string
	// SiteURL is the URL of a site, or of a deploy or branch of it, given the
	// label that stands before it; without trailing slash.
	SiteURL func(site, label string) string
	// Dev says that deploys are for local development, whatever they are.
	Dev bool
}

// Service is safe for concurrent use.
type Service struct{ Config }

// New makes a service.
func New(cfg Config) *Service { return &Service{cfg} }

// adoptWait bounds how long a change waits for this gateway to route by it.
const adoptWait = 2 * time.Second

// Announcement is what is known of a deploy before it is built.
type Announcement struct {
	Branch string
	Title  string
	Draft  bool // it is not to be published
}

// Progress is a deploy and what it still waits for.
type Progress struct {
	deploy.Deploy
	Missing []Blob
}

// Announce makes a deploy of a site in state new. A site that is not there:
// fault.NotFound; a deploy that is to be published on a locked one: fault.Conflict.
func (s *Service) Announce(ctx context.Context, site string, a Announcement) (deploy.Deploy, error) {
	at, err := s.Site(ctx, site)
	if err != nil {
		return deploy.Deploy{}, err
	}
	if !a.Draft && at.Locked != "" {
		return deploy.Deploy{}, fault.New(fault.Conflict, "site %s is locked to deploy %s, so nothing else is published on it; unlock it first (nightshift unlock --site %s), or make a draft", site, at.Locked, site)
	}
	if len(a.Branch) > maxText || len(a.Title) > maxText {
		return deploy.Deploy{}, fault.New(fault.Invalid, "the branch and the title of a deploy may have %d bytes each", maxText)
	}
	id, err := newID()
	if err != nil {
		return deploy.Deploy{}, err
	}
	d := deploy.Deploy{
		ID: id, Site: site, Branch: a.Branch, Title: a.Title, Draft: a.Draft, State: deploy.New,
		SiteURL: s.SiteURL(site, ""), URL: s.SiteURL(site, id), PrimeURL: s.SiteURL(site, id),
		Functions: []function.Function{},
	}
	if a.Branch != "" {
		label := deploy.BranchLabel(a.Branch, site)
		if label == "" {
			return deploy.Deploy{}, fault.New(fault.Invalid, "the branch %q has no letter or digit to make a host name of", a.Branch)
		}
		d.PrimeURL = s.SiteURL(site, label)
	}
	if err := s.Store.CreateDeploy(ctx, d); err != nil {
		return deploy.Deploy{}, err
	}
	return s.Store.Deploy(ctx, id)
}

// maxText bounds what people say about a deploy, in bytes.
const maxText = 1000

// Cancel gives up a deploy that is not ready.
func (s *Service) Cancel(ctx context.Context, id string) (Progress, error) {
	if err := s.Store.Fail(ctx, id, "The deploy was cancelled."); err != nil {
		return Progress{}, err
	}
	d, err := s.Store.Deploy(ctx, id)
	return Progress{Deploy: d}, err
}

// Discard takes back a deploy whose ID nobody was told, as if it had not been
// announced. One that is ready nevertheless stays.
func (s *Service) Discard(ctx context.Context, d deploy.Deploy) error {
	const however = -time.Millisecond // young it is
	removed, err := s.Store.Remove(ctx, d.Site, d.ID, 0, however)
	if err != nil || removed {
		return err
	}
	// It has a list of what it waits for, as one that is being uploaded has.
	_, err = s.Cancel(ctx, d.ID)
	return err
}

// Deploy reads a deploy of a site, or fault.NotFound, which says so if there is
// no such site either.
func (s *Service) Deploy(ctx context.Context, site, id string) (deploy.Deploy, error) {
	d, err := s.Store.Deploy(ctx, id)
	if err == nil && d.Site == site {
		return d, nil
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return d, err
	}
	if _, err := s.Site(ctx, site); err != nil {
		return d, err
	}
	return d, fault.New(fault.NotFound, "site %.80q has no deploy %.80q; list those that it has: nightshift deploys --site %.80s", site, id, site)
}

// newID is 24 hex characters, the shape of Netlify's deploy IDs.
func newID() (string, error) {
	var b [12]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fault.Wrap(err, fault.Internal, "making a deploy ID")
	}
	return hex.EncodeToString(b[:]), nil
}
