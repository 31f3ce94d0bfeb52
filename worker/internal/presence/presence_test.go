package presence

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/shared/store"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// list is a store of one worker, and that worker.
type list struct {
	mu        sync.Mutex
	now       store.Worker
	beats     []store.Worker
	err       error
	withdrawn string
}

func (l *list) Heartbeat(_ context.Context, w store.Worker, ttl time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ttl < 2*interval {
		return errors.New("one lost heartbeat would end the worker")
	}
	l.beats = append(l.beats, w)
	return l.err
}

func (l *list) Withdraw(_ context.Context, id string) error {
	l.withdrawn = id
	return nil
}

func (l *list) snapshot() store.Worker {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.now
	w.Warm = maps.Clone(w.Warm)
	return w
}

func (l *list) set(change func(w *store.Worker)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.now)
}

func (l *list) sent() []store.Worker {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.beats)
}

func start(t *testing.T, l *list) (r *Reporter, stop func()) {
	r = NewReporter(l, l.snapshot, slog.New(slog.NewTextHandler(t.Output(), nil)))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); r.Run(ctx) }()
	synctest.Wait()
	return r, func() { cancel(); <-ended }
}

func TestBeatsRegularly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &list{now: store.Worker{ID: "w", Capacity: 2}, err: errors.New("away")}
		r, stop := start(t, l)
		time.Sleep(time.Minute)
		stop()
		if got := len(l.sent()); got != 30 && got != 31 {
			t.Errorf("%d heartbeats in a minute, want 30", got)
		}
		if err := r.Withdraw(t.Context()); err != nil || l.withdrawn != "w" {
			t.Errorf("Withdraw = %v of %q", err, l.withdrawn)
		}
	})
}

func TestTellsChangesThatMatterAtOnce(t *testing.T) {
	t.Parallel()
	changes := map[string]struct {
		change  func(w *store.Worker)
		matters bool
	}{
		"another function is warm":    {func(w *store.Worker) { w.Warm["d/g"] = 1 }, true},
		"a function went cold":        {func(w *store.Worker) { delete(w.Warm, "d/f") }, true},
		"one more process is warm":    {func(w *store.Worker) { w.Warm["d/f"] = 2 }, false},
		"one more is busy":            {func(w *store.Worker) { w.Busy = 1 }, false},
		"the worker is full":          {func(w *store.Worker) { w.Busy = 2 }, true},
		"the worker is shutting down": {func(w *store.Worker) { w.Draining = true }, true},
	}
	for name, test := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := &list{now: store.Worker{ID: "w", Capacity: 2, Warm: map[string]int{"d/f": 1}}}
				r, stop := start(t, l)
				defer stop()
				l.set(test.change)
				r.Changed()
				synctest.Wait()
				if got := len(l.sent()) == 2; got != test.matters {
					t.Errorf("told at once: %v, want %v", got, test.matters)
				}
			})
		})
	}
}

func TestManyChangesAreFewHeartbeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &list{now: store.Worker{ID: "w", Capacity: 2}}
		r, stop := start(t, l)
		for i := range 1000 { // in a second
			l.set(func(w *store.Worker) { w.Busy = 2 * (i % 2) })
			r.Changed()
			time.Sleep(time.Millisecond)
		}
		stop()
		if got := len(l.sent()); got > 7 {
			t.Errorf("%d heartbeats in a second, want about five", got)
		}
	})
}
