package dispatch

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	wire "github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/telemetry"
	"github.com/nightshift/nightshift/worker/internal/attempt"
	"github.com/nightshift/nightshift/worker/internal/logs"
	"github.com/nightshift/nightshift/worker/internal/pool"
	"github.com/nightshift/nightshift/worker/internal/redact"
)

// call is one call. It may outlive its request: a function goes on after its
// response is complete if it has asked to (waitUntil), and the connection must
// be free for the next request by then.
type call struct {
	h *Handler
	head
	log    *slog.Logger
	run    context.Context // the attempt's own
	span   telemetry.Span
	cancel context.CancelCauseFunc
	// redactor keeps the deploy's secrets out of what is written of the call.
	redactor *redact.Redactor
	// detach ends the caller's say: hanging up cancels no longer.
	detach func() bool
	undo   []func() // newest last
	goesOn bool
}

// newCall makes the call of a request that has entered.
func newCall(h *Handler, r *http.Request, head head) *call {
	c := &call{h: h, head: head}
	ctx, span := h.cfg.Tracer.SyncAttempt(telemetry.Extract(r.Context(), r.Header), telemetry.Call{
		Site: c.target.Site, Deploy: c.target.Deploy, Function: c.target.Function, Kind: string(function.Sync), Invocation: c.id,
	})
	c.span = span
	c.log = telemetry.Logger(ctx, h.log.With("invocation", c.id, "site", c.target.Site, "deploy", c.target.Deploy, "function", c.target.Function))
	c.run, c.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	c.detach = context.AfterFunc(r.Context(), func() { c.cancel(pool.ErrCancelled) })
	stop := context.AfterFunc(h.drained, func() { c.cancel(pool.ErrDraining) })
	c.undo = append(c.undo, h.leave, c.span.End, func() { c.cancel(nil) }, func() { stop() }, func() { c.detach() })
	return c
}

// leave ends the call with its request, unless it goes on.
func (c *call) leave() {
	if !c.goesOn {
		c.end()
	}
}

func (c *call) end() {
	for _, undo := range slices.Backward(c.undo) {
		undo()
	}
}

// serve runs the function and answers.
func (c *call) serve(w http.ResponseWriter, event []byte) {
	loaded, err := c.h.cfg.Loader.Load(c.run, c.target)
	switch kind := fault.KindOf(err); {
	case err == nil:
		c.undo, c.redactor = append(c.undo, loaded.Release), loaded.Redactor
	case kind == fault.NotFound, kind == fault.Conflict:
		c.span.Outcome(wire.Refused, "", true)
		refuseFault(w, err)
		return
	case kind == fault.Unavailable:
		// The function has not run, and another worker may have its code.
		c.log.Warn("code out of reach", "error", err)
		c.span.Outcome(wire.Busy, "", false)
		busy(w)
		return
	default:
		c.log.Error("code cannot be loaded", "error", err)
		failed := attempt.Failed(c.run, err)
		c.ended(failed.Outcome, 0)
		fail(w, failed)
		return
	}

	// Always as a sync call, whatever the function's kind: such calls have no record.
	lines := logs.NewWriter(c.h.cfg.Logs, store.LogSource{
		Site: c.target.Site, Deploy: c.target.Deploy, Function: c.target.Function, Kind: function.Sync, Invocation: c.id,
	}, 1, c.h.cfg.Lines, c.h.log)
	redacted := c.redactor.Lines(lines.Line)
	// The answer is not held up by the log; the handler's Stop waits for it.
	c.undo = append(c.undo, func() { c.h.pending.Go(lines.Close) }, redacted.Flush)

	started := time.Now()
	deadline := started.Add(loaded.Function.Timeout())
	response, err := c.h.cfg.Runner.Invoke(c.run, loaded.Code, pool.Call{
		ID: c.id, Attempt: 1, Event: event, Deadline: deadline, ClientContext: c.clientContext,
		Trace: telemetry.At(c.run), Log: redacted.Line,
	}, false)
	if errors.Is(err, pool.ErrBusy) {
		c.span.Outcome(wire.Busy, "", false)
		busy(w)
		return
	}
	if err != nil {
		failed := attempt.Failed(c.run, err)
		c.log.Info("call failed", "outcome", failed.Outcome, "duration", time.Since(started))
		c.ended(failed.Outcome, time.Since(started))
		fail(w, &pool.Failed{Outcome: failed.Outcome, Failure: c.redactor.Failure(failed.Failure)})
		return
	}
	if err := relay(w, response, deadline); err != nil {
		c.log.Info("call failed half-way", "error", c.redactor.Text(err.Error()), "duration", time.Since(started))
		outcome := attempt.Failed(c.run, err).Outcome
		c.cancel(pool.ErrCancelled) // nobody reads it any more
		_ = response.Body.Close()
		c.ended(outcome, time.Since(started))
		panic(http.ErrAbortHandler) // the only way to cut the connection
	}
	c.log.Debug("call answered", "duration", time.Since(started))
	c.goesOn = true
	c.detach()
	ended := make(chan struct{})
	c.h.pending.Go(func() {
		defer close(ended)
		defer c.end()
		c.ended(c.finish(response), time.Since(started))
	})
	// As a rule the process is free again in no time. If the caller were told
	// before that, its next call would find no warm process and start another.
	timer := time.NewTimer(linger)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
}

// linger is how long the end of a request waits for its process. The answer
// itself does not: it is flushed after flushAfter.
const linger = 20 * time.Millisecond

// finish waits until the function is done with what follows its response, and
// returns how the attempt has ended then.
func (c *call) finish(response *pool.Response) invocation.Outcome {
	_, err := io.Copy(io.Discard, response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		c.log.Info("call failed after its answer", "error", c.redactor.Text(err.Error()))
		return attempt.Failed(c.run, err).Outcome
	}
	if unfit(response) != nil {
		return invocation.BadResponse
	}
	return invocation.OK
}

// ended tells the figures and the span how the attempt ended, and after what time.
func (c *call) ended(outcome invocation.Outcome, took time.Duration) {
	c.h.cfg.Attempts.Ended(function.Sync, outcome, took)
	c.span.Outcome(string(outcome), "", outcome.Counts())
}
