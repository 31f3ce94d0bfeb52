package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

// crew stands for all workers of a queue: it takes and settles tasks as asynq's
// servers do, one at a time and when the test says so. asynq's part is done with
// plain commands; what this package replaces goes through its loopClient.
type crew struct {
	*bundle
	kind  function.Kind
	loop  *loopClient
	lanes *Lanes
}

func newCrew(b *bundle) *crew {
	log := testLog(b.T)
	always := newLooks()
	always.atMost = 0
	return &crew{bundle: b, kind: function.Background, lanes: NewLanes(b.rdb, log),
		loop: &loopClient{UniversalClient: b.rdb, server: "w1", empty: map[function.Kind]time.Time{}, log: log, due: new(dueTimes), looks: always,
			waker: newWaker(b.rdb, log), clock: &clock{rdb: b.rdb, log: log, now: time.Now}}}
}

// eachRedis runs a test on the best Redis there is, and on miniredis.
func eachRedis(t *testing.T, run func(t *testing.T, c *crew)) {
	t.Helper()
	for name, open := range redistest.Kinds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, newCrew(setupOn(t, open(t))))
		})
	}
}

// put enqueues a task of a lane.
func (c *crew) put(id, lane string, change ...func(*Task)) {
	c.Helper()
	tk := task(id)
	tk.Queue = c.kind
	tk.Target.Site, tk.Target.Function, _ = strings.Cut(lane, "/")
	for _, f := range change {
		f(&tk)
	}
	if v, err := c.client.Enqueue(c.Context(), tk); v != Queued || err != nil {
		c.Fatalf("Enqueue(%s) = %d, %v", id, v, err)
	}
}

func concurrency(n int) func(*Task) { return func(t *Task) { t.Concurrency = n } }

// take makes the task at the head of the queue active, or returns "".
func (c *crew) take() string {
	c.Helper()
	id, err := c.rdb.RPopLPush(c.Context(), pendingKey(c.kind), activeKey(c.kind)).Result()
	if errors.Is(err, redis.Nil) {
		return ""
	}
	c.must(err)
	c.must(c.rdb.HSet(c.Context(), taskKeyPrefix(c.kind)+id, "state", "active").Err())
	c.must(c.rdb.ZAdd(c.Context(), leaseKey(c.kind), redis.Z{Score: float64(time.Now().Unix() + 30), Member: id}).Err())
	return id
}

// takeAll makes all pending tasks active and returns them, head first.
func (c *crew) takeAll() []string {
	c.Helper()
	var list []string
	for id := c.take(); id != ""; id = c.take() {
		list = append(list, id)
	}
	return list
}

func (c *crew) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// script runs one of asynq's scripts as asynq does, bounded by a lease.
func (c *crew) script(keys []string, args ...any) error {
	ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
	defer cancel()
	for i, key := range keys {
		keys[i] = queueKey(c.kind, key)
	}
	return c.loop.EvalSha(ctx, "none", keys, args...).Err()
}

// settle ends the delivery of an active task in asynq's words.
func (c *crew) settle(id, how string) error {
	c.Helper()
	now := time.Now().Unix()
	switch how {
	case "done":
		return c.script([]string{"active", "lease", "t:" + id, "processed:d", "processed"}, id, now+60, int64(1))
	case "archive":
		return c.script([]string{"t:" + id, "active", "lease", "archived", "processed:d", "failed:d", "processed", "failed", "t:"},
			id, c.message(id), now, now-3600, 10_000, now+60, int64(1))
	case "retry":
		return c.script([]string{"t:" + id, "active", "lease", "retry", "processed:d", "failed:d", "processed", "failed"},
			id, c.message(id), now+60, now+60, true, int64(1))
	case "hand back":
		return c.script([]string{"t:" + id, "active", "lease", "retry", "processed:d", "failed:d", "processed", "failed"},
			id, c.message(id), time.Now().Add(delay(errHandBack, c.loopNth())).Unix(), now+60, false, int64(1))
	}
	c.Fatalf("unknown end %q", how)
	return nil
}

// loopNth numbers hand-backs.
func (c *crew) loopNth() int64 {
	n, err := c.rdb.Incr(c.Context(), "test:{background}:handbacks").Result()
	c.must(err)
	return n
}

func (c *crew) message(id string) []byte {
	msg, err := c.rdb.HGet(c.Context(), taskKeyPrefix(c.kind)+id, "msg").Bytes()
	if err != nil && !errors.Is(err, redis.Nil) {
		c.Fatal(err)
	}
	return msg
}

// end settles a task and fails the test if it cannot.
func (c *crew) end(id, how string) {
	c.Helper()
	if err := c.settle(id, how); err != nil {
		c.Fatalf("%s of %s: %v", how, id, err)
	}
}

// hasten makes the task due that waits in the set.
func (c *crew) hasten(set, id string) {
	c.Helper()
	c.must(c.rdb.ZAddXX(c.Context(), set, redis.Z{Score: 1, Member: id}).Err())
}

// forward does asynq's round over what is due.
func (c *crew) forward() {
	c.Helper()
	for _, set := range []string{"scheduled", "retry"} {
		c.must(c.script([]string{set, "pending"}, time.Now().Unix(), queueKey(c.kind, "t:"), time.Now().UnixNano(), queueKey(c.kind, "g:")))
	}
}

// abandon lets the lease of an active task run out.
func (c *crew) abandon(id string) {
	c.Helper()
	c.must(c.rdb.ZAddXX(c.Context(), leaseKey(c.kind), redis.Z{Score: 1, Member: id}).Err())
}

func (c *crew) reap() int {
	c.Helper()
	n, err := NewReaper(c.rdb, testLog(c.T)).Sweep(c.Context())
	c.must(err)
	return n
}

// sweep tells the lanes how large the fleet is.
func (c *crew) sweep(capacity, siteLimit int) {
	c.Helper()
	_, err := c.lanes.Sweep(c.Context(), Fleet{Capacity: capacity, SiteLimit: siteLimit})
	c.must(err)
}

// picture is everything that Redis has of a queue's tasks.
type picture struct {
	pending, active        []string // pending: head first
	delayed, retry, buried []string
	never                  map[string]bool // of the delayed ones, those that wait in a lane
	held, bounds, parked   map[string]string
	suspect                string // the own lane of the suspect that has a slot
	ring                   []string
	waiting, blocked       map[string][]string
	tasks                  map[string]map[string]string
}

func (c *crew) picture() *picture {
	c.Helper()
	ctx, lanes := c.Context(), lanePrefix(c.kind)
	p := &picture{never: map[string]bool{}, waiting: map[string][]string{}, blocked: map[string][]string{}, tasks: map[string]map[string]string{}}
	hash := func(key string) map[string]string {
		m, err := c.rdb.HGetAll(ctx, key).Result()
		c.must(err)
		return m
	}
	list := func(key string) []string {
		l, err := c.rdb.LRange(ctx, key, 0, -1).Result()
		c.must(err)
		return l
	}
	set := func(name string) []string {
		l, err := c.rdb.ZRangeWithScores(ctx, queueKey(c.kind, name), 0, -1).Result()
		c.must(err)
		var ids []string
		for _, z := range l {
			ids = append(ids, z.Member.(string))
			if z.Score == inItsLane {
				p.never[z.Member.(string)] = true
			}
		}
		return ids
	}
	p.pending, p.active = c.bundle.pending(c.kind), list(activeKey(c.kind))
	p.delayed, p.retry, p.buried = set("scheduled"), set("retry"), set("archived")
	p.held, p.bounds, p.parked = hash(lanes+"held"), hash(lanes+"bounds"), hash(lanes+"parked")
	var err error
	if p.suspect, err = c.rdb.Get(ctx, lanes+"suspect").Result(); !errors.Is(err, redis.Nil) {
		c.must(err)
	}
	p.ring = list(lanes + "ring")
	keys, err := c.rdb.Keys(ctx, "*").Result()
	c.must(err)
	for _, key := range keys {
		if lane, ok := strings.CutPrefix(key, lanes+"waiting:"); ok {
			p.waiting[lane] = list(key)
		}
		if site, ok := strings.CutPrefix(key, lanes+"blocked:"); ok {
			p.blocked[site] = list(key)
		}
		if id, ok := strings.CutPrefix(key, taskKeyPrefix(c.kind)); ok {
			p.tasks[id] = hash(key)
		}
		ours := strings.HasPrefix(key, queuePrefix(c.kind)) || !strings.HasPrefix(key, "asynq:")
		if ours && !strings.Contains(key, "{"+string(c.kind)+"}") && !strings.Contains(key, "{scheduled}") {
			c.Errorf("the key %s is in another slot", key)
		}
	}
	return p
}

// inItsLane is the score of waiting tasks: never, in lane.lua.
const inItsLane = 32503680000

// check fails the test where the picture breaks a rule that holds between any
// two scripts. Slots of tasks that were moved behind our back are excused.
func (p *picture) check(t testing.TB, excused map[string]bool) {
	t.Helper()
	states := map[string][]string{"pending": p.pending, "active": p.active, "scheduled": p.delayed, "retry": p.retry, "archived": p.buried}
	places := map[string][]string{}
	for state, ids := range states {
		for _, id := range ids {
			places[id] = append(places[id], state)
			if got := p.tasks[id]["state"]; got != state {
				t.Errorf("%s stands among the %s ones and says it is %q", id, state, got)
			}
		}
	}
	for id := range p.tasks {
		if len(places[id]) != 1 {
			t.Errorf("task %s stands in %v; want one place", id, places[id])
		}
	}
	if len(places) != len(p.tasks) {
		t.Errorf("%d IDs for %d tasks", len(places), len(p.tasks))
	}
	// A slot for each released task, and no other.
	for id := range p.held {
		if state := p.tasks[id]["state"]; state != "pending" && state != "active" && !excused[id] {
			t.Errorf("%s is %q and has a slot", id, state)
		}
	}
	for _, id := range slices.Concat(p.pending, p.active) {
		if p.held[id] != p.tasks[id]["lane"] {
			t.Errorf("%s of lane %s has a slot of lane %q", id, p.tasks[id]["lane"], p.held[id])
		}
	}
	want, got := map[string]string{}, map[string]string{}
	for what, n := range p.slots() {
		if site := !strings.Contains(what, "/"); !site || p.bounds["site_limit"] != "" {
			want["slots:"+what] = fmt.Sprint(n)
		}
	}
	for what, n := range map[string]int{"released": len(p.held), "waiting": len(p.waiting)} {
		if n > 0 {
			want[what] = fmt.Sprint(n)
		}
	}
	for lane := range p.waiting {
		want["waits:"+lane] = "1"
	}
	for field, n := range p.bounds {
		switch kind, _, _ := strings.Cut(field, ":"); kind {
		case "slots", "waits", "released", "waiting":
			got[field] = n
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("bounds %v; want %v", got, want)
	}
	// Each waiting task is in its lane, each lane is to be found, once.
	for id := range p.never {
		if n := count(p.waiting[p.tasks[id]["lane"]], id); n < 1 {
			t.Errorf("%s waits and is not in its lane", id)
		}
	}
	found := map[string]int{}
	for _, lane := range p.ring {
		found[lane]++
	}
	for lane, why := range p.parked {
		found[lane]++
		if why != "" && lane != suspects && count(p.blocked[why], lane) != 1 {
			t.Errorf("lane %s is blocked for %s, which does not know of it: %v", lane, why, p.blocked[why])
		}
	}
	for site, lanes := range p.blocked {
		for _, lane := range lanes {
			if p.parked[lane] != site {
				t.Errorf("site %s blocks lane %s, which says %q", site, lane, p.parked[lane])
			}
		}
	}
	for lane := range p.waiting {
		if found[lane] != 1 {
			t.Errorf("lane %s is to be found %d times in ring %v and parked %v", lane, found[lane], p.ring, p.parked)
		}
		delete(found, lane)
	}
	if len(found) > 0 {
		t.Errorf("lanes without waiting tasks in ring %v or parked %v: %v", p.ring, p.parked, found)
	}
}

// suspects is the lane of suspects, as lane.lua calls it.
const suspects = "*/suspects"

// slots counts the slots by lane and by site. That of a suspect counts for its
// own lane too, and for no site.
func (p *picture) slots() map[string]int {
	n := map[string]int{}
	for _, lane := range p.held {
		n[lane]++
		if site, _, _ := strings.Cut(lane, "/"); lane != suspects {
			n[site]++
		}
	}
	if n[suspects] > 0 {
		n[p.suspect]++
	}
	return n
}

func count(list []string, want string) int {
	n := 0
	for _, s := range list {
		if s == want {
			n++
		}
	}
	return n
}
