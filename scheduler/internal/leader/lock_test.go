package leader

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/redis/go-redis/v9"
)

const shortTTL = 2 * time.Second

// contender is an elector on a real Redis.
type contender struct {
	breaker *redistest.Breaker
	terms   chan int64 // each term that it begins
	ended   chan error // the cause of each end
	stop    context.CancelFunc
	done    chan struct{}
}

func contend(t *testing.T, server *redistest.Server) *contender {
	t.Helper()
	c := &contender{breaker: &redistest.Breaker{}, terms: make(chan int64, 10), ended: make(chan error, 10), done: make(chan struct{})}
	rdb := server.Client()
	rdb.AddHook(c.breaker)
	e := New(Config{Redis: rdb, Terms: newStore(rdb), TTL: shortTTL, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	go func() {
		defer close(c.done)
		e.Lead(ctx, func(ctx context.Context, term int64) {
			c.terms <- term
			<-ctx.Done()
			c.ended <- context.Cause(ctx)
		})
	}()
	t.Cleanup(c.leave)
	return c
}

func (c *contender) leave() {
	c.stop()
	<-c.done
}

func receive[T any](t *testing.T, what string, from <-chan T, within time.Duration) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(within):
		t.Fatalf("%s: nothing within %v", what, within)
		panic("unreachable")
	}
}

func TestRealHandover(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := contend(t, server)
	first := receive(t, "a leads", a.terms, 5*time.Second)
	b, c := contend(t, server), contend(t, server)
	waitFor(t, server.Client(), "the standbys listen", func(ctx context.Context, rdb redis.UniversalClient) bool {
		return rdb.PubSubNumSub(ctx, releasedChannel).Val()[releasedChannel] == 3
	})
	before := time.Now()
	a.leave()
	if cause := receive(t, "a ends", a.ended, time.Second); !errors.Is(cause, ErrStopping) {
		t.Errorf("a ended because %v, want %v", cause, ErrStopping)
	}
	var second int64
	select {
	case second = <-b.terms:
	case second = <-c.terms:
	case <-time.After(2 * shortTTL):
		t.Fatal("nobody took over")
	}
	t.Logf("taken over %v after the stop began", time.Since(before))
	if second <= first {
		t.Errorf("term %d follows %d, want a higher one", second, first)
	}
}

func TestRealLockDeleted(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := contend(t, server)
	receive(t, "a leads", a.terms, 5*time.Second)
	if err := server.Client().Del(t.Context(), lockKey).Err(); err != nil {
		t.Fatal(err)
	}
	if cause := receive(t, "a ends", a.ended, shortTTL); !errors.Is(cause, ErrLockLost) {
		t.Errorf("a ended because %v, want %v", cause, ErrLockLost)
	}
	receive(t, "a leads again", a.terms, 2*shortTTL)
}

// TestRealConnectionCut: the leader steps down within its trust, the standby
// leads after the lock has expired, and not before.
func TestRealConnectionCut(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := contend(t, server)
	receive(t, "a leads", a.terms, 5*time.Second)
	b := contend(t, server)
	a.breaker.Break(1<<30, redistest.Failed, nil)
	cause := receive(t, "a ends", a.ended, shortTTL+time.Second)
	if !errors.Is(cause, ErrTrustExpired) {
		t.Errorf("a ended because %v, want %v", cause, ErrTrustExpired)
	}
	select {
	case <-b.terms:
		t.Error("the standby led before the leader had stepped down")
	default:
	}
	receive(t, "b leads", b.terms, 2*shortTTL)
}

// TestRealRenewalReplyLost: a renewal that was done, but whose reply was lost,
// costs nothing.
func TestRealRenewalReplyLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := contend(t, server)
	receive(t, "a leads", a.terms, 5*time.Second)
	a.breaker.Break(2, redistest.FailedButDone, nil)
	waitFor(t, server.Client(), "two broken renewals", func(context.Context, redis.UniversalClient) bool { return a.breaker.Broke() == 2 })
	select {
	case cause := <-a.ended:
		t.Errorf("a ended because %v, want it to go on", cause)
	case <-time.After(shortTTL):
	}
}

// TestStaleLeaderIsRefused: what a leader of an old term writes is refused,
// whatever it believes.
func TestStaleLeaderIsRefused(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := newStore(server.Client())
	a := contend(t, server)
	stale := receive(t, "a leads", a.terms, 5*time.Second)
	cursors, err := s.SyncCursors(t.Context(), stale, []string{"key"})
	if err != nil {
		t.Fatalf("SyncCursors of the leader: %v", err)
	}
	tick := time.Now().Add(time.Hour)
	skipping := store.Skipping{Key: "key", After: cursors["key"], From: tick, To: tick, Count: 1, Reason: store.SkipMissed}
	a.leave()
	b := contend(t, server)
	fresh := receive(t, "b leads", b.terms, 5*time.Second)
	if _, err := s.SyncCursors(t.Context(), stale, nil); !errors.Is(err, store.ErrSuperseded) {
		t.Errorf("SyncCursors in term %d = %v, want %v", stale, err, store.ErrSuperseded)
	}
	if err := s.Skip(t.Context(), stale, skipping); !errors.Is(err, store.ErrSuperseded) {
		t.Errorf("Skip in term %d = %v, want %v", stale, err, store.ErrSuperseded)
	}
	if err := s.Skip(t.Context(), fresh, skipping); err != nil {
		t.Errorf("Skip in term %d = %v, want nil", fresh, err)
	}
}

// TestFrozenLeader holds every command of the leader back, as a stopped process
// does, until its successor leads; what it sends then changes nothing.
func TestFrozenLeader(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb := server.Client()
	freeze := &freezer{thaw: make(chan struct{})}
	rdb.AddHook(freeze)
	terms, ended := make(chan int64, 10), make(chan error, 10)
	e := New(Config{Redis: rdb, Terms: newStore(rdb), TTL: shortTTL, Logger: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.Lead(ctx, func(ctx context.Context, term int64) {
			terms <- term
			<-ctx.Done()
			ended <- context.Cause(ctx)
		})
	}()
	defer func() { stop(); <-done }()
	receive(t, "the first leads", terms, 5*time.Second)
	freeze.on.Store(true)
	b := contend(t, server)
	receive(t, "the first ends", ended, 2*shortTTL)
	receive(t, "the second leads", b.terms, 2*shortTTL)
	close(freeze.thaw)
	select {
	case cause := <-b.ended:
		t.Errorf("the second ended because %v after the first came back", cause)
	case term := <-terms:
		t.Errorf("the first leads term %d beside the second", term)
	case <-time.After(2 * shortTTL):
	}
}

// freezer is a hook that holds commands back until thaw is closed.
type freezer struct {
	on   atomic.Bool
	thaw chan struct{}
}

func (f *freezer) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f *freezer) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if f.on.Load() {
			<-f.thaw
		}
		return next(ctx, cmd)
	}
}

func (f *freezer) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func newStore(rdb redis.UniversalClient) *store.Store { return store.New(rdb, store.Options{}) }

func waitFor(t *testing.T, rdb redis.UniversalClient, what string, ok func(context.Context, redis.UniversalClient) bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok(t.Context(), rdb) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
