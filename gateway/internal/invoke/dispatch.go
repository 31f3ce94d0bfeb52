package invoke

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/fleet"
	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/telemetry"
)

const (
	// askFirst is the size, in bytes, from which the worker is asked before the
	// event is sent: a busy one says so without reading it.
	askFirst = 64 << 10
	// maxFailure bounds what is read of a failure's description.
	maxFailure = 1 << 20
)

// errNext says that a worker has not run the call and another one may.
var errNext = errors.New("try the next worker")

// errSignature says that a worker has not run the call because of its signature.
var errSignature = errors.New("the worker refuses the signature of this gateway")

// newTransport makes the transport to the workers.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               nil, // workers are on our own network
		DialContext:         (&net.Dialer{Timeout: time.Second, KeepAlive: 15 * time.Second}).DialContext,
		MaxIdleConns:        1024,
		MaxIdleConnsPerHost: 128,
		// Below the two minutes after which a worker closes a kept connection,
		// so that no call is sent into a closing one.
		IdleConnTimeout:       time.Minute,
		ExpectContinueTimeout: 2 * time.Second,
		DisableCompression:    true, // the answer passes as it is
		// Above what workers let pass of a function's.
		MaxResponseHeaderBytes: 256 << 10,
	}
}

// call is what a worker is sent.
type call struct {
	target        route.Target
	id            string
	event         []byte
	clientContext string // base64 of JSON; empty: none
}

// dispatch sends a call to the best worker, or to the next best while workers
// say that they have not run it, and passes the answer on.
func (i *Invoker) dispatch(w http.ResponseWriter, r *http.Request, c call) (err error) {
	defer i.metrics.called(time.Now(), &err)
	key := store.WarmKey(c.target.Deploy, c.target.Function.Name)
	var tried []string
	busy, renewed := 0, false
	for {
		lease, ok := i.cfg.Fleet.Pick(r.Context(), key, tried, busy == 0)
		switch {
		case r.Context().Err() != nil:
			if ok {
				lease.Release()
			}
			return ErrGone
		case !ok && busy > 0:
			return fault.New(fault.Unavailable, "All workers are busy. Try again in a moment.").After(time.Second)
		case !ok:
			return fault.New(fault.Unavailable, "No worker is alive. Start one (bin/worker) and try again.").After(2 * time.Second)
		}
		var refused bool
		refused, err = i.try(w, r, lease, c, len(tried))
		lease.Release()
		if errors.Is(err, errSignature) {
			if renewed {
				return fault.Wrap(err, fault.Unavailable, "No worker takes calls of this gateway. Its log says why.").After(2 * time.Second)
			}
			// Redis may have lost the keys that this gateway has.
			i.cfg.Keys.Renew(r.Context())
			renewed = true
			continue
		}
		if !errors.Is(err, errNext) {
			return err
		}
		if !refused {
			busy++
		}
		tried = append(tried, lease.ID)
	}
}

// try sends a call to one worker. errNext means that it has not run there:
// because the worker could not be reached (refused), or was busy. before is how
// many were tried before.
func (i *Invoker) try(w http.ResponseWriter, r *http.Request, lease *fleet.Lease, c call, before int) (refused bool, err error) {
	limit := c.target.Function.Timeout() + i.cfg.Slack
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	ctx, span := i.cfg.Tracer.Dispatch(ctx, telemetry.Call{
		Site: c.target.Site, Deploy: c.target.Deploy, Function: c.target.Function.Name,
		Kind: string(c.target.Function.Kind), Invocation: c.id,
	}, lease.ID, before)
	defer span.End()
	// A caller that stops reading must not hold the call past its end.
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit + i.cfg.Slack)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return false, ErrGone
	}
	key, now, err := i.cfg.Keys.Current(ctx)
	if err != nil {
		span.Failed("unsigned")
		return false, err
	}
	resp, sent, err := i.send(ctx, lease, c, key, now)
	switch {
	case err == nil:
	case r.Context().Err() != nil:
		return false, ErrGone
	case !sent && ctx.Err() == nil:
		telemetry.Logger(ctx, i.log).Warn("worker not reached, dropped until it reports again", "worker", lease.ID, "addr", lease.Addr, "invocation", c.id, "error", err)
		lease.Drop()
		span.Failed("not_reached")
		return true, errNext
	case ctx.Err() != nil:
		span.Failed(string(invocation.TimedOut))
		return false, timedOut(c.target.Function)
	default:
		span.Failed("worker_lost")
		return false, fault.Wrap(err, fault.BadGateway, "The worker went away before the function answered. The function may have run.")
	}
	defer resp.Body.Close()
	span.Answered(resp.StatusCode)
	switch outcome := resp.Header.Get(dispatch.HeaderOutcome); outcome {
	case dispatch.Busy:
		span.Failed(outcome)
		// The worker may close the connection rather than read the event; what
		// little it wrote is read so that a kept one can be used again.
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
		return false, errNext
	case dispatch.Misdirected:
		// Another worker has its address now.
		span.Failed(outcome)
		lease.Drop()
		return true, errNext
	case dispatch.Refused:
		span.Failed(outcome)
		err := refusal(resp.Body)
		if resp.StatusCode == http.StatusUnauthorized {
			telemetry.Logger(ctx, i.log).Error("worker refuses the signature of this gateway", "worker", lease.ID, "addr", lease.Addr, "invocation", c.id, "key", key.ID, "error", err)
			return false, errSignature
		}
		return false, err
	case string(invocation.OK):
		return false, i.pass(ctx, w, r, resp)
	case "":
		return false, fault.New(fault.BadGateway, "The worker gave an answer that is not one of ours (status %d).", resp.StatusCode)
	default:
		span.Failed(outcome)
		return false, failed(c.target.Function, invocation.Outcome(outcome), resp.Body)
	}
}

// send posts the event, signed. sent reports whether any of it may have reached the worker.
func (i *Invoker) send(ctx context.Context, lease *fleet.Lease, c call, key dispatch.Key, now time.Time) (resp *http.Response, sent bool, err error) {
	var wrote atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+lease.Addr+dispatch.Path, bytes.NewReader(c.event))
	if err != nil {
		return nil, false, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(dispatch.HeaderWorker, lease.ID)
	req.Header.Set(dispatch.HeaderInvocation, c.id)
	req.Header.Set(dispatch.HeaderSite, c.target.Site)
	req.Header.Set(dispatch.HeaderDeploy, c.target.Deploy)
	req.Header.Set(dispatch.HeaderFunction, c.target.Function.Name)
	telemetry.Inject(ctx, req.Header)
	if c.clientContext != "" {
		req.Header.Set(dispatch.HeaderClientContext, c.clientContext)
	}
	key.Sign(req, now, c.event)
	if len(c.event) >= askFirst {
		req.Header.Set("Expect", "100-continue")
	}
	resp, err = i.transport.RoundTrip(req)
	return resp, wrote.Load(), err
}

// refusal words a worker's refusal: our own two halves disagree.
func refusal(body io.Reader) error {
	var why struct {
		Message string `json:"message"`
	}
	if err := json.NewDecoder(io.LimitReader(body, maxFailure)).Decode(&why); err != nil || why.Message == "" {
		why.Message = "it gave no reason"
	}
	return fault.New(fault.BadGateway, "The worker refused the call: %s", why.Message)
}
