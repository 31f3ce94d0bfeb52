package release_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nightshift/nightshift/gateway/internal/release"
	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/artifact/artifacttest"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { redistest.VerifyTestMain(m) }

// bundle is the service on a real store and artifacts in memory, both of which
// can be broken.
type bundle struct {
	*release.Service
	t      *testing.T
	redis  redis.UniversalClient // of the test: never broken
	store  *store.Store          // the same
	blobs  *artifact.Store       // the same
	faults *faults
}

func setup(t *testing.T) *bundle {
	t.Helper()
	server := redistest.Start(t)
	blobs, err := artifact.Open(t.Context(), "mem://")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = blobs.Close() })
	b := &bundle{t: t, redis: server.Client(), blobs: blobs, faults: &faults{}}
	b.store = store.New(b.redis, store.Options{})
	breakable := server.Client()
	breakable.AddHook(b.faults)
	b.Service = release.New(release.Config{
		Store: store.New(breakable, store.Options{}), Artifacts: breakableBlobs{blobs, b.faults},
		Environment: noEnvironment{}, Router: noRouter{}, DefaultSite: "default",
		SiteURL: func(site, label string) string {
			return "http://" + strings.TrimPrefix(label+"--"+site, "--") + ".localhost"
		},
	})
	return b
}

type noEnvironment struct{}

func (noEnvironment) Freeze(context.Context, string, string, string, []environ.Variable) ([]byte, error) {
	return nil, nil
}

type noRouter struct{}

func (noRouter) Await(context.Context, int64) {}

// faults breaks one call of the store or of the artifacts: the nth from now on.
type faults struct {
	mu    sync.Mutex
	nth   int
	kind  redistest.Fault
	broke string
}

func (f *faults) plan(nth int, kind redistest.Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nth, f.kind, f.broke = nth, kind, ""
}

// happened is the call that was broken since the plan, or "".
func (f *faults) happened() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.broke
}

func (f *faults) hit(call string) (redistest.Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.nth == 0 {
		return 0, false
	}
	if f.nth--; f.nth > 0 {
		return 0, false
	}
	f.broke = call
	return f.kind, true
}

// do makes a call, unless it is the one to break.
func (f *faults) do(call string, fn func() error) error {
	kind, hit := f.hit(call)
	if hit && kind == redistest.Failed {
		return redistest.ErrBroken
	}
	err := fn()
	if hit {
		return redistest.ErrBroken
	}
	return err
}

// faults is a hook of the Redis client.

func (f *faults) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f *faults) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := f.do(cmd.Name(), func() error { return next(ctx, cmd) })
		if err == redistest.ErrBroken {
			cmd.SetErr(err)
		}
		return err
	}
}

func (f *faults) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := f.do("pipeline", func() error { return next(ctx, cmds) })
		if err == redistest.ErrBroken {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

// breakableBlobs are artifacts that fail as the store does.
type breakableBlobs struct {
	*artifact.Store
	faults *faults
}

func (b breakableBlobs) Put(ctx context.Context, digest string, zip io.Reader) error {
	return b.faults.do("Put", func() error { return b.Store.Put(ctx, digest, zip) })
}

func (b breakableBlobs) PutForeign(ctx context.Context, digest, name string, zip io.Reader) (runtime, entry string, err error) {
	err = b.faults.do("PutForeign", func() (err error) {
		runtime, entry, err = b.Store.PutForeign(ctx, digest, name, zip)
		return err
	})
	return runtime, entry, err
}

func (b breakableBlobs) PutFile(ctx context.Context, digest string, file io.Reader) error {
	return b.faults.do("PutFile", func() error { return b.Store.PutFile(ctx, digest, file) })
}

func (b breakableBlobs) PutUpload(ctx context.Context, content io.Reader, limit int64, sha1 string) (digest string, size int64, err error) {
	err = b.faults.do("PutUpload", func() (err error) {
		digest, size, err = b.Store.PutUpload(ctx, content, limit, sha1)
		return err
	})
	return digest, size, err
}

func (b breakableBlobs) Has(ctx context.Context, digest string) (there bool, err error) {
	err = b.faults.do("Has", func() (err error) { there, err = b.Store.Has(ctx, digest); return err })
	return there && err == nil, err
}

func (b breakableBlobs) HasFile(ctx context.Context, digest string) (there bool, err error) {
	err = b.faults.do("HasFile", func() (err error) { there, err = b.Store.HasFile(ctx, digest); return err })
	return there && err == nil, err
}

func (b breakableBlobs) GetFile(ctx context.Context, digest string) (content io.ReadSeekCloser, err error) {
	err = b.faults.do("GetFile", func() (err error) { content, err = b.Store.GetFile(ctx, digest); return err })
	if err != nil && content != nil {
		_ = content.Close()
		content = nil
	}
	return content, err
}

// client deploys a site in one of the two ways, and keeps what it consists of.
type client struct {
	netlify   bool
	functions []function.Function
	zips      map[string][]byte // by name of the function
	files     map[string]string // content by path
}

// newClient has two functions and three files, two of which are equal. What is
// in them is told apart by salt.
func newClient(t *testing.T, netlify bool, salt string) *client {
	t.Helper()
	c := &client{netlify: netlify, zips: map[string][]byte{}, files: map[string]string{
		"index.html": "home " + salt, "same.txt": "same " + salt, "sub/same.txt": "same " + salt,
	}}
	for _, name := range []string{"hello", "tick"} {
		zip, digest := artifacttest.Pack(t, artifact.File{Path: name + ".js", Data: []byte("exports.handler = () => '" + salt + "'")})
		f := function.Function{Name: name, Artifact: digest}
		if name == "tick" {
			f.Schedule = "@hourly"
		}
		if !netlify {
			f.Runtime, f.API, f.Entry, f.Kind = "node", function.APIv1, name+".js", function.Sync
			if f.Schedule != "" {
				f.Kind = function.Scheduled
			}
		}
		c.functions, c.zips[name] = append(c.functions, f), zip
	}
	if netlify {
		c.files["netlify.toml"] = "# " + salt + "\n[[redirects]]\nfrom = \"/old\"\nto = \"/new\"\n[[headers]]\nfor = \"/*\"\n[headers.values]\nX-Salt = \"" + salt + "\"\n"
	}
	return c
}

func (c *client) file(path string) deploy.File {
	content := []byte(c.files[path])
	if c.netlify {
		sum := sha1.Sum(content)
		return deploy.File{SHA1: hex.EncodeToString(sum[:])}
	}
	sum := sha256.Sum256(content)
	return deploy.File{Digest: hex.EncodeToString(sum[:]), Size: int64(len(content))}
}

func (c *client) description() release.Description {
	in := release.Description{Functions: c.functions, Files: map[string]deploy.File{}}
	for path := range c.files {
		in.Files[path] = c.file(path)
	}
	return in
}

// uploads are what a deploy waits for, as calls that may be repeated.
func (c *client) uploads(b *bundle, p release.Progress) []func() error {
	var out []func() error
	for _, blob := range p.Missing {
		for _, f := range c.functions {
			if blob.Kind == artifact.Code && f.Artifact == blob.Digest {
				out = append(out, func() error {
					_, err := b.ReceiveFunction(b.t.Context(), p.ID, f.Name, bytes.NewReader(c.zips[f.Name]), release.ZipInfo{})
					return err
				})
			}
		}
		for path, content := range c.files {
			if f := c.file(path); blob.Kind == artifact.Static && f.Digest == blob.Digest || blob.Kind == release.SHA1 && f.SHA1 == blob.Digest {
				out = append(out, func() error {
					_, err := b.ReceiveFile(b.t.Context(), p.ID, path, strings.NewReader(content))
					return err
				})
			}
		}
	}
	return out
}

var sites atomic.Int64

// site makes a site of its own.
func (b *bundle) site() string {
	b.t.Helper()
	name := fmt.Sprintf("site-%d", sites.Add(1))
	if err := b.store.CreateSite(b.t.Context(), name); err != nil {
		b.t.Fatal(err)
	}
	return name
}

// announce and describe do so, or fail the test.
func (b *bundle) announce(site string, a release.Announcement) deploy.Deploy {
	b.t.Helper()
	d, err := b.Announce(b.t.Context(), site, a)
	if err != nil || d.State != deploy.New {
		b.t.Fatalf("Announce = %+v, %v; want a new deploy", d, err)
	}
	return d
}

func (b *bundle) describe(d deploy.Deploy, in release.Description) release.Progress {
	b.t.Helper()
	p, err := b.Describe(b.t.Context(), d.Site, d.ID, in)
	if err != nil {
		b.t.Fatalf("Describe: %v", err)
	}
	return p
}

// deploy brings all that a client has to a site.
func (b *bundle) deploy(site string, c *client) release.Progress {
	b.t.Helper()
	p := b.describe(b.announce(site, release.Announcement{}), c.description())
	for _, upload := range c.uploads(b, p) {
		if err := upload(); err != nil {
			b.t.Fatalf("upload: %v", err)
		}
	}
	return b.ready(p.Deploy)
}

// ready reads a deploy that must be ready.
func (b *bundle) ready(d deploy.Deploy) release.Progress {
	b.t.Helper()
	p, err := b.Status(b.t.Context(), d.Site, d.ID)
	if err != nil || p.State != deploy.Ready || len(p.Missing) != 0 {
		b.t.Fatalf("Status = state %q (%s), missing %v, %v; want ready", p.State, p.Reason, p.Missing, err)
	}
	return p
}

// published is what callers of a site get, and the version of the catalog.
func (b *bundle) published(site string) (id string, version int64) {
	b.t.Helper()
	id, err := b.store.Published(b.t.Context(), site)
	if err != nil {
		b.t.Fatal(err)
	}
	if version, err = b.store.CatalogVersion(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	return id, version
}

// names are the names of blobs.
func names(blobs []release.Blob) []string {
	out := []string{}
	for _, blob := range blobs {
		out = append(out, blob.String())
	}
	return out
}
