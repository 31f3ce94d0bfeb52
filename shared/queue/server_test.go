package queue

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

func TestServerValidates(t *testing.T) {
	t.Parallel()
	b := setup(t)
	handler := func(context.Context, Delivery) Disposition { return Done() }
	good := ServerConfig{Redis: b.rdb, Concurrency: 2, Handler: handler, Logger: testLog(t)}
	for name, tc := range map[string]struct {
		break_ func(*ServerConfig)
		want   fault.Kind
	}{
		"no redis":         {func(c *ServerConfig) { c.Redis = nil }, fault.Internal},
		"no handler":       {func(c *ServerConfig) { c.Handler = nil }, fault.Internal},
		"no logger":        {func(c *ServerConfig) { c.Logger = nil }, fault.Internal},
		"no concurrency":   {func(c *ServerConfig) { c.Concurrency = 0 }, fault.Invalid},
		"negative loops":   {func(c *ServerConfig) { c.Loops = -1 }, fault.Invalid},
		"more loops than…": {func(c *ServerConfig) { c.Loops = 3 }, fault.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := good
			tc.break_(&cfg)
			if _, err := NewServer(cfg); !fault.Is(err, tc.want) {
				t.Errorf("NewServer: %v; want %s", err, tc.want)
			}
		})
	}
}

func TestDelivers(t *testing.T) {
	t.Parallel()
	for name, open := range redistest.Kinds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupOn(t, open(t))
			got := make(chan Delivery, 2)
			b.serve(ServerConfig{Handler: func(_ context.Context, d Delivery) Disposition {
				got <- d
				return Done()
			}})
			b.enqueue("a")
			want := Delivery{ID: "a", Queue: function.Background, Target: task("a").Target}
			if d := receive(t, "the delivery", got); d != want {
				t.Errorf("delivered %+v; want %+v", d, want)
			}
			eventually(t, "the task is gone", func() bool { return !b.exists("a") })
		})
	}
}

// Without the wake-up nothing would be delivered here: loops stay parked.
func TestWakesParkedLoops(t *testing.T) {
	t.Parallel()
	for name, open := range redistest.Kinds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupOn(t, open(t))
			var dequeues atomic.Int64
			b.rdb.AddHook(&watch{see: func(cmd redis.Cmder) {
				if matching(takeShape)(cmd) {
					dequeues.Add(1)
				}
			}})
			got := make(chan string, 1)
			s := b.server(ServerConfig{Loops: 2, Handler: func(_ context.Context, d Delivery) Disposition {
				got <- d.ID
				return Done()
			}})
			s.waker.atMost = time.Hour
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			const n = 50
			for _, id := range ids(n) {
				kind := function.Background
				if id > "t025" {
					kind = function.Scheduled
				}
				tk := task(id)
				tk.Queue = kind
				if _, err := b.client.Enqueue(t.Context(), tk); err != nil {
					t.Fatal(err)
				}
				if d := receive(t, "the delivery of "+id, got); d != id {
					t.Fatalf("delivered %s; want %s", d, id)
				}
			}
			// A handful per task: what a waker that spins would make are thousands.
			if got, most := dequeues.Load(), int64(n*8+20); got > most {
				t.Errorf("%d dequeues for %d tasks; want at most %d", got, n, most)
			}
		})
	}
}

// A waiter that loses its connection blocks again for those who are still parked.
func TestWakesAfterALostConnection(t *testing.T) {
	t.Parallel()
	if !redistest.Real() {
		return // miniredis ends no connection for us
	}
	srv := redistest.Start(t)
	b := setupOn(t, srv.Client())
	got := make(chan string, 1)
	s := b.server(ServerConfig{Handler: func(_ context.Context, d Delivery) Disposition {
		got <- d.ID
		return Done()
	}})
	s.waker.atMost = time.Hour
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	blocked := func() (connections []string) {
		for line := range strings.Lines(b.rdb.ClientList(t.Context()).Val()) {
			if strings.Contains(line, " cmd=blmove ") {
				id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " ")
				connections = append(connections, id)
			}
		}
		return connections
	}
	eventually(t, "a waiter for each queue", func() bool { return len(blocked()) == len(queues) })
	for _, id := range blocked() {
		if err := b.rdb.ClientKillByFilter(t.Context(), "ID", id).Err(); err != nil {
			t.Fatal(err)
		}
	}
	b.enqueue("a")
	receive(t, "the delivery", got)
}

func TestIdlesQuietly(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*bundle){
		"empty": func(*bundle) {},
		"paused and full": func(b *bundle) {
			b.enqueue("a")
			if err := b.tasks.PauseQueue(string(function.Background)); err != nil {
				b.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			prepare(b)
			var commands atomic.Int64
			b.rdb.AddHook(&watch{see: func(redis.Cmder) { commands.Add(1) }})
			got := make(chan string, 1)
			s := b.serve(ServerConfig{Loops: 2, Handler: func(_ context.Context, d Delivery) Disposition {
				got <- d.ID
				return Done()
			}})
			<-time.After(1500 * time.Millisecond) // an observation, not a wait for something
			// Two loops that look at two queues a second, upkeep, start.
			if n := commands.Load(); n > 70 {
				t.Errorf("%d commands in 1.5 s of idling; want at most 70", n)
			}
			if name == "empty" {
				return
			}
			if n := len(got); n != 0 {
				t.Fatalf("%d deliveries from a paused queue", n)
			}
			if err := b.tasks.UnpauseQueue(string(function.Background)); err != nil {
				t.Fatal(err)
			}
			receive(t, "the delivery after the pause", got)
			if s.waker.stopped() {
				t.Error("the server stopped by itself")
			}
		})
	}
}

func TestSurvivesRedisOutage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var breaker redistest.Breaker
	var dequeues atomic.Int64
	b.rdb.AddHook(&watch{see: func(cmd redis.Cmder) {
		if matching(takeShape)(cmd) {
			dequeues.Add(1)
		}
	}})
	b.rdb.AddHook(&breaker)
	got := make(chan string, 1)
	b.serve(ServerConfig{Loops: 2, Handler: func(_ context.Context, d Delivery) Disposition {
		got <- d.ID
		return Done()
	}})
	breaker.Break(1<<30, redistest.Failed, matching(takeShape))
	b.enqueue("a")
	before := dequeues.Load()
	<-time.After(time.Second) // an observation, not a wait for something
	if n := dequeues.Load() - before; n > 20 {
		t.Errorf("%d dequeues in 1 s without Redis; want at most 20", n)
	}
	breaker.Break(0, redistest.Failed, nil)
	receive(t, "the delivery after the outage", got)
}

func TestPriority(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 20
	var want []string
	for _, id := range ids(n) {
		b.enqueue("late-" + id)
	}
	for _, id := range ids(n) {
		first := task("first-" + id)
		first.Queue = function.Scheduled
		if _, err := b.client.Enqueue(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		want = append(want, first.ID)
	}
	for _, id := range ids(n) {
		want = append(want, "late-"+id)
	}
	got := make(chan string, 2*n)
	b.serve(ServerConfig{Concurrency: 1, Handler: func(_ context.Context, d Delivery) Disposition {
		got <- d.ID
		return Done()
	}})
	for _, want := range want {
		if id := receive(t, want, got); id != want {
			t.Errorf("delivered %s; want %s", id, want)
		}
	}
}

func TestRetryIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	runs := make(chan time.Time, 2)
	var n atomic.Int64
	const after = 1500 * time.Millisecond
	b.serve(ServerConfig{Handler: func(context.Context, Delivery) Disposition {
		runs <- time.Now()
		if n.Add(1) == 1 {
			return RetryIn(after)
		}
		return Done()
	}})
	b.enqueue("a")
	first := receive(t, "the first run", runs)
	second := receive(t, "the second run", runs)
	if wait := second.Sub(first); wait < after {
		t.Errorf("the second run came %v after the first; want %v at least", wait, after)
	}
	eventually(t, "the task is gone", func() bool { return !b.exists("a") })
}

func TestBury(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.serve(ServerConfig{Handler: func(context.Context, Delivery) Disposition { return Bury("no such deploy") }})
	b.enqueue("a")
	eventually(t, "the task is archived", func() bool { return b.state("a") == "archived" })
	info, err := b.tasks.GetTaskInfo(string(function.Background), "a")
	if err != nil {
		t.Fatal(err)
	}
	if info.LastErr != "no such deploy" {
		t.Errorf("the archive says %q; want the reason", info.LastErr)
	}
}

func TestBuriesWhatIsNoTarget(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enqueue("a") // for the shape of a message; its payload is broken below
	key := taskKeyPrefix(function.Background) + "a"
	msg, err := b.rdb.HGet(t.Context(), key, "msg").Bytes()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.Index(msg, '{')
	msg[i] = '!'
	if err := b.rdb.HSet(t.Context(), key, "msg", msg).Err(); err != nil {
		t.Fatal(err)
	}
	b.serve(ServerConfig{Handler: func(context.Context, Delivery) Disposition {
		t.Error("the handler ran")
		return Done()
	}})
	eventually(t, "the task is archived", func() bool { return b.state("a") == "archived" })
}

func TestHandBack(t *testing.T) {
	t.Parallel()
	for name, open := range redistest.Kinds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupOn(t, open(t))
			b.enqueue("a")
			b.enqueue("b")
			got := make(chan string, 4)
			var n atomic.Int64
			b.serve(ServerConfig{Concurrency: 1, Handler: func(_ context.Context, d Delivery) Disposition {
				if n.Add(1) == 3 {
					info, err := b.tasks.GetTaskInfo(string(function.Background), "a")
					if err != nil || info.Retried != 0 {
						t.Errorf("after two hand-backs: %+v, %v; want no retry counted", info, err)
					}
				}
				got <- d.ID
				if n.Load() < 3 {
					return HandBack()
				}
				return Done()
			}})
			for _, want := range []string{"a", "a", "a", "b"} {
				if id := receive(t, want, got); id != want {
					t.Fatalf("delivered %s; want %s: the head of the queue", id, want)
				}
			}
		})
	}
}

// A hand-back whose reply was lost is repeated. Meanwhile another worker may
// have the task, and must keep it.
func TestHandBackTwiceTakesNothing(t *testing.T) {
	t.Parallel()
	for name, open := range redistest.Kinds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupOn(t, open(t))
			b.enqueue("a")
			c := &loopClient{UniversalClient: b.rdb, server: "w1", empty: map[function.Kind]time.Time{}, log: testLog(t), due: new(dueTimes), looks: newLooks(), waker: newWaker(b.rdb, testLog(t)), clock: &clock{rdb: b.rdb, log: testLog(t), now: time.Now}}
			q := function.Background
			activate := func() {
				t.Helper()
				b.rdb.RPopLPush(t.Context(), pendingKey(q), activeKey(q))
				b.rdb.ZAdd(t.Context(), leaseKey(q), redis.Z{Score: float64(time.Now().Unix() + 30), Member: "a"})
				b.rdb.HSet(t.Context(), taskKeyPrefix(q)+"a", "state", "active")
			}
			handBack := func(nth int64) {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				at := time.Now().Add(delay(errHandBack, nth)).Unix()
				keys := []string{taskKeyPrefix(q) + "a", activeKey(q), leaseKey(q), queueKey(q, "retry"),
					queueKey(q, "processed:d"), queueKey(q, "failed:d"), queueKey(q, "processed"), queueKey(q, "failed")}
				if err := c.EvalSha(ctx, "none", keys, "a", "msg", at, int64(0), false, int64(0)).Err(); err != nil {
					t.Fatal(err)
				}
			}
			activate()
			handBack(1)
			if got := b.pending(q); !slices.Equal(got, []string{"a"}) || b.state("a") != "pending" {
				t.Fatalf("pending %v, state %s; want the task back", got, b.state("a"))
			}
			activate()  // another worker has it
			handBack(1) // the repeated try
			if got := b.state("a"); got != "active" || len(b.pending(q)) != 0 {
				t.Errorf("state %s, pending %v; the repeated try took the task from its new worker", got, b.pending(q))
			}
			handBack(2) // a new one
			if got := b.state("a"); got != "pending" {
				t.Errorf("state %s after another hand-back; want pending", got)
			}
			handBack(3) // not active at all
			if got := b.pending(q); len(got) != 1 {
				t.Errorf("pending %v; want the task once", got)
			}
		})
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.serve(ServerConfig{Handler: func(context.Context, Delivery) Disposition { panic("boom") }})
	b.enqueue("a")
	eventually(t, "the task waits for its retry", func() bool { return b.state("a") == "retry" })
	at, err := b.rdb.ZScore(t.Context(), queueKey(function.Background, "retry"), "a").Result()
	if err != nil {
		t.Fatal(err)
	}
	if wait := time.Until(time.Unix(int64(at), 0)); wait < 50*time.Second || wait > 62*time.Second {
		t.Errorf("it runs again in %v; want about a minute", wait)
	}
}

// Both rows of the failure table: either way the task ran, and must not again.
func TestFailedAcknowledgementIsRepaired(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]redistest.Fault{"failed": redistest.Failed, "failed but done": redistest.FailedButDone} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var breaker redistest.Breaker
			b.rdb.AddHook(&breaker)
			breaker.Break(1, how, settling)
			var runs atomic.Int64
			s := b.serve(ServerConfig{Handler: func(context.Context, Delivery) Disposition {
				runs.Add(1)
				return Done()
			}})
			b.enqueue("a")
			eventually(t, "the acknowledgement fails", func() bool { return breaker.Broke() == 1 })
			// asynq repeats every 5 s, and once more when it stops.
			if err := s.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			if b.exists("a") {
				t.Errorf("the task is %q after Stop; want it gone", b.state("a"))
			}
			if n := runs.Load(); n != 1 {
				t.Errorf("the task ran %d times; want once", n)
			}
		})
	}
}

func TestLeaseLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	running, ended := make(chan struct{}, 1), make(chan error, 1)
	var first atomic.Bool
	b.serve(ServerConfig{Handler: func(ctx context.Context, _ Delivery) Disposition {
		if !first.CompareAndSwap(false, true) {
			return Done()
		}
		if _, has := ctx.Deadline(); has {
			t.Error("the context has a deadline")
		}
		running <- struct{}{}
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return Done() // ignored: the task runs again
	}})
	b.enqueue("a")
	receive(t, "the handler runs", running)
	// The quickest way to take a task from its worker is asynq's own cancel.
	eventually(t, "the handler is cancelled", func() bool {
		if err := b.tasks.CancelProcessing("a"); err != nil {
			t.Fatal(err)
		}
		return len(ended) == 1
	})
	if cause := <-ended; !errors.Is(cause, ErrLeaseLost) {
		t.Errorf("cancelled with %v; want ErrLeaseLost", cause)
	}
	eventually(t, "the task has run again", func() bool { return !b.exists("a") })
}

// On a machine whose clock is a minute slow, leases are right all the same.
func TestLeasesFollowTheClockOfRedis(t *testing.T) {
	t.Parallel()
	b := setup(t)
	running, release := make(chan struct{}), make(chan struct{})
	s := b.server(ServerConfig{Handler: func(context.Context, Delivery) Disposition {
		close(running)
		<-release
		return Done()
	}})
	defer close(release)
	const slow = time.Minute
	// asynq's clock cannot be changed, so Redis must seem to be ahead of it.
	s.clock.now = func() time.Time { return time.Now().Add(-slow) }
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	b.enqueue("a")
	receive(t, "the handler runs", running)
	lease := func() time.Duration {
		score, err := b.rdb.ZScore(t.Context(), leaseKey(function.Background), "a").Result()
		if err != nil {
			t.Fatal(err)
		}
		return time.Until(time.Unix(int64(score), 0))
	}
	if got, want := lease(), slow+30*time.Second; (got - want).Abs() > 3*time.Second {
		t.Errorf("the lease ends in %v; want about %v", got, want)
	}
	// Shorter, yet not over: asynq's recoverer, which looks once at the start,
	// would take the task.
	short := float64(time.Now().Add(slow + 10*time.Second).Unix())
	if err := b.rdb.ZAddXX(t.Context(), leaseKey(function.Background), redis.Z{Score: short, Member: "a"}).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the heartbeat extends the lease by the clock of Redis", func() bool {
		return (lease() - slow - 30*time.Second).Abs() < 3*time.Second
	})
}
