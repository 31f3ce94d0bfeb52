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

func (b *backend) skip(t testing.TB, term int64, k Skipping) {
	t.Helper()
	if err := b.Skip(t.Context(), term, k); err != nil {
		t.Fatalf("Skip = %v", err)
	}
}

func TestFire(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		old := b.term(t)
		start := b.sync(t, old, "a")["a"]
		at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
		term := b.term(t)

		// Each row fires with a record, which is there exactly if the tick was fired.
		for _, c := range []struct {
			name        string
			term        int64
			key         string
			after, tick time.Time
			want        int
		}{
			{"first", term, "a", at(0), at(1), 1},
			{"again", term, "a", at(0), at(1), FireAlready},
			{"earlier", term, "a", at(0), start, FireAlready},
			{"old term", old, "a", at(1), at(2), FireSuperseded},
			{"old term, fired tick", old, "a", at(0), at(1), FireSuperseded},
			{"term to come", term + 1, "a", at(1), at(2), FireSuperseded},
			{"unknown", term, "b", at(1), at(2), FireUnknown},
			{"cursor elsewhere", term, "a", at(2), at(3), FireUnknown},
			{"cursor elsewhere, before", term, "a", at(0), at(3), FireUnknown},
			{"next", term, "a", at(1), at(2), 1},
		} {
			inv := invocation.Invocation{ID: newID(), Kind: function.Scheduled, Tick: c.tick}
			f := Firing{Key: c.key, After: c.after, Tick: c.tick, Due: 1, Invocation: inv.ID}
			if got := b.do(t, b.Fire(c.term, f), b.Create(inv, nil)); got != c.want {
				t.Errorf("%s: Fire = %d, want %d", c.name, got, c.want)
			}
			if _, err := b.Invocation(t.Context(), inv.ID); (err == nil) != (c.want == 1) {
				t.Errorf("%s: the record: %v", c.name, err)
			}
		}
		// A record that is there already keeps the cursor where it is.
		inv := invocation.Invocation{ID: newID(), Kind: function.Scheduled}
		b.do(t, b.Create(inv, nil))
		if got := b.do(t, b.Fire(term, Firing{Key: "a", After: at(2), Tick: at(3), Due: 1}), b.Create(inv, nil)); got != 0 {
			t.Errorf("Fire with a record that is there = %d, want 0", got)
		}
		if cursors, err := b.Cursors(t.Context()); err != nil || !cursors["a"].Equal(at(2)) {
			t.Errorf("Cursors = %v, %v, want %v", cursors, err, at(2))
		}

		for _, c := range []struct {
			name        string
			term        int64
			key         string
			after, tick time.Time
			want        func(error) bool
		}{
			{"passed", term, "a", at(0), at(1), func(err error) bool { return err == nil }},
			{"old term", old, "a", at(2), at(9), func(err error) bool { return errors.Is(err, ErrSuperseded) }},
			{"unknown", term, "b", at(2), at(9), func(err error) bool { return fault.Is(err, fault.NotFound) }},
			{"cursor elsewhere", term, "a", at(3), at(9), func(err error) bool { return fault.Is(err, fault.NotFound) }},
			{"due", term, "a", at(2), at(3), func(err error) bool { return err == nil }},
		} {
			k := Skipping{Key: c.key, After: c.after, From: c.tick, To: c.tick, Count: 1, Reason: SkipMissed}
			if err := b.Skip(t.Context(), c.term, k); !c.want(err) {
				t.Errorf("%s: Skip = %v", c.name, err)
			}
		}
		if cursors, err := b.Cursors(t.Context()); err != nil || !cursors["a"].Equal(at(3)) {
			t.Errorf("Cursors = %v, %v, want %v", cursors, err, at(3))
		}
		if totals := b.totals(t); totals.Due != 3 || totals.Fired != 2 || totals.Skipped != 1 || totals.Drift() != 0 {
			t.Errorf("TickTotals = %+v, want 3 due, 2 fired, 1 skipped", totals)
		}
	})
}

// What fired last decides only as long as it is not finished.
func TestFireOverlap(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		term := b.term(t)
		cursor := b.sync(t, term, "a")["a"]
		fire := func(skip bool) (string, int) {
			t.Helper()
			inv := invocation.Invocation{ID: newID(), Site: "shop", Deploy: "d1", Function: "f", Kind: function.Scheduled}
			f := Firing{Key: "a", Site: "shop", Function: "f", After: cursor, Tick: cursor.Add(time.Minute), Due: 1, SkipOverlap: skip, Invocation: inv.ID}
			verdict := b.do(t, b.Fire(term, f), b.Create(inv, nil))
			if verdict == 1 {
				cursor = f.Tick
			}
			return inv.ID, verdict
		}
		expect := func(what string, skip bool, want int) string {
			t.Helper()
			id, got := fire(skip)
			if got != want {
				t.Errorf("%s: Fire = %d, want %d", what, got, want)
			}
			return id
		}
		end := func(id string, state invocation.State) {
			t.Helper()
			begun, err := b.Begin(t.Context(), function.Scheduled, id, "w")
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Finish(t.Context(), function.Scheduled, id, begun.Attempt, ends[state]); err != nil {
				t.Fatal(err)
			}
		}
		first := expect("the first one", true, 1)
		expect("while it is queued", true, FireOverlap)
		if _, err := b.Begin(t.Context(), function.Scheduled, first, "w"); err != nil {
			t.Fatal(err)
		}
		expect("while it runs", true, FireOverlap)
		end(first, invocation.Failed)
		expect("while it waits for a retry", true, FireOverlap)
		end(first, invocation.Dead)
		second := expect("when it is dead", true, 1)
		expect("one more, with overlap", false, 1)
		end(second, invocation.Succeeded)
		expect("the newest counts", true, FireOverlap)
		if err := b.rdb.Del(t.Context(), recordKey(function.Scheduled, b.rdb.HGet(t.Context(), lastFiredKey(), "shop/f").Val())).Err(); err != nil {
			t.Fatal(err)
		}
		third := expect("when its record is gone", true, 1)
		if _, err := b.Cancel(t.Context(), third); err != nil {
			t.Fatal(err)
		}
		expect("when it is cancelled", true, 1)
	})
}

// Whoever races for a tick, one fires it.
func TestATickIsFiredOnce(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		term := b.term(t)
		after := b.sync(t, term, "a")["a"]
		firing := Firing{Key: "a", After: after, Tick: after.Add(time.Second), Due: 1}
		var mu sync.Mutex
		verdicts := map[int]int{}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				verdict := b.do(t, b.Fire(term, firing))
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
		if got := b.do(t, b.Fire(term, Firing{Key: "a", Tick: time.Now()})); got != FireSuperseded {
			t.Errorf("Fire = %d, want FireSuperseded", got)
		}
		if _, err := b.SyncCursors(t.Context(), term, nil); !errors.Is(err, ErrSuperseded) {
			t.Errorf("SyncCursors = %v, want ErrSuperseded", err)
		}
	})
}
