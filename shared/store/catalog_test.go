package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

// deployed makes a deploy that is ready and must be accepted.
func (b *backend) deployed(t testing.TB, site, id string) deploy.Deploy {
	t.Helper()
	d := deploy.Deploy{
		ID: id, Site: site, State: deploy.Ready, CreatedAt: time.UnixMilli(1_700_000_000_123).UTC(),
		Functions: []function.Function{{Name: "f", Kind: function.Sync, Runtime: "node", API: 2}},
	}
	if err := b.CreateDeploy(t.Context(), d); err != nil {
		t.Fatalf("CreateDeploy(%s) = %v", id, err)
	}
	return d
}

func (b *backend) publish(t testing.TB, site, id string) {
	t.Helper()
	if err := b.Publish(t.Context(), site, id); err != nil {
		t.Fatalf("Publish(%s, %s) = %v", site, id, err)
	}
}

// asDeployed compares deploys without what became of them.
var asDeployed = cmpopts.IgnoreFields(deploy.Deploy{}, "PublishedAt", "LeftAt")

func TestDeploys(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		want := b.deployed(t, "shop", "d1")
		got, err := b.Deploy(t.Context(), "d1")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Deploy (-want +got):\n%s", diff)
		}
		if err := b.CreateDeploy(t.Context(), want); !fault.Is(err, fault.Conflict) {
			t.Errorf("CreateDeploy again = %v, want a conflict", err)
		}
		for _, d := range []deploy.Deploy{
			{ID: "d 2", Site: "shop"}, {ID: "", Site: "shop"}, {ID: "d2", Site: "Shop"}, {ID: "d2", Site: "shop", State: deploy.Failed},
		} {
			if err := b.CreateDeploy(t.Context(), d); !fault.Is(err, fault.Invalid) {
				t.Errorf("CreateDeploy(%+v) = %v, want invalid", d, err)
			}
		}

		// Without a time of its own it is created at Redis's now, and thus the newest.
		for _, id := range []string{"d2", "d3"} {
			if err := b.CreateDeploy(t.Context(), deploy.Deploy{ID: id, Site: "shop"}); err != nil {
				t.Fatal(err)
			}
		}
		b.deployed(t, "other", "d4")
		list := func(site string, limit int) string {
			t.Helper()
			all, err := b.DeploySummaries(t.Context(), site, 0, limit)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, d := range all {
				if d.CreatedAt.IsZero() || d.Site != site {
					t.Errorf("listed as %+v", d)
				}
				ids = append(ids, d.ID)
			}
			return fmt.Sprint(ids)
		}
		for _, c := range []struct {
			site  string
			limit int
			want  string
		}{{"shop", 0, "[d3 d2 d1]"}, {"shop", 2, "[d3 d2]"}, {"none", 5, "[]"}, {"No Site", 5, "[]"}} {
			if got := list(c.site, c.limit); got != c.want {
				t.Errorf("DeploySummaries(%s, %d) = %s, want %s", c.site, c.limit, got, c.want)
			}
		}
		for _, id := range []string{"d9", "", "x:y", "*"} {
			if _, err := b.Deploy(t.Context(), id); !fault.Is(err, fault.NotFound) {
				t.Errorf("Deploy(%q) = %v, want not found", id, err)
			}
			for name, err := range map[string]error{
				"Describe": b.Describe(t.Context(), deploy.Deploy{ID: id, Site: "shop"}, nil),
				"Fail":     b.Fail(t.Context(), id, "why"),
			} {
				if !fault.Is(err, fault.NotFound) {
					t.Errorf("%s(%q) = %v, want not found", name, id, err)
				}
			}
			if _, err := b.Seal(t.Context(), deploy.Deploy{ID: id, Site: "shop"}); !fault.Is(err, fault.NotFound) {
				t.Errorf("Seal(%q) = %v, want not found", id, err)
			}
			if err := b.Publish(t.Context(), "shop", id); !fault.Is(err, fault.NotFound) {
				t.Errorf("Publish(%q) = %v, want not found", id, err)
			}
		}
	})
}

// A list says of each deploy what the deploy itself says, also of those that were
// made before there were summaries.
func TestDeploySummaries(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		ctx := t.Context()
		whole := func(id string) deploy.Deploy {
			return deploy.Deploy{
				ID: id, Site: "shop", Title: "of " + id, Branch: "main",
				Functions: []function.Function{{Name: "f", Kind: function.Background}},
				Files:     map[string]deploy.File{"a.html": {Digest: "x", Size: 1}, "b.html": {Digest: "y", Size: 2}},
				Redirects: make([]deploy.Redirect, 3), Headers: make([]deploy.HeaderRule, 4),
			}
		}
		check := func() {
			t.Helper()
			var want []deploy.Summary
			for _, id := range []string{"d4", "d3", "d2", "d1"} {
				d, err := b.Deploy(ctx, id)
				if err == nil {
					want = append(want, deploy.Summarize(d))
				} else if !fault.Is(err, fault.NotFound) {
					t.Fatal(err)
				}
			}
			for offset := range len(want) + 2 {
				for limit := range len(want) + 2 {
					end := len(want)
					if limit > 0 {
						end = min(offset+limit, end)
					}
					got, err := b.DeploySummaries(ctx, "shop", offset, limit)
					if diff := cmp.Diff(want[min(offset, end):end], got, cmpopts.EquateEmpty()); err != nil || diff != "" {
						t.Fatalf("DeploySummaries(%d, %d) = %v (-want +got):\n%s", offset, limit, err, diff)
					}
				}
			}
		}
		check()
		for i, id := range []string{"d1", "d2", "d3", "d4"} {
			d := deploy.Deploy{ID: id, Site: "shop", State: deploy.New, CreatedAt: time.UnixMilli(int64(i + 1))}
			if err := b.CreateDeploy(ctx, d); err != nil {
				t.Fatal(err)
			}
			check()
		}
		for _, id := range []string{"d1", "d2", "d3"} {
			if err := b.Describe(ctx, whole(id), []byte("sealed")); err != nil {
				t.Fatal(err)
			}
			check()
		}
		if _, err := b.Seal(ctx, whole("d1")); err != nil {
			t.Fatal(err)
		}
		check()
		if err := b.Fail(ctx, "d2", "why"); err != nil {
			t.Fatal(err)
		}
		check()
		all, err := b.DeploySummaries(ctx, "shop", 0, 0)
		if err != nil || len(all) != 4 {
			t.Fatalf("DeploySummaries = %v, %v, want four", all, err)
		}
		last := all[3]
		if last.Files != 2 || last.Redirects != 3 || last.Headers != 4 || len(last.Functions) != 1 || last.Title != "of d1" || last.State != deploy.Ready || last.PublishedAt.IsZero() {
			t.Errorf("a published deploy is summed up as %+v", last)
		}

		if n := b.rdb.HDel(ctx, deployKey("d1"), deploySummary).Val() + b.rdb.HDel(ctx, deployKey("d4"), deploySummary).Val(); n != 2 {
			t.Fatalf("%d of 2 had a summary", n)
		}
		check()
		if err := b.rdb.Del(ctx, deployKey("d3")).Err(); err != nil { // it is being removed
			t.Fatal(err)
		}
		if got, err := b.DeploySummaries(ctx, "shop", 0, 0); err != nil || len(got) != 3 {
			t.Errorf("DeploySummaries with one that is gone = %d, %v, want 3", len(got), err)
		}
		for _, site := range []string{"none", "No Site", ""} {
			if got, err := b.DeploySummaries(ctx, site, 0, 5); err != nil || len(got) != 0 {
				t.Errorf("DeploySummaries(%q) = %v, %v, want none", site, got, err)
			}
		}
	})
}

func TestPublish(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		catalog := func() Catalog {
			t.Helper()
			c, err := b.Catalog(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if v, err := b.CatalogVersion(t.Context()); err != nil || v != c.Version {
				t.Errorf("CatalogVersion = %d, %v, want %d", v, err, c.Version)
			}
			return c
		}
		none := map[string]map[string]string{}
		if diff := cmp.Diff(Catalog{Published: map[string]deploy.Deploy{}, Branches: none}, catalog(), asDeployed); diff != "" {
			t.Errorf("the empty catalog (-want +got):\n%s", diff)
		}
		d1, d2, d3 := b.deployed(t, "shop", "d1"), b.deployed(t, "shop", "d2"), b.deployed(t, "other", "d3")
		if err := b.CreateDeploy(t.Context(), deploy.Deploy{ID: "draft", Site: "shop"}); err != nil {
			t.Fatal(err)
		}
		b.publish(t, "shop", "d1")
		b.publish(t, "other", "d3")
		b.publish(t, "shop", "d2")
		b.publish(t, "shop", "d2") // changes nothing
		for _, c := range []struct {
			site, id string
			kind     fault.Kind
		}{{"shop", "draft", fault.Conflict}, {"shop", "d3", fault.NotFound}, {"nowhere", "d1", fault.NotFound}} {
			if err := b.Publish(t.Context(), c.site, c.id); !fault.Is(err, c.kind) {
				t.Errorf("Publish(%s, %s) = %v, want %s", c.site, c.id, err, c.kind)
			}
		}
		want := Catalog{Version: 3, Published: map[string]deploy.Deploy{"shop": d2, "other": d3}, Branches: none}
		if diff := cmp.Diff(want, catalog(), asDeployed); diff != "" {
			t.Errorf("the catalog (-want +got):\n%s", diff)
		}
		b.publish(t, "shop", "d1") // back
		want.Version, want.Published["shop"] = 4, d1
		if diff := cmp.Diff(want, catalog(), asDeployed); diff != "" {
			t.Errorf("the catalog after going back (-want +got):\n%s", diff)
		}
	})
}

// watch collects what WatchCatalog tells.
func watch(t testing.TB, s *Store, check time.Duration) (<-chan Catalog, func() error) {
	catalogs := make(chan Catalog, 100)
	var busy atomic.Bool
	return catalogs, runs(t, func(ctx context.Context) error {
		return s.watchCatalog(ctx, check, func(c Catalog) {
			if busy.Swap(true) {
				t.Error("two calls at once")
			}
			catalogs <- c
			busy.Store(false)
		})
	})
}

func TestWatchCatalogIsToldAtOnce(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		d1 := b.deployed(t, "shop", "d1")
		b.deployed(t, "shop", "d2")
		catalogs, stop := watch(t, b.Store, time.Hour) // so that only messages can tell it
		if c := <-catalogs; c.Version != 0 || len(c.Published) != 0 {
			t.Errorf("at the start: %+v, want an empty catalog", c)
		}
		eventually(t, "the subscription", func() bool {
			return b.rdb.PubSubNumSub(t.Context(), catalogChannel()).Val()[catalogChannel()] == 1
		})
		b.publish(t, "shop", "d1")
		if diff := cmp.Diff(Catalog{1, map[string]deploy.Deploy{"shop": d1}, map[string]map[string]string{}}, <-catalogs, asDeployed); diff != "" {
			t.Errorf("after a publish (-want +got):\n%s", diff)
		}
		b.publish(t, "shop", "d2")
		b.publish(t, "shop", "d1")
		eventually(t, "the newest version", func() bool { return (<-catalogs).Version == 3 })
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("WatchCatalog = %v, want context.Canceled", err)
		}
	})
}

func TestWatchCatalogCatchesALostMessage(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		b.deployed(t, "shop", "d1")
		catalogs, _ := watch(t, b.Store, 10*time.Millisecond)
		<-catalogs
		// A publish whose message nobody gets.
		err := publishScript.Run(t.Context(), b.rdb, pointerKeys("shop", deployKey("d1")),
			"shop", "d1", "ready", deployKey(""), "nobody-listens").Err()
		if err != nil {
			t.Fatal(err)
		}
		if c := <-catalogs; c.Version != 1 || c.Published["shop"].ID != "d1" {
			t.Errorf("after the loss: %+v, want version 1", c)
		}
	})
}

// What is published while the connection for messages is broken is known as soon as
// it stands again.
func TestWatchCatalogLooksWhenItIsConnectedAgain(t *testing.T) {
	t.Parallel()
	if !redistest.Real() {
		return // miniredis ends no connection for us
	}
	srv := redistest.Start(t)
	b := newBackend(t, func(t testing.TB) redis.UniversalClient { return srv.Client() })
	b.deployed(t, "shop", "d1")
	catalogs, _ := watch(t, b.Store, time.Hour)
	<-catalogs
	eventually(t, "the subscription", func() bool {
		return b.rdb.PubSubNumSub(t.Context(), catalogChannel()).Val()[catalogChannel()] == 1
	})
	err := publishScript.Run(t.Context(), b.rdb, pointerKeys("shop", deployKey("d1")),
		"shop", "d1", "ready", deployKey(""), "nobody-listens").Err()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.rdb.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	if c := <-catalogs; c.Version != 1 || c.Published["shop"].ID != "d1" {
		t.Errorf("after the loss: %+v, want version 1", c)
	}
}

func TestWatchCatalogSurvivesARestart(t *testing.T) {
	t.Parallel()
	mini := miniredis.NewMiniRedis()
	if err := mini.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mini.Close)
	client := func(t testing.TB) redis.UniversalClient {
		rdb := redis.NewClient(&redis.Options{Addr: mini.Addr(), MaxRetries: -1})
		t.Cleanup(func() { _ = rdb.Close() })
		return rdb
	}
	b := newBackend(t, client)
	b.deployed(t, "shop", "d1")
	b.deployed(t, "shop", "d2")
	b.publish(t, "shop", "d1")

	mini.Close() // away already when the watcher begins
	catalogs, _ := watch(t, b.Store, 5*time.Millisecond)
	if err := mini.Restart(); err != nil {
		t.Fatal(err)
	}
	if c := <-catalogs; c.Version != 1 {
		t.Errorf("at the start: version %d, want 1", c.Version)
	}
	mini.Close()
	if err := b.Publish(t.Context(), "shop", "d2"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Publish without Redis = %v, want unavailable", err)
	}
	if err := mini.Restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second publish", func() bool { return b.Publish(t.Context(), "shop", "d2") == nil })
	if c := <-catalogs; c.Version != 2 || c.Published["shop"].ID != "d2" {
		t.Errorf("after the restart: %+v, want version 2", c)
	}
	// Data that is lost counts as a change.
	mini.FlushAll()
	if c := <-catalogs; c.Version != 0 || len(c.Published) != 0 {
		t.Errorf("after the loss: %+v, want an empty catalog", c)
	}
}
