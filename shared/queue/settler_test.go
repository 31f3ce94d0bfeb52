package queue

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

// settlers runs a test on the best Redis that there is, and on the last resort.
func settlers(t *testing.T, test func(t *testing.T, b *bundle, s *Settler)) {
	t.Parallel()
	for mode, open := range redistest.Kinds() {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := setupOn(t, open(t))
			s := NewSettler(b.rdb)
			t.Cleanup(s.Close)
			test(t, b, s)
		})
	}
}

// activate takes the tasks as a worker does.
func (b *bundle) activate(ids ...string) {
	b.Helper()
	for _, id := range ids {
		b.enqueue(id)
	}
	loop := &loopClient{UniversalClient: b.rdb}
	q := function.Background
	keys := []string{pendingKey(q), pausedKey(q), activeKey(q), leaseKey(q)}
	got, err := loop.take(b.Context(), q, keys, []any{time.Now().Add(time.Minute).Unix(), taskKeyPrefix(q)}, len(ids))
	if err != nil || len(got) != len(ids) {
		b.Fatalf("took %d tasks, %v; want %d", len(got), err, len(ids))
	}
}

func delivery(id string) Delivery { return Delivery{ID: id, Queue: function.Background} }

// left tells what is left of a task.
func (b *bundle) left(id string) string {
	b.Helper()
	q, ctx := function.Background, b.Context()
	held := b.rdb.HExists(ctx, lanePrefix(q)+"held", id).Val()
	active := slices.Contains(b.rdb.LRange(ctx, activeKey(q), 0, -1).Val(), id)
	leased := b.rdb.ZScore(ctx, leaseKey(q), id).Err() == nil
	return fmt.Sprintf("%s active=%v leased=%v slot=%v", b.state(id), active, leased, held)
}

const (
	gone   = " active=false leased=false slot=false"
	active = "active active=true leased=true slot=true"
)

func TestFinish(t *testing.T) {
	settlers(t, func(t *testing.T, b *bundle, s *Settler) {
		for id, tc := range map[string]struct {
			steps   []redisdb.Step
			verdict int
			left    string
			list    []string
		}{
			"none":    {verdict: Queued, left: gone},
			"two":     {steps: []redisdb.Step{note("x"), note("y", "z")}, verdict: Queued, left: gone, list: []string{"x", "y", "z"}},
			"before":  {steps: []redisdb.Step{refuse(Existed), note("x")}, verdict: Existed, left: gone},
			"refused": {steps: []redisdb.Step{note("x"), refuse(-8)}, verdict: -8, left: active},
		} {
			b.rdb.Del(t.Context(), "l:{background}")
			b.activate(id)
			if verdict, err := s.Finish(t.Context(), delivery(id), tc.steps...); verdict != tc.verdict || err != nil {
				t.Errorf("%s: Finish = %d, %v; want %d", id, verdict, err, tc.verdict)
			}
			if got := b.left(id); got != tc.left {
				t.Errorf("%s: left is %q, want %q", id, got, tc.left)
			}
			if got := b.rdb.LRange(t.Context(), "l:{background}", 0, -1).Val(); !slices.Equal(got, tc.list) && len(got)+len(tc.list) > 0 {
				t.Errorf("%s: notes %v; want %v", id, got, tc.list)
			}
			if got, want := s.took(id), tc.verdict >= 0; got != want {
				t.Errorf("%s: the server is told %v that it is settled; want %v", id, got, want)
			}
		}
		day := queueKey(function.Background, "processed:"+time.Now().UTC().Format(time.DateOnly))
		total, err := b.rdb.Get(t.Context(), queueKey(function.Background, "processed")).Int()
		today, _ := b.rdb.Get(t.Context(), day).Int()
		if total != 3 || today != 3 || err != nil {
			t.Errorf("processed: %d, today %d, %v; want 3", total, today, err)
		}
		if ttl := b.rdb.TTL(t.Context(), day).Val(); ttl < countersAge-time.Hour || ttl > countersAge {
			t.Errorf("today's counter is kept for %v, want %v", ttl, countersAge)
		}
	})
}

// A worker whose lease is over has done the work all the same.
func TestFinishWithoutTheLease(t *testing.T) {
	settlers(t, func(t *testing.T, b *bundle, s *Settler) {
		b.activate("back", "deleted")
		ctx, q := t.Context(), function.Background
		for _, id := range []string{"back", "deleted"} {
			if n, err := untakeScript.Run(ctx, b.rdb, []string{queuePrefix(q)}, id).Int(); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		b.rdb.LRem(ctx, pendingKey(q), 0, "deleted")
		b.rdb.Del(ctx, taskKeyPrefix(q)+"deleted")
		for id, left := range map[string]string{"back": "pending active=false leased=false slot=true", "deleted": gone} {
			if verdict, err := s.Finish(ctx, delivery(id), note(id)); verdict != Queued || err != nil {
				t.Errorf("%s: Finish = %d, %v", id, verdict, err)
			}
			if got := b.left(id); got != left {
				t.Errorf("%s: left is %q, want %q", id, got, left)
			}
		}
	})
}

// A try whose reply was lost is repeated, and counts once.
func TestFinishTwice(t *testing.T) {
	settlers(t, func(t *testing.T, b *bundle, s *Settler) {
		b.activate("a")
		var breaker redistest.Breaker
		b.rdb.AddHook(&breaker)
		breaker.Break(1, redistest.FailedButDone, func(cmd redis.Cmder) bool { _, ok := scriptOf(cmd); return ok && cmd.Name() == "eval" })
		step := create()
		if _, err := s.Finish(t.Context(), delivery("a"), step); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("Finish without a reply = %v; want unavailable", err)
		}
		if verdict, err := s.Finish(t.Context(), delivery("a"), step); verdict != Existed || err != nil {
			t.Errorf("again: %d, %v; want %d", verdict, err, Existed)
		}
		if got := b.left("a"); got != gone {
			t.Errorf("left is %q", got)
		}
		if n, _ := b.rdb.Get(t.Context(), queueKey(function.Background, "processed")).Int(); n != 1 {
			t.Errorf("processed %d, want 1", n)
		}
	})
}

// Those that end together share a script, and each has its own verdict; what
// waits in the lane gets the slots.
func TestFinishTogether(t *testing.T) {
	settlers(t, func(t *testing.T, b *bundle, s *Settler) {
		const slots, tasks = 20, 60
		var waiting []string
		for i := range tasks {
			id := fmt.Sprintf("t%02d", i)
			tk := task(id)
			tk.Concurrency = slots
			if v, err := b.client.Enqueue(t.Context(), tk); v != Queued || err != nil {
				t.Fatal(v, err)
			}
			waiting = append(waiting, id)
		}
		var scripts atomic.Int64
		b.rdb.AddHook(&watch{see: func(cmd redis.Cmder) {
			if _, ok := scriptOf(cmd); ok {
				scripts.Add(1)
			}
		}})
		loop := &loopClient{UniversalClient: b.rdb}
		q := function.Background
		for len(waiting) > 0 {
			got, err := loop.take(t.Context(), q, []string{pendingKey(q), pausedKey(q), activeKey(q), leaseKey(q)},
				[]any{time.Now().Add(time.Minute).Unix(), taskKeyPrefix(q)}, tasks)
			if len(got) != slots || err != nil {
				t.Fatalf("took %d, %v; want the %d that have slots", len(got), err, slots)
			}
			var all sync.WaitGroup
			for i, one := range got {
				if one.id != waiting[i] {
					t.Errorf("took %s, want %s: the order is lost", one.id, waiting[i])
				}
				all.Go(func() {
					if v, err := s.Finish(t.Context(), delivery(one.id), note(one.id)); v != Queued || err != nil {
						t.Errorf("%s: %d, %v", one.id, v, err)
					}
				})
			}
			all.Wait()
			waiting = waiting[slots:]
		}
		if n := b.rdb.LLen(t.Context(), "l:{background}").Val(); n != tasks {
			t.Errorf("%d notes, want %d", n, tasks)
		}
		if got := b.rdb.HGetAll(t.Context(), lanePrefix(q)+"bounds").Val(); len(got) != 1 { // the limit
			t.Errorf("bounds are left: %v", got)
		}
		if n := scripts.Load(); n > tasks {
			t.Errorf("%d scripts for %d ends, want them shared", n, tasks)
		}
	})
}

// A handler that has finished its delivery costs asynq no script.
func TestServerDoesNotSettleWhatIsFinished(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := NewSettler(b.rdb)
	t.Cleanup(s.Close)
	var settles atomic.Int64
	b.rdb.AddHook(&watch{see: func(cmd redis.Cmder) {
		if settling(cmd) {
			settles.Add(1)
		}
	}})
	var ran atomic.Int64
	server, err := NewServer(ServerConfig{
		Redis: b.rdb, Concurrency: 4, Settler: s, Logger: testLog(t),
		Handler: func(ctx context.Context, d Delivery) Disposition {
			if v, err := s.Finish(ctx, d, note(d.ID)); v != Queued || err != nil {
				t.Errorf("Finish = %d, %v", v, err)
			}
			ran.Add(1)
			return Done()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	const n = 50
	for i := range n {
		b.enqueue(fmt.Sprint("t", i))
	}
	eventually(t, "all ran", func() bool { return ran.Load() == n })
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := settles.Load(); got != 0 {
		t.Errorf("%d settling scripts ran besides", got)
	}
	left := 0
	s.finished.Range(func(any, any) bool { left++; return true })
	if left != 0 {
		t.Errorf("%d finished tasks are remembered", left)
	}
}

// A delivery that was finished after its lease says nothing of the next one.
func TestAnOldFinishDoesNotKeepATask(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := NewSettler(b.rdb)
	t.Cleanup(s.Close)
	s.finished.Store("a", struct{}{})
	handled := make(chan struct{})
	server, err := NewServer(ServerConfig{
		Redis: b.rdb, Concurrency: 1, Settler: s, Logger: testLog(t),
		Handler: func(context.Context, Delivery) Disposition { close(handled); return Done() },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	b.enqueue("a")
	receive(t, "the task is handled", handled)
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.left("a"); got != gone {
		t.Errorf("left is %q, want it settled", got)
	}
}

// What was taken and given to nobody when the server pauses goes back to the head.
func TestTakenTasksAreGivenBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.activate("a", "b", "c")
	b.enqueue("d")
	c := &loopClient{UniversalClient: b.rdb, log: testLog(t)}
	for _, id := range []string{"b", "c"} {
		c.taken = append(c.taken, takenTask{function.Background, id, ""})
	}
	c.giveBack()
	if got := b.pending(function.Background); !slices.Equal(got, []string{"b", "c", "d"}) {
		t.Errorf("pending %v; want those given back first", got)
	}
	if got := b.left("a"); got != active {
		t.Errorf("a, which was given to somebody: %s", got)
	}
	if got := b.left("b"); got != "pending active=false leased=false slot=true" {
		t.Errorf("b: %s", got)
	}
}
