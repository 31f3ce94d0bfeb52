package tick

import (
	"container/heap"
	"log/slog"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/schedule"
	"github.com/nightshift/nightshift/shared/telemetry"
)

// entry is one schedule of the catalog.
type entry struct {
	key      string // its cursor's
	site     string
	deploy   string
	branch   string             // of the deploy
	function *function.Function // of the catalog, not to be changed
	schedule *schedule.Schedule // shared with others of the same expression and zone

	cursor time.Time // the last tick that was dealt with
	due    time.Time // the tick after it; zero if there is none
	// judged: the late ticks up to here have been through catchUp, and those
	// that are left of them are to fire.
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
	span       telemetry.Span // of all tries; a tick that is not fired leaves none
}

// wake is when the entry is to be looked at.
func (e *entry) wake() time.Time {
	if e.notBefore.After(e.due) {
		return e.notBefore
	}
	return e.due
}

// advance goes on to the tick after a cursor, if there is one.
func (e *entry) advance(cursor time.Time) {
	e.cursor, e.firing = cursor, nil
	e.notBefore, e.failures = time.Time{}, 0
	next, more := e.schedule.Next(cursor)
	if !more {
		next = time.Time{}
	}
	e.due = next
}

// plan is a heap of the schedules by their next tick.
type plan []*entry

func (p plan) Len() int           { return len(p) }
func (p plan) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }
func (p plan) Less(i, j int) bool { return p[i].wake().Before(p[j].wake()) }
func (p *plan) Push(x any)        { *p = append(*p, x.(*entry)) }
func (p *plan) Pop() any {
	last := len(*p) - 1
	e := (*p)[last]
	(*p)[last] = nil
	*p = (*p)[:last]
	return e
}

// take removes those that are to be looked at by a moment, the oldest first.
func (p *plan) take(now time.Time) []*entry {
	var taken []*entry
	for len(*p) > 0 && !(*p)[0].wake().After(now) {
		taken = append(taken, heap.Pop(p).(*entry))
	}
	return taken
}

// put adds those that have a further tick.
func (p *plan) put(entries []*entry) {
	for _, e := range entries {
		if !e.due.IsZero() {
			heap.Push(p, e)
		}
	}
}

// parser reads schedules, each text once: thousands of functions have the same
// few, and reading one costs more than a search in it.
type parser map[[3]string]*schedule.Schedule

func (p parser) parse(site string, f *function.Function) (*schedule.Schedule, error) {
	text := [3]string{f.Schedule, f.Timezone}
	if strings.ContainsAny(f.Schedule, "hH") && !strings.HasPrefix(f.Schedule, "@") {
		text[2] = site + "/" + f.Name // it may have an H, which is the function's own
	}
	if s, ok := p[text]; ok {
		return s, nil
	}
	s, err := schedule.ParseFor(site, f.Name, f.Schedule, f.Timezone)
	if err != nil {
		return nil, err
	}
	if len(p) >= maxParsed {
		clear(p)
	}
	p[text] = s
	return s, nil
}

// maxParsed bounds what a parser remembers.
const maxParsed = 20_000

// read lists the schedules of a site's published deploy, by key and without
// their cursors. Those that cannot be read are said and left out: they must not
// hold up the others.
func (p parser) read(site string, d *deploy.Deploy, log *slog.Logger) map[string]*entry {
	entries := map[string]*entry{}
	for i := range d.Functions {
		f := &d.Functions[i]
		if f.Kind != function.Scheduled {
			continue
		}
		s, err := p.parse(site, f)
		if err != nil {
			log.Error("a schedule cannot be read; it does not fire", "site", site, "deploy", d.ID, "function", f.Name, "error", err)
			continue
		}
		key := schedule.Key(site, f.Name, s)
		entries[key] = &entry{key: key, site: site, deploy: d.ID, branch: d.Branch, function: f, schedule: s}
	}
	return entries
}
