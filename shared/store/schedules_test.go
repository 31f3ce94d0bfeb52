package store

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb"
)

func TestWorkers(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		list := func() []Worker {
			t.Helper()
			workers, err := b.Workers(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return workers
		}
		if got := list(); len(got) != 0 {
			t.Errorf("Workers = %v, want none", got)
		}
		w1 := Worker{
			ID: "w1", Addr: "10.0.0.1:9000", StartedAt: time.Unix(1_700_000_000, 0).UTC(), Concurrency: 10, Capacity: 20, Busy: 3,
			Warm: map[string]int{WarmKey("d1", "f"): 2},
		}
		w2 := Worker{ID: "w2", Addr: "[::1]:9000", StartedAt: w1.StartedAt}
		for _, w := range []Worker{w2, w1} {
			if err := b.Heartbeat(t.Context(), w, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff([]Worker{w1, w2}, list()); diff != "" {
			t.Errorf("Workers (-want +got):\n%s", diff)
		}
		w1.Busy, w1.Draining, w1.Warm = 0, true, nil
		if err := b.Heartbeat(t.Context(), w1, 30*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the end of w1", func() bool {
			workers := list()
			if len(workers) == 2 {
				if diff := cmp.Diff(w1, workers[0]); diff != "" {
					t.Errorf("w1 (-want +got):\n%s", diff)
				}
			}
			return cmp.Equal(workers, []Worker{w2})
		})
		if n := b.rdb.HLen(t.Context(), workersKey()).Val(); n != 1 {
			t.Errorf("%d workers are stored, want 1", n)
		}
		for range 2 {
			if err := b.Withdraw(t.Context(), "w2"); err != nil {
				t.Errorf("Withdraw = %v", err)
			}
		}
		if got := list(); len(got) != 0 {
			t.Errorf("Workers after Withdraw = %v, want none", got)
		}
		if err := b.Heartbeat(t.Context(), Worker{}, time.Minute); err == nil {
			t.Error("Heartbeat without an ID = nil")
		}
		if err := b.Heartbeat(t.Context(), w1, 0); err == nil {
			t.Error("Heartbeat for no time = nil")
		}
	})
}

func (b *backend) term(t testing.TB) int64 {
	t.Helper()
	term, err := b.BeginTerm(t.Context())
	if err != nil {
		t.Fatalf("BeginTerm = %v", err)
	}
	return term
}

func (b *backend) sync(t testing.TB, term int64, keys ...string) map[string]time.Time {
	t.Helper()
	cursors, err := b.SyncCursors(t.Context(), term, keys)
	if err != nil {
		t.Fatalf("SyncCursors = %v", err)
	}
	return cursors
}

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
		if err := b.Skip(t.Context(), term, "a", tick); err != nil {
			t.Fatal(err)
		}
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

func TestFire(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		old := b.term(t)
		start := b.sync(t, old, "a")["a"]
		at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
		term := b.term(t)

		// Each row fires with a record, which is there exactly if the tick was fired.
		for _, c := range []struct {
			name string
			term int64
			key  string
			tick time.Time
			want int
		}{
			{"first", term, "a", at(1), 1},
			{"again", term, "a", at(1), FireAlready},
			{"earlier", term, "a", start, FireAlready},
			{"old term", old, "a", at(2), FireSuperseded},
			{"old term, fired tick", old, "a", at(1), FireSuperseded},
			{"term to come", term + 1, "a", at(2), FireSuperseded},
			{"unknown", term, "b", at(2), FireUnknown},
			{"next", term, "a", at(2), 1},
		} {
			inv := invocation.Invocation{ID: newID(), Kind: function.Scheduled, Tick: c.tick}
			if got := b.do(t, b.Fire(c.term, c.key, c.tick), b.Create(inv, nil)); got != c.want {
				t.Errorf("%s: Fire = %d, want %d", c.name, got, c.want)
			}
			if _, err := b.Invocation(t.Context(), inv.ID); (err == nil) != (c.want == 1) {
				t.Errorf("%s: the record: %v", c.name, err)
			}
		}
		// A record that is there already keeps the cursor where it is.
		inv := invocation.Invocation{ID: newID(), Kind: function.Scheduled}
		b.do(t, b.Create(inv, nil))
		if got := b.do(t, b.Fire(term, "a", at(3)), b.Create(inv, nil)); got != 0 {
			t.Errorf("Fire with a record that is there = %d, want 0", got)
		}
		if cursors, err := b.Cursors(t.Context()); err != nil || !cursors["a"].Equal(at(2)) {
			t.Errorf("Cursors = %v, %v, want %v", cursors, err, at(2))
		}

		for _, c := range []struct {
			name string
			term int64
			key  string
			tick time.Time
			want func(error) bool
		}{
			{"passed", term, "a", at(1), func(err error) bool { return err == nil }},
			{"old term", old, "a", at(9), func(err error) bool { return errors.Is(err, ErrSuperseded) }},
			{"unknown", term, "b", at(9), func(err error) bool { return fault.Is(err, fault.NotFound) }},
			{"due", term, "a", at(3), func(err error) bool { return err == nil }},
		} {
			if err := b.Skip(t.Context(), c.term, c.key, c.tick); !c.want(err) {
				t.Errorf("%s: Skip = %v", c.name, err)
			}
		}
		if cursors, err := b.Cursors(t.Context()); err != nil || !cursors["a"].Equal(at(3)) {
			t.Errorf("Cursors = %v, %v, want %v", cursors, err, at(3))
		}
	})
}

// Whoever races for a tick, one fires it.
func TestATickIsFiredOnce(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		term := b.term(t)
		tick := b.sync(t, term, "a")["a"].Add(time.Second)
		var mu sync.Mutex
		verdicts := map[int]int{}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				verdict := b.do(t, b.Fire(term, "a", tick))
				mu.Lock()
				defer mu.Unlock()
				verdicts[verdict]++
			})
		}
		wg.Wait()
		if diff := cmp.Diff(map[int]int{1: 1, FireAlready: 19}, verdicts); diff != "" {
			t.Errorf("verdicts (-want +got):\n%s", diff)
		}
	})
}

func TestADataLossEndsTheTerm(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		b.term(t)
		term := b.term(t)
		if err := b.rdb.Del(t.Context(), termKey()).Err(); err != nil {
			t.Fatal(err)
		}
		if got := b.do(t, b.Fire(term, "a", time.Now())); got != FireSuperseded {
			t.Errorf("Fire = %d, want FireSuperseded", got)
		}
		if _, err := b.SyncCursors(t.Context(), term, nil); !errors.Is(err, ErrSuperseded) {
			t.Errorf("SyncCursors = %v, want ErrSuperseded", err)
		}
	})
}
