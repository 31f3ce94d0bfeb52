package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
)

// TickOutcome is what became of a tick.
type TickOutcome string

// The closed list of outcomes. Every due tick has exactly one of the first
// three; suppressed comes on top of one of them.
const (
	TickFired      TickOutcome = "fired"      // it made an invocation, on time or within the lateness window
	TickCaughtUp   TickOutcome = "caught_up"  // it made an invocation, later than that
	TickSkipped    TickOutcome = "skipped"    // it made none; the reason says why
	TickSuppressed TickOutcome = "suppressed" // it was about to be fired a second time, and was not
)

// SkipReason is why a tick made no invocation.
type SkipReason string

// The closed list of reasons.
const (
	SkipMissed      SkipReason = "missed"        // too old, and catchUp covers only newer ones
	SkipCatchUpNone SkipReason = "catch_up_none" // too old, and catchUp is none
	SkipOverlap     SkipReason = "overlap"       // the invocation before was not finished, and overlap is skip
	SkipPaused      SkipReason = "paused"        // the schedule was paused
)

// skipReasons are all of them.
var skipReasons = []SkipReason{SkipMissed, SkipCatchUpNone, SkipOverlap, SkipPaused}

// LedgerEntry is what became of one tick, or of several skipped ones in a row.
type LedgerEntry struct {
	Tick     time.Time // the newest that it covers
	From     time.Time // the oldest; Tick, unless it covers several
	Count    int       // how many it covers, 1 or more
	Outcome  TickOutcome
	Reason   SkipReason    // of a skip, else empty
	Lateness time.Duration // from Tick until it was dealt with, by Redis's clock
	// Invocation is the ID of what a tick has made, else empty.
	Invocation string
}

// maxLedgerPage bounds a page of a ledger.
const maxLedgerPage = 200

// Ledger reads what became of a schedule's ticks, newest first. key is
// schedule.Key; before is empty, or what an earlier call returned, for the
// entries before those; limit is 1 to 200. The second result is for the next
// call, and empty at the end. The newest 200 to 300 entries are kept; those of a
// schedule that is gone, for as long as a finished invocation's record. A key
// without a ledger has no entries. A before that is no cursor: fault.Invalid.
func (s *Store) Ledger(ctx context.Context, key, before string, limit int) ([]LedgerEntry, string, error) {
	const doing = "reading the ticks of a schedule"
	if before != "" && !validCursor(before) {
		return nil, "", fault.New(fault.Invalid, "%s: %q is not a cursor; leave it out, or use the one of the page before", doing, before)
	}
	limit = min(max(limit, 1), maxLedgerPage)
	texts, err := s.rdb.LRange(ctx, ledgerKey(key), 0, -1).Result() // all are few
	if err != nil {
		return nil, "", failed(ctx, err, doing)
	}
	entries := make([]LedgerEntry, len(texts))
	from := 0
	for i, text := range texts {
		if entries[i], err = parseEntry(text); err != nil {
			return nil, "", fmt.Errorf("%s: %w", doing, err)
		}
		if entries[i].cursor() == before {
			from = i + 1 // after the last one, should there be several: pages come to an end
		}
	}
	if before != "" && from == 0 {
		return nil, "", nil // it was trimmed, and what was before it too
	}
	page := entries[from:]
	if len(page) <= limit {
		return page, "", nil
	}
	return page[:limit], page[limit-1].cursor(), nil
}

// cursor is the entry's place in its ledger. Of a tick there is one entry, and
// perhaps one that says that it was suppressed.
func (e *LedgerEntry) cursor() string {
	place := strconv.FormatInt(e.Tick.UnixMilli(), 10)
	if e.Outcome == TickSuppressed {
		return place + "-1"
	}
	return place + "-0"
}

// parseEntry reads what enter in tick.lua has written.
func parseEntry(text string) (LedgerEntry, error) {
	words := strings.Split(text, " ")
	if len(words) != 6 {
		return LedgerEntry{}, fmt.Errorf("the entry %q has %d words and not 6", text, len(words))
	}
	var numbers [4]int64
	for i, at := range []int{0, 2, 3, 4} {
		var err error
		if numbers[i], err = strconv.ParseInt(words[at], 10, 64); err != nil {
			return LedgerEntry{}, fmt.Errorf("the entry %q: %w", text, err)
		}
	}
	tick, late, count, from := numbers[0], numbers[1], numbers[2], numbers[3]
	e := LedgerEntry{
		Tick: fromMillis(tick), From: fromMillis(tick), Count: int(count),
		Outcome: TickOutcome(words[1]), Lateness: time.Duration(late) * time.Millisecond,
	}
	if from != 0 {
		e.From = fromMillis(from)
	}
	if e.Outcome == TickSkipped {
		e.Reason = SkipReason(words[5])
	} else {
		e.Invocation = words[5]
	}
	return e, nil
}

// latenessBounds are the upper bounds of the histogram of lateness.
var latenessBounds = []time.Duration{
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute,
}

// boundsHead gives them to scripts.
var boundsHead = func() string {
	var ms []string
	for _, bound := range latenessBounds {
		ms = append(ms, strconv.FormatInt(bound.Milliseconds(), 10))
	}
	return "local bounds = {" + strings.Join(ms, ", ") + "}\n"
}()

// TickTotals counts the ticks of all schedules since Redis was empty.
type TickTotals struct {
	Due        int64 // by the schedules' arithmetic, counted as cursors move past them
	Fired      int64
	CaughtUp   int64
	Skipped    int64
	SkippedBy  map[SkipReason]int64 // every reason is there
	Suppressed int64                // not a part of Due
	Lateness   []LatenessBucket     // of the fired ones, ascending; the last one has no bound
	LateSum    time.Duration        // of the fired ones, together
}

// LatenessBucket counts the ticks that were later than the bucket before says,
// and not later than UpTo. They add up to the ticks fired.
type LatenessBucket struct {
	UpTo  time.Duration // 0: no bound
	Count int64
}

// Drift is how many due ticks have no outcome: 0, unless a tick was lost or
// fired twice.
func (t TickTotals) Drift() int64 { return t.Due - t.Fired - t.CaughtUp - t.Skipped }

// TickTotals reads the totals. They are of one moment.
func (s *Store) TickTotals(ctx context.Context) (TickTotals, error) {
	const doing = "reading the totals of ticks"
	stored, err := s.rdb.HGetAll(ctx, tickTotalsKey()).Result()
	if err != nil {
		return TickTotals{}, failed(ctx, err, doing)
	}
	number := func(field string) int64 {
		n, parseErr := strconv.ParseInt(stored[field], 10, 64)
		if parseErr != nil && stored[field] != "" {
			err = fmt.Errorf("%s: %w", doing, parseErr)
		}
		return n
	}
	totals := TickTotals{
		Due: number("due"), CaughtUp: number(string(TickCaughtUp)),
		Skipped: number(string(TickSkipped)), Suppressed: number(string(TickSuppressed)),
		SkippedBy: map[SkipReason]int64{}, LateSum: time.Duration(number("late:sum")) * time.Millisecond,
	}
	for _, reason := range skipReasons {
		totals.SkippedBy[reason] = number("skipped:" + string(reason))
	}
	for _, bound := range latenessBounds {
		totals.Lateness = append(totals.Lateness, LatenessBucket{bound, number("late:" + strconv.FormatInt(bound.Milliseconds(), 10))})
	}
	totals.Lateness = append(totals.Lateness, LatenessBucket{0, number("late:more")})
	for _, bucket := range totals.Lateness {
		totals.Fired += bucket.Count
	}
	return totals, err
}
