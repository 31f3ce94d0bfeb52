package tick

import (
	"container/heap"
	"log/slog"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/schedule"
	"github.com/nightshift/nightshift/shared/store"
)

// entry is one schedule of the catalog.
type entry struct {
	key      string // its cursor's
	site     string
	deploy   string
	branch   string // of the deploy
	function function.Function
	schedule *schedule.Schedule

	cursor time.Time // the last tick that was dealt with
	due    time.Time // the tick to fire next
	// judged: the late ticks up to here have been through catchUp, and those
	// that due leads through are to fire.
	judged time.Time
	// firing is the try under way for due, kept so that another try is the same
	// invocation.
	firing *firing
	// notBefore and failures are for a tick that cannot be enqueued for reasons
	// of its own.
	notBefore time.Time
	failures  int
}

// firing is one tick on its way into the queue.
type firing struct {
	task       queue.Task
	invocation invocation.Invocation
	event      []byte
}

// wake is when the entry is to be looked at.
func (e *entry) wake() time.Time {
	if e.notBefore.After(e.due) {
		return e.notBefore
	}
	return e.due
}

// advance moves the cursor to a tick, and reports whether another one follows.
func (e *entry) advance(tick time.Time) bool {
	e.cursor, e.firing = tick, nil
	e.notBefore, e.failures = time.Time{}, 0
	var more bool
	e.due, more = e.schedule.Next(tick)
	return more
}

// plan is a heap of the schedules by their next tick.
type plan []*entry

func (p plan) Len() int      { return len(p) }
func (p plan) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p plan) Less(i, j int) bool {
	a, b := p[i].wake(), p[j].wake()
	if a.Equal(b) {
		return p[i].key < p[j].key
	}
	return a.Before(b)
}
func (p *plan) Push(x any) { *p = append(*p, x.(*entry)) }
func (p *plan) Pop() any {
	last := len(*p) - 1
	e := (*p)[last]
	(*p)[last] = nil
	*p = (*p)[:last]
	return e
}

// read lists the schedules of a catalog, without their cursors. Those that
// cannot be read are said and left out: they must not hold up the others.
func read(c store.Catalog, log *slog.Logger) []*entry {
	var entries []*entry
	for site, d := range c.Published {
		for _, f := range d.Functions {
			if f.Kind != function.Scheduled {
				continue
			}
			s, err := schedule.Parse(f.Schedule, f.Timezone)
			if err != nil {
				log.Error("a schedule cannot be read; it does not fire", "site", site, "deploy", d.ID, "function", f.Name, "error", err)
				continue
			}
			entries = append(entries, &entry{
				key: schedule.Key(site, f.Name, s), site: site, deploy: d.ID, branch: d.Branch, function: f, schedule: s,
			})
		}
	}
	return entries
}

// newPlan sets the cursors and orders the entries. An entry without a cursor or
// without a further tick is left out.
func newPlan(entries []*entry, cursors map[string]time.Time) plan {
	var p plan
	for _, e := range entries {
		cursor, known := cursors[e.key]
		if known && e.advance(cursor) {
			p = append(p, e)
		}
	}
	heap.Init(&p)
	return p
}
