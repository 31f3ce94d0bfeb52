package execute

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/redis/go-redis/v9"
)

// world is records and a queue on a Redis.
type world struct {
	*testing.T
	Records
	rdb     redis.UniversalClient
	store   *store.Store
	breaker redistest.Breaker
}

// records runs a test on the best Redis that there is, and on the last resort.
func records(t *testing.T, test func(t *testing.T, w *world)) {
	t.Parallel()
	for mode, open := range redistest.Kinds() {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := &world{T: t, rdb: open(t)}
			w.store = store.New(w.rdb, store.Options{})
			settler := queue.NewSettler(w.rdb)
			t.Cleanup(settler.Close)
			w.Records = Records{Steps: w.store, Settler: settler}
			w.rdb.AddHook(&w.breaker)
			test(t, w)
		})
	}
}

// begin accepts an invocation and begins its next attempt.
func (w *world) begin() int {
	w.Helper()
	client, err := queue.NewClient(w.rdb, false)
	if err != nil {
		w.Fatal(err)
	}
	inv := invocation.Invocation{ID: delivery.ID, Site: "s", Deploy: "d", Function: "f", Kind: function.Background, State: invocation.Queued}
	if _, err := client.Enqueue(w.Context(), queue.Task{ID: delivery.ID, Queue: function.Background, Target: delivery.Target, Timeout: time.Minute}, w.store.Create(inv, []byte(`{}`))); err != nil {
		w.Fatal(err)
	}
	// As a worker takes it.
	if err := w.rdb.RPopLPush(w.Context(), "asynq:{background}:pending", "asynq:{background}:active").Err(); err != nil {
		w.Fatal(err)
	}
	begun, err := w.store.Begin(w.Context(), function.Background, delivery.ID, "w1")
	if err != nil {
		w.Fatal(err)
	}
	return begun.Attempt
}

func (w *world) state() invocation.State {
	w.Helper()
	inv, err := w.store.Invocation(w.Context(), delivery.ID)
	if err != nil {
		w.Fatal(err)
	}
	return inv.State
}

// log is the text of the log, line by line.
func (w *world) log() string {
	w.Helper()
	lines, err := w.store.Log(w.Context(), delivery.ID, "", 0)
	if err != nil {
		w.Fatal(err)
	}
	var all []string
	for _, l := range lines {
		all = append(all, l.Text)
	}
	return strings.Join(all, ",")
}

// queued reports whether the task is there.
func (w *world) queued() bool {
	w.Helper()
	return w.rdb.Exists(w.Context(), "asynq:{background}:t:"+delivery.ID).Val() == 1
}

func last(attempt int, texts ...string) (lines []invocation.LogLine) {
	for _, text := range texts {
		lines = append(lines, invocation.LogLine{Time: time.UnixMilli(0).UTC(), Attempt: attempt, Stream: "stdout", Text: text})
	}
	return lines
}

var succeeded = store.End{Outcome: invocation.OK, Verdict: invocation.Verdict{State: invocation.Succeeded}}

func TestAnEndIsOneStep(t *testing.T) {
	records(t, func(t *testing.T, w *world) {
		attempt := w.begin()
		if err := w.Finish(t.Context(), delivery, attempt, succeeded, last(attempt, "a", "b")); err != nil {
			t.Fatal(err)
		}
		if w.state() != invocation.Succeeded || w.log() != "a,b" || w.queued() {
			t.Errorf("state %s, log %s, task there: %v", w.state(), w.log(), w.queued())
		}
	})
}

// Whether the reply was lost or the script never ran, the second try makes it
// whole, and once.
func TestAnEndIsRepeated(t *testing.T) {
	for name, broken := range map[string]redistest.Fault{"failed": redistest.Failed, "failed but done": redistest.FailedButDone} {
		t.Run(name, func(t *testing.T) {
			records(t, func(t *testing.T, w *world) {
				attempt := w.begin()
				w.breaker.Break(1, broken, func(cmd redis.Cmder) bool { return cmd.Name() == "eval" })
				if err := w.Finish(t.Context(), delivery, attempt, succeeded, last(attempt, "a")); !fault.Is(err, fault.Unavailable) {
					t.Fatalf("a broken try: %v; want unavailable", err)
				}
				if err := w.Finish(t.Context(), delivery, attempt, succeeded, last(attempt, "a")); err != nil {
					t.Fatal(err)
				}
				if w.state() != invocation.Succeeded || w.log() != "a" || w.queued() {
					t.Errorf("state %s, log %s, task there: %v", w.state(), w.log(), w.queued())
				}
			})
		})
	}
}

// An attempt that a newer one has taken the invocation from writes nothing, and
// leaves the task to that.
func TestAFencedEndWritesNothing(t *testing.T) {
	records(t, func(t *testing.T, w *world) {
		old := w.begin()
		if _, err := w.store.Begin(t.Context(), function.Background, delivery.ID, "w2"); err != nil {
			t.Fatal(err)
		}
		if err := w.Finish(t.Context(), delivery, old, succeeded, last(old, "late")); !errors.Is(err, store.ErrFenced) {
			t.Errorf("Finish = %v, want fenced", err)
		}
		if w.state() != invocation.Running || w.log() != "" || !w.queued() {
			t.Errorf("state %s, log %s, task there: %v", w.state(), w.log(), w.queued())
		}
	})
}

func TestAnEndWithoutARecord(t *testing.T) {
	records(t, func(t *testing.T, w *world) {
		attempt := w.begin()
		w.rdb.Del(t.Context(), "nightshift:{background}:inv:"+delivery.ID)
		if err := w.Finish(t.Context(), delivery, attempt, succeeded, nil); !fault.Is(err, fault.NotFound) {
			t.Errorf("Finish = %v, want not found", err)
		}
	})
}

// What the queue has something to do for keeps its task: that is the queue's.
func TestAnEndThatIsNotTheLast(t *testing.T) {
	records(t, func(t *testing.T, w *world) {
		attempt := w.begin()
		end := store.End{Outcome: invocation.Error, Failure: &invocation.Failure{Type: "Error", Message: "boom"}, Verdict: invocation.Verdict{State: invocation.Failed, Delay: time.Minute}}
		if err := w.Finish(context.WithoutCancel(t.Context()), delivery, attempt, end, nil); err != nil {
			t.Fatal(err)
		}
		if w.state() != invocation.Failed || !w.queued() {
			t.Errorf("state %s, task there: %v", w.state(), w.queued())
		}
	})
}
