package environment

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/nightshift/nightshift/shared/store"
)

// rotation is a store, and boxes as they follow each other when a key is replaced.
type rotation struct {
	records           *store.Store
	before, both, now *secret.Box
	swapped           *secret.Box // both, and the old one still seals
}

func newRotation(t *testing.T) rotation {
	t.Helper()
	var keys []string
	for range 2 {
		key, err := secret.Generate()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, string(key))
	}
	r := rotation{records: store.New(redistest.New(t), store.Options{})}
	for text, box := range map[string]**secret.Box{keys[0]: &r.before, keys[1] + "," + keys[0]: &r.both, keys[1]: &r.now, keys[0] + "," + keys[1]: &r.swapped} {
		var err error
		if *box, err = secret.Parse(secret.Text(text)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// fill makes sites with variables and deploys, with the old key.
func (r rotation) fill(t *testing.T, sites, each int) {
	t.Helper()
	k := New(r.records, r.before)
	for s := range sites {
		site := fmt.Sprintf("site-%d", s)
		if err := r.records.CreateSite(t.Context(), site); err != nil {
			t.Fatal(err)
		}
		for n := range each {
			create(t, k, site, all(fmt.Sprintf("K%d", n), fmt.Sprintf("value %d of %s", n, site)))
		}
		for n := range each {
			r.freeze(t, k, site, fmt.Sprintf("d%d-%d", s, n))
		}
	}
}

func (r rotation) freeze(t *testing.T, k *Keeper, site, id string) {
	t.Helper()
	sealed, err := k.Freeze(t.Context(), site, environ.Production, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.records.CreateDeploy(t.Context(), deploy.Deploy{ID: id, Site: site, State: deploy.New}); err != nil {
		t.Fatal(err)
	}
	if err := r.records.Describe(t.Context(), deploy.Deploy{ID: id, Site: site}, sealed); err != nil {
		t.Fatal(err)
	}
}

// opens reports what a box reads of all that fill made: the number of values.
func (r rotation) opens(t *testing.T, box *secret.Box, sites, each int) int {
	t.Helper()
	n := 0
	for s := range sites {
		site := fmt.Sprintf("site-%d", s)
		list, err := New(r.records, box).List(t.Context(), site)
		if err != nil {
			continue
		}
		for i, v := range list {
			if want := fmt.Sprintf("value %d of %s", i, site); string(v.Values[0].Value) != want {
				t.Errorf("%s of %s is not %q any more", v.Key, site, want)
			}
			n++
		}
		for d := range each {
			sealed, err := r.records.DeployEnvironment(t.Context(), fmt.Sprintf("d%d-%d", s, d))
			if err != nil {
				t.Fatal(err)
			}
			plain, err := box.Open(sealed)
			if err != nil {
				continue
			}
			var f environ.Frozen
			if err := json.Unmarshal(plain, &f); err != nil || f.Site != site {
				t.Errorf("a deploy of %s has an environment of %q, %v", site, f.Site, err)
			}
			n += len(f.Values)
		}
	}
	return n
}

func TestReseal(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	r := newRotation(t)
	const sites, each = 2, 3
	const values = sites * (each + each*each)
	r.fill(t, sites, each)
	k := New(r.records, r.both)
	want := func(name string, got Keys, err error, fresh, old, resealed Count, done bool) {
		t.Helper()
		if err != nil || len(got.Uses) != 2 || got.Uses[0].Count != fresh || got.Uses[1].Count != old || got.Resealed != resealed || got.Done() != done || got.Unreadable != (Count{}) {
			t.Errorf("%s: %+v, %v; want %v with the new key, %v with the old one, %v sealed anew, done %v", name, got, err, fresh, old, resealed, done)
		}
	}
	everything, none := Count{sites * each, sites * each}, Count{}
	keys, err := k.Keys(ctx)
	want("before", keys, err, none, everything, none, false)
	if keys, err = k.Reseal(ctx, time.Now()); err == nil {
		want("without time", keys, err, none, everything, none, false)
	}
	if n := r.opens(t, r.now, sites, each); n != 0 {
		t.Errorf("the new key opens %d values before", n)
	}
	keys, err = k.Reseal(ctx, time.Now().Add(time.Minute))
	want("once", keys, err, everything, none, everything, true)
	keys, err = k.Reseal(ctx, time.Now().Add(time.Minute))
	want("twice", keys, err, everything, none, none, true)
	if n := r.opens(t, r.now, sites, each); n != values {
		t.Errorf("the new key alone opens %d values, want %d", n, values)
	}
	if n := r.opens(t, r.before, sites, each); n != 0 {
		t.Errorf("the old key still opens %d values", n)
	}
	keys, err = New(r.records, r.now).Keys(ctx)
	if err != nil || len(keys.Uses) != 1 || keys.Uses[0].Count != everything || !keys.Done() {
		t.Errorf("with the new key alone: %+v, %v", keys, err)
	}
}

func TestResealTellsOfWhatItCannotOpen(t *testing.T) {
	t.Parallel()
	r := newRotation(t)
	r.fill(t, 1, 2)
	keys, err := New(r.records, r.now).Reseal(t.Context(), time.Now().Add(time.Minute))
	if err != nil || keys.Unreadable != (Count{2, 2}) || keys.Resealed != (Count{}) {
		t.Errorf("without the old key: %+v, %v; want all unreadable, and an answer", keys, err)
	}
	if n := r.opens(t, r.before, 1, 2); n != 2+2*2 {
		t.Errorf("%d values left, want all", n)
	}
	if _, err := New(r.records, nil).Reseal(t.Context(), time.Now().Add(time.Minute)); !fault.Is(err, fault.Conflict) {
		t.Errorf("Reseal without a key = %v, want a conflict", err)
	}
	if keys, err := New(r.records, nil).Keys(t.Context()); err != nil || len(keys.Uses) != 0 || keys.Unreadable != (Count{2, 2}) {
		t.Errorf("Keys without a key = %+v, %v", keys, err)
	}
}

// meddling is a store in which somebody changes each thing just before it is
// replaced, the first few times.
type meddling struct {
	*store.Store
	mu     sync.Mutex
	meddle func()
	// How often before each kind of thing.
	variables, deploys int
}

func (m *meddling) before(left *int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if *left > 0 {
		*left--
		m.meddle()
	}
}

func (m *meddling) ChangeVariables(ctx context.Context, site string, limit int, changes ...store.VariableChange) error {
	m.before(&m.variables)
	return m.Store.ChangeVariables(ctx, site, limit, changes...)
}

func (m *meddling) ReplaceDeployEnvironment(ctx context.Context, id string, before, after []byte) error {
	m.before(&m.deploys)
	return m.Store.ReplaceDeployEnvironment(ctx, id, before, after)
}

// What others change meanwhile, with the old key, is not undone, and is sealed
// with the first key in the end.
func TestResealBesideChanges(t *testing.T) {
	t.Parallel()
	r := newRotation(t)
	r.fill(t, 1, 1)
	other, n := New(r.records, r.swapped), 0 // a gateway that has the keys in another order
	change := func() {
		n++
		if _, err := other.Change(t.Context(), "site-0", "K0", func(v environ.Variable) (environ.Variable, error) {
			return v.Replace(all("K0", fmt.Sprintf("change %d", n)))
		}); err != nil {
			t.Error(err)
		}
		sealed, err := other.Freeze(t.Context(), "site-0", environ.Production, "", nil)
		if err != nil {
			t.Error(err)
		}
		if err := r.records.Describe(t.Context(), deploy.Deploy{ID: "d0-0", Site: "site-0"}, sealed); err != nil {
			t.Error(err)
		}
	}
	keys, err := New(&meddling{Store: r.records, meddle: change, variables: 2, deploys: 2}, r.both).Reseal(t.Context(), time.Now().Add(time.Minute))
	if err != nil || n != 4 || keys.Uses[0].Count != (Count{1, 1}) {
		t.Errorf("Reseal = %+v, %v after %d changes; want both with the first key", keys, err, n)
	}
	// The last changes came after the variable's turn.
	if keys, err := New(r.records, r.both).Reseal(t.Context(), time.Now().Add(time.Minute)); err != nil || keys.Resealed != (Count{1, 0}) || !keys.Done() {
		t.Errorf("Reseal once more = %+v, %v; want the variable done", keys, err)
	}
	v, err := New(r.records, r.now).Variable(t.Context(), "site-0", "K0")
	if err != nil || string(v.Values[0].Value) != "change 4" {
		t.Errorf("the variable is not the last change: %v", err)
	}
	sealed, err := r.records.DeployEnvironment(t.Context(), "d0-0")
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := r.now.Open(sealed); err != nil || !strings.Contains(string(plain), "change 4") {
		t.Errorf("the environment of the deploy is not the last one: %v", err)
	}
}

// A call that is stopped half-way has lost nothing, and the next one goes on.
func TestResealGoesOn(t *testing.T) {
	t.Parallel()
	r := newRotation(t)
	const sites, each = 3, 3
	r.fill(t, sites, each)
	for calls := 0; ; calls++ {
		ctx, stop := context.WithCancel(t.Context())
		steps := 4
		keys, err := New(&meddling{Store: r.records, variables: 1 << 30, deploys: 1 << 30, meddle: func() {
			if steps--; steps == 0 {
				stop()
			}
		}}, r.both).Reseal(ctx, time.Now().Add(time.Minute))
		stop()
		if got, want := r.opens(t, r.both, sites, each), sites*(each+each*each); got != want {
			t.Fatalf("after call %d both keys open %d values, want %d", calls, got, want)
		}
		if err == nil {
			if !keys.Done() || calls < 3 {
				t.Errorf("done after %d calls: %+v", calls, keys)
			}
			return
		}
		if calls > 2*sites*each {
			t.Fatalf("not done after %d calls: %v", calls, err)
		}
	}
}

// What a live worker could not open is not made.
func TestResealWaitsForWorkers(t *testing.T) {
	t.Parallel()
	r := newRotation(t)
	r.fill(t, 1, 1)
	k := New(r.records, r.both)
	for name, tt := range map[string]struct {
		keys  []string
		waits bool
	}{"old key": {r.before.Keys(), true}, "both": {r.swapped.Keys(), false}, "none, so it runs nothing that is sealed": {nil, false}} {
		if err := r.records.Heartbeat(t.Context(), store.Worker{ID: "w1", Addr: "10.0.0.1:8890", Keys: tt.keys}, time.Minute); err != nil {
			t.Fatal(err)
		}
		_, err := k.Reseal(t.Context(), time.Now()) // without time, so that each case finds the same
		if tt.waits != fault.Is(err, fault.Conflict) || !tt.waits && err != nil {
			t.Errorf("with a worker that has %s: %v", name, err)
		}
		if tt.waits && !strings.Contains(err.Error(), "worker w1 at 10.0.0.1:8890") {
			t.Errorf("%v does not say which worker", err)
		}
	}
}
