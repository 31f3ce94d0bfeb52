package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb"
)

// verdict runs steps through a store that may break, and is an error if they are
// refused for another reason than that they are done.
func verdict(ctx context.Context, s *Store, steps ...redisdb.Step) error {
	script, keys, args := compose(steps...)
	got, err := script.Run(ctx, s.rdb, keys, args...).Int()
	if err != nil {
		return failed(ctx, err, "running the steps")
	}
	if got != 1 && got != 0 {
		return fmt.Errorf("the verdict is %d", got)
	}
	return nil
}

// stepWrites lists the steps, each in the company that it has in an enqueuing script.
var stepWrites = []write{
	{"Create", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		inv := invocation.Invocation{ID: newID(), Site: "shop", Deploy: "d1", Function: "f", Kind: function.Background}
		steps := []redisdb.Step{
			b.Once(inv.Kind, inv.Site, inv.Function, "key", inv.ID, time.Hour), b.Create(inv, nil), b.Room(inv.Kind, inv.Site, 1),
		}
		b.know(t, steps...)
		return func(ctx context.Context, s *Store) error { return verdict(ctx, s, steps...) }, func() bool {
			counts, err := b.Counts(t.Context())
			first, err2 := b.OnceID(t.Context(), inv.Kind, inv.Site, inv.Function, "key")
			return err == nil && err2 == nil && first == inv.ID && counts.Accepted == 1 && counts.Queued == 1
		}
	}, isNil},
	{"Create in the last place", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		inv := invocation.Invocation{ID: newID(), Site: "shop", Deploy: "d1", Function: "f", Kind: function.Background}
		steps := []redisdb.Step{b.Create(inv, nil), b.Room(inv.Kind, inv.Site, 1)}
		b.know(t, steps...)
		return func(ctx context.Context, s *Store) error { return verdict(ctx, s, steps...) }, func() bool {
			_, err := b.Invocation(t.Context(), inv.ID)
			return err == nil
		}
	}, isNil},
	{"Retry", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		id := b.put(t, invocation.Dead)
		step := b.Retry(function.Background, id)
		b.know(t, step)
		return func(ctx context.Context, s *Store) error { return verdict(ctx, s, step) }, func() bool {
			counts, err := b.Counts(t.Context())
			return err == nil && counts == Counts{Accepted: 1, Queued: 1}
		}
	}, isNil},
	{"TrimIndex", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		b.expire(t, b.put(t, invocation.Dead))
		return func(ctx context.Context, s *Store) error {
			_, err := s.TrimIndex(ctx)
			return err
		}, func() bool { return b.rdb.Exists(t.Context(), indexKey(function.Background)+"expiry").Val() == 0 }
	}, isNil},
	{"Invocations", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		b.expire(t, b.put(t, invocation.Dead))
		return func(ctx context.Context, s *Store) error {
				_, _, err := s.Invocations(ctx, Filter{Site: "shop", State: invocation.Dead}, "", 10)
				return err
			}, func() bool { // the other sets' entries are left to TrimIndex
				if b.rdb.Exists(t.Context(), indexKey(function.Background)+"dead:shop").Val() != 0 {
					return false
				}
				_, err := b.TrimIndex(t.Context())
				return err == nil
			}
	}, isNil},
}

// know gives Redis the script of the steps.
func (b *backend) know(t testing.TB, steps ...redisdb.Step) {
	t.Helper()
	script, _, _ := compose(steps...)
	if err := script.Load(t.Context(), b.rdb).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestCreateKeepsWhatIsAskedOfACall(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		inv := invocation.Invocation{
			ID: newID(), Site: "shop", Deploy: "d1", Function: "f", Kind: function.Background,
			NotBefore: time.Date(2027, 1, 2, 3, 4, 5, 6e6, time.UTC), ReplayOf: newID(), Awaited: true, Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 v=1",
			Callback: &invocation.Callback{URL: "https://example.com/hook?a=b", State: invocation.CallbackDead, Attempts: 7, Error: "no"},
		}
		if got := b.do(t, b.Create(inv, []byte("event \x00"))); got != 1 {
			t.Fatalf("Create = %d, want 1", got)
		}
		want := inv
		want.State, want.Awaited = invocation.Queued, false
		want.Callback = &invocation.Callback{URL: inv.Callback.URL, State: invocation.CallbackPending}
		got := b.read(t, inv.ID)
		want.CreatedAt = got.CreatedAt
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the record (-want +got):\n%s", diff)
		}
		if event, err := b.Event(t.Context(), inv.ID); err != nil || string(event) != "event \x00" {
			t.Errorf("Event = %q, %v", event, err)
		}
		if _, err := b.Event(t.Context(), newID()); !fault.Is(err, fault.NotFound) {
			t.Errorf("Event of an unknown one = %v, want not found", err)
		}
	})
}

// The end of an invocation puts its callback into the outbox, whichever end.
func TestEndsWithACallback(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		outbox := func() map[string]bool {
			all := map[string]bool{}
			for _, id := range b.rdb.ZRange(t.Context(), callbacksKey(function.Background), 0, -1).Val() {
				all[id] = true
			}
			return all
		}
		want := map[string]bool{}
		for _, end := range ends {
			id := b.makes(t, invocation.Invocation{Site: "shop", Deploy: "d1", Callback: &invocation.Callback{URL: "https://example.com"}})
			b.begin(t, id, "w")
			b.finish(t, id, 1, end)
			if end.Verdict.State.Terminal() {
				want[id] = true
				due := b.rdb.ZScore(t.Context(), callbacksKey(function.Background), id).Val()
				if at := b.read(t, id).FinishedAt; int64(due) != at.UnixMilli() {
					t.Errorf("the callback is due at %v, want %v", int64(due), at.UnixMilli())
				}
			}
			b.put(t, end.Verdict.State) // one without
		}
		cancelled := b.makes(t, invocation.Invocation{Site: "shop", Deploy: "d1", Callback: &invocation.Callback{URL: "https://example.com"}})
		if _, err := b.Cancel(t.Context(), cancelled); err != nil {
			t.Fatal(err)
		}
		want[cancelled] = true
		if diff := cmp.Diff(want, outbox()); diff != "" {
			t.Errorf("the outbox (-want +got):\n%s", diff)
		}
	})
}

func TestWatchFinished(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		ended, listens := make(chan string, 10), make(chan struct{})
		runs(t, func(ctx context.Context) error {
			return b.WatchFinished(ctx, func() { close(listens) }, func(id string) { ended <- id })
		})
		<-listens
		var awaited []string
		for _, end := range []End{ends[invocation.Failed], ends[invocation.Succeeded], ends[invocation.Dead]} {
			b.put(t, end.Verdict.State) // nobody waits for it
			id := b.makes(t, invocation.Invocation{Site: "shop", Deploy: "d1", Awaited: true})
			b.begin(t, id, "w")
			b.finish(t, id, 1, end)
			if end.Verdict.State.Terminal() {
				awaited = append(awaited, id)
			}
		}
		for _, want := range awaited {
			if got := <-ended; got != want {
				t.Errorf("%s has ended, want %s", got, want)
			}
			if !b.read(t, want).State.Terminal() {
				t.Error("it was told before the end")
			}
		}
	})
}

func TestRetryOfADeadInvocation(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		id := b.makes(t, invocation.Invocation{Site: "shop", Deploy: "d1", Function: "f", Callback: &invocation.Callback{URL: "https://example.com"}})
		src := LogSource{Site: "shop", Kind: function.Background, Invocation: id}
		b.begin(t, id, "w1")
		b.begin(t, id, "w2") // a crash
		b.finish(t, id, 2, ends[invocation.Failed])
		b.begin(t, id, "w3")
		for i := range 2 { // so that there is a stream
			if err := b.AppendLog(t.Context(), src, numbered(3, i, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Cancel(t.Context(), id); err != nil { // which comes too late
			t.Fatal(err)
		}
		b.finish(t, id, 3, ends[invocation.Dead])
		told := []any{fieldCallbackState, string(invocation.CallbackDead), fieldCallbackAttempts, 3, fieldCallbackError, "no"}
		if err := b.rdb.HSet(t.Context(), recordKey(function.Background, id), told...).Err(); err != nil {
			t.Fatal(err)
		}
		dead := b.read(t, id)

		step := b.Retry(function.Background, id)
		for want := 1; want >= 0; want-- { // the second time it is the driver's repetition
			if got := b.do(t, step); got != want {
				t.Fatalf("Retry = %d, want %d", got, want)
			}
			b.checkIndex(t)
			b.checkPins(t)
		}
		want := dead
		want.State, want.FinishedAt = invocation.Queued, time.Time{}
		want.Callback = &invocation.Callback{URL: "https://example.com", State: invocation.CallbackPending}
		if diff := cmp.Diff(want, b.read(t, id)); diff != "" {
			t.Errorf("the record after it (-want +got):\n%s", diff)
		}
		for _, key := range b.recordKeys(function.Background, id) {
			if left := b.rdb.PTTL(t.Context(), key).Val(); left != -1 {
				t.Errorf("%s expires in %v, want never", key, left)
			}
		}

		// It may crash and fail as often as a new one, and is not cancelled.
		begun := b.begin(t, id, "w4")
		if begun.Attempt != 4 || begun.Failures != 0 {
			t.Errorf("Begin = attempt %d after %d failures, want 4 after 0", begun.Attempt, begun.Failures)
		}
		// A repetition is one at any time later.
		if got := b.do(t, step); got != 0 {
			t.Errorf("the same Retry while it runs = %d, want 0", got)
		}
		for range invocation.MaxCrashes - 1 {
			b.begin(t, id, "victim")
		}
		if err := b.Finish(t.Context(), function.Background, id, 3, ends[invocation.Succeeded]); !errors.Is(err, ErrFenced) {
			t.Errorf("Finish of an attempt before the retry = %v, want ErrFenced", err)
		}
		b.finish(t, id, 4+invocation.MaxCrashes-1, ends[invocation.Succeeded])
		b.checkIndex(t)
		b.checkPins(t)
		if counts, err := b.Counts(t.Context()); err != nil || counts != (Counts{Accepted: 1, Succeeded: 1}) {
			t.Errorf("Counts = %+v, %v, want one succeeded", counts, err)
		}
		b.wantRetention(t, id, b.opts.Retention)
	})
}

func TestRetryIsRefused(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		for _, state := range states {
			if state == invocation.Dead {
				continue
			}
			id := b.put(t, state)
			before := b.read(t, id)
			if got := b.do(t, b.Retry(function.Background, id)); got != NotDead {
				t.Errorf("Retry in state %s = %d, want NotDead", state, got)
			}
			if diff := cmp.Diff(before, b.read(t, id)); diff != "" {
				t.Errorf("%s has changed:\n%s", state, diff)
			}
		}
		dead := b.put(t, invocation.Dead)
		for _, id := range []string{newID(), "", "x", dead + "0"} {
			if got := b.do(t, b.Retry(function.Background, id)); got != Gone {
				t.Errorf("Retry of %q = %d, want Gone", id, got)
			}
		}
		for _, kind := range []function.Kind{function.Scheduled, function.Sync} {
			if got := b.do(t, b.Retry(kind, dead)); got != Gone {
				t.Errorf("Retry as %s = %d, want Gone", kind, got)
			}
		}
		// Of two people who ask at once, one does it.
		one, two := b.Retry(function.Background, dead), b.Retry(function.Background, dead)
		if got := [2]int{b.do(t, one), b.do(t, two)}; got != [2]int{1, NotDead} {
			t.Errorf("two retries = %v, want one that does it", got)
		}
	})
}

func TestOnce(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		once := func(site, fn, key, id string) int {
			return b.do(t, b.Once(function.Background, site, fn, key, id, time.Hour))
		}
		tests := []struct {
			name, site, function, key, id string
			want                          int
		}{
			{"the first", "shop", "f", "k", "1", 1},
			{"its repetition", "shop", "f", "k", "1", 0},
			{"another call", "shop", "f", "k", "2", Duplicate},
			{"another key", "shop", "f", "K", "3", 1},
			{"another function", "shop", "g", "k", "4", 1},
			{"another site", "blog", "f", "k", "5", 1},
			{"a key of anybody's", "shop", "f", "}{ \x00\xff:*", "6", 1},
			{"it again", "shop", "f", "}{ \x00\xff:*", "7", Duplicate},
		}
		for _, tt := range tests {
			if got := once(tt.site, tt.function, tt.key, tt.id); got != tt.want {
				t.Errorf("%s: Once = %d, want %d", tt.name, got, tt.want)
			}
		}
		for key, want := range map[string]string{"k": "1", "K": "3", "other": ""} {
			if got, err := b.OnceID(t.Context(), function.Background, "shop", "f", key); err != nil || got != want {
				t.Errorf("OnceID(%s) = %q, %v, want %q", key, got, err, want)
			}
		}
		left := b.rdb.PTTL(t.Context(), onceKey(function.Background, "shop", "f", "k")).Val()
		if left > time.Hour || left < time.Hour-time.Minute {
			t.Errorf("it is remembered for %v, want 1h", left)
		}
	})
}

// A key whose call was not accepted for another reason is free.
func TestOnceRemembersWhatIsAcceptedOnly(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		b.put(t, invocation.Queued)
		call := func(limit int) (string, int) {
			inv := invocation.Invocation{ID: newID(), Site: "shop", Deploy: "d1", Function: "f", Kind: function.Background}
			return inv.ID, b.do(t, b.Once(inv.Kind, inv.Site, inv.Function, "k", inv.ID, time.Hour), b.Create(inv, nil), b.Room(inv.Kind, inv.Site, limit))
		}
		if id, got := call(1); got != Full || b.rdb.Exists(t.Context(), recordKey(function.Background, id)).Val() != 0 {
			t.Errorf("a call with no room = %d, want Full and no record", got)
		}
		if got, err := b.OnceID(t.Context(), function.Background, "shop", "f", "k"); err != nil || got != "" {
			t.Errorf("OnceID = %q, %v, want none", got, err)
		}
		if _, got := call(2); got != 1 {
			t.Errorf("a call with room = %d, want 1", got)
		}
		if _, got := call(2); got != Duplicate {
			t.Errorf("the same call = %d, want Duplicate", got)
		}
	})
}

func TestRoom(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		room := func(site string, limit int) int { return b.do(t, b.Room(function.Background, site, limit)) }
		ids := []string{b.put(t, invocation.Queued), b.put(t, invocation.Queued)}
		for _, state := range states[1:] {
			b.put(t, state) // not in the queue
		}
		b.create(t, function.Scheduled) // in another one
		for limit, want := range map[int]int{0: Full, 1: Full, 2: Full, 3: 1} {
			if got := room("shop", limit); got != want {
				t.Errorf("Room for %d = %d, want %d", limit, got, want)
			}
		}
		if got := room("blog", 1); got != 1 {
			t.Errorf("Room of a site with none = %d, want 1", got)
		}
		b.begin(t, ids[0], "w")
		if got := room("shop", 2); got != 1 {
			t.Errorf("Room after one began = %d, want 1", got)
		}
		b.finish(t, ids[0], 1, ends[invocation.Queued])
		if got := room("shop", 2); got != Full {
			t.Errorf("Room after it was handed back = %d, want Full", got)
		}
	})
}
