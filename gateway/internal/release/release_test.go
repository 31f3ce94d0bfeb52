package release_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/release"
	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/artifact/artifacttest"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/store"
)

// eachWay runs a test for our clients and for those of Netlify's API.
func eachWay(t *testing.T, test func(t *testing.T, netlify bool)) {
	t.Parallel()
	for name, netlify := range map[string]bool{"our own": false, "Netlify's": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, netlify)
		})
	}
}

// wantMissing are the blobs of a client that nobody has stored.
func wantMissing(c *client) int {
	if c.netlify {
		return 5 // two zips, netlify.toml, and two files: two of three are equal
	}
	return 4
}

// However uploads come, nothing is visible before the last, and the deploy is
// made ready once.
func TestUploadsInAnyOrder(t *testing.T) {
	eachWay(t, func(t *testing.T, netlify bool) {
		b := setup(t)
		for round := range 12 {
			site, c := b.site(), newClient(t, netlify, fmt.Sprint("order ", round))
			_, before := b.published(site)
			p := b.describe(b.announce(site, release.Announcement{}), c.description())
			uploads := c.uploads(b, p)
			if len(p.Missing) != wantMissing(c) || p.State != deploy.Uploading {
				t.Fatalf("described: state %q, missing %v; want %d of them", p.State, names(p.Missing), wantMissing(c))
			}
			// Equal files are asked for once, and sent by every path.
			if len(uploads) != len(p.Missing)+1 {
				t.Fatalf("%d uploads for %v", len(uploads), names(p.Missing))
			}
			rand.Shuffle(len(uploads), func(i, j int) { uploads[i], uploads[j] = uploads[j], uploads[i] })
			if round%2 == 0 {
				for i, upload := range uploads {
					if id, _ := b.published(site); id != "" && i < len(p.Missing)-1 {
						t.Fatalf("published after %d of %d uploads", i, len(uploads))
					}
					for range 1 + round%3 {
						if err := upload(); err != nil {
							t.Fatalf("upload %d: %v", i, err)
						}
					}
				}
			} else {
				var group sync.WaitGroup
				for range 2 {
					for i, upload := range uploads {
						group.Go(func() {
							if err := upload(); err != nil {
								t.Errorf("upload %d beside others: %v", i, err)
							}
							if _, err := b.Status(t.Context(), site, p.ID); err != nil {
								t.Errorf("Status beside uploads: %v", err)
							}
						})
					}
				}
				group.Wait()
			}
			b.ready(p.Deploy)
			if id, after := b.published(site); id != p.ID || after != before+1 {
				t.Errorf("published is %q, and the catalog went from version %d to %d; want %s in one step", id, before, after, p.ID)
			}
		}
	})
}

// A description that is repeated while uploads come waits for none of them twice.
func TestDescribedAgainBesideUploads(t *testing.T) {
	eachWay(t, func(t *testing.T, netlify bool) {
		b := setup(t)
		for round := range 15 {
			site, c := b.site(), newClient(t, netlify, fmt.Sprint("again ", round))
			p := b.describe(b.announce(site, release.Announcement{}), c.description())
			var group sync.WaitGroup
			for _, upload := range c.uploads(b, p) {
				group.Go(func() {
					if err := upload(); err != nil {
						t.Errorf("upload: %v", err)
					}
				})
			}
			for range 2 {
				group.Go(func() {
					if _, err := b.Describe(t.Context(), site, p.ID, c.description()); err != nil {
						t.Errorf("Describe beside uploads: %v", err)
					}
				})
			}
			group.Wait()
			b.ready(p.Deploy)
		}
	})
}

func TestSecondDeployNeedsNothing(t *testing.T) {
	eachWay(t, func(t *testing.T, netlify bool) {
		b := setup(t)
		site, c := b.site(), newClient(t, netlify, "unchanged")
		first := b.deploy(site, c)
		second := b.describe(b.announce(site, release.Announcement{}), c.description())
		if second.State != deploy.Ready || len(second.Missing) != 0 {
			t.Fatalf("the second deploy: state %q, missing %v; want ready at once", second.State, names(second.Missing))
		}
		if id, _ := b.published(site); id != second.ID {
			t.Errorf("published is %q, want the second deploy", id)
		}
		if fmt.Sprint(first.Functions, first.Files, first.Redirects, first.Headers) != fmt.Sprint(second.Functions, second.Files, second.Redirects, second.Headers) {
			t.Errorf("the deploys differ:\n%+v\n%+v", first.Deploy, second.Deploy)
		}
		// Said again by a client that got no answer; and something else, which is too late.
		if p := b.describe(second.Deploy, c.description()); p.State != deploy.Ready || p.ID != second.ID {
			t.Errorf("described again: %+v", p)
		}
		for name, change := range map[string]func(*release.Description){
			"a function less": func(in *release.Description) { in.Functions = in.Functions[:1] },
			"other code": func(in *release.Description) {
				in.Functions = slices.Clone(in.Functions)
				in.Functions[0].Artifact = in.Functions[1].Artifact
			},
			"a file less":  func(in *release.Description) { delete(in.Files, "index.html") },
			"another file": func(in *release.Description) { in.Files["index.html"] = in.Files["same.txt"] },
		} {
			in := c.description()
			change(&in)
			if _, err := b.Describe(t.Context(), site, second.ID, in); !fault.Is(err, fault.Conflict) {
				t.Errorf("a ready deploy described with %s: %v, want a conflict", name, err)
			}
		}
	})
}

// What is remembered but gone is asked for again, by the name that the client knows.
func TestGoneBlobsAreAskedForAgain(t *testing.T) {
	eachWay(t, func(t *testing.T, netlify bool) {
		b := setup(t)
		site, c := b.site(), newClient(t, netlify, "gone")
		first := b.deploy(site, c)
		hello, _ := first.Function("hello")
		if err := b.blobs.Delete(t.Context(), hello.Artifact, artifact.Code); err != nil {
			t.Fatal(err)
		}
		if err := b.blobs.Delete(t.Context(), first.Files["same.txt"].Digest, artifact.Static); err != nil {
			t.Fatal(err)
		}
		p := b.describe(b.announce(site, release.Announcement{}), c.description())
		f := c.file("same.txt")
		want := []string{"code:" + hello.Artifact, "file:" + f.Digest}
		if netlify {
			want[1] = "sha1:" + f.SHA1
		}
		if got := names(p.Missing); !slices.Equal(got, want) {
			t.Fatalf("missing %v, want %v", got, want)
		}
		for _, upload := range c.uploads(b, p) {
			if err := upload(); err != nil {
				t.Fatal(err)
			}
		}
		b.ready(p.Deploy)
	})
}

// What is about to be removed counts as missing, and cannot be stored yet.
func TestDoomedBlobs(t *testing.T) {
	eachWay(t, func(t *testing.T, netlify bool) {
		b := setup(t)
		site, c := b.site(), newClient(t, netlify, "doomed")
		first := b.deploy(site, c)
		hello, _ := first.Function("hello")
		doomed := []string{"code:" + hello.Artifact, "file:" + first.Files["index.html"].Digest}
		if err := b.store.Doom(t.Context(), doomed); err != nil {
			t.Fatal(err)
		}
		p := b.describe(b.announce(site, release.Announcement{}), c.description())
		uploads := c.uploads(b, p)
		if len(p.Missing) != 2 || len(uploads) != 2 {
			t.Fatalf("missing %v, want the two that are doomed", names(p.Missing))
		}
		for i, upload := range uploads {
			err := upload()
			if _, after := fault.Public(err); !fault.Is(err, fault.Unavailable) || after == 0 {
				t.Errorf("upload %d of what is doomed = %v, want unavailable and when to try again", i, err)
			}
		}
		if id, _ := b.published(site); id != first.ID {
			t.Errorf("published is %q, want the first deploy", id)
		}
		for _, name := range doomed {
			kind, digest, _ := artifact.ParseName(name)
			if err := b.blobs.Delete(t.Context(), digest, kind); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.store.Spare(t.Context(), doomed); err != nil {
			t.Fatal(err)
		}
		for _, upload := range uploads {
			if err := upload(); err != nil {
				t.Errorf("upload of what has been removed: %v", err)
			}
		}
		b.ready(p.Deploy)
	})
}

// removing deletes a blob, and spares it, as soon as an upload has found it there.
type removing struct {
	release.Artifacts
	blobs *artifact.Store
	store *store.Store
}

func (r removing) PutUpload(ctx context.Context, content io.Reader, limit int64, sha1 string) (string, int64, error) {
	digest, size, err := r.Artifacts.PutUpload(ctx, content, limit, sha1)
	return digest, size, errors.Join(err, r.blobs.Delete(ctx, digest, artifact.Static), r.store.Spare(ctx, []string{artifact.Static.Name(digest)}))
}

// An upload that found a copy which is removed at that moment is not taken for stored.
func TestRemovedUnderTheUpload(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := newClient(t, true, "removed under it")
	d := b.announce(b.site(), release.Announcement{})
	b.describe(d, c.description())
	whole := b.Artifacts
	b.Artifacts = removing{whole, b.blobs, b.store}
	if _, err := b.ReceiveFile(t.Context(), d.ID, "index.html", strings.NewReader(c.files["index.html"])); !fault.Is(err, fault.Unavailable) {
		t.Errorf("ReceiveFile of what is removed meanwhile = %v, want unavailable", err)
	}
	b.Artifacts = whole
	p, err := b.Status(t.Context(), d.Site, d.ID)
	if err != nil || !slices.Contains(names(p.Missing), "sha1:"+c.file("index.html").SHA1) {
		t.Errorf("missing %v, %v; want the file in it", names(p.Missing), err)
	}
}

// What uploads of Netlify's clients say decides what a function is.
func TestForeignFunctions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tests := []struct {
		name, path, schedule string
		executable           bool
		info                 release.ZipInfo
		kind                 function.Kind
		runtime, entry       string
		timeout              time.Duration
	}{
		{name: "plain", path: "plain.js", kind: function.Sync, runtime: "node", entry: "plain.js", timeout: function.DefaultSyncTimeout},
		{name: "slow", path: "slow.mjs", info: release.ZipInfo{Timeout: 26 * time.Second}, kind: function.Sync, runtime: "node", entry: "slow.mjs", timeout: 26 * time.Second},
		{name: "bundled", path: artifact.NetlifyEntry, kind: function.Sync, runtime: "node", entry: artifact.NetlifyEntry, timeout: function.DefaultSyncTimeout},
		{name: "job-background", path: "job-background.js", info: release.ZipInfo{Background: true}, kind: function.Background, runtime: "node", entry: "job-background.js", timeout: 15 * time.Minute},
		{name: "tick", path: "tick.js", schedule: "@daily", kind: function.Scheduled, runtime: "node", entry: "tick.js", timeout: 30 * time.Second},
		{name: "long-tick", path: "long-tick.cjs", schedule: "*/5 * * * *", info: release.ZipInfo{Background: true}, kind: function.Scheduled, runtime: "node", entry: "long-tick.cjs", timeout: 15 * time.Minute},
		{name: "short-tick", path: "short-tick.js", schedule: "@daily", info: release.ZipInfo{Background: true, Timeout: time.Minute}, kind: function.Scheduled, runtime: "node", entry: "short-tick.js", timeout: time.Minute},
		{name: "program", path: artifact.Program, executable: true, kind: function.Sync, runtime: "provided", entry: artifact.Program, timeout: function.DefaultSyncTimeout},
	}
	var in release.Description
	zips := map[string][]byte{}
	for _, tt := range tests {
		zip, digest := artifacttest.Pack(t, artifact.File{Path: tt.path, Data: []byte(tt.name), Executable: tt.executable})
		zips[tt.name] = zip
		in.Functions = append(in.Functions, function.Function{Name: tt.name, Artifact: digest, Schedule: tt.schedule})
	}
	site := b.site()
	check := func(d deploy.Deploy) {
		t.Helper()
		for _, tt := range tests {
			f, _ := d.Function(tt.name)
			if f.Kind != tt.kind || f.Runtime != tt.runtime || f.Entry != tt.entry || f.Timeout() != tt.timeout || f.API != function.APIv1 {
				t.Errorf("%s is %+v, with %v; want %+v", tt.name, f, f.Timeout(), tt)
			}
		}
	}
	p := b.describe(b.announce(site, release.Announcement{}), in)
	for _, tt := range tests {
		if _, err := b.ReceiveFunction(t.Context(), p.ID, tt.name, bytes.NewReader(zips[tt.name]), tt.info); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
	}
	check(b.ready(p.Deploy).Deploy)
	check(b.describe(b.announce(site, release.Announcement{}), in).Deploy) // now from memory
}

// netlify.toml is no file of the site: its rules are the deploy's.
func TestConfigFile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	site := b.site()
	good := newClient(t, true, "good rules")
	p := b.deploy(site, good)
	if _, there := p.Files["netlify.toml"]; there || len(p.Files) != 3 || len(p.Redirects) != 1 || len(p.Headers) != 1 || p.Redirects[0].To != "/new" {
		t.Fatalf("files %v, redirects %+v, headers %+v; want the rules and not the file", slices.Sorted(maps.Keys(p.Files)), p.Redirects, p.Headers)
	}
	for name, tt := range map[string]struct{ text, want string }{
		"no TOML":     {"# x\n[[redirects]\nfrom = ", "is not valid TOML"},
		"no target":   {"[[redirects]]\nfrom = \"/a\"\n", "netlify.toml:1: "},
		"bad status":  {"# x\n[[redirects]]\nfrom = \"/a\"\nto = \"/b\"\nstatus = 99\n", "99"},
		"bad header":  {"[[headers]]\nfor = \"/*\"\n[headers.values]\n\"a b\" = \"c\"\n", "a b"},
		"not a table": {"redirects = 1\n", "redirects must be tables"},
		"too large":   {"#" + strings.Repeat("x", 4<<20), "bytes; 4194304 are allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := newClient(t, true, "good rules")
			bad.files["netlify.toml"] = tt.text
			d := b.describe(b.announce(site, release.Announcement{}), bad.description())
			for _, upload := range bad.uploads(b, d) {
				if err := upload(); err != nil {
					t.Errorf("upload: %v", err) // clients learn it when they ask
				}
			}
			got, err := b.Status(t.Context(), site, d.ID)
			if err != nil || got.State != deploy.Failed || !strings.Contains(got.Reason, tt.want) {
				t.Errorf("state %q with the reason %q, %v; want error with %q", got.State, got.Reason, err, tt.want)
			}
			if id, _ := b.published(site); id != p.ID {
				t.Errorf("published is %q, want what was published before", id)
			}
			if _, err := b.ReceiveFile(t.Context(), d.ID, "index.html", strings.NewReader("x")); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "make another one") {
				t.Errorf("an upload to it = %v, want invalid and what to do", err)
			}
		})
	}
	// Our own clients send rules as such, and may have a file of that name.
	own := newClient(t, false, "own")
	own.files["netlify.toml"] = "[[redirects]"
	if p := b.deploy(b.site(), own); len(p.Files) != 4 || len(p.Redirects) != 0 {
		t.Errorf("our own deploy has the files %v", p.Files)
	}
}

// torn is a blob store that has lost the end of a file.
type torn struct{ release.Artifacts }

func (a torn) GetFile(context.Context, string) (io.ReadSeekCloser, error) {
	return nopCloser{strings.NewReader("[[redirects]]\nfrom = \"/a\"\nto = \"/b\"\n")}, nil
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

// Half a netlify.toml would lack rules, some of which keep callers out.
func TestTornConfigFile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := newClient(t, true, "torn")
	d := b.announce(b.site(), release.Announcement{})
	whole := b.Artifacts
	b.Artifacts = torn{whole}
	p := b.describe(d, c.description())
	var failed error
	for _, upload := range c.uploads(b, p) {
		failed = errors.Join(failed, upload())
	}
	if _, err := b.Status(t.Context(), d.Site, d.ID); !fault.Is(err, fault.Unavailable) || failed == nil {
		t.Errorf("with a torn netlify.toml = %v after %v, want unavailable", err, failed)
	}
	b.Artifacts = whole
	if p := b.ready(d); len(p.Headers) != 1 {
		t.Errorf("headers %+v, want all rules", p.Headers)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	site := b.site()
	c := newClient(t, true, "refusals")
	announced := b.announce(site, release.Announcement{})
	described := b.describe(b.announce(site, release.Announcement{}), c.description()).Deploy
	cancelled := b.announce(site, release.Announcement{})
	if p, err := b.Cancel(ctx, cancelled.ID); err != nil || p.State != deploy.Failed {
		t.Fatalf("Cancel = %+v, %v", p, err)
	}
	none, other := strings.Repeat("e", 24), b.site()
	upload := func(id, name string) error {
		_, err := b.ReceiveFunction(ctx, id, name, bytes.NewReader(c.zips["hello"]), release.ZipInfo{})
		return err
	}
	file := func(id, path, content string) error {
		_, err := b.ReceiveFile(ctx, id, path, strings.NewReader(content))
		return err
	}
	announce := func(site string, a release.Announcement) error { _, err := b.Announce(ctx, site, a); return err }
	describe := func(site, id string) error { _, err := b.Describe(ctx, site, id, c.description()); return err }
	tests := []struct {
		name string
		err  error
		kind fault.Kind
		text string
	}{
		{"announce on no site", announce("nowhere", release.Announcement{}), fault.NotFound, "nightshift sites create"},
		{"a long title", announce(site, release.Announcement{Title: strings.Repeat("x", 1001)}), fault.Invalid, "1000 bytes"},
		{"a branch without a name", announce(site, release.Announcement{Branch: "///"}), fault.Invalid, "host name"},
		{"describe nothing", describe(site, none), fault.NotFound, "nightshift deploys"},
		{"describe on no site", describe("nowhere", none), fault.NotFound, "nightshift sites create"},
		{"describe another site's", describe(other, described.ID), fault.NotFound, "has no deploy"},
		{"describe what was cancelled", describe(site, cancelled.ID), fault.Conflict, "make another one"},
		{"code before the description", upload(announced.ID, "hello"), fault.Invalid, "not been described"},
		{"code of what was cancelled", upload(cancelled.ID, "hello"), fault.Invalid, "make another one"},
		{"code of no deploy", upload(none, "hello"), fault.NotFound, none},
		{"code of no function", upload(described.ID, "nope"), fault.NotFound, "has no function"},
		{"the code of another", upload(described.ID, "tick"), fault.Invalid, "function tick"},
		{"no such file", file(described.ID, "nope", ""), fault.NotFound, "has no static file"},
		{"another content", file(described.ID, "index.html", "x"), fault.Invalid, "SHA-1"},
		{"publish on no site", b.Publish(ctx, "nowhere", described.ID), fault.NotFound, "nightshift sites create"},
		{"publish another site's", b.Publish(ctx, other, described.ID), fault.NotFound, described.ID},
		{"publish half a deploy", b.Publish(ctx, site, described.ID), fault.Conflict, "not complete"},
		{"publish nothing", b.Publish(ctx, site, none), fault.NotFound, none},
		{"unpublish no site", b.Unpublish(ctx, "nowhere"), fault.NotFound, "nightshift sites create"},
	}
	for _, tt := range tests {
		if !fault.Is(tt.err, tt.kind) || !strings.Contains(tt.err.Error(), tt.text) {
			t.Errorf("%s = %v, want %s with %q", tt.name, tt.err, tt.kind, tt.text)
		}
	}
	if got := artifacttest.Names(t, b.blobs); len(got) != 0 {
		t.Errorf("the blob store holds %v, want nothing", got)
	}
	if id, version := b.published(site); id != "" || version != 0 {
		t.Errorf("published is %q, version %d", id, version)
	}
}

// A file must have the size that was described, as that is what its readers are told.
func TestSizeOfFiles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := newClient(t, false, "sizes")
	for name, delta := range map[string]int64{"longer": 1, "shorter": -1} {
		in := c.description()
		f := in.Files["index.html"]
		f.Size += delta
		in.Files["index.html"] = f
		d := b.describe(b.announce(b.site(), release.Announcement{}), in)
		if _, err := b.ReceiveFile(t.Context(), d.ID, "index.html", strings.NewReader(c.files["index.html"])); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), fmt.Sprint("not the ", f.Size, " bytes")) {
			t.Errorf("a file that was described %s = %v, want invalid", name, err)
		}
	}
	if got := artifacttest.Names(t, b.blobs); len(got) != 0 {
		t.Errorf("the blob store holds %v, want nothing", got)
	}
}

// A deploy whose ID nobody was told leaves nothing behind.
func TestDiscard(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	site, c := b.site(), newClient(t, false, "discard")
	if err := b.Discard(ctx, b.announce(site, release.Announcement{})); err != nil {
		t.Errorf("Discard = %v", err)
	}
	if list, err := b.store.DeploySummaries(ctx, site, 0, 0); err != nil || len(list) != 0 {
		t.Errorf("DeploySummaries = %+v, %v; want none", list, err)
	}
	half := b.describe(b.announce(site, release.Announcement{}), c.description())
	if err := b.Discard(ctx, half.Deploy); err != nil {
		t.Errorf("Discard of half a deploy = %v", err)
	}
	if d, err := b.store.Deploy(ctx, half.ID); err != nil || d.State != deploy.Failed {
		t.Errorf("half a deploy, discarded = %+v, %v; want it given up", d, err)
	}
	whole := b.deploy(site, c)
	if err := b.Discard(ctx, whole.Deploy); !fault.Is(err, fault.Conflict) {
		t.Errorf("Discard of a ready deploy = %v, want a conflict", err)
	}
	b.ready(whole.Deploy)
}
