// Package dispatch takes sync calls from gateways, as package shared/dispatch
// says, and streams back what the function answers.
//
// The outcome stands in the head of the answer, so one that begins well and
// then fails cannot be taken back: the connection is cut instead, which no
// client and no proxy can take for a complete answer.
package dispatch

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/telemetry"
	"github.com/nightshift/nightshift/worker/internal/attempt"
	"github.com/nightshift/nightshift/worker/internal/code"
	"github.com/nightshift/nightshift/worker/internal/logs"
	"github.com/nightshift/nightshift/worker/internal/pool"
	"github.com/prometheus/client_golang/prometheus"
)

// MaxEvent bounds an event: what a body of 6 MiB becomes if JSON has to escape
// each byte of it as six characters, and as much again as headers may be.
const MaxEvent = 6*6<<20 + 1<<20

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

// Config configures a Handler. All fields are required but Tracer and those that have a default.
type Config struct {
	Runner Runner
	Loader Loader
	Logs   logs.Sink
	// Worker is the ID of the worker, as gateways know it.
	Worker string
	// Keys are what gateways sign calls with.
	Keys Keys
	// Unsigned also takes calls that have no signature, from gateways of a version
	// that could not sign.
	Unsigned bool
	// Metrics is where refused calls are counted; nil: nowhere.
	Metrics prometheus.Registerer
	// Attempts and Lines count what ends and what is lost. Default: not told.
	Attempts *attempt.Metrics
	Lines    *logs.Metrics
	Logger   *slog.Logger
	// Max is how many calls are taken at once: what the pool's ceiling leaves
	// beside the queued invocations.
	Max int
	// Changed, if not nil, is called after each call; it must not wait.
	Changed func()
	// Tracer traces attempts. nil: nothing is traced.
	Tracer *telemetry.Tracer
}

// Handler answers POST dispatch.Path.
type Handler struct {
	cfg     Config
	log     *slog.Logger
	guard   *guard
	drained context.Context // ends when the calls are to end
	drain   context.CancelFunc

	mu      sync.Mutex
	closed  bool
	running int
	pending sync.WaitGroup // calls, and logs that are still being sent
}

// NewHandler makes a handler. The caller stops it.
func NewHandler(cfg Config) *Handler {
	if cfg.Changed == nil {
		cfg.Changed = func() {}
	}
	if cfg.Attempts == nil {
		cfg.Attempts = attempt.NewMetrics(nil)
	}
	if cfg.Lines == nil {
		cfg.Lines = logs.NewMetrics(nil)
	}
	h := &Handler{cfg: cfg, log: cfg.Logger.With("component", "dispatch")}
	h.guard = newGuard(cfg, h.log)
	h.drained, h.drain = context.WithCancel(context.Background())
	return h
}

// Close refuses calls from now on, as busy; those that run go on. Idempotent.
func (h *Handler) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
}

// Stop closes, waits for running calls until ctx ends, then ends them as
// drained and waits for that. Idempotent.
func (h *Handler) Stop(ctx context.Context) {
	h.Close()
	defer context.AfterFunc(ctx, h.drain)()
	h.pending.Wait()
}

// enter counts a call in, unless the worker has no room for it.
func (h *Handler) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.running >= h.cfg.Max {
		return false
	}
	h.running++
	h.pending.Add(1)
	return true
}

// leave counts a call out.
func (h *Handler) leave() {
	h.mu.Lock()
	h.running--
	h.mu.Unlock()
	h.pending.Done()
	h.cfg.Changed()
}

// ServeHTTP answers one call.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "calls are made with POST")
		return
	}
	passed, err := h.guard.admit(r)
	if err != nil {
		h.turnAway(w, r, err)
		return
	}
	head, err := readHead(r.Header)
	if err != nil {
		refuseFault(w, err)
		return
	}
	if !h.enter() {
		busy(w)
		return
	}
	c := newCall(h, r, head)
	defer c.leave()
	event, err := readEvent(w, r)
	if err != nil {
		c.span.Outcome(dispatch.Refused, "", true)
		refuseFault(w, err)
		return
	}
	if err := passed.allows(event); err != nil {
		c.span.Outcome(dispatch.Refused, "", true)
		h.turnAway(w, r, err)
		return
	}
	c.serve(w, event)
}

// turnAway answers a call that the guard does not let in. The connection is
// closed, so that nothing more is read from somebody who has proved nothing.
func (h *Handler) turnAway(w http.ResponseWriter, r *http.Request, err error) {
	why, ok := errors.AsType[stranger](err)
	if !ok {
		busy(w)
		return
	}
	h.guard.turnedAway(r, why)
	w.Header().Set("Connection", "close")
	if why.reason == byWorker {
		answer(w, http.StatusMisdirectedRequest, dispatch.Misdirected, map[string]string{"message": why.Error()})
		return
	}
	refuse(w, http.StatusUnauthorized, why.Error())
}

var (
	validULID   = regexp.MustCompile(`^[0-7][0-9A-HJKMNP-TV-Z]{25}$`)
	validDeploy = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
)

// head is who is to be called, and what the function is told beside the event.
type head struct {
	id            string
	target        queue.Target
	clientContext string // JSON; empty: none
}

// readHead reads a request's head.
func readHead(header http.Header) (h head, err error) {
	h.id = header.Get(dispatch.HeaderInvocation)
	h.target = queue.Target{
		Site:     header.Get(dispatch.HeaderSite),
		Deploy:   header.Get(dispatch.HeaderDeploy),
		Function: header.Get(dispatch.HeaderFunction),
	}
	clientContext, undecoded := base64.StdEncoding.DecodeString(header.Get(dispatch.HeaderClientContext))
	h.clientContext = string(clientContext)
	switch target := h.target; {
	case !validULID.MatchString(h.id):
		err = fault.New(fault.Invalid, "the header %s must be a ULID", dispatch.HeaderInvocation)
	case !deploy.ValidSite(target.Site):
		err = fault.New(fault.Invalid, "the header %s must be the name of a site", dispatch.HeaderSite)
	case !validDeploy.MatchString(target.Deploy):
		err = fault.New(fault.Invalid, "the header %s must be the ID of a deploy", dispatch.HeaderDeploy)
	case !function.ValidName(target.Function):
		err = fault.New(fault.Invalid, "the header %s must be the name of a function", dispatch.HeaderFunction)
	case undecoded != nil || len(clientContext) > 0 && !json.Valid(clientContext):
		err = fault.New(fault.Invalid, "the header %s must be base64 of JSON", dispatch.HeaderClientContext)
	}
	return h, err
}

// readEvent reads the body, and lifts the server's limit on reading: it would
// otherwise end the request's context while the function runs.
func readEvent(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > MaxEvent {
		return nil, fault.New(fault.TooLarge, "an event may have %d bytes", MaxEvent)
	}
	var event bytes.Buffer
	if r.ContentLength > 0 {
		event.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err := event.ReadFrom(http.MaxBytesReader(w, r.Body, MaxEvent))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, fault.New(fault.TooLarge, "an event may have %d bytes", MaxEvent)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the event ended early")
	}
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, fault.Wrap(err, fault.Internal, "lifting the limit on reading")
	}
	return event.Bytes(), nil
}

// busy says that the function has not run and another worker may be tried.
func busy(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	answer(w, http.StatusServiceUnavailable, dispatch.Busy, map[string]string{"message": "the worker has no process free for the call"})
}

// refuse says that no worker can run the call.
func refuse(w http.ResponseWriter, status int, message string) {
	answer(w, status, dispatch.Refused, map[string]string{"message": message})
}

func refuseFault(w http.ResponseWriter, err error) {
	message, _ := fault.Public(err)
	refuse(w, fault.KindOf(err).HTTPStatus(), message)
}

// fail answers an attempt that failed before its response began.
func fail(w http.ResponseWriter, failed *pool.Failed) {
	kind := fault.BadGateway
	switch failed.Outcome {
	case invocation.TimedOut:
		kind = fault.Timeout
	case invocation.Drained:
		kind = fault.Unavailable
	}
	answer(w, kind.HTTPStatus(), string(failed.Outcome), failed.Failure)
}

func answer(w http.ResponseWriter, status int, outcome string, body any) {
	w.Header().Set(dispatch.HeaderOutcome, outcome)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the caller may have hung up
}
