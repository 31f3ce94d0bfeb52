package queue

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// life is a random history of a queue, with what must be true of it.
type life struct {
	*crew
	random    *rand.Rand
	log       []string
	n         int                 // tasks so far
	limit     map[string]int      // concurrency by lane
	live      map[string]bool     // tasks that must be somewhere
	order     map[string][]string // by lane, the tasks that wait in it
	lost      map[string]bool     // tasks whose slot nobody will free
	capacity  int                 // -1: unknown
	siteLimit int
	last      *picture
}

// Whatever happens in whatever order: no task is lost or there twice, slots are
// the released tasks', lanes are served in order, and no window is exceeded by a
// release.
func TestRandomLives(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		for seed := range uint64(5) {
			c.must(c.rdb.FlushAll(t.Context()).Err())
			c = newCrew(setupOn(t, c.rdb)) // clients remember what they have announced
			l := &life{crew: c, random: rand.New(rand.NewPCG(seed, 1)), capacity: -1,
				limit: map[string]int{}, live: map[string]bool{}, order: map[string][]string{}, lost: map[string]bool{}}
			l.last = l.picture()
			for range 120 {
				l.step()
				if t.Failed() {
					t.Fatalf("seed %d:\n%s", seed, strings.Join(l.log, "\n"))
				}
			}
			l.drain()
			if t.Failed() {
				t.Fatalf("seed %d, at its end:\n%s", seed, strings.Join(l.log, "\n"))
			}
		}
	})
}

func (l *life) pick(ids []string) string { return ids[l.random.IntN(len(ids))] }

func (l *life) step() {
	what, swept := l.anything(), false
	if what == "" {
		return
	}
	swept = strings.HasPrefix(what, "sweep")
	l.log = append(l.log, what)
	l.compare(what, swept)
}

// anything does something and says what, or does nothing.
func (l *life) anything() string {
	switch l.random.IntN(18) {
	case 0, 1, 2, 3, 4:
		lane := fmt.Sprintf("s%d/f%d", l.random.IntN(2), l.random.IntN(3))
		if _, known := l.limit[lane]; !known || l.random.IntN(20) == 0 {
			l.limit[lane] = []int{0, 0, 1, 3}[l.random.IntN(4)]
		}
		id := fmt.Sprintf("t%03d", l.n)
		var later time.Time
		if l.random.IntN(8) == 0 {
			later = time.Now().Add(time.Hour)
		}
		l.n++
		l.live[id] = true
		for range 1 + l.random.IntN(2) { // once, or repeated
			l.put(id, lane, concurrency(l.limit[lane]), func(t *Task) { t.NotBefore = later })
		}
		return "put " + id + " " + lane
	case 5, 6, 7:
		if id := l.take(); id != "" {
			return "take " + id
		}
	case 8, 9, 10, 11:
		if len(l.last.active) == 0 {
			return ""
		}
		id, how := l.pick(l.last.active), []string{"done", "done", "retry", "archive", "hand back"}[l.random.IntN(5)]
		if how == "done" {
			delete(l.live, id)
		}
		for range 1 + l.random.IntN(2) { // once, or repeated: then it is NOT FOUND
			if how == "hand back" {
				l.end(id, how)
				break
			}
			l.end(id, how)
		}
		return how + " " + id
	case 12:
		if waits := l.last.retry; len(waits) > 0 {
			l.hasten(retryKey(l.kind), l.pick(waits))
		}
		if waits := slices.DeleteFunc(slices.Clone(l.last.delayed), func(id string) bool { return l.last.never[id] }); len(waits) > 0 {
			l.hasten(delayedKey(l.kind), l.pick(waits))
		}
		l.forward()
		return "forward"
	case 13:
		all := l.random.IntN(2) == 0
		for _, id := range l.last.active {
			if all || l.random.IntN(3) == 0 {
				l.abandon(id)
			}
		}
		return fmt.Sprintf("reap %d", l.reap())
	case 14, 16: // another fleet, or the same one
		if l.capacity >= 0 && l.random.IntN(3) > 0 {
			l.sweep(l.capacity, l.siteLimit)
			l.lost = map[string]bool{}
			return "sweep again"
		}
		l.capacity, l.siteLimit = []int{0, 1, 2, 4, 8}[l.random.IntN(5)], []int{0, 0, 1, 3}[l.random.IntN(4)]
		l.sweep(l.capacity, l.siteLimit)
		l.lost = map[string]bool{}
		return fmt.Sprintf("sweep capacity %d, %d a site", l.capacity, l.siteLimit)
	case 17: // a worker that lost its task and does not know it yet
		if len(l.last.pending) > 0 {
			id := l.pick(l.last.pending)
			l.end(id, "done")
			return "done by a zombie " + id
		}
	case 15:
		ids := slices.Sorted(maps.Keys(l.last.tasks))
		if len(ids) == 0 {
			return ""
		}
		id := l.pick(ids)
		switch state := l.last.tasks[id]["state"]; l.random.IntN(3) {
		case 0:
			gone, err := l.client.Withdraw(l.Context(), l.kind, id)
			l.must(err)
			if want := state == "scheduled" || state == "retry"; gone != want {
				l.Errorf("Withdraw of a task that is %s = %v", state, gone)
			}
			if gone {
				delete(l.live, id)
			}
			return "withdraw " + id
		case 1: // asynq's own tool, of which the lanes learn nothing
			if state == "active" {
				return ""
			}
			l.must(l.tasks.DeleteTask(string(l.kind), id))
			delete(l.live, id)
			if state == "pending" {
				l.lost[id] = true
			}
			return "delete " + id
		case 2: // a buried task runs once more
			if state != "archived" {
				return ""
			}
			lane := l.last.tasks[id]["lane"]
			if home := l.last.tasks[id]["home"]; home != "" {
				lane = home
			}
			l.put(id, lane, concurrency(l.limit[lane]))
			return "revive " + id
		}
	}
	return ""
}

// compare holds what a step did against the rules.
func (l *life) compare(what string, swept bool) {
	before, after := l.last, l.picture()
	l.last = after
	after.check(l, l.lost)
	for id := range l.live {
		if after.tasks[id] == nil {
			l.Errorf("after %s: %s is lost", what, id)
		}
	}
	if len(after.tasks) != len(l.live) {
		l.Errorf("after %s: %d tasks; want %d", what, len(after.tasks), len(l.live))
	}
	// Who began to wait, who was released: in the order of the lane.
	for lane, ids := range after.waiting {
		for _, id := range ids {
			if after.never[id] && !before.never[id] {
				l.order[lane] = append(l.order[lane], id)
			}
		}
	}
	for lane, ids := range l.order {
		var rest []string
		for _, id := range ids {
			switch {
			case after.never[id]:
				rest = append(rest, id)
			case after.held[id] != "":
				if len(rest) > 0 {
					l.Errorf("after %s: %s was released before %v, which waited longer", what, id, rest)
				}
			} // else it was withdrawn
		}
		l.order[lane] = rest
	}
	grew := map[string]bool{}
	for id, lane := range after.held {
		if before.held[id] == "" {
			grew[lane] = true
		}
	}
	counts := after.slots()
	if counts[suspects] > 1 {
		l.Errorf("after %s: %d suspects are released; want one at a time", what, counts[suspects])
	}
	if len(grew) > 0 && l.capacity >= 0 && len(after.held) > l.capacity {
		l.Errorf("after %s: a task was released and %d are, over the capacity of %d", what, len(after.held), l.capacity)
	}
	for lane := range grew {
		if lane == suspects {
			if n := l.limit[after.suspect]; n > 0 && counts[after.suspect] > n {
				l.Errorf("after %s: lane %s has %d slots with that of its suspect, and a concurrency of %d", what, after.suspect, counts[after.suspect], n)
			}
			continue
		}
		site, _, _ := strings.Cut(lane, "/")
		n := counts[lane]
		if l.limit[lane] == 0 && lane == after.suspect {
			n-- // it is released whatever else its lane has
		}
		if w := l.window(lane); w > 0 && n > w {
			l.Errorf("after %s: lane %s has %d slots and a window of %d", what, lane, n, w)
		}
		if l.siteLimit > 0 && counts[site] > l.siteLimit {
			l.Errorf("after %s: site %s has %d slots and a limit of %d", what, site, counts[site], l.siteLimit)
		}
	}
	if !swept || len(after.held) >= l.capacity {
		return
	}
	for lane, ids := range after.waiting {
		at := slices.IndexFunc(ids, func(id string) bool { return after.never[id] && after.tasks[id]["lane"] == lane })
		if at >= 0 && l.idle(lane, after.tasks[ids[at]]["home"], counts) {
			l.Errorf("after %s: lane %s waits (%v) though there is room: %v", what, lane, ids, counts)
		}
	}
}

// idle says whether the lane may have one more slot, as far as it is not for the fleet.
func (l *life) idle(lane, home string, counts map[string]int) bool {
	if lane == suspects {
		return counts[lane] == 0 && (l.limit[home] == 0 || counts[home] < l.limit[home])
	}
	site, _, _ := strings.Cut(lane, "/")
	return (l.window(lane) == 0 || counts[lane] < l.window(lane)) && (l.siteLimit == 0 || counts[site] < l.siteLimit)
}

// window is how many slots the lane may have; 0: no bound.
func (l *life) window(lane string) int {
	if n := l.limit[lane]; n > 0 {
		return n
	}
	if l.capacity < 0 {
		return 0
	}
	return max(1, l.capacity-max(1, l.capacity/8))
}

// drain runs everything to its end; nothing is left then.
func (l *life) drain() {
	l.log = append(l.log, "drain")
	l.capacity, l.siteLimit = 8, l.random.IntN(3)
	for range 20 * len(l.live) {
		l.sweep(l.capacity, l.siteLimit)
		p := l.picture()
		if len(p.tasks) == 0 {
			break
		}
		for _, id := range p.retry {
			l.hasten(retryKey(l.kind), id)
		}
		for _, id := range p.delayed {
			if !p.never[id] {
				l.hasten(delayedKey(l.kind), id)
			}
		}
		for _, id := range p.buried {
			l.must(l.tasks.DeleteTask(string(l.kind), id))
		}
		for _, id := range p.active {
			l.end(id, "done")
		}
		l.forward()
		l.takeAll()
	}
	p := l.picture()
	p.check(l, nil)
	if n := len(p.tasks) + len(p.held) + len(p.ring) + len(p.parked) + len(p.waiting) + len(p.blocked); n > 0 {
		l.Errorf("left over: %+v", p)
	}
}
