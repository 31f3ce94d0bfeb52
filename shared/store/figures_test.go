package store

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb"
)

// moves puts a new record into a state.
func (b *backend) moves(t testing.TB, kind function.Kind, id string, to invocation.State) {
	t.Helper()
	if to == invocation.Queued {
		return
	}
	if _, err := b.Begin(t.Context(), kind, id, "w"); err != nil {
		t.Fatalf("Begin = %v", err)
	}
	if to == invocation.Running {
		return
	}
	if err := b.Finish(t.Context(), kind, id, 1, ends[to]); err != nil {
		t.Fatalf("Finish = %v", err)
	}
}

// now is the time of Redis.
func (b *backend) now(t testing.TB) time.Time {
	t.Helper()
	now, err := redisdb.Now(t.Context(), b.rdb)
	if err != nil {
		t.Fatal(err)
	}
	return now
}

// What is counted is what a walk over all records counts.
func TestSiteCountsAndMinutes(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		random := rand.New(rand.NewPCG(3, 4))
		start := time.Date(2026, 1, 2, 23, 58, 0, 0, time.UTC)
		offsets := []time.Duration{
			-time.Millisecond, 0, time.Minute - time.Millisecond, time.Minute, 3*time.Minute + 30*time.Second, 5*time.Minute - time.Millisecond, 5 * time.Minute,
		}
		want, minutes := map[string]StateCounts{}, map[string][]Minute{}
		for _, site := range []string{"s0", "s1", "s2"} { // s2 stays empty
			want[site] = StateCounts{}
			for i := range 5 {
				minutes[site] = append(minutes[site], Minute{Start: start.Add(time.Duration(i) * time.Minute)})
			}
		}
		for range 120 {
			kind, site, state := recordKinds()[random.IntN(2)], fmt.Sprint("s", random.IntN(2)), states[random.IntN(len(states))]
			id := b.makes(t, invocation.Invocation{Kind: kind, Site: site, Function: fmt.Sprint("f", random.IntN(2)), Deploy: "d1"})
			b.moves(t, kind, id, state)
			at := start.Add(offsets[random.IntN(len(offsets))])
			b.createdAt(t, id, at)
			counts := want[site]
			*counts.of(state)++
			want[site] = counts
			if !at.Before(start) && at.Before(start.Add(5*time.Minute)) {
				*minutes[site][at.Sub(start)/time.Minute].of(state)++
			}
		}
		for site := range want {
			got, err := b.SiteCounts(t.Context(), site)
			if err != nil || got != want[site] {
				t.Errorf("SiteCounts(%s) = %+v, %v, want %+v", site, got, err, want[site])
			}
			// Any moment of a minute is that minute, in any zone.
			from := start.Add(59 * time.Second).In(time.FixedZone("somewhere", 2*60*60))
			part, err := b.Minutes(t.Context(), site, from, 5)
			if diff := cmp.Diff(minutes[site], part); err != nil || diff != "" {
				t.Errorf("Minutes(%s) = %v (-want +got):\n%s", site, err, diff)
			}
		}
		sum := want["s0"]
		if got := sum.Queued + sum.Running + sum.Failed; got != sum.Unfinished() || got+sum.Succeeded+sum.Dead+sum.Cancelled != sum.Total() {
			t.Errorf("%+v: %d unfinished of %d", sum, sum.Unfinished(), sum.Total())
		}
		for n, want := range map[int]int{-1: 1, 0: 1, 1: 1, MaxMinutes: MaxMinutes, MaxMinutes + 1: MaxMinutes} {
			if got, err := b.Minutes(t.Context(), "s0", start, n); err != nil || len(got) != want || got[0].Start != start {
				t.Errorf("Minutes of %d = %d, %v, want %d from %v on", n, len(got), err, want, start)
			}
		}
	})
}

func TestOldestQueued(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		oldest := func(want time.Time) {
			t.Helper()
			if got, err := b.OldestQueued(t.Context(), "shop"); err != nil || !got.Equal(want) {
				t.Errorf("OldestQueued = %v, %v, want %v", got, err, want)
			}
		}
		queued := func(kind function.Kind, created, notBefore time.Time) string {
			id := b.makes(t, invocation.Invocation{Kind: kind, Site: "shop", Function: "f", Deploy: "d1", NotBefore: notBefore})
			b.createdAt(t, id, created)
			return id
		}
		now := b.now(t).Truncate(time.Millisecond)
		oldest(time.Time{})
		// None of these waits: it is another site's, must not run yet, or runs.
		other := b.makes(t, invocation.Invocation{Site: "blog", Function: "f", Deploy: "d1"})
		b.createdAt(t, other, now.Add(-time.Hour))
		for range 3 {
			queued(function.Background, now.Add(-48*time.Hour), now.Add(time.Hour))
		}
		runs := queued(function.Background, now.Add(-time.Hour), time.Time{})
		b.begin(t, runs, "w")
		oldest(time.Time{})

		// One whose time has come waits since then, and not since it was accepted.
		queued(function.Background, now.Add(-24*time.Hour), now.Add(-3*time.Minute))
		oldest(now.Add(-3 * time.Minute))
		queued(function.Background, now.Add(-2*time.Minute), time.Time{})
		oldest(now.Add(-3 * time.Minute))
		queued(function.Scheduled, now.Add(-4*time.Minute), time.Time{})
		oldest(now.Add(-4 * time.Minute))
		first := queued(function.Background, now.Add(-5*time.Minute), time.Time{})
		oldest(now.Add(-5 * time.Minute))

		// One that is retried waits since then, however old it is.
		b.begin(t, first, "w")
		b.finish(t, first, 1, ends[invocation.Dead])
		oldest(now.Add(-4 * time.Minute))
		b.createdAt(t, first, now.Add(-time.Hour))
		if got := b.do(t, b.Retry(function.Background, first)); got != 1 {
			t.Fatalf("Retry = %d, want 1", got)
		}
		oldest(now.Add(-4 * time.Minute))
		if err := b.rdb.HSet(t.Context(), recordKey(function.Background, first), fieldRequeued, now.Add(-10*time.Minute).UnixMilli()).Err(); err != nil {
			t.Fatal(err)
		}
		oldest(now.Add(-10 * time.Minute))
	})
}

// lasted changes how long the last attempt of a finished record took.
func (b *backend) lasted(t testing.TB, id string, took time.Duration) {
	t.Helper()
	inv := b.read(t, id)
	last := inv.Attempts[len(inv.Attempts)-1]
	start := last.FinishedAt.Add(-took)
	old := fmt.Sprintf(`"start":%d}`, last.StartedAt.UnixMilli())
	key := recordKey(inv.Kind, id)
	journal := b.rdb.HGet(t.Context(), key, fieldAttempts).Val()
	at := strings.LastIndex(journal, old)
	if at < 0 {
		t.Fatalf("there is no %s in %s", old, journal)
	}
	journal = journal[:at] + fmt.Sprintf(`"start":%d}`, start.UnixMilli()) + journal[at+len(old):]
	values := []any{fieldAttempts, journal}
	if len(inv.Attempts) == 1 {
		values = append(values, fieldStarted, start.UnixMilli())
	}
	if err := b.rdb.HSet(t.Context(), key, values...).Err(); err != nil {
		t.Fatal(err)
	}
	inv = b.read(t, id)
	if last := inv.Attempts[len(inv.Attempts)-1]; last.FinishedAt.Sub(last.StartedAt) != took {
		t.Fatalf("the last attempt took %v, want %v", last.FinishedAt.Sub(last.StartedAt), took)
	}
}

// ran makes a finished record, some time ago, whose last attempt took so long.
func (b *backend) ran(t testing.TB, kind function.Kind, fn string, to invocation.State, ago, took time.Duration) string {
	t.Helper()
	id := b.makes(t, invocation.Invocation{Kind: kind, Site: "shop", Function: fn, Deploy: "d1"})
	b.moves(t, kind, id, to)
	b.lasted(t, id, took)
	b.createdAt(t, id, b.now(t).Add(-ago))
	return id
}

func TestFunctionFigures(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		figures := func(n int, fn string, want Figures) {
			t.Helper()
			got, err := b.FunctionFigures(t.Context(), "shop", []string{fn, "never"}, n)
			if diff := cmp.Diff(map[string]Figures{fn: want, "never": {}}, got); err != nil || diff != "" {
				t.Errorf("FunctionFigures(%s, %d) = %v (-want +got):\n%s", fn, n, err, diff)
			}
		}
		const ms, background, scheduled = time.Millisecond, function.Background, function.Scheduled
		// A hundred of 1 to 100 ms, of both kinds, each tenth dead; the later, the faster.
		for i := 1; i <= 100; i++ {
			state := invocation.Succeeded
			if i%10 == 0 {
				state = invocation.Dead
			}
			b.ran(t, recordKinds()[i%2], "both", state, time.Duration(i)*time.Minute, time.Duration(i)*ms)
		}
		// What is not finished or was cancelled, or is of another function, is none of them.
		for _, state := range []invocation.State{invocation.Queued, invocation.Running, invocation.Failed, invocation.Cancelled} {
			id := b.makes(t, invocation.Invocation{Kind: background, Site: "shop", Function: "both", Deploy: "d1"})
			b.moves(t, background, id, state)
		}
		b.ran(t, background, "other", invocation.Succeeded, 0, time.Hour)
		figures(200, "both", Figures{Runs: 100, Failed: 10, P50: 50 * ms, P95: 95 * ms})
		figures(0, "both", Figures{Runs: 50, Failed: 5, P50: 25 * ms, P95: 48 * ms})
		figures(10, "both", Figures{Runs: 10, Failed: 1, P50: 5 * ms, P95: 10 * ms})
		figures(-1, "both", Figures{Runs: 1, P50: 1 * ms, P95: 1 * ms})
		figures(1<<40, "other", Figures{Runs: 1, P50: time.Hour, P95: time.Hour})

		// Of several attempts the last one counts, whatever is said in the errors.
		id := b.makes(t, invocation.Invocation{Kind: scheduled, Site: "shop", Function: "again", Deploy: "d1"})
		failure := &invocation.Failure{Type: "E", Message: `{"n":1,"worker":"w","start":1}` + "\n" + `,"start":2}`, Stack: `\",\"start\":3}`}
		for attempt := 1; attempt <= 3; attempt++ {
			begun, err := b.Begin(t.Context(), scheduled, id, `w,"start":4}`)
			if err != nil || begun.Attempt != attempt {
				t.Fatalf("Begin = %d, %v", begun.Attempt, err)
			}
			end := End{Outcome: invocation.Error, Failure: failure, Verdict: invocation.Verdict{State: invocation.Failed}}
			if attempt == 3 {
				end.Verdict.State = invocation.Dead
			}
			if err := b.Finish(t.Context(), scheduled, id, attempt, end); err != nil {
				t.Fatal(err)
			}
		}
		b.lasted(t, id, 7*time.Second)
		figures(5, "again", Figures{Runs: 1, Failed: 1, P50: 7 * time.Second, P95: 7 * time.Second})

		// What is older than the retention is left out: only dead ones are kept so long.
		b.ran(t, background, "old", invocation.Dead, b.opts.Retention+time.Minute, time.Second)
		figures(5, "old", Figures{})
		b.ran(t, background, "old", invocation.Succeeded, b.opts.Retention-time.Minute, 2*time.Second)
		figures(5, "old", Figures{Runs: 1, P50: 2 * time.Second, P95: 2 * time.Second})
		// What has expired but stands in the index still is left out too.
		expired := b.ran(t, background, "old", invocation.Succeeded, time.Hour, time.Second)
		if err := b.rdb.Del(t.Context(), recordKey(background, expired)).Err(); err != nil {
			t.Fatal(err)
		}
		figures(5, "old", Figures{Runs: 1, P50: 2 * time.Second, P95: 2 * time.Second})
	})
}

// More functions than one script reads are read by several.
func TestFiguresOfManyFunctions(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		var names []string
		want := map[string]Figures{}
		for i := range 2*runsEffort/maxRuns + 1 {
			name := fmt.Sprint("f", i)
			names = append(names, name)
			took := time.Duration(i+1) * time.Second
			b.ran(t, recordKinds()[i%2], name, invocation.Succeeded, 0, took)
			want[name] = Figures{Runs: 1, P50: took, P95: took}
		}
		got, err := b.FunctionFigures(t.Context(), "shop", names, maxRuns)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("FunctionFigures = %v (-want +got):\n%s", err, diff)
		}
		if got, err := b.FunctionFigures(t.Context(), "shop", nil, 0); err != nil || len(got) != 0 {
			t.Errorf("FunctionFigures of none = %v, %v", got, err)
		}
	})
}

// An invocation can be dead without an attempt; it has failed, and took no time.
func TestFiguresWithoutAnAttempt(t *testing.T) {
	t.Parallel()
	runs := []run{{created: 3, dead: true, took: -1}, {created: 2, took: 10}, {created: 1, took: 30}}
	if got, want := figuresOf(runs, 3), (Figures{Runs: 3, Failed: 1, P50: 10, P95: 30}); got != want {
		t.Errorf("figuresOf = %+v, want %+v", got, want)
	}
	if got, want := figuresOf(runs, 1), (Figures{Runs: 1, Failed: 1}); got != want {
		t.Errorf("figuresOf the newest = %+v, want %+v", got, want)
	}
	for f, want := range map[Figures]float64{{}: 0, {Runs: 4, Failed: 1}: 0.25, {Runs: 2, Failed: 2}: 1} {
		if got := f.FailedShare(); got != want {
			t.Errorf("FailedShare of %+v = %v, want %v", f, got, want)
		}
	}
}

func TestFiguresRefuseNonsense(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		ctx := t.Context()
		for _, site := range []string{"", "a:b", "a b"} {
			_, err1 := b.SiteCounts(ctx, site)
			_, err2 := b.Minutes(ctx, site, time.Now(), 1)
			_, err3 := b.OldestQueued(ctx, site)
			_, err4 := b.FunctionFigures(ctx, site, []string{"f"}, 0)
			for i, err := range []error{err1, err2, err3, err4} {
				if !fault.Is(err, fault.Invalid) {
					t.Errorf("figure %d of site %q = %v, want invalid", i, site, err)
				}
			}
		}
		for _, name := range []string{"", "a:b", "a b"} {
			if _, err := b.FunctionFigures(ctx, "shop", []string{"f", name}, 0); !fault.Is(err, fault.Invalid) {
				t.Errorf("FunctionFigures of %q = %v, want invalid", name, err)
			}
		}
	})
}
