package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
)

// announced makes a deploy in state new.
func (b *backend) announced(t testing.TB, site, id string) {
	t.Helper()
	if err := b.CreateDeploy(t.Context(), deploy.Deploy{ID: id, Site: site, State: deploy.New}); err != nil {
		t.Fatalf("CreateDeploy(%s) = %v", id, err)
	}
}

// seal takes a deploy from its announcement to what comes of it.
func (b *backend) seal(t testing.TB, d deploy.Deploy) Sealed {
	t.Helper()
	b.announced(t, d.Site, d.ID)
	if err := b.Describe(t.Context(), d, nil); err != nil {
		t.Fatalf("Describe(%s) = %v", d.ID, err)
	}
	sealed, err := b.Seal(t.Context(), d)
	if err != nil {
		t.Fatalf("Seal(%s) = %v", d.ID, err)
	}
	return sealed
}

func (b *backend) published(t testing.TB, site string) string {
	t.Helper()
	c, err := b.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c.Published[site].ID
}

// A deploy's life, as a table of what each call does in each state.
func TestDeployStates(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		reach := map[deploy.State]func(d deploy.Deploy) error{
			deploy.New:       func(deploy.Deploy) error { return nil },
			deploy.Uploading: func(d deploy.Deploy) error { return b.Describe(t.Context(), d, nil) },
			deploy.Failed:    func(d deploy.Deploy) error { return b.Fail(t.Context(), d.ID, "why") },
			deploy.Ready: func(d deploy.Deploy) error {
				if err := b.Describe(t.Context(), d, nil); err != nil {
					return err
				}
				_, err := b.Seal(t.Context(), d)
				return err
			},
		}
		calls := map[string]func(d deploy.Deploy) error{
			"Describe": func(d deploy.Deploy) error { return b.Describe(t.Context(), d, nil) },
			"Fail":     func(d deploy.Deploy) error { return b.Fail(t.Context(), d.ID, "another") },
			"Seal":     func(d deploy.Deploy) error { _, err := b.Seal(t.Context(), d); return err },
			"Publish":  func(d deploy.Deploy) error { return b.Publish(t.Context(), d.Site, d.ID) },
		}
		for _, c := range []struct {
			from deploy.State
			call string
			to   deploy.State // empty: a conflict, and it stays
		}{
			{deploy.New, "Describe", deploy.Uploading}, {deploy.New, "Fail", deploy.Failed}, {deploy.New, "Seal", ""}, {deploy.New, "Publish", ""},
			{deploy.Uploading, "Describe", deploy.Uploading}, {deploy.Uploading, "Fail", deploy.Failed}, {deploy.Uploading, "Seal", deploy.Ready}, {deploy.Uploading, "Publish", ""},
			{deploy.Ready, "Describe", ""}, {deploy.Ready, "Fail", ""}, {deploy.Ready, "Seal", deploy.Ready}, {deploy.Ready, "Publish", deploy.Ready},
			{deploy.Failed, "Describe", ""}, {deploy.Failed, "Fail", deploy.Failed}, {deploy.Failed, "Seal", ""}, {deploy.Failed, "Publish", ""},
		} {
			d := deploy.Deploy{ID: newID(), Site: "shop", Draft: true}
			b.announced(t, d.Site, d.ID)
			if err := reach[c.from](d); err != nil {
				t.Fatalf("reaching %s: %v", c.from, err)
			}
			err := calls[c.call](d)
			want := c.to
			if c.to == "" {
				want = c.from
			}
			if (c.to == "") != fault.Is(err, fault.Conflict) || (c.to != "") != (err == nil) {
				t.Errorf("%s of a deploy in state %s = %v, want state %q", c.call, c.from, err, c.to)
			}
			got, err := b.Deploy(t.Context(), d.ID)
			if err != nil || got.State != want {
				t.Errorf("%s of a deploy in state %s: it is %s, %v, want %s", c.call, c.from, got.State, err, want)
			}
			if c.from == deploy.Failed && got.Reason != "why" {
				t.Errorf("the reason became %q", got.Reason)
			}
		}
	})
}

func TestSealPublishesOnce(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		if got := b.seal(t, deploy.Deploy{ID: "d1", Site: "shop"}); got != SealedPublished {
			t.Errorf("Seal(d1) = %s, want published", got)
		}
		if got := b.seal(t, deploy.Deploy{ID: "d2", Site: "shop", Draft: true}); got != SealedReady {
			t.Errorf("Seal(draft) = %s, want ready", got)
		}
		if got := b.published(t, "shop"); got != "d1" {
			t.Errorf("published: %s, want d1: d2 is a draft", got)
		}
		if got := b.seal(t, deploy.Deploy{ID: "d3", Site: "shop"}); got != SealedPublished {
			t.Errorf("Seal(d3) = %s, want published", got)
		}
		if id, err := b.Rollback(t.Context(), "shop"); err != nil || id != "d1" {
			t.Fatalf("Rollback = %s, %v, want d1", id, err)
		}
		// A client that tries again must not undo the rollback.
		if got, err := b.Seal(t.Context(), deploy.Deploy{ID: "d3", Site: "shop"}); err != nil || got != SealedPublished {
			t.Errorf("Seal(d3) again = %s, %v, want published, as it was", got, err)
		}
		if got := b.published(t, "shop"); got != "d1" {
			t.Errorf("published: %s, want d1 still", got)
		}
	})
}

func TestSealWithholds(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		// Two deploys at once: the one that was begun first comes last.
		early := deploy.Deploy{ID: "early", Site: "shop", Branch: "Feature/One", State: deploy.New, CreatedAt: time.UnixMilli(1_700_000_000_000)}
		if err := b.CreateDeploy(t.Context(), early); err != nil {
			t.Fatal(err)
		}
		if err := b.Describe(t.Context(), early, nil); err != nil {
			t.Fatal(err)
		}
		b.seal(t, deploy.Deploy{ID: "late", Site: "shop", Branch: "Feature/One"})
		if got, err := b.Seal(t.Context(), early); err != nil || got != SealedOlder {
			t.Errorf("Seal(early) = %s, %v, want older", got, err)
		}
		c, err := b.Catalog(t.Context())
		if err != nil || c.Published["shop"].ID != "late" || c.Branches["shop"]["feature-one"] != "late" {
			t.Errorf("the catalog is %+v, %v, want late to be published and the newest of its branch", c, err)
		}
		if d, err := b.Deploy(t.Context(), "early"); err != nil || d.State != deploy.Ready || d.Withheld != "older" {
			t.Errorf("the early deploy is %+v, %v, want it ready and withheld", d, err)
		}

		if err := b.Lock(t.Context(), "shop", "late"); err != nil {
			t.Fatal(err)
		}
		if got := b.seal(t, deploy.Deploy{ID: "locked-out", Site: "shop"}); got != SealedLocked {
			t.Errorf("Seal on a locked site = %s, want locked", got)
		}
		if got := b.published(t, "shop"); got != "late" {
			t.Errorf("published: %s, want late", got)
		}
	})
}

func TestBranches(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		before, _ := b.CatalogVersion(t.Context())
		b.seal(t, deploy.Deploy{ID: "a1", Site: "shop", Branch: "a", Draft: true})
		b.seal(t, deploy.Deploy{ID: "b1", Site: "shop", Branch: "b", Draft: true})
		b.seal(t, deploy.Deploy{ID: "a2", Site: "shop", Branch: "a", Draft: true})
		b.seal(t, deploy.Deploy{ID: "o1", Site: "other", Branch: "a", Draft: true})
		c, err := b.Catalog(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(c.Branches); got != "map[other:map[a:o1] shop:map[a:a2 b:b1]]" {
			t.Errorf("branches: %s", got)
		}
		if c.Version != before+4 || len(c.Published) != 0 {
			t.Errorf("version %d, published %v; want 4 more and none", c.Version, c.Published)
		}
	})
}

// Rolling back is going down a stack; publishing is going up.
func TestRollback(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		for _, id := range []string{"a", "b", "c", "d"} {
			b.deployed(t, "shop", id)
		}
		rollback := func(want string) {
			t.Helper()
			id, err := b.Rollback(t.Context(), "shop")
			if want == "" {
				if !fault.Is(err, fault.Conflict) {
					t.Errorf("Rollback = %s, %v, want a conflict", id, err)
				}
				return
			}
			if err != nil || id != want || b.published(t, "shop") != want {
				t.Errorf("Rollback = %s, %v, and %s is published; want %s", id, err, b.published(t, "shop"), want)
			}
		}
		rollback("")
		b.publish(t, "shop", "a")
		rollback("")
		b.publish(t, "shop", "b")
		b.publish(t, "shop", "c")
		rollback("b")
		rollback("a")
		rollback("")
		b.publish(t, "shop", "c")
		b.publish(t, "shop", "a") // an old one again
		b.publish(t, "shop", "d")
		rollback("a")
		rollback("c")
		if got, err := b.History(t.Context(), "shop"); err != nil || fmt.Sprint(got) != "[c a]" {
			t.Errorf("History = %v, %v, want c and a", got, err)
		}
		if err := b.Unpublish(t.Context(), "shop"); err != nil || b.published(t, "shop") != "" {
			t.Errorf("Unpublish = %v, and %q is published", err, b.published(t, "shop"))
		}
		rollback("c") // undoes that
		// One that is gone is passed over.
		b.publish(t, "shop", "b")
		b.publish(t, "shop", "d")
		if err := b.rdb.Del(t.Context(), deployKey("b")).Err(); err != nil {
			t.Fatal(err)
		}
		rollback("c")
		d, err := b.Deploy(t.Context(), "d")
		if err != nil || d.LeftAt.IsZero() || d.PublishedAt.IsZero() || d.LeftAt.Before(d.PublishedAt) {
			t.Errorf("the deploy that was left is %+v, %v; want when it was published and left", d, err)
		}
		if c, err := b.Deploy(t.Context(), "c"); err != nil || !c.LeftAt.IsZero() {
			t.Errorf("the published deploy left at %v, %v", c.LeftAt, err)
		}
	})
}

func TestLock(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		b.deployed(t, "shop", "a")
		b.deployed(t, "shop", "b")
		b.publish(t, "shop", "a")
		b.publish(t, "shop", "b")
		if err := b.Lock(t.Context(), "shop", "a"); !fault.Is(err, fault.Conflict) {
			t.Errorf("Lock of another deploy than the published one = %v, want a conflict", err)
		}
		if err := b.Lock(t.Context(), "shop", "b"); err != nil {
			t.Fatal(err)
		}
		_, rollback := b.Rollback(t.Context(), "shop")
		for name, err := range map[string]error{
			"Publish": b.Publish(t.Context(), "shop", "a"), "Rollback": rollback, "Unpublish": b.Unpublish(t.Context(), "shop"),
		} {
			if !fault.Is(err, fault.Conflict) {
				t.Errorf("%s on a locked site = %v, want a conflict", name, err)
			}
		}
		if err := b.Publish(t.Context(), "shop", "b"); err != nil {
			t.Errorf("Publish of what is published = %v, want nil", err)
		}
		if err := b.Unlock(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		if id, err := b.Rollback(t.Context(), "shop"); err != nil || id != "a" {
			t.Errorf("Rollback after the unlock = %s, %v, want a", id, err)
		}
	})
}

func TestSites(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		for _, name := range []string{"shop", "blog"} {
			if err := b.CreateSite(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.CreateSite(t.Context(), "shop"); !fault.Is(err, fault.Conflict) {
			t.Errorf("CreateSite again = %v, want a conflict", err)
		}
		for _, name := range []string{"", "Shop", "a--b", "a/b"} {
			if err := b.CreateSite(t.Context(), name); !fault.Is(err, fault.Invalid) {
				t.Errorf("CreateSite(%q) = %v, want invalid", name, err)
			}
			if _, err := b.Site(t.Context(), name); !fault.Is(err, fault.NotFound) {
				t.Errorf("Site(%q) = %v, want not found", name, err)
			}
		}
		b.deployed(t, "shop", "d1")
		b.publish(t, "shop", "d1")
		if err := b.Lock(t.Context(), "shop", "d1"); err != nil {
			t.Fatal(err)
		}
		all, err := b.Sites(t.Context())
		if err != nil || len(all) != 2 || all[0].Name != "blog" || all[1].Name != "shop" {
			t.Fatalf("Sites = %+v, %v, want blog and shop", all, err)
		}
		one, err := b.Site(t.Context(), "shop")
		if err != nil || one != all[1] || one.Published != "d1" || one.Locked != "d1" || one.CreatedAt.IsZero() {
			t.Errorf("Site = %+v, %v, want what Sites lists: %+v", one, err, all[1])
		}
		if _, err := b.Site(t.Context(), "none"); !fault.Is(err, fault.NotFound) {
			t.Errorf("Site(none) = %v, want not found", err)
		}
	})
}
