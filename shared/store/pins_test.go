package store

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
)

// unfinished counts the unfinished records of each deploy by reading them all:
// what [Store.Pinned] must say.
func (b *backend) unfinished(t testing.TB) map[string]int64 {
	t.Helper()
	counts := map[string]int64{}
	for _, kind := range recordKinds() {
		keys, err := b.rdb.Keys(t.Context(), recordKey(kind, "*")).Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			inv := b.read(t, key[strings.LastIndexByte(key, ':')+1:])
			if !inv.State.Terminal() {
				counts[inv.Deploy]++
			}
		}
	}
	return counts
}

// checkPins fails the test if a deploy is pinned by other than its unfinished records.
func (b *backend) checkPins(t testing.TB) {
	t.Helper()
	got, err := b.Pinned(t.Context())
	if err != nil {
		t.Fatalf("Pinned = %v", err)
	}
	if diff := cmp.Diff(b.unfinished(t), got); diff != "" {
		t.Errorf("pins are not the unfinished records (-want +got):\n%s", diff)
	}
}

// createOn makes a record of a kind that runs on a deploy.
func (b *backend) createOn(t testing.TB, kind function.Kind, deploy string) string {
	t.Helper()
	inv := invocation.Invocation{ID: newID(), Site: "shop", Deploy: deploy, Function: "send-email", Kind: kind}
	for want := range 2 { // the second time it is there already
		if got := b.do(t, b.Create(inv, []byte("event"))); got != 1-want {
			t.Fatalf("Create = %d, want %d", got, 1-want)
		}
	}
	return inv.ID
}

// Whatever happens to whichever invocation in whatever order: a deploy is pinned
// by exactly its unfinished ones.
func TestPinsAreTheUnfinishedRecords(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		for seed := range uint64(15) {
			random := rand.New(rand.NewPCG(seed, 1))
			var ids, history []string
			for range 4 {
				ids = append(ids, b.createOn(t, function.Background, fmt.Sprint("d", random.IntN(2))))
			}
			for range 30 {
				id := ids[random.IntN(len(ids))]
				history = append(history, id+" "+b.anything(t, random, id, len(b.read(t, id).Attempts)))
				if b.checkPins(t); t.Failed() {
					t.Fatalf("seed %d:\n%s", seed, strings.Join(history, "\n"))
				}
			}
		}
	})
}

func TestPinned(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		pinned := func(want map[string]int64) {
			t.Helper()
			got, err := b.Pinned(t.Context())
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("Pinned = %v, %v (-want +got):\n%s", got, err, diff)
			}
		}
		pinned(map[string]int64{})
		one, two := b.createOn(t, function.Background, "d1"), b.createOn(t, function.Background, "d1")
		three := b.createOn(t, function.Scheduled, "d1") // counted in another slot
		four := b.createOn(t, function.Scheduled, "d2")
		pinned(map[string]int64{"d1": 3, "d2": 1})
		b.begin(t, one, "w")
		b.finish(t, one, 1, ends[invocation.Failed])
		pinned(map[string]int64{"d1": 3, "d2": 1}) // it is tried again
		b.begin(t, one, "w")
		for range 2 {
			b.finish(t, one, 2, ends[invocation.Succeeded])
		}
		pinned(map[string]int64{"d1": 2, "d2": 1})
		for _, id := range []string{two, three, four} {
			if _, err := b.Cancel(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			b.checkPins(t)
		}
		pinned(map[string]int64{})
	})
}

// Lost workers and requests for a cancellation end invocations in Begin.
func TestBeginUnpins(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		crashing := b.createOn(t, function.Background, "d1")
		for range invocation.MaxCrashes + 1 {
			_, _ = b.Begin(t.Context(), function.Background, crashing, "w")
			b.checkPins(t)
		}
		if got := b.read(t, crashing).State; got != invocation.Dead {
			t.Fatalf("after %d lost workers it is %s, want dead", invocation.MaxCrashes, got)
		}
		cancelled := b.createOn(t, function.Background, "d1")
		b.begin(t, cancelled, "w")
		if _, err := b.Cancel(t.Context(), cancelled); err != nil {
			t.Fatal(err)
		}
		b.checkPins(t) // it runs
		_, _ = b.Begin(t.Context(), function.Background, cancelled, "w")
		b.checkPins(t)
		if got := b.read(t, cancelled).State; got != invocation.Cancelled {
			t.Fatalf("it is %s, want cancelled", got)
		}
	})
}

// A record of before there were pins takes away nobody else's.
func TestRecordsWithoutAPin(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		old, young := b.createOn(t, function.Background, "d1"), b.createOn(t, function.Background, "d1")
		if err := b.rdb.HDel(t.Context(), recordKey(function.Background, old), fieldPin).Err(); err != nil {
			t.Fatal(err)
		}
		if err := b.rdb.HIncrBy(t.Context(), pinsKey(function.Background), "d1", -1).Err(); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{old, young} {
			if _, err := b.Cancel(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			b.checkPins(t)
		}
	})
}
