// Package invoke carries calls from the data plane to functions.
//
// A background call is accepted: its event is built, stored and queued in one
// step, and the caller has its 202 only once Redis has all of it, or the
// function's own answer if it prefers to wait. A sync call is
// dispatched: the event goes straight to a worker over HTTP and the function's
// answer streams back. Where a call did not reach a function (the worker is
// busy, or refused the connection) another worker is tried; once it may have
// reached one it is never sent again, because functions need not be idempotent.
package invoke

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/fleet"
	"github.com/nightshift/nightshift/gateway/internal/intake"
	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/event"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/schedule"
	"github.com/nightshift/nightshift/shared/telemetry"
	"github.com/prometheus/client_golang/prometheus"
)

// Limits of request bodies, in bytes, as Netlify has them.
const (
	MaxBackgroundBody = 256 << 10
	MaxSyncBody       = 6 << 20
)

// maxDiscard is how much of a body over its limit is read, in bytes.
const maxDiscard = 32 << 20

// RequestIDHeader tells the caller the ID of its call.
const RequestIDHeader = "X-Nf-Request-Id"

// InvocationPath is where the record of a background call is, before its ID.
const InvocationPath = "/.nightshift/invocations/"

const (
	// writeLimit bounds the writing of an answer that was waited for.
	writeLimit = 30 * time.Second
	// clockTimeout bounds reading the clock of Redis.
	clockTimeout = 2 * time.Second
)

// defaultSlack is how long after the function's own limit, which the worker
// enforces, a call is given up: the worker's grace and the way back.
const defaultSlack = 5 * time.Second

// ErrCut says that the answer broke off after its head was sent: all that is
// left is to cut the connection, so that the caller does not take it for whole.
var ErrCut = errors.New("the answer of the function broke off")

// ErrGone says that the caller hung up: there is nobody to answer.
var ErrGone = errors.New("the caller hung up")

// Waiters wait for the end of invocations; see package await.
type Waiters interface {
	Wait(ctx context.Context, id string, limit time.Duration) (inv invocation.Invocation, finished bool)
}

// Keys are what calls of workers are signed with: keyring.Ring.
type Keys interface {
	// Current returns the key to sign with, and the time of Redis.
	Current(ctx context.Context) (dispatch.Key, time.Time, error)
	// Renew reads the keys again, but not often.
	Renew(ctx context.Context)
}

// Config configures an Invoker.
type Config struct {
	Keys    Keys
	Intake  *intake.Intake
	Waiters Waiters
	Fleet   *fleet.Fleet
	Logger  *slog.Logger
	// Metrics is where the invoker's figures are registered; nil: nowhere.
	Metrics prometheus.Registerer
	// CheckCallback says what is wrong with the URL of a callback, or that this
	// installation makes none, as fault.Invalid.
	CheckCallback func(url string) error
	// Now is the clock of Redis.
	Now func(context.Context) (time.Time, error)
	// Dev shows v1 functions the claims of a bearer token that nobody has verified.
	Dev bool
	// Slack is how long after the function's own limit a sync call is given up. Default 5 s.
	Slack time.Duration
	// Tracer traces sync calls. nil: nothing is traced.
	Tracer *telemetry.Tracer
}

// Invoker is safe for concurrent use.
type Invoker struct {
	cfg       Config
	log       *slog.Logger
	metrics   metrics
	transport *http.Transport
}

// New makes an Invoker.
func New(cfg Config) *Invoker {
	if cfg.Slack == 0 {
		cfg.Slack = defaultSlack
	}
	return &Invoker{cfg: cfg, log: cfg.Logger.With("component", "invoke"), metrics: newMetrics(cfg.Metrics), transport: newTransport()}
}

// Close closes idle connections to workers.
func (i *Invoker) Close() { i.transport.CloseIdleConnections() }

// Origin is what the server knows about a caller.
type Origin struct {
	ClientIP string
	BaseURL  string // scheme://host as the caller sees it
}

// Serve answers a call of a function. Errors are faults for the caller,
// [*Failed], [ErrCut] or [ErrGone]; nothing is written before one, but ErrCut.
func (i *Invoker) Serve(w http.ResponseWriter, r *http.Request, target route.Target, origin Origin) error {
	id, err := intake.NewID()
	if err != nil {
		return err
	}
	meta := event.Meta{
		RequestID: id, Site: target.Site, Deploy: target.Deploy,
		Published: target.Published, Context: target.Context, Branch: target.Branch,
		ClientIP: origin.ClientIP, BaseURL: origin.BaseURL, Route: target.Route,
	}
	if target.Function.Kind == function.Background {
		body, err := readBody(w, r, MaxBackgroundBody)
		if err != nil {
			return err
		}
		return i.accept(w, r, target, meta.RequestID, event.FromRequest(r, body, meta))
	}
	body, err := readBody(w, r, MaxSyncBody)
	if err != nil {
		return err
	}
	w.Header().Set(RequestIDHeader, meta.RequestID)
	if target.Function.Kind == function.Scheduled {
		next, err := nextTick(meta.Site, target.Function)
		if err != nil {
			return err
		}
		return i.dispatch(w, r, call{target: target, id: meta.RequestID, event: event.ForTick(target.Function.Name, next, meta)})
	}
	c := call{target: target, id: meta.RequestID, event: event.FromRequest(r, body, meta)}
	if i.cfg.Dev {
		c.clientContext = clientContext(r.Header.Get("Authorization"))
	}
	return i.dispatch(w, r, c)
}

// nextTick is what a scheduled function is told when it is called by hand.
func nextTick(site string, f *function.Function) (time.Time, error) {
	s, err := schedule.ParseFor(site, f.Name, f.Schedule, f.Timezone)
	if err != nil {
		return time.Time{}, err
	}
	now := time.Now()
	if next, ok := s.Next(now); ok {
		return next, nil
	}
	return now, nil
}

// readBody reads a whole body of at most limit bytes. Whatever time it took, the
// answer has its own.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	// Recorders in tests have no deadlines; connections do.
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Time{})
	defer func() { _ = control.SetWriteDeadline(time.Now().Add(writeLimit)) }()
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close")
		if !strings.EqualFold(r.Header.Get("Expect"), "100-continue") { // else it waits to be asked
			daemon.Discard(r.Body, maxDiscard)
		}
		return nil, tooLarge(limit)
	}
	body := http.MaxBytesReader(w, r.Body, limit)
	var buf []byte
	var err error
	if r.ContentLength >= 0 {
		buf = make([]byte, r.ContentLength)
		_, err = io.ReadFull(body, buf)
	} else {
		buf, err = io.ReadAll(body)
	}
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		w.Header().Set("Connection", "close")
		daemon.Discard(r.Body, maxDiscard)
		return nil, tooLarge(limit)
	}
	switch {
	case err == nil:
		return buf, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return nil, fault.Wrap(err, fault.Invalid, "The request body came too slowly.")
	case r.Context().Err() != nil || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, ErrGone
	default:
		return nil, fault.Wrap(err, fault.Invalid, "The request body could not be read to its end.")
	}
}

func tooLarge(limit int64) error {
	return fault.New(fault.TooLarge, "Request body too large: the limit is %d KiB.", limit>>10)
}
