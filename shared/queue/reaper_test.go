package queue

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

func TestSweep(t *testing.T) {
	t.Parallel()
	const q = function.Background
	for name, open := range redistest.Kinds() {
		for _, tc := range []struct {
			name  string
			lease time.Duration // until it ends; 0: none
			state string        // "" for a task whose hash is gone
			want  string
		}{
			{"over", -10 * time.Second, "active", "pending"},
			{"over within the grace", -1 * time.Second, "active", "active"},
			{"valid", 20 * time.Second, "active", "active"},
			{"none", 0, "active", "pending"},
			{"over, task gone", -10 * time.Second, "", ""},
			{"none, task gone", 0, "", ""},
			{"over, already retried", -10 * time.Second, "retry", "retry"},
		} {
			t.Run(name+"/"+tc.name, func(t *testing.T) {
				t.Parallel()
				b := setupOn(t, open(t))
				ctx := t.Context()
				b.enqueue("waiting")
				now, err := redisdb.Now(ctx, b.rdb)
				if err != nil {
					t.Fatal(err)
				}
				b.rdb.LPush(ctx, activeKey(q), "a")
				if tc.lease != 0 {
					b.rdb.ZAdd(ctx, leaseKey(q), redis.Z{Score: float64(now.Add(tc.lease).Unix()), Member: "a"})
				}
				if tc.state != "" {
					b.rdb.HSet(ctx, taskKeyPrefix(q)+"a", "state", tc.state, "msg", "m")
				}
				n, err := NewReaper(b.rdb, testLog(t)).Sweep(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if got := b.state("a"); got != tc.want {
					t.Errorf("state %q; want %q", got, tc.want)
				}
				back := tc.want == "pending"
				wantPending := []string{"waiting"}
				if back {
					wantPending = []string{"a", "waiting"}
				}
				if got := b.pending(q); !slices.Equal(got, wantPending) {
					t.Errorf("pending %v, head first; want %v", got, wantPending)
				}
				if (n == 1) != back || n > 1 {
					t.Errorf("Sweep = %d; want 1 exactly if it is handed back", n)
				}
				active := b.rdb.LLen(ctx, activeKey(q)).Val()
				if still := tc.want == "active"; (active == 1) != still {
					t.Errorf("%d active; want the entry to stay exactly if the task does", active)
				}
			})
		}
	}
}

// While no scheduler lives, a worker that starts brings back what others left, and
// asynq's own recovery, which would count it as a failure, learns of nothing.
func TestServerHandsBackAtItsStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enqueue("a")
	// As a worker leaves it that was killed a minute ago.
	const q = function.Background
	b.rdb.LMove(t.Context(), pendingKey(q), activeKey(q), "RIGHT", "LEFT")
	b.rdb.HSet(t.Context(), taskKeyPrefix(q)+"a", "state", "active")
	b.rdb.ZAdd(t.Context(), leaseKey(q), redis.Z{Score: float64(time.Now().Add(-time.Minute).Unix()), Member: "a"})

	delivered := make(chan string, 1)
	b.serve(ServerConfig{Concurrency: 1, Handler: func(_ context.Context, d Delivery) Disposition {
		delivered <- d.ID
		return Done()
	}})
	if id := receive(t, "the task comes back", delivered); id != "a" {
		t.Errorf("%s was delivered; want a", id)
	}
	eventually(t, "the task is done", func() bool { return !b.exists("a") })
	if failed := b.rdb.Keys(t.Context(), "asynq:{background}:failed*").Val(); len(failed) > 0 {
		t.Errorf("asynq counts a failure: %v", failed)
	}
}

func TestSweepIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const q = function.Scheduled
	total := reapBatch + 50
	for _, id := range ids(total) {
		b.rdb.LPush(t.Context(), activeKey(q), id)
		b.rdb.HSet(t.Context(), taskKeyPrefix(q)+id, "state", "active")
	}
	r := NewReaper(b.rdb, testLog(t))
	for _, want := range []int{reapBatch, 50, 0} {
		if n, err := r.Sweep(t.Context()); n != want || err != nil {
			t.Errorf("Sweep = %d, %v; want %d", n, err, want)
		}
	}
}

// While no lease can be over, a sweep asks nothing.
func TestSweepAsksWhenALeaseMayBeOver(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		left, atMost time.Duration // of the lease, and until the next look
	}{
		"fresh":                {25 * time.Second, reapInterval},
		"over, for not enough": {-time.Second, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			asked := 0
			b.rdb.AddHook(&watch{see: func(redis.Cmder) { asked++ }})
			now, err := redisdb.Now(t.Context(), b.rdb)
			if err != nil {
				t.Fatal(err)
			}
			const q = function.Background
			b.rdb.LPush(t.Context(), activeKey(q), "a")
			b.rdb.HSet(t.Context(), taskKeyPrefix(q)+"a", "state", "active")
			b.rdb.ZAdd(t.Context(), leaseKey(q), redis.Z{Score: float64(now.Add(tc.left).Unix()), Member: "a"})
			r := NewReaper(b.rdb, testLog(t))
			if _, err := r.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if in := time.Until(r.next[q]); in > tc.atMost {
				t.Errorf("the next look is in %v; want at most %v", in, tc.atMost)
			}
			r.next[q] = r.next[function.Scheduled] // however long this test takes
			before := asked
			if _, err := r.Sweep(t.Context()); err != nil || asked != before {
				t.Errorf("the next sweep asked %d times, %v; want none", asked-before, err)
			}
		})
	}
}

func TestSweepWithoutRedis(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	rdb := srv.Client()
	srv.Stop()
	if _, err := NewReaper(rdb, testLog(t)).Sweep(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Sweep: %v; want unavailable", err)
	}
}

// A worker process is killed in the middle of a task; the reaper hands the task
// back, and another worker runs it.
func TestKilledWorker(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	b := setupOn(t, srv.Client())
	cmd, said := startWorker(t, srv.URL())
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()

	b.enqueue("a")
	if line, err := said.ReadString('\n'); line != "running a\n" {
		t.Fatalf("the worker process says %q, %v", line, err)
	}
	r := NewReaper(b.rdb, testLog(t))
	if n, err := r.Sweep(t.Context()); n != 0 || err != nil {
		t.Fatalf("Sweep = %d, %v while the worker lives; want 0", n, err)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	// Half a minute passes.
	if n := b.rdb.ZAddXX(t.Context(), leaseKey(function.Background), redis.Z{Score: 1, Member: "a"}); n.Err() != nil {
		t.Fatal(n.Err())
	}
	// One that has not seen the lease which seemed to last.
	if n, err := NewReaper(b.rdb, testLog(t)).Sweep(t.Context()); n != 1 || err != nil {
		t.Fatalf("Sweep = %d, %v; want 1", n, err)
	}
	info, err := b.tasks.GetTaskInfo(string(function.Background), "a")
	if err != nil || info.Retried != 0 {
		t.Errorf("the task is %+v, %v; want no retry counted", info, err)
	}
	got := make(chan string, 1)
	b.serve(ServerConfig{Handler: func(_ context.Context, d Delivery) Disposition {
		got <- d.ID
		return Done()
	}})
	receive(t, "the second delivery", got)
	eventually(t, "the task is gone", func() bool { return !b.exists("a") })
}

// helperWorker runs in the process that TestKilledWorker kills.
func helperWorker(url string) {
	rdb, err := redisdb.Open(url)
	if err != nil {
		panic(err)
	}
	s, err := NewServer(ServerConfig{Redis: rdb, Concurrency: 1, Logger: slog.New(slog.DiscardHandler),
		Handler: func(ctx context.Context, d Delivery) Disposition {
			fmt.Println("running", d.ID)
			<-ctx.Done()
			return HandBack()
		}})
	if err != nil {
		panic(err)
	}
	if err := s.Start(); err != nil {
		panic(err)
	}
	<-time.After(time.Minute) // the test kills it long before
}

// Eight tasks share their worker with a poisonous one each time that it kills
// it, as far as the queue lets them: none but the poison loses three workers.
func TestSuspectsAreSetApart(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]int{"no bound": 0, "a concurrency of 9": 9, "a concurrency of 1": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachRedis(t, func(t *testing.T, c *crew) {
				c.sweep(12, 2*limit)
				put := func(id string) { c.put(id, "shop/"+[]string{"a", "b"}[len(id)%2], concurrency(limit)) }
				for _, id := range ids(4) {
					put(id)
					put(id + "+")
				}
				put("poison")
				crashes, ended := map[string]int{}, map[string]bool{}
				for round := range 100 {
					if len(c.picture().tasks) == 0 {
						break
					}
					if round == 1 {
						put("late")
						put("later")
					}
					c.takeAll()
					p := c.picture()
					p.check(t, nil)
					if n := p.slots(); n[suspects] > 1 || limit > 0 && (n["shop/a"] > limit || n["shop/b"] > limit) {
						t.Fatalf("round %d: slots %v; want one suspect, and a concurrency of %d", round, n, limit)
					}
					if crashes["poison"] < 3 && slices.Contains(p.active, "poison") {
						for _, id := range p.active {
							crashes[id]++
							c.abandon(id)
						}
						if n := c.reap(); n != len(p.active) {
							t.Fatalf("round %d: %d of %d tasks are handed back", round, n, len(p.active))
						}
						continue
					}
					for _, id := range p.active { // long ones: one at a time ends
						ended[id] = true
						c.end(id, "done")
						break
					}
				}
				for id, n := range crashes {
					if (n >= 3) != (id == "poison") {
						t.Errorf("%s lost %d workers", id, n)
					}
				}
				if len(ended) != 11 {
					t.Errorf("%d tasks ended; want all 11: %v", len(ended), ended)
				}
				p := c.picture()
				p.check(t, nil)
				if len(p.held)+len(p.ring)+len(p.parked)+len(p.waiting) > 0 || p.suspect != "" {
					t.Errorf("left over: %+v", p)
				}
			})
		})
	}
}

// A task that lost its worker once is next; the second time it waits for the
// suspects before it, outside of its site's limit; a third time it is next again,
// so that it is judged at once.
func TestSuspectWaitsItsTurn(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		c.sweep(8, 2)
		lose := func(list ...string) {
			t.Helper()
			for _, id := range list {
				c.abandon(id)
			}
			if n := c.reap(); n != len(list) {
				t.Fatalf("%d handed back; want %v", n, list)
			}
			c.picture().check(t, nil)
		}
		expect := func(when string, want ...string) {
			t.Helper()
			if got := c.takeAll(); !slices.Equal(got, want) {
				t.Fatalf("released %v %s; want %v", got, when, want)
			}
		}
		for _, id := range []string{"a", "b", "c", "d"} {
			c.put(id, "shop/"+id)
		}
		expect("at first", "a", "b")
		lose("a", "b")
		expect("after the first loss", "b", "a")
		lose("a", "b")
		expect("after the second", "a", "c", "d")
		c.end("c", "done")
		expect("while a suspect runs")
		lose("a")
		expect("after its third", "a")
		c.end("a", "archive")
		expect("after the suspect", "b")
		c.end("b", "retry")
		c.hasten(retryKey(c.kind), "b")
		c.forward()
		if lane := c.picture().tasks["b"]["lane"]; lane != suspects {
			t.Errorf("the suspect is of lane %s when it runs again", lane)
		}
		c.put("a", "shop/a") // somebody runs it once more
		if task := c.picture().tasks["a"]; task["lane"] != "shop/a" || task["crashed"] != "" {
			t.Errorf("a is %v when it begins anew; want no suspect", task)
		}
	})
}

// A suspect counts for its function's concurrency, and comes before the tasks
// that wait in the function's own lane.
func TestSuspectKeepsToItsConcurrency(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		expect := func(when string, want ...string) {
			t.Helper()
			if got := c.takeAll(); !slices.Equal(got, want) {
				t.Fatalf("released %v %s; want %v", got, when, want)
			}
			c.picture().check(t, nil)
		}
		c.put("a0", "shop/a", concurrency(1))
		c.put("b0", "shop/b", concurrency(1))
		expect("at first", "a0", "b0")
		for range 2 {
			c.abandon("a0")
			c.abandon("b0")
			c.reap()
			c.takeAll()
		}
		c.put("a1", "shop/a", concurrency(1))
		c.put("b1", "shop/b", concurrency(1))
		expect("beside the suspect of lane a", "b1")
		c.put("b2", "shop/b", concurrency(1))
		c.end("a0", "done")
		expect("while b1 has the slot of the next suspect", "a1")
		c.end("b1", "done")
		expect("after b1: the suspect first", "b0")
		c.put("b3", "shop/b", concurrency(2))
		expect("with one slot more", "b2")
		c.end("b0", "done")
		expect("after the suspect", "b3")
	})
}

// A suspect that left its ID in its own lane, because asynq's tools took it out
// of there, is not released from there.
func TestSuspectIsInOneLane(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		for _, id := range []string{"a", "x", "b"} {
			c.put(id, "shop/f", concurrency(1))
		}
		c.put("s", "shop/g")
		c.must(c.tasks.RunTask(string(c.kind), "x"))
		for range 2 {
			for _, id := range c.takeAll() {
				c.abandon(id)
			}
			c.reap()
		}
		for range 3 { // the three suspects, and b of the lane
			for _, id := range c.takeAll() {
				if p := c.picture(); p.slots()[suspects] > 1 || p.held["x"] == "shop/f" {
					t.Errorf("slots %v", p.held)
				}
				c.end(id, "done")
			}
		}
		if p := c.picture(); len(p.tasks)+len(p.held)+len(p.waiting) > 0 {
			t.Errorf("left over: %+v", p)
		}
	})
}
