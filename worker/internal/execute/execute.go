// Package execute runs a queued invocation: one attempt from its delivery to
// its recorded result.
//
//	delivery ─▶ load the code ─▶ store.Begin ─▶ pool.Invoke ─▶ Ends.Finish ─▶ disposition
//
// The record never comes after the queue: a task is acknowledged in the step that
// records the attempt's end, or later, so what a crash in between leaves is a task
// that is delivered again and finds its record finished. The attempt number
// that Begin gives is the fencing token of everything that follows.
//
// What goes wrong on the way:
//
//	loading  store or artifacts out of reach   RetryIn; nothing was begun, nothing counts
//	loading  no such deploy, function, code    the attempt is begun and ends as init_error
//	Begin    out of reach                      RetryIn; an attempt that was begun after all
//	                                           is closed as worker_lost by the next one
//	Begin    finished, or no record            Done
//	Invoke   cancelled                         recorded as cancelled, Done
//	Invoke   the worker drains, or lost        recorded as drained, HandBack
//	         the task's lease
//	Finish   fails                             tried again for 30 s, then RetryIn: run again
//	                                           rather than lost
//	Finish   fenced                            Done: the newer attempt has the task
//	logs     any                               lines are dropped and counted; nothing else
package execute

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/telemetry"
	"github.com/nightshift/nightshift/worker/internal/attempt"
	"github.com/nightshift/nightshift/worker/internal/code"
	"github.com/nightshift/nightshift/worker/internal/logs"
	"github.com/nightshift/nightshift/worker/internal/pool"
	"github.com/prometheus/client_golang/prometheus"
)

// Store is what an attempt is recorded in: store.Store. All errors are those
// that package store documents.
type Store interface {
	Begin(ctx context.Context, kind function.Kind, id, worker string) (store.Begun, error)
	WatchCancels(ctx context.Context, fn func(id string)) error
	CancelRequested(ctx context.Context, kind function.Kind, ids []string) ([]string, error)
}

// Ends is where the ends of attempts are recorded: Records.
type Ends interface {
	// Finish records the end of a delivery's attempt together with its last log
	// lines. If nothing follows the attempt the task is gone too, all in one step.
	// Doing it twice is nil the second time. Its errors are those of store.Store.Finish.
	Finish(ctx context.Context, d queue.Delivery, attempt int, end store.End, lines []invocation.LogLine) error
}

// Runner runs a call in a process: pool.Pool.
type Runner interface {
	// Invoke keeps pool.Invoke's contract.
	Invoke(ctx context.Context, code pool.Code, call pool.Call, wait bool) (*pool.Response, error)
}

// Loader finds the code of a target: code.Source.
type Loader interface {
	// Load keeps code.Source.Load's contract.
	Load(ctx context.Context, target queue.Target) (*code.Loaded, error)
}

// Config configures an Executor. All fields are required but Tracer and those that have a default.
type Config struct {
	Worker string // the worker's ID, as it stands in records
	Store  Store
	Ends   Ends
	Logs   logs.Sink
	Runner Runner
	Loader Loader
	// Attempts and Lines count what ends and what is lost. Default: not told.
	Attempts *attempt.Metrics
	Lines    *logs.Metrics
	// Metrics is where the executor's own figures are registered; nil: nowhere.
	Metrics prometheus.Registerer
	Logger  *slog.Logger
	// Changed, if not nil, is called after each attempt; it must not wait.
	Changed func()
	// Ended, if not nil, is called after an attempt with which an invocation
	// ended whose end has to be told; it must not wait.
	Ended func()
	// Tracer traces attempts. nil: nothing is traced.
	Tracer *telemetry.Tracer
}

// Times of the failure handling.
const (
	loadTimeout   = 20 * time.Second       // finding and fetching the code
	storeTimeout  = 5 * time.Second        // one call of the store
	storeRetry    = 3 * time.Second        // delivery again when the store is out of reach
	loadRetry     = 5 * time.Second        // delivery again when artifacts are out of reach
	finishTimeout = 30 * time.Second       // all tries to record an end
	finishBackoff = 100 * time.Millisecond // before the second try; doubles up to
	finishPause   = 3 * time.Second        // this one
)

// Executor runs attempts. Its methods are safe for concurrent use.
type Executor struct {
	cfg     Config
	log     *slog.Logger
	metrics metrics
	draw    func() float64 // in [0, 1), see spread
	mu      sync.Mutex
	running map[string]*running // by invocation ID
	began   chan struct{}       // has one when something may have begun to run
}

// running is an attempt that can be cancelled.
type running struct {
	kind      function.Kind
	cancel    context.CancelCauseFunc
	cancelled bool
}

// New makes an executor.
func New(cfg Config) *Executor {
	if cfg.Changed == nil {
		cfg.Changed = func() {}
	}
	if cfg.Ended == nil {
		cfg.Ended = func() {}
	}
	if cfg.Attempts == nil {
		cfg.Attempts = attempt.NewMetrics(nil)
	}
	if cfg.Lines == nil {
		cfg.Lines = logs.NewMetrics(nil)
	}
	return &Executor{
		cfg: cfg, log: cfg.Logger.With("component", "execute"), metrics: newMetrics(cfg.Metrics),
		draw: rand.Float64, running: map[string]*running{}, began: make(chan struct{}, 1),
	}
}

// Handle is a queue.Handler. When ctx ends, the attempt is ended as drained:
// the server is stopping, or has lost the task to another worker, whose
// attempt then fences off what this one records.
func (e *Executor) Handle(ctx context.Context, d queue.Delivery) queue.Disposition {
	say := speaker{log: e.log, d: d}
	run, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { cancel(pool.ErrDraining) })()
	// Known before Begin, so that no cancellation falls between the two.
	defer e.track(d, cancel)()

	loaded, loadErr := e.load(run, d.Target)
	if loaded != nil {
		defer loaded.Release()
	}
	if errors.Is(context.Cause(run), pool.ErrDraining) {
		return queue.HandBack()
	}
	if fault.Is(loadErr, fault.Unavailable) && run.Err() == nil {
		say.warn("code out of reach; trying again later", slog.Any("error", loadErr))
		return queue.RetryIn(loadRetry)
	}
	begun, err := e.begin(ctx, d)
	switch {
	case errors.Is(err, store.ErrFinished):
		return queue.Done()
	case fault.Is(err, fault.NotFound):
		say.warn("task without a record dropped; the record has expired")
		return queue.Done()
	case err != nil:
		say.warn("attempt cannot be begun; trying again later", slog.Any("error", err))
		return queue.RetryIn(storeRetry)
	}
	e.metrics.began(&begun.Invocation)
	run, span := e.trace(run, d, begun)
	defer span.End()
	say.attempt, say.trace = begun.Attempt, telemetry.TraceID(run)
	end, lines := e.run(run, d, begun, loaded, loadErr, say)
	span.Outcome(string(end.Outcome), string(end.Verdict.State), end.Outcome.Counts())
	e.cfg.Changed()
	err = e.finish(ctx, d, begun.Attempt, end, lines, say)
	if err != nil {
		e.cfg.Lines.Lose(len(lines))
	}
	switch {
	case errors.Is(err, store.ErrFenced):
		span.Failed("fenced")
		say.warn("attempt dropped; a newer one owns the invocation", outcome(end))
		return queue.Done()
	case fault.Is(err, fault.NotFound):
		say.warn("end of the attempt not recorded; the record has expired", outcome(end))
		return queue.Done()
	case err != nil:
		span.Failed("not_recorded")
		say.that(slog.LevelError, "end of the attempt cannot be recorded; the invocation will run again", outcome(end), slog.Any("error", err))
		return queue.RetryIn(storeRetry)
	}
	if begun.Invocation.Callback != nil && end.Verdict.State.Terminal() {
		e.cfg.Ended()
	}
	return disposition(end)
}

// trace begins the span of an attempt, in the trace in which its invocation was
// accepted: every attempt is a child of the same span there, however much later.
func (e *Executor) trace(ctx context.Context, d queue.Delivery, begun store.Begun) (context.Context, telemetry.Span) {
	return e.cfg.Tracer.Attempt(telemetry.ParsePlace(begun.Invocation.Trace).Enter(ctx), telemetry.Call{
		Site: d.Target.Site, Deploy: d.Target.Deploy, Function: d.Target.Function, Kind: string(d.Queue), Invocation: d.ID,
	}, begun.Attempt, e.cfg.Worker)
}

// load is bounded because the queue gives a handler 30 s beyond the function's
// own limit. A fetch that takes longer goes on, and serves the next delivery.
func (e *Executor) load(ctx context.Context, target queue.Target) (*code.Loaded, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	return e.cfg.Loader.Load(ctx, target)
}

// track notes a delivery as running until the returned function is called.
func (e *Executor) track(d queue.Delivery, cancel context.CancelCauseFunc) (untrack func()) {
	r := &running{kind: d.Queue, cancel: cancel}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running[d.ID] = r
	select {
	case e.began <- struct{}{}:
	default: // Run has not taken the one before
	}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		// A task whose lease was lost may have come back to this very worker.
		if e.running[d.ID] == r {
			delete(e.running, d.ID)
		}
	}
}

func (e *Executor) begin(ctx context.Context, d queue.Delivery) (store.Begun, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	return e.cfg.Store.Begin(ctx, d.Queue, d.ID, e.cfg.Worker)
}

// run is the attempt itself. It returns when nothing of it runs any more, with the
// last lines of its log, if they go with its end; the others are sent.
func (e *Executor) run(ctx context.Context, d queue.Delivery, begun store.Begun, loaded *code.Loaded, loadErr error, say speaker) (store.End, []invocation.LogLine) {
	w := logs.NewWriter(e.cfg.Logs, source(d), begun.Attempt, e.cfg.Lines, e.log)
	defer w.Close()
	if loaded != nil && loaded.Deploy != d.Target.Deploy {
		w.System("attempt %d started on worker %s, with the code of deploy %s (onRollback: latest)", begun.Attempt, e.cfg.Worker, loaded.Deploy)
	} else {
		w.System("attempt %d started on worker %s", begun.Attempt, e.cfg.Worker)
	}
	say.that(slog.LevelDebug, "attempt started")
	started := time.Now()

	result, failed := e.invoke(ctx, d, begun, loaded, loadErr, w)
	end := store.End{Outcome: invocation.OK, Result: result}
	f := &function.Function{Name: d.Target.Function, Kind: d.Queue} // with the default retries, if its deploy is gone
	if loaded != nil {
		f = &loaded.Function
	}
	if failed != nil {
		end.Outcome, end.Failure = failed.Outcome, &failed.Failure
		if loaded != nil {
			*end.Failure = loaded.Redactor.Failure(failed.Failure)
		}
	}
	failures := begun.Failures
	if end.Outcome.Counts() {
		failures++
	}
	end.Verdict = spread(invocation.Decide(f, end.Outcome, failures), e.draw())

	took := time.Since(started)
	e.cfg.Attempts.Ended(d.Queue, end.Outcome, took)
	say.that(slog.LevelInfo, "attempt ended", outcome(end), slog.String("state", string(end.Verdict.State)), slog.Duration("duration", took))
	if end.Verdict.State == invocation.Failed {
		w.System("attempt %d ended after %s: %s; the next one follows in %s", begun.Attempt, rounded(took), end.Outcome, rounded(end.Verdict.Delay))
	} else {
		w.System("attempt %d ended after %s: %s", begun.Attempt, rounded(took), end.Outcome)
	}
	if disposition(end) != queue.Done() {
		return end, nil // w.Close sends them
	}
	return end, w.Finish()
}

func (e *Executor) invoke(ctx context.Context, d queue.Delivery, begun store.Begun, loaded *code.Loaded, loadErr error, w *logs.Writer) (*invocation.Result, *pool.Failed) {
	if loadErr != nil {
		return nil, attempt.Failed(ctx, loadErr)
	}
	lines := loaded.Redactor.Lines(w.Line)
	defer lines.Flush() // the attempt has ended by then
	response, err := e.cfg.Runner.Invoke(ctx, loaded.Code, pool.Call{
		ID:       d.ID,
		Attempt:  begun.Attempt,
		Event:    begun.Event,
		Deadline: time.Now().Add(loaded.Function.Timeout()),
		Trace:    telemetry.At(ctx),
		Log:      lines.Line,
	}, true)
	if err != nil {
		return nil, attempt.Failed(ctx, err)
	}
	result, err := readResult(response)
	if err != nil {
		return nil, attempt.Failed(ctx, err)
	}
	return result, nil
}

// finish records an attempt's end. It tries again for a while, because what it
// cannot record is work that has to be done twice.
func (e *Executor) finish(ctx context.Context, d queue.Delivery, number int, end store.End, lines []invocation.LogLine, say speaker) error {
	ctx = context.WithoutCancel(ctx)
	until := time.Now().Add(finishTimeout)
	for pause := finishBackoff; ; pause = min(2*pause, finishPause) {
		err := e.tryFinish(ctx, until, d, number, end, lines)
		if err == nil || errors.Is(err, store.ErrFenced) || fault.Is(err, fault.NotFound) {
			return err
		}
		say.warn("recording the end of the attempt failed; trying again", slog.Duration("pause", pause), slog.Any("error", err))
		time.Sleep(min(pause, time.Until(until)))
		if !time.Now().Before(until) {
			return err
		}
	}
}

func (e *Executor) tryFinish(ctx context.Context, until time.Time, d queue.Delivery, number int, end store.End, lines []invocation.LogLine) error {
	ctx, cancel := context.WithTimeout(ctx, min(storeTimeout, time.Until(until)))
	defer cancel()
	return e.cfg.Ends.Finish(ctx, d, number, end, lines)
}

// disposition is what the queue does about a recorded end.
func disposition(end store.End) queue.Disposition {
	switch end.Verdict.State {
	case invocation.Failed:
		return queue.RetryIn(end.Verdict.Delay)
	case invocation.Queued:
		return queue.HandBack()
	case invocation.Dead:
		return queue.Bury(string(end.Outcome) + ": " + end.Failure.Message)
	default:
		return queue.Done()
	}
}

func source(d queue.Delivery) store.LogSource {
	return store.LogSource{Site: d.Target.Site, Deploy: d.Target.Deploy, Function: d.Target.Function, Kind: d.Queue, Invocation: d.ID}
}

// rounded is a duration as a person reads it.
func rounded(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}
