package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nightshift/nightshift/shared/redisdb"
)

func TestSyncCursors(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		if _, err := b.SyncCursors(t.Context(), 1, []string{"a"}); !errors.Is(err, ErrSuperseded) {
			t.Errorf("SyncCursors without a term = %v, want ErrSuperseded", err)
		}
		term := b.term(t)
		before, err := redisdb.Now(t.Context(), b.rdb)
		if err != nil {
			t.Fatal(err)
		}
		first := b.sync(t, term, "a", "b b", `c"\`)
		if len(first) != 3 {
			t.Fatalf("SyncCursors = %v, want three", first)
		}
		for key, at := range first {
			if at.Before(before.Truncate(time.Millisecond)) || at.After(before.Add(time.Minute)) {
				t.Errorf("cursor %q is at %v, want Redis's now, %v", key, at, before)
			}
		}
		tick := first["a"].Add(time.Hour)
		b.skip(t, term, Skipping{Key: "a", After: first["a"], From: tick, To: tick, Count: 1, Reason: SkipMissed})
		second := b.sync(t, term, "d", "a", "b b", "a")
		want := map[string]time.Time{"a": tick, "b b": first["b b"], "d": second["d"]} // kept, kept, new; one dropped
		if diff := cmp.Diff(want, second); diff != "" {
			t.Errorf("SyncCursors (-want +got):\n%s", diff)
		}
		got, err := b.Cursors(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Cursors (-want +got):\n%s", diff)
		}
		newer := b.term(t)
		if _, err := b.SyncCursors(t.Context(), term, nil); !errors.Is(err, ErrSuperseded) {
			t.Errorf("SyncCursors of the old term = %v, want ErrSuperseded", err)
		}
		if got, _ := b.Cursors(t.Context()); len(got) != 3 {
			t.Errorf("the old term changed the cursors to %v", got)
		}
		if got := b.sync(t, newer); len(got) != 0 {
			t.Errorf("SyncCursors to none = %v", got)
		}
		if got := b.sync(t, newer, "a")["a"]; got.Equal(tick) {
			t.Error("a schedule that came back has its old cursor")
		}
	})
}

// More schedules than one command takes.
func TestSyncCursorsInChunks(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		term := b.term(t)
		keys := func(prefix string, n int) []string {
			var list []string
			for i := range n {
				list = append(list, fmt.Sprintf("shop/%s-%d/0 * * * * UTC", prefix, i))
			}
			return list
		}
		kept, gone := keys("kept", 2*cursorChunk+1), keys("gone", cursorChunk+7)
		first := b.sync(t, term, append(gone, kept...)...)
		if len(first) != len(kept)+len(gone) {
			t.Fatalf("SyncCursors = %d cursors, want %d", len(first), len(kept)+len(gone))
		}
		second := b.sync(t, term, append(keys("new", cursorChunk+1), kept...)...)
		stored, err := b.Cursors(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(second, stored); diff != "" || len(stored) != len(kept)+cursorChunk+1 {
			t.Errorf("%d cursors are stored, want %d (-want +got):\n%s", len(stored), len(kept)+cursorChunk+1, diff)
		}
		for _, key := range kept {
			if !second[key].Equal(first[key]) {
				t.Fatalf("cursor %q moved from %v to %v", key, first[key], second[key])
			}
		}
	})
}

// What fired last is kept for as long as the function has a schedule, and the
// ledger of a schedule for a while longer.
func TestWhatIsKeptOfDroppedSchedules(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		term := b.term(t)
		const old, changed, other = "shop/f/0 * * * * UTC", "shop/f/5 * * * * UTC", "shop/g/0 * * * * UTC"
		cursors := b.sync(t, term, old, other)
		fire := func(key, function string) {
			t.Helper()
			f := Firing{Key: key, Site: "shop", Function: function, After: cursors[key], Tick: cursors[key].Add(time.Hour), Due: 1, Invocation: newID()}
			if got := b.do(t, b.Fire(term, f)); got != 1 {
				t.Fatalf("Fire = %d, want 1", got)
			}
		}
		fire(old, "f")
		fire(other, "g")
		if _, err := b.MoveCursors(t.Context(), term, []string{changed}, []string{old, other}); err != nil {
			t.Fatal(err)
		}
		last := b.rdb.HKeys(t.Context(), lastFiredKey()).Val()
		if diff := cmp.Diff([]string{"shop/f"}, last); diff != "" {
			t.Errorf("what fired last (-want +got):\n%s", diff)
		}
		if ttl := b.rdb.PTTL(t.Context(), ledgerKey(old)).Val(); ttl <= 0 || ttl > defaultRetention {
			t.Errorf("the ledger of a dropped schedule lives for %v, want %v at most", ttl, defaultRetention)
		}
		if len(b.ledger(t, old)) != 1 {
			t.Error("the ledger of a dropped schedule is gone at once")
		}
		b.sync(t, term, old) // comes back
		if ttl := b.rdb.PTTL(t.Context(), ledgerKey(old)).Val(); ttl >= 0 {
			t.Errorf("the ledger of a schedule that came back ends in %v", ttl)
		}
		if got := b.rdb.HLen(t.Context(), lastFiredKey()).Val(); got != 1 {
			t.Errorf("%d functions are remembered, want 1", got)
		}
	})
}
