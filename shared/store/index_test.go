package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/redis/go-redis/v9"
)

// makes makes a record of inv, which lacks only what does not matter, and
// returns its ID.
func (b *backend) makes(t testing.TB, inv invocation.Invocation) string {
	t.Helper()
	inv.ID = newID()
	if inv.Kind == "" {
		inv.Kind = function.Background
	}
	if got := b.do(t, b.Create(inv, []byte("event"))); got != 1 {
		t.Fatalf("Create = %d, want 1", got)
	}
	return inv.ID
}

// createdAt changes when a record was made, in the record and in the index.
func (b *backend) createdAt(t testing.TB, id string, at time.Time) {
	t.Helper()
	inv := b.read(t, id)
	key := recordKey(inv.Kind, id)
	if err := b.rdb.HSet(t.Context(), key, fieldCreated, at.UnixMilli()).Err(); err != nil {
		t.Fatal(err)
	}
	own := indexKey(inv.Kind) + string(inv.State)
	for _, set := range []string{own, own + ":" + inv.Site, own + ":" + inv.Site + ":" + inv.Function} {
		if err := b.rdb.ZAddXX(t.Context(), set, redis.Z{Score: float64(at.UnixMilli()), Member: id}).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// expire lets a finished background record be gone.
func (b *backend) expire(t testing.TB, id string) {
	t.Helper()
	inv := b.read(t, id)
	entry := strings.Join([]string{id, string(inv.State), inv.Site, inv.Function}, ":")
	n, err := b.rdb.ZAddArgs(t.Context(), indexKey(inv.Kind)+"expiry", redis.ZAddArgs{XX: true, Ch: true, Members: []redis.Z{{Score: 1, Member: entry}}}).Result()
	if err != nil || n != 1 {
		t.Fatalf("there is no entry %s: %v", entry, err)
	}
	if err := b.rdb.Del(t.Context(), recordKey(inv.Kind, id)).Err(); err != nil {
		t.Fatal(err)
	}
}

// checkIndex fails the test if a set of the index is other than the records in
// its state, or if the counts do not add up. Entries of gone ones are let pass.
func (b *backend) checkIndex(t testing.TB, gone ...string) {
	t.Helper()
	ctx := t.Context()
	want, got := map[string][]string{}, map[string][]string{}
	for _, kind := range recordKinds() {
		for _, key := range b.rdb.Keys(ctx, recordKey(kind, "*")).Val() {
			inv := b.read(t, key[strings.LastIndexByte(key, ':')+1:])
			own := indexKey(kind) + string(inv.State)
			entry := fmt.Sprint(inv.CreatedAt.UnixMilli(), " ", inv.ID)
			sets := []string{own + ":" + inv.Site, own + ":" + inv.Site + ":" + inv.Function}
			if inv.State.Terminal() {
				expiry := indexKey(kind) + "expiry"
				want[expiry] = append(want[expiry], strings.Join([]string{inv.ID, string(inv.State), inv.Site, inv.Function}, ":"))
			} else {
				sets = append(sets, own)
			}
			for _, set := range sets {
				want[set] = append(want[set], entry)
			}
		}
		for _, set := range b.rdb.Keys(ctx, indexKey(kind)+"*").Val() {
			for _, z := range b.rdb.ZRangeWithScores(ctx, set, 0, -1).Val() {
				entry := z.Member.(string)
				if slices.ContainsFunc(gone, func(id string) bool { return strings.HasPrefix(entry, id) }) {
					continue
				}
				if !strings.HasSuffix(set, "expiry") {
					entry = fmt.Sprint(int64(z.Score), " ", entry)
				}
				got[set] = append(got[set], entry)
			}
		}
		for _, all := range []map[string][]string{want, got} {
			for set := range all {
				slices.Sort(all[set])
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the index is not the records (-want +got):\n%s", diff)
	}
	counts, err := b.Counts(ctx)
	if err != nil || counts.Drift() != 0 {
		t.Errorf("Counts = %+v with drift %d, %v, want none", counts, counts.Drift(), err)
	}
}

// Whatever happens to whichever invocation in whatever order: the index is the
// records, and nothing that was accepted gets lost or is counted twice.
func TestIndexIsTheRecords(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		for seed := range uint64(15) {
			if err := b.rdb.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			random := rand.New(rand.NewPCG(seed, 2))
			var ids, gone, history []string
			accepted := int64(0)
			for range 60 {
				n := random.IntN(20)
				switch {
				case n < 2 || len(ids) == 0:
					id := b.makes(t, invocation.Invocation{Site: fmt.Sprint("s", random.IntN(2)), Function: fmt.Sprint("f", random.IntN(2)), Deploy: "d1"})
					ids, accepted = append(ids, id), accepted+1
					history = append(history, id+" Create")
				case n == 2:
					if _, err := b.TrimIndex(t.Context()); err != nil {
						t.Fatal(err)
					}
					gone, history = nil, append(history, "TrimIndex")
				default:
					i := random.IntN(len(ids))
					id := ids[i]
					inv := b.read(t, id)
					switch {
					case n == 3 && inv.State.Terminal():
						b.expire(t, id)
						ids, gone = slices.Delete(ids, i, i+1), append(gone, id)
						history = append(history, id+" expires")
					case n < 8 && inv.State != invocation.Running:
						history = append(history, fmt.Sprint(id, " Retry = ", b.do(t, b.Retry(function.Background, id))))
					default:
						history = append(history, id+" "+b.anything(t, random, id, len(inv.Attempts)))
					}
				}
				b.checkIndex(t, gone...)
				b.checkPins(t)
				if counts, err := b.Counts(t.Context()); err != nil || counts.Accepted != accepted {
					t.Errorf("Counts = %+v, %v, want %d accepted", counts, err, accepted)
				}
				if t.Failed() {
					t.Fatalf("seed %d:\n%s", seed, strings.Join(history, "\n"))
				}
			}
		}
	})
}

func TestCounts(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		if got, err := b.Counts(t.Context()); err != nil || got != (Counts{}) {
			t.Errorf("Counts of nothing = %+v, %v", got, err)
		}
		for n, state := range states {
			for range n + 1 {
				b.put(t, state)
			}
		}
		b.create(t, function.Scheduled)
		want := Counts{Accepted: 21, Queued: 1, Running: 2, Failed: 3, Succeeded: 4, Dead: 5, Cancelled: 6}
		byKind := map[function.Kind]Counts{function.Background: want, function.Scheduled: {Accepted: 1, Queued: 1}}
		got, err := b.CountsByKind(t.Context())
		if diff := cmp.Diff(byKind, got); err != nil || diff != "" {
			t.Errorf("CountsByKind = %v (-want +got):\n%s", err, diff)
		}
		want.Accepted, want.Queued = 22, 2
		if got, err := b.Counts(t.Context()); err != nil || got != want || got.Drift() != 0 {
			t.Errorf("Counts = %+v, %v, want %+v", got, err, want)
		}
		if got := (Counts{Accepted: 3, Queued: 1, Dead: 1}).Drift(); got != 1 {
			t.Errorf("the drift of one that is lost = %d, want 1", got)
		}
	})
}

// Records of before there was an index come into it with their first move.
func TestRecordsWithoutAnIndex(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		ids := []string{b.put(t, invocation.Queued), b.put(t, invocation.Running), b.put(t, invocation.Dead)}
		keys := b.rdb.Keys(t.Context(), indexKey(function.Background)+"*").Val()
		if err := b.rdb.Del(t.Context(), append(keys, countsKey(function.Background))...).Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Cancel(t.Context(), ids[0]); err != nil {
			t.Fatal(err)
		}
		b.finish(t, ids[1], 1, ends[invocation.Failed])
		if got := b.do(t, b.Retry(function.Background, ids[2])); got != 1 {
			t.Fatalf("Retry = %d, want 1", got)
		}
		b.checkIndex(t)
		if got, err := b.Counts(t.Context()); err != nil || got != (Counts{Accepted: 3, Queued: 1, Failed: 1, Cancelled: 1}) {
			t.Errorf("Counts = %+v, %v, want three accepted", got, err)
		}
	})
}

// page reads a page that must be there.
func (b *backend) page(t testing.TB, f Filter, cursor string, limit int) (ids []string, next string) {
	t.Helper()
	list, next, err := b.Invocations(t.Context(), f, cursor, limit)
	if err != nil {
		t.Fatalf("Invocations(%+v, %q) = %v", f, cursor, err)
	}
	for _, inv := range list {
		ids = append(ids, inv.ID)
	}
	return ids, next
}

// pages reads all pages.
func (b *backend) pages(t testing.TB, f Filter, limit int) (ids []string) {
	t.Helper()
	for cursor, n := "", 0; ; n++ {
		page, next := b.page(t, f, cursor, limit)
		if len(page) > limit {
			t.Fatalf("a page of %d, want at most %d", len(page), limit)
		}
		ids = append(ids, page...)
		if next == "" {
			return ids
		}
		if next == cursor || n > 1000 {
			t.Fatalf("the page after %s is itself, or there is no end", cursor)
		}
		cursor = next
	}
}

// Filters let through what they say, in whichever pages, newest first.
func TestInvocations(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		random := rand.New(rand.NewPCG(1, 2))
		start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		var all []invocation.Invocation
		for range 60 {
			kind := recordKinds()[random.IntN(2)]
			id := b.makes(t, invocation.Invocation{
				Kind: kind, Site: fmt.Sprint("s", random.IntN(2)), Function: fmt.Sprint("f", random.IntN(2)), Deploy: fmt.Sprint("d", random.IntN(2)),
			})
			b.createdAt(t, id, start.Add(time.Duration(random.IntN(20))*time.Millisecond)) // many at the same time
			switch to := states[random.IntN(len(states))]; to {
			case invocation.Queued:
			default:
				if _, err := b.Begin(t.Context(), kind, id, "w"); err != nil {
					t.Fatal(err)
				}
				if to != invocation.Running {
					if err := b.Finish(t.Context(), kind, id, 1, ends[to]); err != nil {
						t.Fatal(err)
					}
				}
			}
			all = append(all, b.read(t, id))
		}
		slices.SortFunc(all, func(a, b invocation.Invocation) int {
			if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
				return c
			}
			return strings.Compare(b.ID, a.ID)
		})
		tests := map[string]Filter{
			"site":               {Site: "s0"},
			"function":           {Site: "s1", Function: "f0"},
			"state":              {Site: "s1", State: invocation.Dead},
			"function and state": {Site: "s1", Function: "f1", State: invocation.Queued},
			"deploy":             {Site: "s0", Deploy: "d1"},
			"all of them":        {Site: "s0", Function: "f0", State: invocation.Succeeded, Deploy: "d0"},
			"from":               {Site: "s0", From: start.Add(10 * time.Millisecond)},
			"to":                 {Site: "s0", To: start.Add(10 * time.Millisecond)},
			"part of a ms":       {Site: "s0", From: start.Add(3*time.Millisecond + 1), To: start.Add(9*time.Millisecond + 1)},
			"nothing":            {Site: "s0", From: start.Add(time.Second)},
			"no such site":       {Site: "s2"},
			"no such function":   {Site: "s0", Function: "f2"},
		}
		for name, f := range tests {
			var want []string
			for _, inv := range all {
				switch {
				case inv.Site != f.Site, f.Function != "" && inv.Function != f.Function, f.State != "" && inv.State != f.State,
					f.Deploy != "" && inv.Deploy != f.Deploy, !f.From.IsZero() && inv.CreatedAt.Before(f.From), !f.To.IsZero() && !inv.CreatedAt.Before(f.To):
				default:
					want = append(want, inv.ID)
				}
			}
			for _, limit := range []int{1, 3, 7, 200} {
				if diff := cmp.Diff(want, b.pages(t, f, limit)); diff != "" {
					t.Errorf("%s in pages of %d (-want +got):\n%s", name, limit, diff)
				}
			}
		}

		list, _, err := b.Invocations(t.Context(), Filter{Site: "s0"}, "", 200)
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range list {
			want := b.read(t, got.ID)
			want.Result = nil
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("a listed one is another than the one that is read:\n%s", diff)
			}
		}
	})
}

// What moves, comes and goes between two pages does not disturb the others.
func TestInvocationsWhileTheyMove(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		var ids []string
		for i := range 9 {
			id := b.put(t, states[i%len(states)])
			b.createdAt(t, id, time.UnixMilli(int64(100-i)))
			ids = append(ids, id)
		}
		f := Filter{Site: "shop"}
		got, next := b.page(t, f, "", 3)
		b.expire(t, ids[3])                     // the next one; it is succeeded
		b.finish(t, ids[7], 1, ends[states[5]]) // running
		b.begin(t, ids[0], "w")                 // seen already
		b.put(t, invocation.Queued)             // newer than all
		b.expire(t, ids[4])                     // dead
		rest, next := b.page(t, f, next, 3)
		got = append(got, rest...)
		rest, next = b.page(t, f, next, 3)
		got = append(got, rest...)
		want := slices.Concat(ids[:3], ids[5:])
		if diff := cmp.Diff(want, got); diff != "" || next != "" {
			t.Errorf("pages, and then %q (-want +got):\n%s", next, diff)
		}
	})
}

// Entries of expired records are skipped, removed, and cost no place on a page.
func TestInvocationsSkipTheExpired(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		for _, f := range []Filter{{Site: "shop"}, {Site: "shop", Deploy: "d1"}} {
			kept := []string{b.put(t, invocation.Dead)}
			for range 5 {
				id := b.put(t, invocation.Succeeded)
				b.expire(t, id)
			}
			kept = append(kept, b.put(t, invocation.Succeeded))
			slices.SortFunc(kept, func(x, y string) int { return b.read(t, y).CreatedAt.Compare(b.read(t, x).CreatedAt) })
			if got := b.pages(t, f, 2); !slices.Equal(got, kept) && !slices.Equal(got, []string{kept[1], kept[0]}) {
				t.Errorf("%+v lists %v, want %v", f, got, kept)
			}
			set := indexKey(function.Background) + "succeeded:shop"
			if n := b.rdb.ZCard(t.Context(), set).Val(); n != 1 {
				t.Errorf("%d entries stand in %s, want 1", n, set)
			}
			if err := b.rdb.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A filter that finds little gives up after a bounded look, and goes on where it
// stopped, also where one kind has to be looked through and the other has not.
func TestInvocationsBoundTheirWork(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		var want []string
		for at, kind := range []function.Kind{function.Background, function.Scheduled, function.Background, function.Scheduled} {
			id := b.makes(t, invocation.Invocation{Kind: kind, Site: "shop", Function: "f", Deploy: "wanted"})
			b.createdAt(t, id, time.UnixMilli(int64(900-at)))
			want = append(want, id)
		}
		b.crowd(t, function.Background, "shop", "f", invocation.Queued, 2*listEffort+listEffort/2)
		var got []string
		pages := 0
		for cursor := ""; pages == 0 || cursor != ""; pages++ {
			var page []string
			page, cursor = b.page(t, Filter{Site: "shop", Deploy: "wanted"}, cursor, 10)
			if len(page) > 0 && pages < 2 {
				t.Errorf("page %d tells of what is older than what was looked at", pages+1)
			}
			got = append(got, page...)
			if pages > 10 {
				t.Fatal("there is no end")
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || pages != 3 {
			t.Errorf("%d pages, want 3 (-want +got):\n%s", pages, diff)
		}
	})
}

// crowd makes many records of one site, function and state, 1 ms apart from 1000
// on, on deploys d0 to d99 in turn, without their scripts.
func (b *backend) crowd(t testing.TB, kind function.Kind, site, fn string, state invocation.State, n int) {
	t.Helper()
	own := string(state) + ":" + site
	for i := 0; i < n; {
		_, err := b.rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for end := min(i+2000, n); i < end; i++ {
				id, created := newID(), 1000+i
				p.HSet(t.Context(), recordKey(kind, id), fieldID, id, fieldSite, site, fieldFunction, fn, fieldKind, string(kind),
					fieldDeploy, fmt.Sprint("d", i%100), fieldState, string(state), fieldCreated, created, fieldAttempt, 0)
				for _, set := range []string{own, own + ":" + fn} {
					p.ZAdd(t.Context(), indexKey(kind)+set, redis.Z{Score: float64(created), Member: id})
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestInvocationsRefuseNonsense(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		tests := map[string]struct {
			f      Filter
			cursor string
		}{
			"no site":            {Filter{}, ""},
			"no such state":      {Filter{Site: "s", State: "paused"}, ""},
			"a site of two":      {Filter{Site: "s dead:s"}, ""},
			"a set's name":       {Filter{Site: "s:f"}, ""},
			"a function's space": {Filter{Site: "s", Function: "f x"}, ""},
			"a made-up cursor":   {Filter{Site: "s"}, "x"},
			"a log's cursor":     {Filter{Site: "s"}, "1-2"},
			"half a cursor":      {Filter{Site: "s"}, "1-"},
			"a long cursor":      {Filter{Site: "s"}, strings.Repeat("9", 1<<16) + "-" + newID()},
			"a cursor and more":  {Filter{Site: "s"}, "1-" + newID() + "\n"},
		}
		for name, tt := range tests {
			list, next, err := b.Invocations(t.Context(), tt.f, tt.cursor, 10)
			if !fault.Is(err, fault.Invalid) || list != nil || next != "" {
				t.Errorf("%s: Invocations = %v, %q, %v, want invalid", name, list, next, err)
			}
			if err != nil && len(err.Error()) > 400 {
				t.Errorf("%s: the answer has %d bytes", name, len(err.Error()))
			}
		}
		id := b.create(t, function.Background)
		for _, limit := range []int{-1, 0, 1, 1 << 40} {
			if got, _ := b.page(t, Filter{Site: "shop"}, "", limit); !slices.Equal(got, []string{id}) {
				t.Errorf("a page of %d = %v, want one", limit, got)
			}
		}
	})
}

func TestTrimIndex(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		kept := b.put(t, invocation.Succeeded)
		var gone []string
		for _, state := range []invocation.State{invocation.Succeeded, invocation.Dead, invocation.Cancelled} {
			id := b.put(t, state)
			b.expire(t, id)
			gone = append(gone, id)
		}
		// The expiry of one was put off, as an undelivered callback does.
		late := b.put(t, invocation.Dead)
		expiry := indexKey(function.Background) + "expiry"
		entry := late + ":dead:shop:send-email"
		if err := b.rdb.ZAddXX(t.Context(), expiry, redis.Z{Score: 1, Member: entry}).Err(); err != nil {
			t.Fatal(err)
		}
		for _, want := range []int{len(gone), 0} {
			if n, err := b.TrimIndex(t.Context()); err != nil || n != want {
				t.Errorf("TrimIndex = %d, %v, want %d", n, err, want)
			}
			b.checkIndex(t)
		}
		now, err := b.rdb.Time(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		for entry, retention := range map[string]time.Duration{kept + ":succeeded:shop:send-email": b.opts.Retention, entry: b.opts.DeadRetention} {
			at := time.UnixMilli(int64(b.rdb.ZScore(t.Context(), expiry, entry).Val()))
			if left := at.Sub(now); left > retention+time.Second || left < retention-time.Minute {
				t.Errorf("%s is looked at in %v, want %v", entry, left, retention)
			}
		}
	})
}

// More than one script looks at are removed by one call.
func TestTrimIndexInRounds(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		const n = trimBatch*2 + 7
		_, err := b.rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for i := range n {
				id := newID()
				p.ZAdd(t.Context(), indexKey(function.Background)+"expiry", redis.Z{Score: float64(i), Member: id + ":dead:s:f"})
				for _, set := range []string{"dead:s", "dead:s:f"} {
					p.ZAdd(t.Context(), indexKey(function.Background)+set, redis.Z{Score: float64(i), Member: id})
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.TrimIndex(t.Context()); err != nil || got != n {
			t.Errorf("TrimIndex = %d, %v, want %d", got, err, n)
		}
		if keys := b.rdb.Keys(t.Context(), "*").Val(); len(keys) != 0 {
			t.Errorf("there are %v, want nothing", keys)
		}
	})
}

// A cursor of anybody's is refused, or is a place that reads as the same cursor.
func FuzzPlace(f *testing.F) {
	f.Add("1700000000000-01ARZ3NDEKTSV4RRFFQ69G5FAV")
	f.Add("")
	f.Fuzz(func(t *testing.T, cursor string) {
		p, err := parsePlace(cursor)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("parsePlace(%q) = %v", cursor, err)
			}
			return
		}
		again, err := parsePlace(p.String())
		if cursor != "" && (err != nil || again != p) {
			t.Errorf("parsePlace(%q) = %v, which reads as %v, %v", cursor, p, again, err)
		}
	})
}
