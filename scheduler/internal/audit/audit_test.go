package audit

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"
)

// world is a Redis with records and tasks, and an audit on it.
type world struct {
	*testing.T
	*store.Store
	rdb     redis.UniversalClient
	client  *queue.Client
	audit   *Audit
	log     bytes.Buffer
	tasks   []queue.Task // that the audit enqueued
	between func()       // runs after records are read, before tasks are looked for
	age     time.Duration
}

func newWorld(t *testing.T) *world {
	rdb := redistest.New(t)
	client, err := queue.NewClient(rdb, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	w := &world{T: t, Store: store.New(rdb, store.Options{}), rdb: rdb, client: client, between: func() {}, age: minAge + time.Second}
	w.audit = New(Config{Records: w, Queue: w, Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
		Now: func(context.Context) (time.Time, error) { return time.Now().Add(w.age), nil }})
	return w
}

// Deploy knows one deploy.
func (w *world) Deploy(_ context.Context, id string) (deploy.Deploy, error) {
	if id != "d1" {
		return deploy.Deploy{}, fault.New(fault.NotFound, "there is no deploy %s", id)
	}
	return deploy.Deploy{ID: id, Functions: []function.Function{{Name: "f", Kind: function.Background, TimeoutMS: 7000, Concurrency: 3}}}, nil
}

func (w *world) Missing(ctx context.Context, kind function.Kind, ids []string) ([]string, error) {
	w.between()
	return w.client.Missing(ctx, kind, ids)
}

func (w *world) Enqueue(ctx context.Context, t queue.Task, steps ...redisdb.Step) (int, error) {
	w.tasks = append(w.tasks, t)
	return w.client.Enqueue(ctx, t, steps...)
}

// accept makes an invocation with its task and returns its ID.
func (w *world) accept(change ...func(*invocation.Invocation)) string {
	w.Helper()
	inv := invocation.Invocation{ID: ulid.MustNew(ulid.Now(), rand.Reader).String(), Site: "shop", Deploy: "d1", Function: "f", Kind: function.Background}
	for _, f := range change {
		f(&inv)
	}
	v, err := w.client.Enqueue(w.Context(), queue.Task{ID: inv.ID, Queue: inv.Kind, Timeout: time.Minute, NotBefore: inv.NotBefore,
		Target: queue.Target{Site: inv.Site, Deploy: inv.Deploy, Function: inv.Function}}, w.Create(inv, []byte("event")))
	if v != queue.Queued || err != nil {
		w.Fatalf("Enqueue = %d, %v", v, err)
	}
	return inv.ID
}

// lose deletes the task, as asynq's tools do.
func (w *world) lose(kind function.Kind, id string) {
	w.Helper()
	prefix := "asynq:{" + string(kind) + "}:"
	if n, err := w.rdb.Del(w.Context(), prefix+"t:"+id).Result(); n != 1 || err != nil {
		w.Fatalf("there is no task %s: %v", id, err)
	}
	w.rdb.LRem(w.Context(), prefix+"pending", 0, id)
	w.rdb.ZRem(w.Context(), prefix+"scheduled", id)
}

func (w *world) run(id string, verdict invocation.Verdict, outcome invocation.Outcome) {
	w.Helper()
	begun, err := w.Begin(w.Context(), function.Background, id, "w")
	if err == nil {
		err = w.Finish(w.Context(), function.Background, id, begun.Attempt, store.End{Outcome: outcome, Verdict: verdict})
	}
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) round(want int) {
	w.Helper()
	before := testutil.ToFloat64(w.audit.cfg.Metrics.restored)
	defer func() {
		if n := testutil.ToFloat64(w.audit.cfg.Metrics.restored) - before; n != float64(want) {
			w.Errorf("%v tasks are told as restored, want %d", n, want)
		}
	}()
	if n, err := w.audit.Round(w.Context()); n != want || err != nil {
		w.Fatalf("Round = %d, %v; want %d", n, err, want)
	}
}

func TestLostTaskIsBack(t *testing.T) {
	t.Parallel()
	later := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	failing := func(w *world, id string) {
		w.run(id, invocation.Verdict{State: invocation.Failed, Delay: time.Hour}, invocation.Error)
	}
	for name, tc := range map[string]struct {
		change  func(*invocation.Invocation)
		happens func(w *world, id string)
		want    func(w *world, task *queue.Task)
	}{
		"queued": {},
		"running": {happens: func(w *world, id string) {
			if _, err := w.Begin(w.Context(), function.Background, id, "w"); err != nil {
				w.Fatal(err)
			}
		}},
		"not before": {
			change: func(inv *invocation.Invocation) { inv.NotBefore = later },
			want:   func(_ *world, task *queue.Task) { task.NotBefore = later }},
		"failed": {
			happens: failing,
			want: func(w *world, task *queue.Task) {
				inv, err := w.Invocation(w.Context(), task.ID)
				if err != nil || time.Until(inv.NextAttemptAt) < 50*time.Minute {
					w.Fatalf("the next attempt is at %v, %v", inv.NextAttemptAt, err)
				}
				task.NotBefore = inv.NextAttemptAt
			}},
		"deploy gone": {
			change: func(inv *invocation.Invocation) { inv.Deploy = "gone" },
			want: func(_ *world, task *queue.Task) {
				task.Timeout, task.Concurrency, task.Target.Deploy = function.DefaultBackgroundTimeout, 0, "gone"
			}},
		"tick": {
			change: func(inv *invocation.Invocation) { inv.Kind, inv.Tick = function.Scheduled, later },
			want: func(_ *world, task *queue.Task) {
				task.Queue, task.Target.Published = function.Scheduled, true
			}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			kept := w.accept()
			id := w.accept(func(inv *invocation.Invocation) {
				if tc.change != nil {
					tc.change(inv)
				}
			})
			want := queue.Task{ID: id, Queue: function.Background, Timeout: 7 * time.Second, Concurrency: 3,
				Target: queue.Target{Site: "shop", Deploy: "d1", Function: "f"}}
			if tc.happens != nil {
				tc.happens(w, id)
			}
			if tc.want != nil {
				tc.want(w, &want)
			}
			w.round(0)
			w.lose(want.Queue, id)
			w.round(0) // the first look
			w.round(1)
			w.round(0)
			w.round(0)
			if len(w.tasks) == 1 && w.tasks[0].NotBefore.Equal(want.NotBefore) {
				want.NotBefore = w.tasks[0].NotBefore
			}
			if len(w.tasks) != 1 || w.tasks[0] != want {
				t.Errorf("enqueued %+v; want %+v", w.tasks, want)
			}
			missing, err := w.client.Missing(t.Context(), want.Queue, []string{id})
			missing2, err2 := w.client.Missing(t.Context(), function.Background, []string{kept})
			if len(missing)+len(missing2) > 0 || err != nil || err2 != nil {
				t.Errorf("missing %v %v, %v %v", missing, missing2, err, err2)
			}
			if !strings.Contains(w.log.String(), id) || strings.Contains(w.log.String(), kept) {
				t.Errorf("the log names other invocations:\n%s", w.log.String())
			}
		})
	}
}

// What is in order stays as it is.
func TestNothingIsDoubled(t *testing.T) {
	t.Parallel()
	for name, happens := range map[string]func(w *world, id string) (then func()){
		"finished between the looks": func(w *world, id string) func() {
			w.lose(function.Background, id)
			return func() { w.run(id, invocation.Verdict{State: invocation.Succeeded}, invocation.OK) }
		},
		"has its task again at the second look": func(w *world, id string) func() {
			w.lose(function.Background, id)
			return func() {
				if _, err := w.client.Enqueue(w.Context(), queue.Task{ID: id, Queue: function.Background, Timeout: time.Minute,
					Target: queue.Target{Site: "shop", Deploy: "d1", Function: "f"}}); err != nil {
					w.Fatal(err)
				}
			}
		},
		"finished and settled after it was read": func(w *world, id string) func() {
			w.between = func() {
				w.between = func() {}
				w.run(id, invocation.Verdict{State: invocation.Succeeded}, invocation.OK)
				w.lose(function.Background, id)
			}
			return func() {}
		},
		"too young": func(w *world, id string) func() {
			w.age = minAge - time.Second
			w.lose(function.Background, id)
			return func() {}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			then := happens(w, w.accept())
			w.round(0)
			then()
			for range 3 {
				w.round(0)
			}
			if len(w.tasks) > 0 {
				t.Errorf("enqueued %+v", w.tasks)
			}
		})
	}
}

// More than one round takes: the next one goes on, and begins anew at the end.
func TestRoundsGoOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var lost []string
	for range maxLost + page + 1 {
		lost = append(lost, w.accept())
	}
	for _, id := range lost {
		w.lose(function.Background, id)
	}
	n := 0
	for range 6 {
		more, err := w.audit.Round(t.Context())
		if err != nil || more > maxLost+page {
			t.Fatalf("Round = %d, %v; want %d at most", more, err, maxLost+page)
		}
		n += more
	}
	missing, err := w.client.Missing(t.Context(), function.Background, lost)
	if n != len(lost) || len(missing) > 0 || err != nil {
		t.Errorf("%d enqueued, %d missing, %v; want all %d back, once", n, len(missing), err, len(lost))
	}
}

// A broken round says so, and what it found is found again.
func TestRoundFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.accept()
	w.lose(function.Background, id)
	w.round(0)
	var breaker redistest.Breaker
	w.rdb.(*redis.Client).AddHook(&breaker)
	for _, how := range []redistest.Fault{redistest.Failed, redistest.FailedButDone} {
		breaker.Break(1, how, nil)
		if _, err := w.audit.Round(t.Context()); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("Round: %v; want unavailable", err)
		}
	}
	for range 3 {
		if _, err := w.audit.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.tasks) != 1 || w.tasks[0].ID != id {
		t.Errorf("enqueued %+v; want %s, once", w.tasks, id)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("no redis")
		answers := []error{broken, broken, nil, broken}
		var log bytes.Buffer
		var rounds []time.Duration
		began := time.Now()
		a := New(Config{Records: empty{}, Queue: empty{}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Now: func(context.Context) (time.Time, error) {
				rounds = append(rounds, time.Since(began))
				return time.Time{}, answers[len(rounds)-1]
			}})
		ctx, stop := context.WithTimeout(t.Context(), 3*Interval+time.Second)
		defer stop()
		a.Run(ctx)
		if want := []time.Duration{0, Interval, 2 * Interval, 3 * Interval}; !slices.Equal(rounds, want) {
			t.Errorf("rounds at %v; want %v", rounds, want)
		}
		if got := strings.Count(log.String(), "cannot look"); got != 2 {
			t.Errorf("%d complaints about two outages:\n%s", got, log.String())
		}
	})
}

// empty has nothing.
type empty struct {
	Records
	Queue
}

func (empty) Unfinished(context.Context, function.Kind, string, int) ([]invocation.Invocation, string, error) {
	return nil, "", nil
}

func (empty) Missing(context.Context, function.Kind, []string) ([]string, error) { return nil, nil }
