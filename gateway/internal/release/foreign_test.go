package release_test

import (
	"strings"
	"testing"

	"github.com/nightshift/nightshift/gateway/internal/release"
	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
)

// That another site has uploaded something makes it nobody's who knows its digest:
// it is asked for as if it were not there, and other bytes are refused.
func TestASiteHasOnlyWhatItUploaded(t *testing.T) {
	eachWay(t, func(t *testing.T, netlify bool) {
		b := setup(t)
		c := newClient(t, netlify, "of the neighbour")
		b.deploy(b.site(), c)
		p := b.describe(b.announce(b.site(), release.Announcement{}), c.description())
		if p.State != deploy.Uploading || len(p.Missing) != wantMissing(c) {
			t.Fatalf("described: state %q, missing %v; want that nothing is there", p.State, names(p.Missing))
		}
		for _, f := range c.functions {
			_, err := b.ReceiveFunction(t.Context(), p.ID, f.Name, strings.NewReader("I know its digest"), release.ZipInfo{})
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("function %s of other bytes: %v, want invalid", f.Name, err)
			}
		}
		for path := range c.files {
			if _, err := b.ReceiveFile(t.Context(), p.ID, path, strings.NewReader("I know its digest")); !fault.Is(err, fault.Invalid) {
				t.Errorf("file %s of other bytes: %v, want invalid", path, err)
			}
		}
		p, err := b.Status(t.Context(), p.Site, p.ID)
		if err != nil || p.State != deploy.Uploading || len(p.Missing) != wantMissing(c) {
			t.Errorf("after that: state %q, missing %v, %v; want the same", p.State, names(p.Missing), err)
		}
		// Whoever has the bytes is taken for having them, for good.
		for _, upload := range c.uploads(b, p) {
			if err := upload(); err != nil {
				t.Errorf("upload: %v", err)
			}
		}
		b.ready(p.Deploy)
		after := b.announce(p.Site, release.Announcement{})
		if p := b.describe(after, c.description()); p.State != deploy.Ready {
			t.Errorf("the site's next deploy: state %q, missing %v; want ready", p.State, names(p.Missing))
		}
	})
}

// What a neighbour's uploads tell about a zip, or a SHA-1, changes nothing for the
// site that has the same ones.
func TestANeighbourDoesNotChangeWhatAZipIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	site, neighbour, c := b.site(), b.site(), newClient(t, true, "shared by two")
	b.deploy(site, c)
	p := b.describe(b.announce(neighbour, release.Announcement{}), c.description())
	for _, f := range c.functions {
		if _, err := b.ReceiveFunction(t.Context(), p.ID, f.Name, strings.NewReader(string(c.zips[f.Name])), release.ZipInfo{Background: true}); err != nil {
			t.Fatal(err)
		}
	}
	// As if the neighbour had found two files with one SHA-1.
	evil := strings.Repeat("e", 64)
	file := c.file("index.html")
	if err := b.store.RememberFile(t.Context(), neighbour, deploy.File{SHA1: file.SHA1, Digest: evil, Size: 1}); err != nil {
		t.Fatal(err)
	}
	again := b.describe(b.announce(site, release.Announcement{}), c.description())
	if again.State != deploy.Ready {
		t.Fatalf("the site's next deploy: state %q, missing %v; want ready", again.State, names(again.Missing))
	}
	if f, _ := again.Function("hello"); f.Kind != "sync" {
		t.Errorf("hello has become %s", f.Kind)
	}
	if got := again.Files["index.html"].Digest; got == evil || got == "" {
		t.Errorf("index.html is %s", artifact.Static.Name(got))
	}
}
