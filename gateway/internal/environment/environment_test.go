package environment

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/redis/go-redis/v9"
)

const canary = "canary-4711"

func newBox(t *testing.T) *secret.Box {
	t.Helper()
	key, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	box, err := secret.Parse(key)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func setup(t *testing.T, box *secret.Box) (*Keeper, redis.UniversalClient) {
	t.Helper()
	rdb := redistest.New(t)
	return New(store.New(rdb, store.Options{}), box), rdb
}

func all(key, value string) environ.Variable {
	return environ.Variable{Key: key, Values: []environ.Value{{Context: environ.All, Value: secret.Text(value)}}}
}

func create(t *testing.T, k *Keeper, site string, variables ...environ.Variable) {
	t.Helper()
	if _, err := k.Create(t.Context(), site, variables); err != nil {
		t.Fatalf("Create: %v", err)
	}
}

func keys(list []environ.Variable) string {
	var out []string
	for _, v := range list {
		out = append(out, v.Key)
	}
	return strings.Join(out, " ")
}

func TestKeeper(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	k, _ := setup(t, newBox(t))
	create(t, k, "shop", all("b", "2"), all("A", "1"), all("C", "3"))
	create(t, k, "blog", all("A", "of the blog"))
	if list, err := k.List(ctx, "shop"); err != nil || keys(list) != "A b C" || list[0].Values[0].Value != "1" {
		t.Errorf("List = %s, %v; want A b C", keys(list), err)
	}
	if _, err := k.Create(ctx, "shop", []environ.Variable{all("D", "4"), all("A", "x")}); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "variable A already") {
		t.Errorf("Create of what is there = %v, want a conflict about A", err)
	}
	if _, err := k.Create(ctx, "shop", []environ.Variable{all("D", "4"), all("D", "5")}); !fault.Is(err, fault.Invalid) {
		t.Errorf("Create of one twice = %v, want invalid", err)
	}
	if _, err := k.Variable(ctx, "shop", "D"); !fault.Is(err, fault.NotFound) {
		t.Errorf("Variable D = %v, want not found: all are made or none", err)
	}
	changed, err := k.Change(ctx, "shop", "A", func(v environ.Variable) (environ.Variable, error) {
		return v.Set(environ.Value{Context: environ.Production, Value: "p"}, true)
	})
	if read, readErr := k.Variable(ctx, "shop", "A"); err != nil || readErr != nil || len(changed.Values) != 2 || len(read.Values) != 2 || !read.Secret {
		t.Errorf("Change = %v, %v; read back %v, %v", changed, err, read, readErr)
	}
	if _, err := k.Change(ctx, "shop", "X", nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("Change of what is not there = %v, want not found", err)
	}
	if err := k.Remove(ctx, "shop", "b"); err != nil {
		t.Errorf("Remove = %v", err)
	}
	if err := k.Remove(ctx, "shop", "b"); !fault.Is(err, fault.NotFound) {
		t.Errorf("Remove again = %v, want not found", err)
	}
	if list, err := k.List(ctx, "shop"); err != nil || keys(list) != "A C" {
		t.Errorf("List = %s, %v; want A C", keys(list), err)
	}
}

// The netlify CLI changes all contexts of a variable at once.
func TestChangesAtOnceAreAllKept(t *testing.T) {
	t.Parallel()
	k, _ := setup(t, newBox(t))
	create(t, k, "shop", all("A", "1"))
	const writers = 12
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			_, err := k.Change(t.Context(), "shop", "A", func(v environ.Variable) (environ.Variable, error) {
				return v.Set(environ.Value{Context: environ.Branch, Parameter: fmt.Sprintf("b%d", i), Value: "x"}, false)
			})
			if err != nil {
				t.Errorf("Change %d: %v", i, err)
			}
		})
	}
	group.Wait()
	if v, err := k.Variable(t.Context(), "shop", "A"); err != nil || len(v.Values) != writers+1 {
		t.Errorf("%d values, %v; want %d", len(v.Values), err, writers+1)
	}
}

func TestFreeze(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	box := newBox(t)
	k, _ := setup(t, box)
	open := func(sealed []byte) environ.Frozen {
		t.Helper()
		plain, err := box.Open(sealed)
		if err != nil {
			t.Fatal(err)
		}
		var f environ.Frozen
		if err := json.Unmarshal(plain, &f); err != nil || f.Site != "shop" {
			t.Errorf("frozen for %q, %v; want shop", f.Site, err)
		}
		return f
	}
	if sealed, err := k.Freeze(ctx, "shop", environ.Production, "", nil); sealed != nil || err != nil {
		t.Errorf("Freeze of nothing = %d bytes, %v; want nil", len(sealed), err)
	}
	create(t, k, "shop", all("A", "1"), all("B", "1"), environ.Variable{Key: "C", Secret: true, Values: []environ.Value{{Context: environ.Branch, Parameter: "x", Value: "of x"}}})
	first, err := k.Freeze(ctx, "shop", environ.BranchDeploy, "x", []environ.Variable{all("B", "own")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Change(ctx, "shop", "A", func(v environ.Variable) (environ.Variable, error) { return v.Replace(all("A", "2")) }); err != nil {
		t.Fatal(err)
	}
	if got := open(first).Values; len(got) != 3 || got["A"] != "1" || got["B"] != "own" || got["C"] != "of x" {
		t.Errorf("frozen: A %q, B %q, C %q", string(got["A"]), string(got["B"]), string(got["C"]))
	}
	second, err := k.Freeze(ctx, "shop", environ.Production, "", nil)
	if got := open(second).Values; err != nil || len(got) != 2 || got["A"] != "2" || got["B"] != "1" {
		t.Errorf("frozen after a change: A %q, B %q, %v", string(got["A"]), string(got["B"]), err)
	}
	if of, after := open(first).Secrets, open(second).Secrets; len(of) != 1 || of[0] != "C" || after == nil || len(after) != 0 {
		t.Errorf("secrets of the first %q, of the second %q; want C, and an empty list", of, after)
	}
	for name, own := range map[string][]environ.Variable{"read-only": {all("SITE_ID", canary)}, "twice": {all("A", canary), all("A", canary)}} {
		if _, err := k.Freeze(ctx, "shop", environ.Production, "", own); !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), canary) {
			t.Errorf("Freeze of %s = %v, want invalid without the value", name, err)
		}
	}
}

func TestWithoutAKey(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	k, rdb := setup(t, nil)
	if list, err := k.List(ctx, "shop"); len(list) != 0 || err != nil {
		t.Errorf("List = %v, %v; want nothing", list, err)
	}
	if sealed, err := k.Freeze(ctx, "shop", environ.Production, "", nil); sealed != nil || err != nil {
		t.Errorf("Freeze of nothing = %d bytes, %v; want nil", len(sealed), err)
	}
	const todo = "NIGHTSHIFT_SECRET_KEY is not set on the gateway; make one with: nightshift secret-key"
	if _, err := k.Create(ctx, "shop", []environ.Variable{all("A", canary)}); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), todo) {
		t.Errorf("Create = %v, want what to do", err)
	}
	if _, err := k.Freeze(ctx, "shop", environ.Production, "", []environ.Variable{all("A", canary)}); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), todo) {
		t.Errorf("Freeze = %v, want what to do", err)
	}
	// The key got lost: what is stored keeps deploys away until it is removed.
	create(t, New(store.New(rdb, store.Options{}), newBox(t)), "shop", all("A", canary))
	for _, box := range []*secret.Box{nil, newBox(t)} {
		lost := New(store.New(rdb, store.Options{}), box)
		if _, err := lost.Freeze(ctx, "shop", environ.Production, "", nil); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), secret.Setting) {
			t.Errorf("Freeze without the right key = %v, want a conflict", err)
		}
	}
	if err := k.Remove(ctx, "shop", "A"); err != nil {
		t.Errorf("Remove without a key = %v", err)
	}
}

// Whoever writes to Redis, but has no key, can move sealed bytes about.
func TestSealedBytesStayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	k, rdb := setup(t, newBox(t))
	create(t, k, "shop", all("A", canary))
	bytes := rdb.HGet(t.Context(), "nightshift:{catalog}:env:shop", "A").Val()
	for _, to := range [][2]string{{"blog", "A"}, {"shop", "B"}} {
		if err := rdb.HSet(t.Context(), "nightshift:{catalog}:env:"+to[0], to[1], bytes).Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Variable(t.Context(), to[0], to[1]); !fault.Is(err, fault.Conflict) || strings.Contains(err.Error(), canary) {
			t.Errorf("Variable(%s, %s) = %v, want a conflict", to[0], to[1], err)
		}
	}
	if bytes == "" || strings.Contains(bytes, canary) {
		t.Errorf("Redis holds %q", bytes)
	}
}
