package store

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nightshift/nightshift/shared/fault"
)

// ledger reads the newest entries of a schedule.
func (b *backend) ledger(t testing.TB, key string) []LedgerEntry {
	t.Helper()
	entries, _, err := b.Ledger(t.Context(), key, "", maxLedgerPage)
	if err != nil {
		t.Fatalf("Ledger = %v", err)
	}
	return entries
}

func (b *backend) totals(t testing.TB) TickTotals {
	t.Helper()
	totals, err := b.TickTotals(t.Context())
	if err != nil {
		t.Fatalf("TickTotals = %v", err)
	}
	return totals
}

func TestLedger(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		if entries, next, err := b.Ledger(t.Context(), "a", "", 10); err != nil || len(entries) != 0 || next != "" {
			t.Errorf("Ledger of nothing = %v, %q, %v", entries, next, err)
		}
		term := b.term(t)
		cursor := b.sync(t, term, "a")["a"]
		tick := func(minutes int) time.Time { return cursor.Add(time.Duration(minutes-1000) * time.Minute) } // all of them late
		if err := b.rdb.HSet(t.Context(), cursorsKey(), "a", tick(0).UnixMilli()).Err(); err != nil {
			t.Fatal(err)
		}
		fire := func(after, at int, caughtUp bool) string {
			t.Helper()
			id := newID()
			f := Firing{Key: "a", Site: "shop", Function: "f", After: tick(after), Tick: tick(at), Due: at - after, CaughtUp: caughtUp, Invocation: id}
			if got := b.do(t, b.Fire(term, f)); got != 1 {
				t.Fatalf("Fire = %d, want 1", got)
			}
			return id
		}
		skip := func(after, from, to, count int, reason SkipReason) {
			t.Helper()
			b.skip(t, term, Skipping{Key: "a", After: tick(after), From: tick(from), To: tick(to), Count: count, Reason: reason})
		}
		skip(0, 1, 3, 3, SkipMissed)
		caughtUp := fire(3, 4, true)
		fired := fire(4, 5, false)
		for range 2 { // the second time changes nothing
			if err := b.Suppress(t.Context(), term, "a", tick(5)); err != nil {
				t.Fatal(err)
			}
		}
		skip(5, 6, 6, 1, SkipOverlap)
		skip(6, 7, 7, 1, SkipPaused)
		skip(7, 8, 9, 2, SkipCatchUpNone)
		if err := b.Suppress(t.Context(), term, "a", tick(5)); err != nil {
			t.Fatal(err)
		}

		entry := func(from, to, count int, outcome TickOutcome, reason SkipReason, id string) LedgerEntry {
			return LedgerEntry{Tick: tick(to), From: tick(from), Count: count, Outcome: outcome, Reason: reason, Invocation: id}
		}
		want := []LedgerEntry{
			entry(8, 9, 2, TickSkipped, SkipCatchUpNone, ""),
			entry(7, 7, 1, TickSkipped, SkipPaused, ""),
			entry(6, 6, 1, TickSkipped, SkipOverlap, ""),
			entry(5, 5, 1, TickSuppressed, "", ""),
			entry(5, 5, 1, TickFired, "", fired),
			entry(4, 4, 1, TickCaughtUp, "", caughtUp),
			entry(1, 3, 3, TickSkipped, SkipMissed, ""),
		}
		got := b.ledger(t, "a")
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(LedgerEntry{}, "Lateness")); diff != "" {
			t.Errorf("Ledger (-want +got):\n%s", diff)
		}
		for _, e := range got {
			if late := cursor.Sub(e.Tick); e.Lateness < late || e.Lateness > late+time.Hour {
				t.Errorf("the tick %v was %v late, want %v and a little", e.Tick, e.Lateness, late)
			}
		}
		for limit := 1; limit <= len(want)+1; limit++ {
			var paged []LedgerEntry
			for cursor := ""; ; {
				page, next, err := b.Ledger(t.Context(), "a", cursor, limit)
				if err != nil || len(page) > limit || len(page) == 0 {
					t.Fatalf("Ledger by %d = %v, %v", limit, page, err)
				}
				paged = append(paged, page...)
				if cursor = next; cursor == "" {
					break
				}
			}
			if diff := cmp.Diff(got, paged); diff != "" {
				t.Errorf("pages of %d (-want +got):\n%s", limit, diff)
			}
		}
		totals := b.totals(t)
		late := totals.Lateness[len(totals.Lateness)-1] // hours: beyond every bound
		if totals.Due != 9 || totals.Fired != 1 || totals.CaughtUp != 1 || totals.Skipped != 7 || totals.Suppressed != 1 ||
			totals.Drift() != 0 || late != (LatenessBucket{0, 1}) || totals.LateSum < 16*time.Hour {
			t.Errorf("TickTotals = %+v", totals)
		}
		wantReasons := map[SkipReason]int64{SkipMissed: 3, SkipOverlap: 1, SkipPaused: 1, SkipCatchUpNone: 2}
		if diff := cmp.Diff(wantReasons, totals.SkippedBy); diff != "" {
			t.Errorf("skipped by reason (-want +got):\n%s", diff)
		}
		if entries, next, err := b.Ledger(t.Context(), "a", "1-0", 1); err != nil || len(entries) != 0 || next != "" {
			t.Errorf("Ledger from what was trimmed = %v, %q, %v, want nothing", entries, next, err)
		}
		if _, _, err := b.Ledger(t.Context(), "a", "here", 1); !fault.Is(err, fault.Invalid) {
			t.Errorf("Ledger from a wrong cursor = %v, want invalid", err)
		}

		// A caller whose arithmetic is wrong is seen.
		fire(9, 11, false)
		if drift := b.totals(t).Drift(); drift != 1 {
			t.Errorf("Drift after a tick was passed over = %d, want 1", drift)
		}
	})
}

// A ledger is bounded, and never keeps a tick from firing: not even where ticks
// go back, because the clock of Redis was set back and the schedule is new.
func TestLedgerIsNoObstacle(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		term := b.term(t)
		cursor := b.sync(t, term, "a")["a"]
		start := cursor
		skip := func() {
			t.Helper()
			tick := cursor.Add(time.Second)
			b.skip(t, term, Skipping{Key: "a", After: cursor, From: tick, To: tick, Count: 1, Reason: SkipPaused})
			cursor = tick
			if newest := b.ledger(t, "a")[0]; !newest.Tick.Equal(tick) {
				t.Fatalf("the newest entry is of %v, want %v", newest.Tick, tick)
			}
		}
		for range 2*ledgerLength + 100 {
			skip()
		}
		if n := b.rdb.LLen(t.Context(), ledgerKey("a")).Val(); n < ledgerLength || n > ledgerLength+100 {
			t.Errorf("the ledger has %d entries, want about %d", n, ledgerLength)
		}
		if err := b.rdb.HSet(t.Context(), cursorsKey(), "a", start.UnixMilli()).Err(); err != nil {
			t.Fatal(err)
		}
		cursor = start
		skip()
		skip()
	})
}

// Lateness is counted where it belongs.
func TestLatenessBuckets(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		if !slices.IsSorted(latenessBounds) {
			t.Error("the bounds are not in order")
		}
		term := b.term(t)
		cursor := b.sync(t, term, "a")["a"]
		// Due in an hour, so not late at all, and then a second to come.
		for i, tick := range []time.Time{cursor.Add(time.Hour), cursor.Add(2 * time.Hour)} {
			f := Firing{Key: "a", After: []time.Time{cursor, cursor.Add(time.Hour)}[i], Tick: tick, Due: 1}
			if got := b.do(t, b.Fire(term, f)); got != 1 {
				t.Fatalf("Fire = %d, want 1", got)
			}
		}
		totals := b.totals(t)
		if totals.Lateness[0] != (LatenessBucket{latenessBounds[0], 2}) || totals.LateSum != 0 {
			t.Errorf("TickTotals = %+v, want two ticks in the first bucket", totals)
		}
		if totals.Fired != 2 || totals.Due != 2 || len(totals.Lateness) != len(latenessBounds)+1 {
			t.Errorf("%d buckets, %d fired of %d", len(totals.Lateness), totals.Fired, totals.Due)
		}
		if !strings.Contains(boundsHead, "{10, 25, ") {
			t.Errorf("scripts see the bounds as %s", boundsHead)
		}
	})
}

func TestPauses(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		ctx := t.Context()
		term := b.term(t)
		cursor := b.sync(t, term, "a")["a"]
		fire := func(function string, tick time.Time) int {
			t.Helper()
			return b.do(t, b.Fire(term, Firing{Key: "a", Site: "shop", Function: function, After: cursor, Tick: tick, Due: 1}))
		}
		step := func(what string, err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s = %v", what, err)
			}
		}
		step("Resume of what is not paused", b.Resume(ctx, "shop", "f"))
		step("Pause", b.Pause(ctx, "shop", "f", "ann (she said)"))
		first, err := b.Paused(ctx, "shop")
		step("Paused", err)
		step("Pause again", b.Pause(ctx, "shop", "f", "bob"))
		step("Pause of another", b.Pause(ctx, "shop", "g-1", ""))
		paused, err := b.Paused(ctx, "shop")
		step("Paused", err)
		if len(paused) != 2 || paused["f"] != first["f"] || paused["f"].By != "ann (she said)" || paused["f"].Since.Before(cursor) || paused["g-1"].By != "" {
			t.Errorf("Paused = %v, want f as in %v, and g-1", paused, first)
		}
		if elsewhere, err := b.Paused(ctx, "other"); err != nil || len(elsewhere) != 0 {
			t.Errorf("Paused of another site = %v, %v, want none", elsewhere, err)
		}
		if got := fire("f", cursor.Add(time.Hour)); got != FirePaused {
			t.Errorf("Fire while paused = %d, want FirePaused", got)
		}
		if got := fire("other", cursor.Add(time.Millisecond)); got != 1 {
			t.Errorf("Fire of a function that is not paused = %d, want 1", got)
		}
		cursor = cursor.Add(time.Millisecond)
		step("Resume", b.Resume(ctx, "shop", "f"))
		if paused, err = b.Paused(ctx, "shop"); err != nil || len(paused) != 1 {
			t.Errorf("Paused after Resume = %v, %v, want g-1 alone", paused, err)
		}

		// A tick that was due in a pause never fires, also when nobody looked until
		// it was over; one from before, or after, does.
		step("setting the pauses", b.rdb.HSet(ctx, pausesKey("shop"), "f", "1000-2000 5000-6000").Err())
		step("setting the cursor", b.rdb.HSet(ctx, cursorsKey(), "a", 0).Err())
		cursor = time.UnixMilli(0)
		for _, row := range []struct {
			tick int64
			want int
		}{{1001, FirePaused}, {2000, FirePaused}, {5001, FirePaused}, {6000, FirePaused}, {1000, 1}, {2001, 1}, {5000, 1}, {6001, 1}} {
			tick := time.UnixMilli(row.tick)
			got := fire("f", tick)
			if got != row.want {
				t.Errorf("Fire of the tick %d = %d, want %d", row.tick, got, row.want)
			}
			if got == 1 {
				cursor = tick
			}
		}
		for range 2 * maxPauses {
			step("Pause", b.Pause(ctx, "shop", "f", "me"))
			step("Resume", b.Resume(ctx, "shop", "f"))
		}
		spans := strings.Fields(b.rdb.HGet(ctx, pausesKey("shop"), "f").Val())
		if len(spans) != maxPauses {
			t.Errorf("%d pauses are remembered, want %d", len(spans), maxPauses)
		}
		for _, span := range spans {
			if !cursorForm.MatchString(span) {
				t.Errorf("a pause reads %q", span)
			}
		}
	})
}
