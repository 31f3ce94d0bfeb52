package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"syscall"
	"time"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/worker/internal/runtimeapi"
)

// flushLimit bounds how long the last lines of a call may take to get through.
const flushLimit = 10 * time.Second

// CancelGrace is the longest time between TERM and KILL for what was cancelled:
// somebody was promised that it ends within a second.
const CancelGrace = 500 * time.Millisecond

var (
	errDeadline = errors.New("the time limit was reached")
	// errNotDelivered: the process ended before it had the call; another may have it.
	errNotDelivered = errors.New("the process ended before it took the call")
)

// attempt is one call in one process.
type attempt struct {
	pool *Pool
	code Code
	call Call

	ctx    context.Context
	cancel context.CancelCauseFunc
	free   func() bool // undoes what ties ctx to the pool

	instance taken
	exchange *runtimeapi.Exchange

	response *Response
	body     io.Reader
	ended    chan struct{} // closed when the process is free or dead and the log complete
	err      error         // a *Failed or errNotDelivered, set before ended is closed
}

func newAttempt(ctx context.Context, p *Pool, code Code, call Call) *attempt {
	a := &attempt{pool: p, code: code, call: call, ended: make(chan struct{})}
	ctx, cancel := context.WithCancelCause(ctx)
	a.ctx, a.cancel = ctx, cancel
	a.free = context.AfterFunc(p.ctx, func() { cancel(ErrDraining) })
	return a
}

// run gets a process and gives it the call. It returns at the response's head.
func (a *attempt) run(wait bool) (*Response, error) {
	timer := time.AfterFunc(time.Until(a.call.Deadline), func() { a.cancel(errDeadline) })
	release := func() {
		timer.Stop()
		a.free()
		a.cancel(nil)
	}
	instance, err := a.pool.acquire(a.ctx, &a.code, &a.call, wait)
	if err != nil {
		release()
		return nil, err
	}
	a.instance = instance
	a.pool.metrics.calls[instance.from].Inc()
	a.exchange = instance.api.Invoke(runtimeapi.Invocation{
		ID:            a.call.ID,
		Attempt:       a.call.Attempt,
		Event:         a.call.Event,
		Deadline:      a.call.Deadline,
		ClientContext: a.call.ClientContext,
		Trace:         a.call.Trace,
		ARN:           "arn:aws:lambda:" + defaultRegion + ":000000000000:function:" + a.code.Function.Name,
	})
	what := a.await(a.exchange.Answered())
	if what == signalled {
		if failure := a.take(a.exchange.Answer()); failure != nil {
			a.err = failure
		} else if !isClosed(a.exchange.Back()) {
			// The call is seen through to its end, whether or not anybody reads the body.
			a.pool.running.Go(func() { a.end(a.await(a.exchange.Back()), release) })
			return a.response, nil
		}
		what = a.await(a.exchange.Back())
	}
	a.end(what, release)
	if a.response == nil {
		return nil, a.err
	}
	return a.response, nil // what failed behind it, its body tells
}

// event is what an attempt waits for.
type event int

const (
	signalled  event = iota // what was waited for
	exited                  // the process ended
	initFailed              // the process says that it cannot start
	expired                 // the context ended
)

// end sees the call through to its end.
func (a *attempt) end(what event, release func()) {
	defer close(a.ended)
	defer release()
	switch what {
	case signalled:
		a.returned()
	case exited:
		a.exited()
	case initFailed:
		a.stopped(problem(a.instance.api.InitFailure()), "")
	case expired:
		outcome, kind, text := reason(a.ctx, &a.code)
		a.stopped(failed(outcome, kind, text), text)
	}
	if at, ok := a.exchange.Delivered(); ok {
		a.pool.metrics.delivered(a.instance, at)
	}
}

// await waits for a signal. If several things have happened, the order of the
// checks below counts.
func (a *attempt) await(signal <-chan struct{}) event {
	select {
	case <-signal:
		return signalled
	case <-a.instance.proc.Done():
	case <-a.instance.api.InitFailed():
	case <-a.ctx.Done():
	}
	select {
	case <-signal:
		return signalled
	default:
	}
	select {
	case <-a.instance.api.InitFailed():
		return initFailed
	default:
	}
	select {
	case <-a.instance.proc.Done():
		return exited
	default:
		return expired
	}
}

// take makes a response of the answer.
func (a *attempt) take(answer runtimeapi.Answer) *Failed {
	switch {
	case answer.Problem != nil:
		return problem(answer.Problem)
	case answer.Head != nil:
		a.body = answer.Body
		a.response = &Response{Status: answer.Head.Status, Header: answer.Head.Header, Length: answer.Length}
	default:
		result, failure := parseResult(answer.Payload, a.code.Function.Kind)
		if failure != nil {
			return failure
		}
		a.body = result.reader()
		a.response = &Response{Status: result.status, Header: result.header, Length: int64(len(result.body))}
	}
	if a.response.Header == nil {
		a.response.Header = map[string][]string{}
	}
	for _, name := range internalHeaders {
		delete(a.response.Header, name)
	}
	a.response.Body = &body{attempt: a}
	return nil
}

// returned ends a call whose process asks for more work.
func (a *attempt) returned() {
	if p := a.exchange.Problem(); p != nil && a.err == nil {
		a.err = problem(p)
	}
	err := a.instance.proc.Flush(flushLimit)
	a.finishLog("")
	if err != nil {
		a.pool.log.Warn("collecting a function's output", "function", a.code.Function.Name, "invocation", a.call.ID, "error", err)
	}
	if err != nil || !reusable(a.err) {
		a.instance.proc.Stop(a.pool.cfg.Grace)
		<-a.instance.gone
		return
	}
	took := time.Duration(0)
	if at, ok := a.exchange.Delivered(); ok {
		took = time.Since(at)
	}
	a.pool.release(a.instance.instance, took)
}

// reusable reports whether the process may go on after the call ended like this.
func reusable(err error) bool {
	f, isFailed := errors.AsType[*Failed](err)
	return !isFailed || f.Outcome == invocation.Error
}

// exited ends a call whose process has ended.
func (a *attempt) exited() {
	api := a.instance.api
	exit := a.instance.proc.Exit()
	switch p := a.exchange.Problem(); {
	case a.err != nil: // it has said why
	case p != nil && p.Outcome != invocation.BadResponse:
		a.err = problem(p)
	case a.pool.ctx.Err() != nil:
		a.err = failed(reason(a.pool.ctx, &a.code))
	case a.exchange.Complete() && exit.Code == 0:
		// All it had to do is done.
	case api.Unassign() || api.Started() && api.Withdraw(a.exchange):
		a.err = errNotDelivered
	default:
		a.err = a.crash()
	}
	text := ""
	if f, ok := errors.AsType[*Failed](a.err); ok && (f.Outcome == invocation.Crashed || f.Failure.Type == exitType || f.Outcome == invocation.OutOfMemory) {
		text = f.Failure.Message
	}
	a.closeBody()
	a.finishLog(text)
	<-a.instance.gone
}

const exitType = "Runtime.ExitError"

// crash words the end of a process that was not to end.
func (a *attempt) crash() *Failed {
	exit := a.instance.proc.Exit()
	if over := a.instance.use.Excess(); over != nil {
		outcome, kind := over.Failure()
		return failed(outcome, kind, over.String())
	}
	// Of the cell first: it is noted before that goes.
	if a.instance.cell.OutOfMemory() || a.instance.outOfMemory.Load() || exit.Signal == syscall.SIGKILL && a.pool.oom.grew() {
		return failed(invocation.OutOfMemory, "Runtime.OutOfMemory", "the function's process ran out of memory and was stopped")
	}
	switch {
	case !a.instance.api.Started():
		return failed(invocation.InitError, exitType, fmt.Sprintf("the function's process %s while the function was being loaded", exit))
	case a.exchange.Complete():
		return failed(invocation.Crashed, exitType, fmt.Sprintf("the function's process %s after it returned, with work still going on", exit))
	default:
		return failed(invocation.Crashed, exitType, fmt.Sprintf("the function's process %s before it returned", exit))
	}
}

// stopped ends a call by stopping the process. An error that the function had
// reported before counts more.
func (a *attempt) stopped(why *Failed, system string) {
	grace := a.pool.cfg.Grace
	if why.Outcome == invocation.Aborted {
		grace = min(grace, CancelGrace)
	}
	a.instance.proc.Stop(grace)
	a.closeBody()
	if a.err == nil {
		a.err = why
	}
	a.finishLog(system)
	<-a.instance.gone // whoever is told of the end finds the slot free
}

// closeBody lets go of a body that will not be completed, so that neither side waits.
func (a *attempt) closeBody() {
	if closer, ok := a.body.(*io.PipeReader); ok {
		_ = closer.CloseWithError(errors.New("the function's process has ended"))
	}
}

// finishLog ends the attempt's log, with a line of ours if there is something to say.
func (a *attempt) finishLog(text string) {
	dropped := a.instance.proc.Dropped()
	a.instance.proc.Detach()
	if a.err == errNotDelivered {
		return
	}
	if dropped > 0 {
		a.pool.metrics.dropped.Add(float64(dropped))
		a.call.Log("system", fmt.Sprintf("%d bytes of output were dropped: an attempt may write %d", dropped, a.pool.cfg.MaxOutput))
	}
	if text != "" {
		a.call.Log("system", text)
	}
}

// reason words the end of a context.
func reason(ctx context.Context, code *Code) (outcome invocation.Outcome, kind, text string) {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errDeadline), errors.Is(cause, context.DeadlineExceeded):
		limit := strconv.FormatFloat(code.Function.Timeout().Seconds(), 'g', -1, 64)
		return invocation.TimedOut, "Runtime.Timeout", "the function exceeded its limit of " + limit + " s and was stopped"
	case errors.Is(cause, ErrDraining):
		return invocation.Drained, "Runtime.Drained", "the worker is shutting down; the attempt was stopped and will be run again"
	default:
		return invocation.Aborted, "Runtime.Cancelled", "the invocation was cancelled and the attempt stopped"
	}
}

func failed(outcome invocation.Outcome, kind, text string) *Failed {
	return &Failed{Outcome: outcome, Failure: invocation.Failure{Type: kind, Message: text}}
}

func problem(p *runtimeapi.Problem) *Failed {
	f := &Failed{Outcome: p.Outcome, Failure: p.Failure}
	if f.Outcome == invocation.Error && refusedMemory(f.Failure) {
		f.Outcome = invocation.OutOfMemory
	}
	return f
}

// body is a response's body; its end is the attempt's end.
type body struct{ attempt *attempt }

func (b *body) Read(buf []byte) (int, error) {
	n, err := b.attempt.body.Read(buf)
	if err == nil || n > 0 {
		return n, nil
	}
	<-b.attempt.ended
	if b.attempt.err != nil {
		return 0, b.attempt.err
	}
	return 0, io.EOF
}

// stream is a response's body without what follows it.
type stream struct{ attempt *attempt }

func (s stream) Read(buf []byte) (int, error) {
	n, err := s.attempt.body.Read(buf)
	if n > 0 {
		return n, nil
	}
	if err == nil || err == io.EOF {
		return 0, err
	}
	<-s.attempt.ended
	if s.attempt.err != nil {
		return 0, s.attempt.err
	}
	return 0, err
}

func (b *body) Close() error {
	_, _ = io.Copy(io.Discard, b.attempt.body)
	<-b.attempt.ended
	return nil
}
