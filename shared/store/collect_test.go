package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/redis/go-redis/v9"
)

// aged makes a ready deploy of a site that is an hour old.
func (b *backend) aged(t testing.TB, site, id string) {
	t.Helper()
	err := b.CreateDeploy(t.Context(), deploy.Deploy{ID: id, Site: site, State: deploy.Ready, CreatedAt: time.Now().Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
}

// stateOf reads the state of a deploy; empty without one.
func (b *backend) stateOf(t testing.TB, id string) deploy.State {
	t.Helper()
	return deploy.State(b.rdb.HGet(t.Context(), deployKey(id), deployState).Val())
}

// collectWrites are the writes of garbage collection.
var collectWrites = []write{
	{"Expire", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		b.aged(t, "shop", "d1")
		return func(ctx context.Context, s *Store) error {
				_, err := s.Expire(ctx, "shop", []string{"d1"}, time.Minute)
				return err
			}, func() bool { // and gateways are told once
				version, err := b.CatalogVersion(t.Context())
				return err == nil && version == 1 && b.stateOf(t, "d1") == deploy.Expired
			}
	}, isNil},
	{"Remove", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		b.aged(t, "shop", "d1")
		if _, err := b.Expire(t.Context(), "shop", []string{"d1"}, time.Minute); err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context, s *Store) error {
				removed, err := s.Remove(ctx, "shop", "d1", -time.Second, time.Hour)
				if err == nil && !removed {
					err = errors.New("kept")
				}
				return err
			}, func() bool {
				return b.stateOf(t, "d1") == "" && b.rdb.Exists(t.Context(), deploysKey("shop")).Val() == 0
			}
	}, isNil},
	{"Doom", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		return func(ctx context.Context, s *Store) error { return s.Doom(ctx, []string{"file:a", "file:b"}) }, func() bool {
			all, err := b.AllDoomed(t.Context())
			return err == nil && slices.Equal(all, []string{"file:a", "file:b"}) && b.rdb.PTTL(t.Context(), doomedKey()).Val() > 0
		}
	}, isNil},
	{"Spare", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		if err := b.Doom(t.Context(), []string{"file:a", "file:b"}); err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context, s *Store) error { return s.Spare(ctx, []string{"file:a"}) }, func() bool {
			all, err := b.AllDoomed(t.Context())
			return err == nil && slices.Equal(all, []string{"file:b"})
		}
	}, isNil},
	{"ForgetBlobs", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		b.aged(t, "shop", "d1")
		for _, digest := range []string{"a", "b"} {
			if err := b.RememberZip(t.Context(), "shop", digest, Zip{}); err != nil {
				t.Fatal(err)
			}
		}
		return func(ctx context.Context, s *Store) error { return s.ForgetBlobs(ctx, []string{"a"}, nil) }, func() bool {
			left := b.rdb.HKeys(t.Context(), blobsKey("shop")).Val()
			slices.Sort(left)
			return slices.Equal(left, []string{"code:b", "zip:b"})
		}
	}, isNil},
}

// Expire looks at all that may point at a deploy, in the moment in which it acts.
func TestExpire(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		ids := []string{"published", "locked", "branch", "free", "foreign", "uploading", "missing"}
		for _, id := range ids {
			switch id {
			case "missing":
			case "foreign":
				b.aged(t, "blog", id)
			default:
				b.aged(t, "shop", id)
			}
		}
		for key, fields := range map[string][]any{
			publishedKey(): {"shop", "published"}, lockedKey(): {"shop", "locked"}, branchesKey(): {"shop/main", "branch"},
			deployKey("uploading"): {deployState, string(deploy.Uploading)},
		} {
			if err := b.rdb.HSet(t.Context(), key, fields...).Err(); err != nil {
				t.Fatal(err)
			}
		}
		for i := range KeptHistory + 1 {
			id := fmt.Sprint("history-", i)
			b.aged(t, "shop", id)
			ids = append(ids, id)
			if err := b.rdb.RPush(t.Context(), historyKey("shop"), id).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := b.Expire(t.Context(), "shop", ids, 2*time.Hour); err != nil || len(got) != 0 {
			t.Errorf("Expire of what is young = %v, %v; want none", got, err)
		}
		for range 2 { // and what is out of use stays so
			got, err := b.Expire(t.Context(), "shop", ids, time.Minute)
			if want := []string{"free", "history-0"}; err != nil || !slices.Equal(got, want) {
				t.Errorf("Expire = %v, %v; want %v", got, err, want)
			}
		}
		if version, err := b.CatalogVersion(t.Context()); err != nil || version != 1 {
			t.Errorf("the catalog's version is %d, %v; want 1", version, err)
		}
		if err := b.Publish(t.Context(), "shop", "free"); !fault.Is(err, fault.Conflict) {
			t.Errorf("Publish of a deploy out of use = %v, want conflict", err)
		}
	})
}

// A deploy is removed only when its time has come, whoever asks.
func TestRemove(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		for _, row := range []struct {
			state   deploy.State
			awaits  bool
			after   time.Duration
			abandon time.Duration
			want    bool
		}{
			{deploy.Ready, false, 0, 0, false},
			{deploy.Expired, false, time.Minute, 0, false},
			{deploy.Expired, false, -time.Second, time.Hour, true},
			{deploy.New, false, 0, 2 * time.Hour, false},
			{deploy.New, false, 0, time.Minute, true},
			{deploy.Uploading, true, 0, time.Minute, false},
			{deploy.Uploading, false, 0, time.Minute, true},
			{deploy.Failed, false, 0, time.Minute, true},
			{"", false, 0, 0, true}, // there is none
		} {
			if err := b.rdb.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			if row.state != "" {
				b.aged(t, "shop", "d1")
				if err := b.rdb.HSet(t.Context(), deployKey("d1"), deployState, string(row.state), "expired", time.Now().UnixMilli()).Err(); err != nil {
					t.Fatal(err)
				}
			}
			if row.awaits {
				if err := b.Await(t.Context(), "d1", []string{"file:a"}); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := b.Remove(t.Context(), "shop", "d1", row.after, row.abandon); err != nil || got != row.want {
				t.Errorf("Remove of %+v = %t, %v", row, got, err)
			}
			if there := b.stateOf(t, "d1") != ""; there == row.want {
				t.Errorf("after Remove of %+v it is there: %t", row, there)
			}
		}
	})
}

// Every deploy is read, of sites that are known and of others, with what it needs.
func TestEachDeploy(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		const deploys = 2*deployPage + 3
		for i := range deploys {
			b.aged(t, []string{"shop", "blog"}[i%2], fmt.Sprint("d", i))
		}
		data := `{"functions":[{"artifact":"zip"},{"artifact":""}],"files":{"a":{"digest":"one"},"b":{"sha1":"x"},"c":{"sha1":"unknown"}}}`
		left := time.UnixMilli(1_700_000_000_000).UTC()
		for key, fields := range map[string][]any{
			deployKey("d0"):  {"data", data, "left", left.UnixMilli()},
			blobsKey("shop"): {sha1Field("x"), "two 17"},
			blobsKey("blog"): {sha1Field("x"), "another 17", sha1Field("unknown"), "another 18"},
			sitesKey():       {"nothing-deployed", "1 token"},
		} {
			if err := b.rdb.HSet(t.Context(), key, fields...).Err(); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[string]Held{}
		each := func(skip func(string) bool) {
			t.Helper()
			clear(seen)
			err := b.EachDeploy(t.Context(), skip, func(h Held) error { seen[h.ID] = h; return nil })
			if err != nil {
				t.Fatalf("EachDeploy = %v", err)
			}
		}
		each(nil)
		if len(seen) != deploys {
			t.Errorf("EachDeploy gave %d deploys, want %d", len(seen), deploys)
		}
		got := seen["d0"]
		want := Held{ID: "d0", Site: "shop", State: deploy.Ready, Created: got.Created, Left: left, Code: []string{"zip"}, Files: []string{"one", "two"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the deploy is read as (-want +got):\n%s", diff)
		}
		if !got.Unused().Equal(got.Created) {
			t.Errorf("it is unused since %v, want its creation, after it was left", got.Unused())
		}
		each(func(id string) bool { return id != "d1" })
		if len(seen) != 1 || seen["d1"].Site != "blog" {
			t.Errorf("EachDeploy of one gave %v", seen)
		}
		// What cannot be read must not count as needing nothing.
		if err := b.rdb.HSet(t.Context(), deployKey("d0"), "data", "{").Err(); err != nil {
			t.Fatal(err)
		}
		if err := b.EachDeploy(t.Context(), nil, func(Held) error { return nil }); err == nil {
			t.Error("EachDeploy with a damaged deploy = nil, want an error")
		}
	})
}

func TestDoomed(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		var all []string
		for i := range collectChunk + 10 {
			all = append(all, fmt.Sprint("file:", i))
		}
		if err := b.Doom(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Doomed(t.Context(), append([]string{"code:0"}, all...)); err != nil || !slices.Equal(got, all) {
			t.Errorf("Doomed gave %d, %v; want the %d that are", len(got), err, len(all))
		}
		if got, err := b.Doomed(t.Context(), nil); err != nil || len(got) != 0 {
			t.Errorf("Doomed of nothing = %v, %v", got, err)
		}
		term := b.term(t)
		for blob, want := range map[string]bool{"file:0": true, "code:0": false} {
			if got, err := b.MayDelete(t.Context(), term, blob); err != nil || got != want {
				t.Errorf("MayDelete(%s) = %t, %v; want %t", blob, got, err, want)
			}
		}
		if may, err := b.MayDelete(t.Context(), term-1, "file:0"); may || !errors.Is(err, ErrSuperseded) {
			t.Errorf("MayDelete of an old term = %t, %v; want superseded", may, err)
		}
		if err := b.Spare(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		if got, err := b.AllDoomed(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("AllDoomed after Spare = %v, %v", got, err)
		}
	})
}

func TestForgetBlobs(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		sites := []string{"blog", "shop"}
		for _, site := range sites {
			b.aged(t, site, "of-"+site)
			_, err := b.rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
				for i := range 2000 {
					digest := fmt.Sprint("digest", i)
					p.HSet(t.Context(), blobsKey(site), sha1Field(fmt.Sprint("sum", i)), digest+" 5", "file:"+digest, "")
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := b.ForgetBlobs(t.Context(), nil, []string{"digest3", "digest1999", "unknown"}); err != nil {
			t.Fatal(err)
		}
		for _, site := range sites {
			if n := b.rdb.HLen(t.Context(), blobsKey(site)).Val(); n != 2*1998 {
				t.Errorf("%d fields of %s are remembered, want those of 1998 files", n, site)
			}
			for _, field := range []string{sha1Field("sum3"), sha1Field("sum1999"), "file:digest3", "file:digest1999"} {
				if b.rdb.HExists(t.Context(), blobsKey(site), field).Val() {
					t.Errorf("%s of %s is still remembered", field, site)
				}
			}
		}
	})
}

// collects does all of garbage collection on a cluster, where each script must
// keep to one slot.
func (b *backend) collects(t testing.TB) {
	t.Helper()
	b.aged(t, "draft-only", "old")
	if expired, err := b.Expire(t.Context(), "draft-only", []string{"old"}, time.Minute); err != nil || len(expired) != 1 {
		t.Errorf("Expire = %v, %v, want one", expired, err)
	}
	seen := 0
	if err := b.EachDeploy(t.Context(), nil, func(h Held) error { seen++; return nil }); err != nil || seen != 4 {
		t.Errorf("EachDeploy gave %d deploys, %v, want four", seen, err)
	}
	if removed, err := b.Remove(t.Context(), "draft-only", "old", -time.Second, time.Hour); err != nil || !removed {
		t.Errorf("Remove = %t, %v, want that it is removed", removed, err)
	}
	if err := b.Doom(t.Context(), []string{"file:a"}); err != nil {
		t.Errorf("Doom = %v", err)
	}
	if may, err := b.MayDelete(t.Context(), b.term(t), "file:a"); err != nil || !may {
		t.Errorf("MayDelete = %t, %v, want yes", may, err)
	}
	if err := b.ForgetBlobs(t.Context(), []string{"a"}, []string{"a"}); err != nil {
		t.Errorf("ForgetBlobs = %v", err)
	}
	if err := b.Spare(t.Context(), []string{"file:a"}); err != nil {
		t.Errorf("Spare = %v", err)
	}
}
