package tick

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/schedule"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/telemetry"
	"github.com/prometheus/client_golang/prometheus"
)

// fault rows of a remote write
type row int

const (
	failed row = iota
	failedButDone
	ownFault // the request itself is refused, as if by a bug
)

// world is store, queue and the clock of Redis in memory, by the contracts of
// the real ones.
type world struct {
	t        *testing.T
	registry prometheus.Registerer // where a loop's figures go; nil: nowhere
	mu       sync.Mutex

	catalog store.Catalog
	watcher func(store.Catalog)
	term    int64
	cursors map[string]time.Time
	ledger  map[string][]store.LedgerEntry // by schedule key, oldest first
	paused  map[string]bool                // by function
	open    map[string]bool                // functions whose last invocation is not finished
	skew    time.Duration                  // Redis's clock minus the local one
	jump    time.Duration                  // what the local wall clock was set by
	down    bool

	fired   []fired
	syncs   int
	clocked int
	tries   int
	tracer  *telemetry.Tracer
	// breaks is asked for each Enqueue.
	breaks func(try int, target queue.Target) (row, bool)
}

// fired is one task in the queue.
type fired struct {
	at         time.Time // synctest's own time
	task       queue.Task
	invocation invocation.Invocation
	event      []byte
}

func newWorld(t *testing.T) *world {
	return &world{t: t, term: 1, cursors: map[string]time.Time{}, ledger: map[string][]store.LedgerEntry{}}
}

var errDown = fault.New(fault.Unavailable, "no redis")

func (w *world) redisNow(context.Context) (time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return time.Time{}, errDown
	}
	w.clocked++
	return time.Now().Add(w.skew).UTC(), nil
}

func (w *world) localNow() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.jump)
}

func (w *world) WatchCatalog(ctx context.Context, fn func(store.Catalog)) error {
	w.mu.Lock()
	w.watcher = fn
	c := w.catalog
	w.mu.Unlock()
	fn(c)
	<-ctx.Done()
	return ctx.Err()
}

func (w *world) SyncCursors(_ context.Context, term int64, keys []string) (map[string]time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.syncs++
	if w.down {
		return nil, errDown
	}
	if term != w.term {
		return nil, store.ErrSuperseded
	}
	maps.DeleteFunc(w.cursors, func(key string, _ time.Time) bool { return !slices.Contains(keys, key) })
	w.add(keys)
	return maps.Clone(w.cursors), nil
}

func (w *world) MoveCursors(_ context.Context, term int64, add, drop []string) (map[string]time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.syncs++
	if w.down {
		return nil, errDown
	}
	if term != w.term {
		return nil, store.ErrSuperseded
	}
	for _, key := range drop {
		delete(w.cursors, key)
	}
	w.add(add)
	added := map[string]time.Time{}
	for _, key := range add {
		added[key] = w.cursors[key]
	}
	return added, nil
}

func (w *world) add(keys []string) {
	for _, key := range keys {
		if _, ok := w.cursors[key]; !ok {
			w.cursors[key] = time.Now().Add(w.skew).Truncate(time.Millisecond)
		}
	}
}

// check is what Fire and Skip check first.
func (w *world) check(term int64, key string, after, tick time.Time) int {
	cursor, ok := w.cursors[key]
	switch {
	case term != w.term:
		return store.FireSuperseded
	case !ok:
		return store.FireUnknown
	case !cursor.Before(tick):
		return store.FireAlready
	case !cursor.Equal(after):
		return store.FireUnknown
	}
	return queue.Queued
}

// enter moves a cursor with an entry in the ledger.
func (w *world) enter(key string, e store.LedgerEntry) {
	e.Lateness = time.Now().Add(w.skew).Sub(e.Tick)
	w.cursors[key] = e.Tick
	w.ledger[key] = append(w.ledger[key], e)
}

func (w *world) Suppress(_ context.Context, term int64, key string, tick time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.down:
		return errDown
	case term != w.term:
		return store.ErrSuperseded
	}
	w.ledger[key] = append(w.ledger[key], store.LedgerEntry{Tick: tick, From: tick, Count: 1, Outcome: store.TickSuppressed})
	return nil
}

func (w *world) Skip(_ context.Context, term int64, k store.Skipping) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tries++
	if w.down {
		return errDown
	}
	broken, how := w.breaking(queue.Target{})
	if broken && how != failedButDone {
		return errDown
	}
	switch w.check(term, k.Key, k.After, k.To) {
	case store.FireSuperseded:
		return store.ErrSuperseded
	case store.FireUnknown:
		return fault.New(fault.NotFound, "no cursor")
	case queue.Queued:
		w.enter(k.Key, store.LedgerEntry{Tick: k.To, From: k.From, Count: k.Count, Outcome: store.TickSkipped, Reason: k.Reason})
	}
	if broken {
		return errDown
	}
	return nil
}

// breaking reports whether this try breaks, and how.
func (w *world) breaking(target queue.Target) (bool, row) {
	if w.breaks == nil {
		return false, failed
	}
	how, broken := w.breaks(w.tries, target)
	return broken, how
}

func (w *world) Fire(term int64, f store.Firing) redisdb.Step {
	return redisdb.Step{Args: []any{term, f}}
}

func (w *world) Create(inv invocation.Invocation, event []byte) redisdb.Step {
	return redisdb.Step{Args: []any{inv, event}}
}

func (w *world) Enqueue(_ context.Context, task queue.Task, steps ...redisdb.Step) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tries++
	if w.down {
		return 0, errDown
	}
	broken, how := w.breaking(task.Target)
	switch {
	case broken && how == failed:
		return 0, errDown
	case broken && how == ownFault:
		return 0, fault.New(fault.Internal, "a script broke")
	}
	fire, create := steps[0].Args, steps[1].Args
	term, f := fire[0].(int64), fire[1].(store.Firing)
	verdict := w.check(term, f.Key, f.After, f.Tick)
	switch {
	case verdict == queue.Queued && w.paused[f.Function]:
		verdict = store.FirePaused
	case verdict == queue.Queued && f.SkipOverlap && w.open[f.Function]:
		verdict = store.FireOverlap
	}
	if verdict != queue.Queued {
		return verdict, nil
	}
	outcome := store.TickFired
	if f.CaughtUp {
		outcome = store.TickCaughtUp
	}
	w.enter(f.Key, store.LedgerEntry{Tick: f.Tick, From: f.Tick, Count: f.Due, Outcome: outcome, Invocation: f.Invocation})
	w.fired = append(w.fired, fired{time.Now(), task, create[0].(invocation.Invocation), create[1].([]byte)})
	if broken { // and done
		return 0, errDown
	}
	return queue.Queued, nil
}

// set changes the world under its lock.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// publish makes a deploy the published one of its site.
func (w *world) publish(site, id string, functions ...function.Function) {
	w.mu.Lock()
	published := maps.Clone(w.catalog.Published)
	if published == nil {
		published = map[string]deploy.Deploy{}
	}
	published[site] = deploy.Deploy{ID: id, Site: site, Functions: functions}
	w.catalog = store.Catalog{Version: w.catalog.Version + 1, Published: published}
	watcher, c := w.watcher, w.catalog
	w.mu.Unlock()
	if watcher != nil {
		watcher(c)
		synctest.Wait()
	}
}

// since presets the cursor of a schedule of site acme.
func (w *world) since(f function.Function, cursor time.Time) {
	s, err := schedule.Parse(f.Schedule, f.Timezone)
	if err != nil {
		w.t.Fatal(err)
	}
	w.set(func() { w.cursors[schedule.Key("acme", f.Name, s)] = cursor })
}

// scheduled is a function with a schedule.
func scheduled(name, expr string) function.Function {
	return function.Function{Name: name, Kind: function.Scheduled, Schedule: expr}
}

// start runs a loop in the world's current term. The returned function stops it
// and gives Run's error.
func (w *world) start() (stop func() error) {
	l := New(Config{
		Store: w, Queue: w, RedisNow: w.redisNow, Logger: slog.New(slog.NewTextHandler(w.t.Output(), nil)),
		BaseURL: func(site string) string { return "http://" + site + ".localhost" },
		Metrics: w.registry, Tracer: w.tracer,
	})
	l.localNow = w.localNow
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	term := w.term
	go func() { ended <- l.Run(ctx, term) }()
	synctest.Wait()
	return sync.OnceValue(func() error {
		cancel()
		err := <-ended
		synctest.Wait()
		return err
	})
}

// ticks lists what fired as "function hh:mm:ss", and forgets it.
func (w *world) ticks() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	// What is due together fires in any order, but each function in its own.
	newest := map[string]time.Time{}
	for _, f := range w.fired {
		if name, tick := f.task.Target.Function, f.invocation.Tick; !tick.After(newest[name]) {
			w.t.Errorf("%s: the tick %v fired after %v", name, tick, newest[name])
		} else {
			newest[name] = tick
		}
	}
	slices.SortStableFunc(w.fired, func(a, b fired) int {
		return cmp.Or(a.invocation.Tick.Compare(b.invocation.Tick), cmp.Compare(a.task.Target.Function, b.task.Target.Function))
	})
	var got []string
	for _, f := range w.fired {
		got = append(got, f.task.Target.Function+" "+f.invocation.Tick.UTC().Format(time.TimeOnly))
	}
	w.fired = nil
	return got
}

// outcomes lists the ledger of a schedule of site acme, as "hh:mm:ss outcome",
// with the reason, and with a range where an entry covers several.
func (w *world) outcomes(f function.Function) []string {
	synctest.Wait()
	s, err := schedule.Parse(f.Schedule, f.Timezone)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var got []string
	for _, e := range w.ledger[schedule.Key("acme", f.Name, s)] {
		text := e.Tick.UTC().Format(time.TimeOnly)
		if e.Count > 1 {
			text = fmt.Sprintf("%s-%s (%d)", e.From.UTC().Format(time.TimeOnly), text, e.Count)
		}
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", text, e.Outcome, e.Reason)))
	}
	return got
}

func (w *world) expect(what string, want ...string) {
	w.t.Helper()
	if got := w.ticks(); !slices.Equal(got, want) {
		w.t.Errorf("%s: fired %q, want %q", what, got, want)
	}
}

// minutes lists the ticks of a function from one minute of the day to another.
func minutes(name string, from, to time.Duration) []string {
	var want []string
	for m := from; m <= to; m += time.Minute {
		want = append(want, fmt.Sprintf("%s %s", name, time.Time{}.Add(m).Format(time.TimeOnly)))
	}
	return want
}
