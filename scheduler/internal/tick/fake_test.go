package tick

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
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
	t  *testing.T
	mu sync.Mutex

	catalog store.Catalog
	watcher func(store.Catalog)
	term    int64
	cursors map[string]time.Time
	skew    time.Duration // Redis's clock minus the local one
	jump    time.Duration // what the local wall clock was set by
	down    bool

	fired   []fired
	syncs   int
	clocked int
	tries   int
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
	return &world{t: t, term: 1, cursors: map[string]time.Time{}}
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
	for _, key := range keys {
		if _, ok := w.cursors[key]; !ok {
			w.cursors[key] = time.Now().Add(w.skew)
		}
	}
	return maps.Clone(w.cursors), nil
}

// check is Fire's Check.
func (w *world) check(term int64, key string, tick time.Time) int {
	cursor, ok := w.cursors[key]
	switch {
	case term != w.term:
		return store.FireSuperseded
	case !ok:
		return store.FireUnknown
	case !cursor.Before(tick):
		return store.FireAlready
	}
	return queue.Queued
}

func (w *world) Suppress(context.Context, int64, string, time.Time) error { return nil }

func (w *world) Skip(_ context.Context, term int64, k store.Skipping) error {
	key, tick := k.Key, k.To
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return errDown
	}
	switch w.check(term, key, tick) {
	case store.FireSuperseded:
		return store.ErrSuperseded
	case store.FireUnknown:
		return fault.New(fault.NotFound, "no cursor")
	case queue.Queued:
		w.cursors[key] = tick
	}
	return nil
}

func (w *world) Fire(term int64, f store.Firing) redisdb.Step {
	return redisdb.Step{Args: []any{term, f.Key, f.Tick}}
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
	broken, how := false, failed
	if w.breaks != nil {
		how, broken = w.breaks(w.tries, task.Target)
	}
	switch {
	case broken && how == failed:
		return 0, errDown
	case broken && how == ownFault:
		return 0, fault.New(fault.Internal, "a script broke")
	}
	fire, create := steps[0].Args, steps[1].Args
	term, key, tick := fire[0].(int64), fire[1].(string), fire[2].(time.Time)
	if verdict := w.check(term, key, tick); verdict != queue.Queued {
		return verdict, nil
	}
	w.cursors[key] = tick
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
	var got []string
	for _, f := range w.fired {
		got = append(got, f.task.Target.Function+" "+f.invocation.Tick.UTC().Format(time.TimeOnly))
	}
	w.fired = nil
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
