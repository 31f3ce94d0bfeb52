// Package callback tells receivers that invocations have ended: it posts what
// stands in the store's outbox of callbacks, signed as Standard Webhooks has it.
//
//	outbox ─▶ claim (lease of 60 s) ─▶ read the record ─▶ POST ─▶ delivered, failed or dead
//
// Every worker delivers, whoever ran the invocation. A callback is made at least
// once: one whose worker died between claim and answer is made again when the
// lease is over, with the same webhook-id. What was answered other than 2xx is
// tried again after 5 s, 30 s, 2 min, 10 min, 1 h and 6 h, each up to a fifth
// longer, and is then dead; 410 Gone is dead at once.
//
// A site whose receivers are slow gets a part of the requests that are made at
// once, so that it holds up its own callbacks and not those of others.
//
// Receivers are named by whoever may call functions, so where a request goes is
// guarded; see newClient.
package callback

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"code.dny.dev/ssrf"
	"github.com/nightshift/nightshift/shared/callback"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/telemetry"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	poll           = time.Second      // between looks, when nothing happens
	lease          = time.Minute      // of a claim: more than a request and its recording take
	requestTimeout = 15 * time.Second // a request with its redirects and its answer
	storeTimeout   = 5 * time.Second  // one call of the store
	stopGrace      = 5 * time.Second  // for requests that are being made when the worker stops
	maxInFlight    = 64               // requests at once
	maxPerSlow     = 8                // of one site whose receivers are slow
	slow           = 5 * time.Second  // is a receiver that has not answered by then
	slowFor        = 5 * time.Minute  // its site counts as such, from then on
	maxAnswer      = 4 << 10          // bytes of an answer's body that are read, to use the connection again
)

// delays are the pauses before the second request and the following ones.
var delays = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour}

// Store is where callbacks wait: store.Store. All errors are those that package
// store documents.
type Store interface {
	ClaimCallbacks(ctx context.Context, room store.CallbackRoom, lease time.Duration) (claims []store.CallbackClaim, behind bool, err error)
	Invocation(ctx context.Context, id string) (invocation.Invocation, error)
	CallbackDelivered(ctx context.Context, site string, c store.CallbackClaim) error
	CallbackFailed(ctx context.Context, site string, c store.CallbackClaim, reason string, delay time.Duration) error
	CallbackDead(ctx context.Context, site string, c store.CallbackClaim, reason string) error
}

// Config configures a Deliverer. Store, Signer and Logger are required.
type Config struct {
	Store  Store
	Signer *callback.Signer
	// Allowed are the networks that are not public and may be called all the same.
	Allowed []netip.Prefix
	// Metrics is where the deliverer's figures are registered; nil: nowhere.
	Metrics prometheus.Registerer
	Logger  *slog.Logger
	// Tracer traces requests. nil: nothing is traced.
	Tracer *telemetry.Tracer

	// Resolver looks names up, and TLS says whom to trust. Default: the system's.
	Resolver *net.Resolver
	TLS      *tls.Config
}

// Deliverer makes callbacks. Its methods are safe for concurrent use.
type Deliverer struct {
	cfg     Config
	log     *slog.Logger
	metrics metrics
	client  *http.Client
	kicked  chan struct{}
	grace   time.Duration // stopGrace

	full     atomic.Bool // the last look found as much as there was room for
	requests sync.WaitGroup

	mu    sync.Mutex
	sites map[string]*site // that have requests, or are slow
}

// site is what is known of a site's receivers. Who names receivers that never
// answer must not keep the callbacks of others from being made.
type site struct {
	inFlight int
	slow     time.Time // until when it counts as slow
}

// New makes a deliverer.
func New(cfg Config) *Deliverer {
	return &Deliverer{
		cfg: cfg, log: cfg.Logger.With("component", "callback"), metrics: newMetrics(cfg.Metrics),
		client: newClient(cfg.Allowed, cfg.Resolver, cfg.TLS),
		kicked: make(chan struct{}, 1), grace: stopGrace, sites: map[string]*site{},
	}
}

// Kick says that a callback may be due. It never waits.
func (d *Deliverer) Kick() {
	select {
	case d.kicked <- struct{}{}:
	default:
	}
}

// Run delivers until ctx ends. Requests that are being made then have 5 s to
// end; those that have not are cut off, and tried again by another worker.
func (d *Deliverer) Run(ctx context.Context) {
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for healthy := true; ctx.Err() == nil; {
		healthy = d.look(ctx, requests, healthy)
		select {
		case <-ctx.Done():
		case <-d.kicked:
		case <-ticker.C:
		}
	}
	defer time.AfterFunc(d.grace, cut).Stop()
	d.requests.Wait()
	d.client.CloseIdleConnections()
}

// look claims what is due, as far as there is room, and begins to send it. It
// logs the first of several failures in a row.
func (d *Deliverer) look(ctx, requests context.Context, healthy bool) bool {
	room := d.room()
	if room.Total <= 0 {
		return healthy // whoever ends kicks
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	claims, behind, err := d.cfg.Store.ClaimCallbacks(ctx, room, lease)
	if behind {
		d.Kick()
	}
	d.full.Store(len(claims) == room.Total)
	for _, c := range claims {
		d.begin(c.Site)
		d.requests.Go(func() {
			late := time.AfterFunc(slow, func() { d.late(c.Site) })
			d.deliver(requests, c)
			late.Stop()
			d.end(c.Site)
			if d.full.Load() {
				d.Kick()
			}
		})
	}
	switch {
	case err != nil && healthy && !errors.Is(err, context.Canceled):
		d.log.Warn("callbacks wait; looking again", "error", err)
	case err == nil && !healthy:
		d.log.Info("callbacks are made again")
	}
	return err == nil
}

// room is what is left beside the requests that are being made.
func (d *Deliverer) room() store.CallbackRoom {
	d.mu.Lock()
	defer d.mu.Unlock()
	room := store.CallbackRoom{Total: maxInFlight, Sites: map[string]int{}}
	for name, s := range d.sites {
		room.Total -= s.inFlight
		switch {
		case time.Now().Before(s.slow):
			room.Sites[name] = maxPerSlow - s.inFlight
		case s.inFlight == 0:
			delete(d.sites, name)
		}
	}
	return room
}

// begin counts a request of a site in.
func (d *Deliverer) begin(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.sites[name]
	if s == nil {
		s = &site{}
		d.sites[name] = s
	}
	s.inFlight++
}

// end counts a request of a site out.
func (d *Deliverer) end(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sites[name].inFlight--
}

// late notes that a receiver of a site is slow.
func (d *Deliverer) late(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.sites[name]; s != nil {
		s.slow = time.Now().Add(slowFor)
	}
}

// deliver makes one request and records how it went. What it cannot record is
// made again when the lease is over.
func (d *Deliverer) deliver(ctx context.Context, c store.CallbackClaim) {
	log := d.log.With("invocation", c.ID, "request", c.Request)
	inv, err := d.read(ctx, c)
	if err != nil {
		log.Warn("callback put off; its invocation cannot be read", "error", err)
		return
	}
	if inv.Callback == nil || !inv.State.Terminal() || !inv.FinishedAt.Equal(c.End) {
		log.Debug("callback dropped; the invocation was retried")
		return
	}
	ctx = telemetry.ParsePlace(inv.Trace).Enter(ctx)
	log = telemetry.Logger(ctx, log.With("site", inv.Site, "function", inv.Function))
	begun := time.Now()
	met := d.send(ctx, inv, c)
	d.metrics.requested(d.outcome(c, met), time.Since(begun))
	if err := d.settle(ctx, inv, c, met); err != nil {
		log.Warn("how a callback went is not recorded", "error", err)
		return
	}
	switch d.outcome(c, met) {
	case delivered:
		log.Info("callback delivered")
	case dead:
		log.Warn("callback given up", "error", met)
	default:
		log.Info("callback failed; the next request follows", "error", met)
	}
}

func (d *Deliverer) read(ctx context.Context, c store.CallbackClaim) (invocation.Invocation, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return d.cfg.Store.Invocation(ctx, c.ID)
}

// errGone is the answer of a receiver that wants no callbacks.
var errGone = errors.New("the receiver answered 410 Gone")

// outcome is what a request did to its callback, given what it met. After failed
// another request follows.
func (d *Deliverer) outcome(c store.CallbackClaim, met error) outcome {
	switch {
	case met == nil:
		return delivered
	case errors.Is(met, errGone) || c.Try > len(delays):
		return dead
	default:
		return failed
	}
}

// settle records what a request met, nil if it was taken.
func (d *Deliverer) settle(ctx context.Context, inv invocation.Invocation, c store.CallbackClaim, met error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	switch d.outcome(c, met) {
	case delivered:
		return d.cfg.Store.CallbackDelivered(ctx, inv.Site, c)
	case dead:
		return d.cfg.Store.CallbackDead(ctx, inv.Site, c, met.Error())
	default:
		delay := delays[max(c.Try, 1)-1]
		return d.cfg.Store.CallbackFailed(ctx, inv.Site, c, met.Error(), delay+rand.N(delay/5)) // #nosec G404 -- it spreads tries and keeps no secret
	}
}

// send makes the request, with all its redirects. Its error is for the site's
// people: it says what the receiver did, and repeats nothing of the answer.
func (d *Deliverer) send(ctx context.Context, inv invocation.Invocation, c store.CallbackClaim) error {
	if err := callback.Check(inv.Callback.URL, len(d.cfg.Allowed) > 0); err != nil {
		return err
	}
	body, err := callback.Body(inv)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, inv.Callback.URL, bytes.NewReader(body))
	if err != nil {
		return fault.New(fault.Invalid, "the callback URL cannot be used")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Nightshift")
	if err := d.cfg.Signer.Sign(r.Header, callback.ID(inv), c.At, body); err != nil {
		return err
	}
	ctx, span := d.cfg.Tracer.Callback(ctx, telemetry.Call{
		Site: inv.Site, Deploy: inv.Deploy, Function: inv.Function, Kind: string(inv.Kind), Invocation: inv.ID,
	}, r.URL.Hostname(), c.Request)
	defer span.End()
	telemetry.Inject(ctx, r.Header)
	answer, err := d.client.Do(r)
	if err != nil {
		span.Failed("not_answered")
		d.log.Debug("callback not answered", "invocation", inv.ID, "error", bare(err))
		return explain(ctx, bare(err))
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer)
	span.Answered(answer.StatusCode)
	switch {
	case answer.StatusCode == http.StatusGone:
		span.Failed(strconv.Itoa(answer.StatusCode))
		return errGone
	case answer.StatusCode < 200 || answer.StatusCode > 299:
		span.Failed(strconv.Itoa(answer.StatusCode))
		return fmt.Errorf("the receiver answered %d", answer.StatusCode)
	}
	return nil
}

// bare takes the URL off an error, with whatever stands in its query.
func bare(err error) error {
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// explain says why there was no answer. What the text of an error may have of
// the other side's bytes stays out of it: they may be those of a service in an
// allowed network that the site's people cannot see otherwise.
func explain(ctx context.Context, err error) error {
	var (
		lookup      *net.DNSError
		operation   *net.OpError
		certificate *tls.CertificateVerificationError
		timeout     interface{ Timeout() bool }
	)
	switch {
	case ctx.Err() != nil:
		return errors.New("the worker stopped before the receiver had answered")
	case errors.Is(err, errRedirect):
		return err
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedNetwork), errors.Is(err, ssrf.ErrInvalidHostPort):
		return errors.New("refused: the receiver's address is not public and in no network of NIGHTSHIFT_CALLBACK_ALLOW; or it is not https, which only those need not be")
	case errors.As(err, &lookup):
		return errors.New("the receiver's name cannot be looked up")
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("the receiver did not answer within %s", requestTimeout)
	case errors.As(err, &certificate):
		return fmt.Errorf("the receiver's certificate is refused: %w", certificate.Err)
	case errors.As(err, &operation) && operation.Op == "dial":
		return fmt.Errorf("the receiver cannot be reached: %w", operation.Err)
	default:
		return errors.New("the receiver broke the connection, or did not answer as an HTTP server does")
	}
}
