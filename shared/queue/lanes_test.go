package queue

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

// A lane that floods leaves room for another, whose tasks are released at once
// or after the next one that ends.
func TestFloodLeavesRoom(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		const capacity = 8
		flood := 10_000
		if testing.Short() || t.Name() == "TestFloodLeavesRoom/mini" {
			flood = 500
		}
		c.sweep(capacity, 0)
		for i := range flood {
			c.put(fmt.Sprintf("flood%05d", i), "shop/flood")
		}
		if got := len(c.takeAll()); got != capacity-1 {
			t.Fatalf("%d of the flood are released; want %d", got, capacity-1)
		}
		c.put("one", "shop/other")
		c.put("two", "shop/other")
		if got := c.takeAll(); !slices.Equal(got, []string{"one"}) {
			t.Fatalf("released %v; want one: the room that the flood must leave", got)
		}
		c.end("flood00000", "done")
		if got := c.takeAll(); !slices.Equal(got, []string{"two"}) {
			t.Fatalf("released %v after a task of the flood; want two", got)
		}
		c.end("one", "done")
		c.end("two", "done")
		if got := c.takeAll(); !slices.Equal(got, []string{"flood00007"}) {
			t.Fatalf("released %v after the other lane; want the flood's next, and no more than its window", got)
		}
	})
}

// Of several lanes that flood, each goes at most once before another lane.
func TestLanesTakeTurns(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		const capacity, floods = 8, 5
		c.sweep(capacity, 0)
		for i := range 50 {
			for lane := range floods {
				c.put(fmt.Sprintf("flood%d-%02d", lane, i), fmt.Sprintf("s%d/f", lane))
			}
		}
		running := c.takeAll()
		if len(running) != capacity {
			t.Fatalf("%d are released; want %d", len(running), capacity)
		}
		c.put("late", "other/f")
		before := map[string]int{}
		for len(running) > 0 {
			c.end(running[0], "done")
			next := c.takeAll()
			if len(next) != 1 {
				t.Fatalf("%v are released for one that ended", next)
			}
			if next[0] == "late" {
				return
			}
			if lane := next[0][:len("flood0")]; before[lane] == 1 {
				t.Fatalf("%s has two before another lane's first", lane)
			} else {
				before[lane]++
			}
			running = append(running[1:], next...)
		}
	})
}

func TestLimitOfASite(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		c.sweep(20, 3)
		for i := range 6 {
			c.put(fmt.Sprintf("a%d", i), "shop/a")
			c.put(fmt.Sprintf("b%d", i), "shop/b")
		}
		c.put("free", "other/a")
		if got := c.takeAll(); !slices.Equal(got, []string{"a0", "b0", "a1", "free"}) {
			t.Fatalf("released %v; want three of the site, and the other site's", got)
		}
		// The functions of the site take turns.
		var got []string
		for _, id := range []string{"a0", "b0", "a1"} {
			c.end(id, "done")
			got = append(got, c.takeAll()...)
		}
		if !slices.Equal(got, []string{"b1", "a2", "b2"}) {
			t.Fatalf("released %v; want one of each in turn", got)
		}
		c.sweep(20, 0) // no limit any more
		if got := len(c.takeAll()); got != 6 {
			t.Errorf("%d are released without a limit; want the 6 that waited", got)
		}
	})
}

// Tasks wait for the first worker, and are released as soon as there is one.
func TestFleetGrows(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		c.sweep(0, 0)
		for _, id := range ids(20) {
			c.put(id, "shop/"+id[:3]) // t00 and t01
		}
		if got := c.pending(c.kind); len(got) != 0 {
			t.Fatalf("released %v without a worker", got)
		}
		for _, step := range []struct{ capacity, want int }{{8, 8}, {8, 0}, {12, 4}, {5, 0}} {
			c.sweep(step.capacity, 0)
			if got := len(c.takeAll()); got != step.want {
				t.Errorf("%d are released at a capacity of %d; want %d more", got, step.capacity, step.want)
			}
		}
	})
}

// Slots of a worker that fell silent do not keep the others idle until its
// leases are over.
func TestDeadWorkersTakeNoRoom(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		c.sweep(8, 0) // two workers of 4
		for _, id := range ids(40) {
			c.put(id, "shop/"+id[:3]) // t00 to t03
		}
		running := c.takeAll()
		if len(running) != 8 {
			t.Fatalf("%v are released; want 8", running)
		}
		c.sweep(4, 0)
		if got := c.takeAll(); len(got) != 0 {
			t.Fatalf("released %v though all leases are fresh", got)
		}
		for _, id := range running[4:] {
			left := redis.Z{Score: float64(time.Now().Unix() + silentLease - 2), Member: id}
			c.must(c.rdb.ZAddXX(t.Context(), leaseKey(c.kind), left).Err())
		}
		for _, id := range running[:4] {
			c.end(id, "done")
		}
		c.sweep(4, 0)
		if got := c.takeAll(); len(got) != 4 {
			t.Errorf("released %v; want 4, as many as the live worker runs", got)
		}
		c.picture().check(t, nil)
	})
}

// Without a leader the capacity is forgotten after a while, and workers go on.
func TestFleetIsForgotten(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		c.sweep(0, 0)
		c.put("a", "shop/f")
		c.put("b", "shop/g", concurrency(1))
		c.put("c", "shop/g", concurrency(1))
		c.must(c.rdb.HSet(t.Context(), lanePrefix(c.kind)+"bounds", "until", 1).Err()) // a minute passes
		c.forward()
		if got := c.takeAll(); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("released %v; want all that have no bound of their own", got)
		}
	})
}

func TestConcurrencyFollowsTheNewestTask(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		for i, step := range []struct {
			concurrency int
			want        []string
		}{
			{1, []string{"t0"}},
			{1, nil},
			{3, []string{"t1", "t2"}},
			{2, nil},
			{0, []string{"t3", "t4"}},
		} {
			c.put("t"+strconv.Itoa(i), "shop/f", concurrency(step.concurrency))
			if got := c.takeAll(); !slices.Equal(got, step.want) {
				t.Fatalf("released %v after task %d with concurrency %d; want %v", got, i, step.concurrency, step.want)
			}
		}
	})
}

// The slot is freed by each end of a delivery, once, also when the script is
// repeated because its reply was lost; a hand-back and the reaper leave it.
func TestSlotOfADelivery(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		how  string
		next string // who is released
	}{
		{"done", "b"}, {"retry", "b"}, {"archive", "b"}, {"hand back", ""}, {"reap", ""},
	} {
		t.Run(tc.how, func(t *testing.T) {
			t.Parallel()
			for name, how := range map[string]redistest.Fault{"failed": redistest.Failed, "failed but done": redistest.FailedButDone} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					c := newCrew(setup(t))
					for _, id := range []string{"a", "b", "c"} {
						c.put(id, "shop/f", concurrency(1))
					}
					if got := c.takeAll(); !slices.Equal(got, []string{"a"}) {
						t.Fatalf("released %v; want a", got)
					}
					var breaker redistest.Breaker
					c.rdb.AddHook(&breaker)
					if tc.how == "reap" {
						c.abandon("a")
						breaker.Break(1, how, nil)
						if _, err := NewReaper(c.rdb, testLog(t)).Sweep(t.Context()); !fault.Is(err, fault.Unavailable) {
							t.Fatalf("Sweep: %v; want unavailable", err)
						}
						c.reap()
					} else {
						breaker.Break(1, how, settling)
						err := c.settle("a", tc.how)
						if broke := tc.how != "hand back"; (err != nil) != broke {
							t.Fatalf("the first try: %v", err)
						}
						if err != nil {
							c.end("a", tc.how)
						}
					}
					p := c.picture()
					p.check(t, nil)
					if p.held["b"] == "" == (tc.next == "b") || p.held["c"] != "" || len(p.held) != 1 {
						t.Errorf("slots %v after %s; want one, of %q if not of a itself", p.held, tc.how, tc.next)
					}
				})
			}
		})
	}
}

// A worker that lost its task settles it: the slot stays with the task.
func TestZombieFreesNoSlot(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"done", "retry", "archive"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			eachRedis(t, func(t *testing.T, c *crew) {
				c.put("a", "shop/f", concurrency(1))
				c.put("b", "shop/f", concurrency(1))
				c.take()
				c.abandon("a")
				if n := c.reap(); n != 1 {
					t.Fatalf("%d reaped; want 1", n)
				}
				c.end("a", how)
				p := c.picture()
				p.check(t, nil)
				if !slices.Equal(p.pending, []string{"a"}) {
					t.Errorf("pending %v; want a, with its slot", p.pending)
				}
			})
		})
	}
}

// Slots whose task is gone by asynq's own tools are taken back.
func TestLostSlots(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		const n = 3 * slotBatch
		for i := range n {
			c.put(fmt.Sprintf("t%04d", i), "shop/f", concurrency(n))
		}
		c.put("waits", "shop/f", concurrency(n))
		c.must(c.tasks.DeleteTask(string(c.kind), "t0000"))
		c.must(c.tasks.ArchiveTask(string(c.kind), fmt.Sprintf("t%04d", n-1)))
		for range 20 { // each looks at a part
			c.sweep(2*n, 0)
		}
		p := c.picture()
		p.check(t, nil)
		if len(p.held) != n-1 || p.held["waits"] == "" {
			t.Errorf("%d slots; want %d: two taken back, one given to who waited", len(p.held), n-1)
		}
	})
}

func TestNotBefore(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		at := time.Now().Add(time.Hour).Truncate(time.Second).Add(time.Millisecond)
		c.put("later", "shop/f", func(t *Task) { t.NotBefore = at })
		c.put("past", "shop/f", func(t *Task) { t.NotBefore = time.Now().Add(-time.Hour) })
		c.forward()
		if got := c.takeAll(); !slices.Equal(got, []string{"past"}) {
			t.Errorf("released %v; want past", got)
		}
		info, err := c.tasks.GetTaskInfo(string(c.kind), "later")
		c.must(err)
		if want := at.Truncate(time.Second).Add(time.Second); !info.NextProcessAt.Equal(want) {
			t.Errorf("later is due at %v; want %v, the next whole second", info.NextProcessAt, want)
		}
		c.hasten(delayedKey(c.kind), "later")
		c.forward()
		if got := c.takeAll(); !slices.Equal(got, []string{"later"}) {
			t.Errorf("released %v when it is due; want later", got)
		}
	})
}

// A lane that is alone releases several tasks at once: in turn, each once, and none
// that is withdrawn.
func TestReleasesSeveralOfALane(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		c.sweep(0, 0)
		for _, id := range ids(10) {
			c.put(id, "shop/f")
		}
		for _, id := range []string{"t000", "t003", "t004"} {
			gone, err := c.client.Withdraw(t.Context(), c.kind, id)
			if c.must(err); !gone {
				t.Fatalf("%s is still there", id)
			}
		}
		c.put("t003", "shop/f") // whose ID stands twice in the lane now
		c.sweep(8, 0)           // of which one lane has all but one
		if got, want := c.takeAll(), []string{"t001", "t002", "t003", "t005", "t006", "t007", "t008"}; !slices.Equal(got, want) {
			t.Errorf("released %v; want %v", got, want)
		}
		c.picture().check(t, nil)
		c.end("t001", "done")
		if got := c.takeAll(); !slices.Equal(got, []string{"t009"}) {
			t.Errorf("released %v then; want t009", got)
		}
		c.end("t002", "done")
		if got := c.takeAll(); len(got) != 0 {
			t.Errorf("released %v at last; want none", got)
		}
		c.picture().check(t, nil)
	})
}

// The leader's sweep admits what is due, of both sets, for all workers.
func TestSweepAdmitsWhatIsDue(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		c.put("later", "shop/f", func(t *Task) { t.NotBefore = time.Now().Add(time.Hour) })
		c.put("again", "shop/g")
		c.takeAll()
		c.end("again", "retry")
		c.sweep(8, 0)
		if got := c.takeAll(); len(got) != 0 {
			t.Errorf("released %v before its time", got)
		}
		c.hasten(delayedKey(c.kind), "later")
		c.hasten(retryKey(c.kind), "again")
		c.sweep(8, 0)
		got := c.takeAll()
		slices.Sort(got)
		if !slices.Equal(got, []string{"again", "later"}) {
			t.Errorf("released %v when it is due; want again and later", got)
		}
		c.picture().check(t, nil)
		// More than one script admits.
		for i := range dueBatch + 50 {
			id := fmt.Sprintf("d%03d", i)
			c.put(id, "shop/f", func(t *Task) { t.NotBefore = time.Now().Add(time.Hour) })
			c.hasten(delayedKey(c.kind), id)
		}
		c.sweep(dueBatch*2, 0)
		if got := len(c.takeAll()); got != dueBatch+50 {
			t.Errorf("%d are released; want %d", got, dueBatch+50)
		}
	})
}

// A worker looks for a retry when it is due that it has written itself.
func TestLooksForItsOwnRetries(t *testing.T) {
	t.Parallel()
	c := newCrew(setup(t))
	c.loop.looks = newLooks()
	c.put("a", "shop/f")
	c.takeAll()
	c.forward() // and would not look again for 5 s
	c.loop.due.set("a", time.Second)
	c.end("a", "retry")
	c.loop.looks.mu.Lock()
	defer c.loop.looks.mu.Unlock()
	if in := time.Until(c.loop.looks.next[c.kind]); in > time.Second {
		t.Errorf("the next look is in %v", in)
	}
}

// A retry that is due goes through its lane.
func TestRetryWaitsItsTurn(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		for _, id := range []string{"a", "b", "c"} {
			c.put(id, "shop/f", concurrency(1))
		}
		c.take()
		c.end("a", "retry") // releases b
		c.hasten(retryKey(c.kind), "a")
		c.forward()
		for _, want := range []string{"b", "c", "a"} {
			if got := c.takeAll(); !slices.Equal(got, []string{want}) {
				t.Fatalf("released %v; want %s", got, want)
			}
			c.end(want, "done")
		}
	})
}

func TestEnqueueRevivesTheBuried(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		c.put("a", "shop/f")
		c.take()
		c.end("a", "archive")
		for range 2 {
			c.put("a", "shop/f")
		}
		p := c.picture()
		p.check(t, nil)
		if !slices.Equal(p.pending, []string{"a"}) || len(p.buried) != 0 {
			t.Errorf("pending %v, buried %v; want a back, once", p.pending, p.buried)
		}
	})
}

func TestWithdrawAndMissing(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		for _, id := range []string{"active", "retry", "buried", "pending"} {
			c.put(id, "shop/"+id)
		}
		for range 3 {
			c.take()
		}
		c.end("retry", "retry")
		c.end("buried", "archive")
		c.put("slow", "shop/f", concurrency(1))
		c.put("lane", "shop/f", concurrency(1))
		c.put("next", "shop/f", concurrency(1))
		c.put("later", "shop/g", func(t *Task) { t.NotBefore = time.Now().Add(time.Hour) })
		want := map[string]bool{"active": false, "pending": false, "buried": false, "retry": true, "lane": true, "later": true, "none": true}
		for id, want := range want {
			for range 2 {
				if got, err := c.client.Withdraw(t.Context(), c.kind, id); got != want || err != nil {
					t.Errorf("Withdraw(%s) = %v, %v; want %v", id, got, err, want)
				}
			}
		}
		c.picture().check(t, nil)
		missing, err := c.client.Missing(t.Context(), c.kind, []string{"pending", "later", "active", "lane", "buried", "retry", "none"})
		if want := []string{"later", "lane", "retry", "none"}; !slices.Equal(missing, want) || err != nil {
			t.Errorf("Missing = %v, %v; want %v", missing, err, want)
		}
		c.takeAll()
		c.end("slow", "done")
		if got := c.takeAll(); !slices.Equal(got, []string{"next"}) {
			t.Errorf("released %v; want next: the withdrawn one is passed over", got)
		}
		for _, kind := range []function.Kind{function.Sync, ""} {
			_, err := c.client.Withdraw(t.Context(), kind, "a")
			_, err2 := c.client.Missing(t.Context(), kind, []string{"a"})
			if !fault.Is(err, fault.Internal) || !fault.Is(err2, fault.Internal) {
				t.Errorf("queue %q: %v, %v; want internal", kind, err, err2)
			}
		}
	})
}

// Every script keeps to one slot, or the node refuses it.
func TestRedisCluster(t *testing.T) {
	t.Parallel()
	if !redistest.Real() {
		return // miniredis knows no slots
	}
	open := redistest.StartCluster(t)
	for _, kind := range queues {
		c := newCrew(setupOn(t, open(t)))
		c.kind = kind
		c.sweep(2, 1)
		for _, id := range []string{"a", "b", "c"} {
			c.put(id, "shop/"+id, concurrency(1))
		}
		for id, how := range map[string]string{"a": "retry", "b": "archive", "c": "hand back"} {
			if got := c.takeAll(); len(got) != 1 {
				t.Fatalf("released %v; want one of the site", got)
			} else if _, err := c.client.Withdraw(t.Context(), kind, id); err != nil {
				t.Errorf("Withdraw: %v", err)
			} else {
				c.end(got[0], how)
			}
		}
		c.forward()
		c.reap()
		c.sweep(2, 0)
		if _, err := c.client.Missing(t.Context(), kind, []string{"a", "d"}); err != nil {
			t.Errorf("Missing: %v", err)
		}
	}
}

// The two rows of each script that no other table has.
func TestLaneScriptsFail(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]redistest.Fault{"failed": redistest.Failed, "failed but done": redistest.FailedButDone} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrew(setup(t))
			c.sweep(0, 0)
			c.put("a", "shop/f")
			c.put("b", "shop/f")
			var breaker redistest.Breaker
			c.rdb.AddHook(&breaker)
			broken := func(what string, do func() error) {
				t.Helper()
				breaker.Break(1, how, nil)
				if err := do(); !fault.Is(err, fault.Unavailable) {
					t.Errorf("%s: %v; want unavailable", what, err)
				}
				if err := do(); err != nil {
					t.Errorf("%s again: %v", what, err)
				}
				c.picture().check(t, nil)
			}
			broken("Withdraw", func() error {
				_, err := c.client.Withdraw(t.Context(), c.kind, "a")
				return err
			})
			broken("Sweep", func() error {
				_, err := c.lanes.Sweep(t.Context(), Fleet{Capacity: 4})
				return err
			})
			broken("Missing", func() error {
				_, err := c.client.Missing(t.Context(), c.kind, []string{"a"})
				return err
			})
			if got := c.takeAll(); !slices.Equal(got, []string{"b"}) {
				t.Errorf("released %v; want b", got)
			}
			c.end("b", "retry")
			c.hasten(retryKey(c.kind), "b")
			breaker.Break(1, how, nil)
			if err := c.script([]string{"scheduled", "pending"}, time.Now().Unix(), "", int64(0), ""); err == nil {
				t.Error("the forwarding does not fail")
			}
			c.forward()
			c.picture().check(t, nil)
			if got := c.takeAll(); !slices.Equal(got, []string{"b"}) {
				t.Errorf("released %v when it is due again; want b, once", got)
			}
		})
	}
	if _, err := NewLanes(nil, nil).Sweep(t.Context(), Fleet{Capacity: -1}); !fault.Is(err, fault.Internal) {
		t.Errorf("a fleet of -1: %v; want internal", err)
	}
}

// A lane that cannot use the room of its site passes it on to the next one.
func TestRoomOfASiteIsPassedOn(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		limit    int // concurrency of the lane that is first to have the room
		withdraw bool
	}{
		"its own window is full": {limit: 1},
		"its task is withdrawn":  {withdraw: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachRedis(t, func(t *testing.T, c *crew) {
				c.sweep(20, 2)
				c.put("a0", "shop/a", concurrency(tc.limit))
				c.put("b0", "shop/b")
				c.put("a1", "shop/a", concurrency(tc.limit))
				c.put("c0", "shop/c")
				if got := c.takeAll(); !slices.Equal(got, []string{"a0", "b0"}) {
					t.Fatalf("released %v; want a0 and b0", got)
				}
				if tc.withdraw {
					if gone, err := c.client.Withdraw(t.Context(), c.kind, "a1"); !gone || err != nil {
						t.Fatalf("Withdraw = %v, %v", gone, err)
					}
				}
				c.end("b0", "done")
				if got := c.takeAll(); !slices.Equal(got, []string{"c0"}) {
					t.Errorf("released %v; want c0", got)
				}
				c.picture().check(t, nil)
			})
		})
	}
}

// A worker that settles a task which is gone frees its slot: nobody else would
// until the leader sweeps.
func TestSlotOfAGoneTask(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		c.put("a", "shop/f", concurrency(1))
		c.put("b", "shop/f", concurrency(1))
		c.must(c.tasks.DeleteTask(string(c.kind), "a"))
		for range 2 {
			c.end("a", "done")
		}
		if got := c.takeAll(); !slices.Equal(got, []string{"b"}) {
			t.Errorf("released %v; want b", got)
		}
		c.picture().check(t, nil)
	})
}

// Sites are counted only while they have a limit, and rightly from its first moment.
func TestSiteLimitIsSwitched(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		n := 0
		put := func() {
			c.put(fmt.Sprintf("t%02d", n), fmt.Sprintf("shop/f%d", n%3))
			n++
		}
		for _, step := range []struct{ limit, running int }{{0, 6}, {4, 6}, {0, 18}, {0, 24}, {27, 27}, {28, 28}, {0, 42}} {
			c.sweep(100, step.limit)
			c.picture().check(t, nil)
			for range 6 {
				put()
			}
			c.takeAll()
			p := c.picture()
			p.check(t, nil)
			if len(p.active) != step.running {
				t.Errorf("%d of %d run with a limit of %d; want %d", len(p.active), n, step.limit, step.running)
			}
		}
	})
}
