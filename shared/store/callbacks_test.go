package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/redis/go-redis/v9"
)

const receiver = "https://receiver.example/hook?token=1"

// createTold makes a record with a callback and returns its ID.
func (b *backend) createTold(t testing.TB, kind function.Kind) string {
	t.Helper()
	inv := invocation.Invocation{
		ID: newID(), Site: "shop", Deploy: "d1", Function: "send-email", Kind: kind,
		Callback: &invocation.Callback{URL: receiver},
	}
	if got := b.do(t, b.Create(inv, []byte("event"))); got != 1 {
		t.Fatalf("Create = %d, want 1", got)
	}
	return inv.ID
}

// endTold makes a background record with a callback that has ended.
func (b *backend) endTold(t testing.TB, state invocation.State) string {
	t.Helper()
	id := b.createTold(t, function.Background)
	b.finish(t, id, b.begin(t, id, "w").Attempt, ends[state])
	return id
}

// claim claims the one callback that is due.
func (b *backend) claim(t testing.TB) CallbackClaim {
	t.Helper()
	claims, _, err := b.ClaimCallbacks(t.Context(), CallbackRoom{Total: 10}, time.Minute)
	if err != nil || len(claims) != 1 {
		t.Fatalf("ClaimCallbacks = %v, %v, want one", claims, err)
	}
	return claims[0]
}

// noneDue fails if a callback is due.
func (b *backend) noneDue(t testing.TB) {
	t.Helper()
	if claims, _, err := b.ClaimCallbacks(t.Context(), CallbackRoom{Total: 10}, time.Minute); err != nil || len(claims) != 0 {
		t.Errorf("ClaimCallbacks = %v, %v, want none", claims, err)
	}
}

// Callbacks of a site without room are put off, so that those of others behind
// them are found.
func TestClaimCallbacksOfSitesWithRoom(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		for range 3 {
			b.endTold(t, invocation.Succeeded)
		}
		claims, behind, err := b.ClaimCallbacks(t.Context(), CallbackRoom{Total: 10, Sites: map[string]int{"shop": 1}}, time.Minute)
		if err != nil || len(claims) != 1 || !behind || claims[0].Site != "shop" {
			t.Errorf("ClaimCallbacks with room for one of shop = %+v, %t, %v", claims, behind, err)
		}
		claims, behind, err = b.ClaimCallbacks(t.Context(), CallbackRoom{Total: 10}, time.Minute)
		if err != nil || len(claims) != 0 || behind {
			t.Errorf("ClaimCallbacks of what was put off = %+v, %t, %v; want none yet", claims, behind, err)
		}
	})
}

// dueNow lets time pass until a callback is due, if it is in the outbox.
func (b *backend) dueNow(t testing.TB, id string) {
	t.Helper()
	err := b.rdb.ZAddXX(t.Context(), callbacksKey(function.Background), redis.Z{Score: 1, Member: id}).Err()
	if err != nil {
		t.Fatal(err)
	}
}

// dueIn is when a callback is due, from now; ok is false if it is not in the outbox.
func (b *backend) dueIn(t testing.TB, id string) (time.Duration, bool) {
	t.Helper()
	score, err := b.rdb.ZScore(t.Context(), callbacksKey(function.Background), id).Result()
	if errors.Is(err, redis.Nil) {
		return 0, false
	}
	now, timeErr := b.rdb.Time(t.Context()).Result()
	if err := errors.Join(err, timeErr); err != nil {
		t.Fatal(err)
	}
	return time.UnixMilli(int64(score)).Sub(now), true
}

// ttl is how long a record is kept from now on.
func (b *backend) ttl(t testing.TB, id string) time.Duration {
	t.Helper()
	left, err := b.rdb.PTTL(t.Context(), recordKey(function.Background, id)).Result()
	if err != nil {
		t.Fatal(err)
	}
	return left
}

// bury makes a dead callback and returns its invocation's ID.
func (b *backend) bury(t testing.TB) string {
	t.Helper()
	id := b.endTold(t, invocation.Succeeded)
	if err := b.CallbackDead(t.Context(), "shop", b.claim(t), "the receiver answered 410 Gone"); err != nil {
		t.Fatalf("CallbackDead = %v", err)
	}
	return id
}

// callbackWrites are the writes about callbacks.
var callbackWrites = []write{
	{"ClaimCallbacks", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		id := b.endTold(t, invocation.Succeeded)
		return func(ctx context.Context, s *Store) error {
				_, _, err := s.ClaimCallbacks(ctx, CallbackRoom{Total: 10}, time.Minute)
				return err
			}, func() bool {
				in, ok := b.dueIn(t, id)
				return ok && in > 30*time.Second && b.read(t, id).Callback.Attempts == 1
			}
	}, isNil},
	{"CallbackDelivered", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		id := b.endTold(t, invocation.Succeeded)
		c := b.claim(t)
		return func(ctx context.Context, s *Store) error { return s.CallbackDelivered(ctx, "shop", c) }, func() bool {
			_, waits := b.dueIn(t, id)
			counts, err := b.CallbackCounts(t.Context())
			return err == nil && !waits && counts == CallbackCounts{Delivered: 1} && b.read(t, id).Callback.State == invocation.CallbackDelivered
		}
	}, isNil},
	{"CallbackFailed", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		id := b.endTold(t, invocation.Succeeded)
		c := b.claim(t)
		return func(ctx context.Context, s *Store) error {
				return s.CallbackFailed(ctx, "shop", c, "the receiver answered 500", time.Hour)
			}, func() bool {
				in, waits := b.dueIn(t, id)
				return waits && in > time.Minute && b.read(t, id).Callback.Error == "the receiver answered 500"
			}
	}, isNil},
	{"CallbackDead", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		b.endTold(t, invocation.Succeeded)
		c := b.claim(t)
		return func(ctx context.Context, s *Store) error { return s.CallbackDead(ctx, "shop", c, "gone") }, func() bool {
			counts, err := b.CallbackCounts(t.Context())
			dead, _, listErr := b.DeadCallbacks(t.Context(), "shop", "", 10)
			return err == nil && listErr == nil && counts == CallbackCounts{Died: 1} && len(dead) == 1
		}
	}, isNil},
	{"RetryCallback", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		id := b.bury(t)
		return func(ctx context.Context, s *Store) error { return s.RetryCallback(ctx, id) }, func() bool {
			counts, err := b.CallbackCounts(t.Context())
			dead, _, listErr := b.DeadCallbacks(t.Context(), "shop", "", 10)
			return err == nil && listErr == nil && counts == CallbackCounts{Pending: 1, Died: 1, Retried: 1} && len(dead) == 0
		}
	}, isConflict},
}

// Every way in which an invocation can end puts its callback into the outbox,
// in the script that ends it; nothing else does, and only where there is one.
func TestEveryEndIsTold(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		ctx := t.Context()
		for name, test := range map[string]struct {
			end  func(id string) error
			told bool
		}{
			"accepted": {func(string) error { return nil }, false},
			"running":  {func(id string) error { b.begin(t, id, "w"); return nil }, false},
			"failed": {func(id string) error {
				return b.Finish(ctx, function.Background, id, b.begin(t, id, "w").Attempt, ends[invocation.Failed])
			}, false},
			"handed back": {func(id string) error {
				return b.Finish(ctx, function.Background, id, b.begin(t, id, "w").Attempt, ends[invocation.Queued])
			}, false},
			"succeeded": {func(id string) error {
				return b.Finish(ctx, function.Background, id, b.begin(t, id, "w").Attempt, ends[invocation.Succeeded])
			}, true},
			"dead": {func(id string) error {
				return b.Finish(ctx, function.Background, id, b.begin(t, id, "w").Attempt, ends[invocation.Dead])
			}, true},
			"cancelled while it ran": {func(id string) error {
				return b.Finish(ctx, function.Background, id, b.begin(t, id, "w").Attempt, ends[invocation.Cancelled])
			}, true},
			"cancelled in the queue": {func(id string) error { _, err := b.Cancel(ctx, id); return err }, true},
			"poison": {func(id string) error {
				for range invocation.MaxCrashes {
					b.begin(t, id, "w")
				}
				if _, err := b.Begin(ctx, function.Background, id, "w"); !errors.Is(err, ErrFinished) {
					return fmt.Errorf("the last Begin = %w", err)
				}
				return nil
			}, true},
		} {
			id := b.createTold(t, function.Background)
			if err := test.end(id); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if in, told := b.dueIn(t, id); told != test.told || in > time.Second {
				t.Errorf("%s: in the outbox: %t, due in %v; want %t, at once", name, told, in, test.told)
			}
		}
		id := b.put(t, invocation.Dead)
		if _, told := b.dueIn(t, id); told {
			t.Error("an invocation without a callback is in the outbox")
		}
		if inv := b.read(t, id); inv.Callback != nil {
			t.Errorf("its callback is %v, want none", inv.Callback)
		}
	})
}

func TestACallbackIsClaimedUntilItIsSettled(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		ctx := t.Context()
		id := b.endTold(t, invocation.Dead)
		want := invocation.Callback{URL: receiver, State: invocation.CallbackPending}
		is := func(step string) {
			t.Helper()
			if got := *b.read(t, id).Callback; got != want {
				t.Errorf("%s: %+v, want %+v", step, got, want)
			}
		}
		is("before the first request")

		first := b.claim(t)
		now, err := b.rdb.Time(ctx).Result()
		if err != nil {
			t.Fatal(err)
		}
		if first.ID != id || first.Kind != function.Background || first.Request != 1 || first.Try != 1 ||
			!first.End.Equal(b.read(t, id).FinishedAt) || now.Sub(first.At).Abs() > time.Minute {
			t.Errorf("claim = %+v", first)
		}
		b.noneDue(t)
		want.Attempts = 1
		is("claimed")

		reason := strings.Repeat("é", maxCallbackError)
		if err := b.CallbackFailed(ctx, "shop", first, reason, time.Hour); err != nil {
			t.Errorf("CallbackFailed = %v", err)
		}
		b.noneDue(t)
		want.Error = reason[:maxCallbackError]
		is("failed")

		b.dueNow(t, id)
		second := b.claim(t)
		if second.Request != 2 || second.Try != 2 {
			t.Errorf("second claim = %+v", second)
		}
		// The first one's deliverer was frozen and comes back.
		for name, err := range map[string]error{
			"delivered": b.CallbackDelivered(ctx, "shop", first),
			"failed":    b.CallbackFailed(ctx, "shop", first, "late", 0),
			"dead":      b.CallbackDead(ctx, "shop", first, "late"),
		} {
			if !errors.Is(err, ErrFenced) {
				t.Errorf("%s by an old claim = %v, want fenced", name, err)
			}
		}
		if err := b.CallbackDelivered(ctx, "shop", second); err != nil {
			t.Errorf("CallbackDelivered = %v", err)
		}
		if err := b.CallbackDead(ctx, "shop", second, "late"); !errors.Is(err, ErrFenced) {
			t.Errorf("dead after delivered = %v, want fenced", err)
		}
		want.Attempts, want.Error, want.State = 2, "", invocation.CallbackDelivered
		is("delivered")
		b.dueNow(t, id)
		b.noneDue(t)
	})
}

// A worker that dies with a claim leaves it to whoever looks after the lease.
func TestAClaimEndsWithItsLease(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		id := b.endTold(t, invocation.Succeeded)
		b.claim(t)
		if in, _ := b.dueIn(t, id); in <= 0 || in > time.Minute {
			t.Errorf("due in %v, want within the lease", in)
		}
		b.dueNow(t, id)
		if c := b.claim(t); c.ID != id || c.Request != 2 {
			t.Errorf("claim after the lease = %+v", c)
		}
	})
}

func TestNobodyElseGetsAClaim(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		want := map[string]int{}
		for range 60 {
			want[b.endTold(t, invocation.Succeeded)] = 1
		}
		got := map[string]int{}
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 2 * len(want) {
					claims, _, err := b.ClaimCallbacks(t.Context(), CallbackRoom{Total: 7}, time.Minute)
					if err != nil {
						t.Errorf("ClaimCallbacks = %v", err)
					}
					if len(claims) == 0 {
						return
					}
					mu.Lock()
					for _, c := range claims {
						got[c.ID]++
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		for id := range want {
			if got[id] != 1 {
				t.Errorf("%s was claimed %d times", id, got[id])
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d were claimed, want %d", len(got), len(want))
		}
	})
}

// An invocation that is retried ends again, and that end is told as the first was.
func TestASecondEndIsASecondCallback(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		ctx := t.Context()
		id := b.endTold(t, invocation.Dead)
		first := b.claim(t)
		if err := b.CallbackDead(ctx, "shop", first, "no"); err != nil {
			t.Fatal(err)
		}
		b.do(t, b.Retry(function.Background, id))
		if err := b.RetryCallback(ctx, id); !fault.Is(err, fault.Conflict) {
			t.Errorf("RetryCallback of a queued invocation = %v, want a conflict", err)
		}
		// By Redis's clock the two ends must differ, which they do as soon as it moves.
		end := first.End
		eventually(t, "a later millisecond", func() bool {
			now, err := b.rdb.Time(ctx).Result()
			return err == nil && now.After(end.Add(time.Millisecond))
		})
		b.finish(t, id, b.begin(t, id, "w").Attempt, ends[invocation.Succeeded])
		second := b.claim(t)
		if second.ID != id || second.Request != 1 || second.Try != 1 || !second.End.After(first.End) {
			t.Errorf("second end = %+v, first %+v", second, first)
		}
		if dead, _, err := b.DeadCallbacks(ctx, "shop", "", 10); err != nil || len(dead) != 0 {
			t.Errorf("DeadCallbacks = %v, %v, want none", dead, err)
		}
		if err := b.CallbackDelivered(ctx, "shop", first); !errors.Is(err, ErrFenced) {
			t.Errorf("settling the first end = %v, want fenced", err)
		}
		if err := b.CallbackDelivered(ctx, "shop", second); err != nil {
			t.Errorf("settling the second end = %v", err)
		}

		// Retried before the first end was told: nothing is due until the next one.
		id = b.endTold(t, invocation.Dead)
		b.do(t, b.Retry(function.Background, id))
		b.noneDue(t)
		if _, waits := b.dueIn(t, id); waits {
			t.Error("an invocation that is not finished stays in the outbox")
		}
	})
}

func TestTheRecordLastsAsLongAsItsCallback(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		ctx := t.Context()
		b.Store = New(b.rdb, Options{Retention: time.Minute, DeadRetention: 48 * time.Hour})
		within := func(step, id string, least, most time.Duration) {
			t.Helper()
			if left := b.ttl(t, id); left < least || left > most {
				t.Errorf("%s: kept for %v, want %v to %v", step, left, least, most)
			}
		}
		plain := b.put(t, invocation.Succeeded)
		within("without a callback", plain, time.Second, time.Minute)

		const slack = time.Minute
		id := b.endTold(t, invocation.Succeeded)
		within("ended", id, untoldFor-slack, untoldFor)
		b.rdb.PExpire(ctx, recordKey(function.Background, id), time.Minute)
		c := b.claim(t)
		within("claimed", id, untoldFor-slack, untoldFor+time.Minute)
		if err := b.CallbackFailed(ctx, "shop", c, "no", 6*time.Hour); err != nil {
			t.Fatal(err)
		}
		within("failed", id, untoldFor+6*time.Hour-slack, untoldFor+6*time.Hour)
		b.dueNow(t, id)
		if err := b.CallbackDelivered(ctx, "shop", b.claim(t)); err != nil {
			t.Fatal(err)
		}
		within("delivered", id, time.Second, time.Minute)

		id = b.bury(t)
		within("dead", id, 48*time.Hour-slack, 48*time.Hour)
		if left := b.rdb.PTTL(ctx, deadCallbacksKey(function.Background, "shop")).Val(); left < b.ttl(t, id)-slack {
			t.Errorf("the list of the dead is kept for %v, its record for %v", left, b.ttl(t, id))
		}
		if err := b.RetryCallback(ctx, id); err != nil {
			t.Fatal(err)
		}
		within("retried", id, 48*time.Hour-slack, 48*time.Hour)

		// What expired all the same is said to be lost.
		b.rdb.Del(ctx, recordKey(function.Background, id))
		b.noneDue(t)
		counts, err := b.CallbackCounts(ctx)
		if want := (CallbackCounts{Delivered: 1, Died: 1, Retried: 1, Lost: 1}); err != nil || counts != want {
			t.Errorf("CallbackCounts = %+v, %v, want %+v", counts, err, want)
		}
		if err := b.CallbackFailed(ctx, "shop", CallbackClaim{Kind: function.Background, ID: id, Request: 1}, "no", 0); !fault.Is(err, fault.NotFound) {
			t.Errorf("settling without a record = %v, want not found", err)
		}
	})
}

func TestRetryCallback(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		ctx := t.Context()
		id := b.bury(t)
		if err := b.RetryCallback(ctx, id); err != nil {
			t.Fatalf("RetryCallback = %v", err)
		}
		c := b.claim(t)
		if c.ID != id || c.Request != 2 || c.Try != 1 {
			t.Errorf("claim = %+v, want the second request and the first try", c)
		}
		if got := b.read(t, id).Callback; got.State != invocation.CallbackPending || got.Attempts != 2 {
			t.Errorf("callback = %+v", got)
		}
		if err := b.CallbackDelivered(ctx, "shop", c); err != nil {
			t.Errorf("CallbackDelivered = %v", err)
		}
		untold, running := b.put(t, invocation.Succeeded), b.createTold(t, function.Background)
		for name, test := range map[string]struct {
			id   string
			kind fault.Kind
			says string
		}{
			"delivered":  {id, fault.Conflict, "delivered"},
			"none":       {untold, fault.NotFound, "no callback"},
			"unfinished": {running, fault.Conflict, "not finished"},
			"unknown":    {newID(), fault.NotFound, "no invocation"},
			"no ID":      {"../x", fault.NotFound, "no invocation"},
		} {
			if err := b.RetryCallback(ctx, test.id); !fault.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: RetryCallback = %v, want %s that says %q", name, err, test.kind, test.says)
			}
		}
		pending := b.endTold(t, invocation.Succeeded)
		if err := b.RetryCallback(ctx, pending); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "by itself") {
			t.Errorf("RetryCallback of a pending one = %v, want a conflict", err)
		}
	})
}

func TestDeadCallbacks(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		ctx := t.Context()
		if list, next, err := b.DeadCallbacks(ctx, "shop", "", 10); err != nil || len(list) != 0 || next != "" {
			t.Errorf("DeadCallbacks of nothing = %v, %q, %v", list, next, err)
		}
		// Of both kinds, many of them in the same millisecond, and some expired.
		type dead struct {
			died int
			id   string
		}
		var all []dead
		add := func(kind function.Kind, died int, gone bool) {
			id := b.createTold(t, kind)
			begun, err := b.Begin(ctx, kind, id, "w")
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Finish(ctx, kind, id, begun.Attempt, ends[invocation.Succeeded]); err != nil {
				t.Fatal(err)
			}
			if err := b.CallbackDead(ctx, "shop", b.claim(t), "no"); err != nil {
				t.Fatal(err)
			}
			b.rdb.ZAdd(ctx, deadCallbacksKey(kind, "shop"), redis.Z{Score: float64(died), Member: id})
			if gone {
				b.rdb.Del(ctx, recordKey(kind, id))
				return
			}
			all = append(all, dead{died, id})
		}
		for i := range 24 {
			add(recordKinds()[i%2], 1000+i/8*100, i%6 == 5)
		}
		slices.SortFunc(all, func(x, y dead) int {
			if x.died != y.died {
				return y.died - x.died
			}
			return strings.Compare(y.id, x.id)
		})
		for _, limit := range []int{1, 3, 7, len(all), 0, 1000} {
			var got []dead
			for cursor, pages := "", 0; pages <= len(all); pages++ {
				list, next, err := b.DeadCallbacks(ctx, "shop", cursor, limit)
				if err != nil || len(list) > max(limit, 1) {
					t.Fatalf("limit %d: %d listed, %v", limit, len(list), err)
				}
				for _, d := range list {
					got = append(got, dead{int(d.DiedAt.UnixMilli()), d.Invocation.ID})
					if d.Invocation.Callback.Error != "no" || d.Invocation.Result != nil {
						t.Errorf("listed %+v", d.Invocation)
					}
				}
				if cursor = next; cursor == "" {
					break
				}
			}
			if !slices.Equal(got, all) {
				t.Errorf("limit %d: listed %v, want %v", limit, got, all)
			}
		}
		left := b.rdb.ZCard(ctx, deadCallbacksKey(function.Background, "shop")).Val() + b.rdb.ZCard(ctx, deadCallbacksKey(function.Scheduled, "shop")).Val()
		if int(left) != len(all) {
			t.Errorf("%d stand in the sets, want %d: those without a record are removed", left, len(all))
		}
		if list, _, err := b.DeadCallbacks(ctx, "other", "", 10); err != nil || len(list) != 0 {
			t.Errorf("another site's = %v, %v", list, err)
		}
		for _, cursor := range []string{"x", "1000", "1000-x", "-1-" + newID(), "99999999999999999999-" + newID()} {
			if _, _, err := b.DeadCallbacks(ctx, "shop", cursor, 10); !fault.Is(err, fault.Invalid) {
				t.Errorf("cursor %q = %v, want invalid", cursor, err)
			}
		}
	})
}

// callbacks runs every script about callbacks once.
func (b *backend) callbacks(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	id := b.endTold(t, invocation.Dead)
	if err := b.CallbackFailed(ctx, "shop", b.claim(t), "no", 0); err != nil {
		t.Errorf("CallbackFailed = %v", err)
	}
	b.dueNow(t, id)
	if err := b.CallbackDead(ctx, "shop", b.claim(t), "no"); err != nil {
		t.Errorf("CallbackDead = %v", err)
	}
	if dead, _, err := b.DeadCallbacks(ctx, "shop", "", 10); err != nil || len(dead) != 1 {
		t.Errorf("DeadCallbacks = %v, %v, want one", dead, err)
	}
	if err := b.RetryCallback(ctx, id); err != nil {
		t.Errorf("RetryCallback = %v", err)
	}
	if err := b.CallbackDelivered(ctx, "shop", b.claim(t)); err != nil {
		t.Errorf("CallbackDelivered = %v", err)
	}
	// Whether a record with a callback expired before is another test's matter.
	counts, err := b.CallbackCounts(ctx)
	if want := (CallbackCounts{Delivered: 1, Died: 1, Retried: 1, Lost: counts.Lost}); err != nil || counts != want {
		t.Errorf("CallbackCounts = %+v, %v, want %+v", counts, err, want)
	}
}
