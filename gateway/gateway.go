// Package gateway is the service in front: it takes requests for functions and
// the orders of operators.
//
// It is stateless. What it must know to route (sites and their published
// deploys) it holds as a snapshot that follows Redis; whom it can send sync
// calls to (the live workers) it reads each second. Background calls go to
// Redis and are answered 202 once they are stored there; sync calls go straight
// to a worker. Any number of gateways may run beside each other.
//
// If Redis does not answer, background calls get 503 and are never lost after a
// 202, sync calls and static files go on with the workers and sites last known,
// and rate limits are not held.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/access"
	"github.com/nightshift/nightshift/gateway/internal/audit"
	"github.com/nightshift/nightshift/gateway/internal/await"
	"github.com/nightshift/nightshift/gateway/internal/cancel"
	"github.com/nightshift/nightshift/gateway/internal/console"
	"github.com/nightshift/nightshift/gateway/internal/environment"
	"github.com/nightshift/nightshift/gateway/internal/fleet"
	"github.com/nightshift/nightshift/gateway/internal/httpapi"
	"github.com/nightshift/nightshift/gateway/internal/installation"
	"github.com/nightshift/nightshift/gateway/internal/intake"
	"github.com/nightshift/nightshift/gateway/internal/invoke"
	"github.com/nightshift/nightshift/gateway/internal/limit"
	"github.com/nightshift/nightshift/gateway/internal/queues"
	"github.com/nightshift/nightshift/gateway/internal/release"
	"github.com/nightshift/nightshift/gateway/internal/rerun"
	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/gateway/internal/schedules"
	"github.com/nightshift/nightshift/gateway/internal/session"
	"github.com/nightshift/nightshift/gateway/internal/static"
	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/dispatch/keyring"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/metrics"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/telemetry"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

const (
	// openTimeout bounds the opening of the blob store.
	openTimeout = 10 * time.Second
	// writeBuffer is that of a connection to Redis, in bytes: calls that come at the
	// same time are sent together, each with its event.
	writeBuffer = 64 << 10
)

// Gateway is the service. It is used once: New, Start, Stop.
type Gateway struct {
	cfg       Config
	log       *slog.Logger
	redis     redis.UniversalClient
	queue     *queue.Client
	queues    *queues.Handler
	artifacts *artifact.Store
	router    *route.Router
	intake    *intake.Intake
	waiters   *await.Waiters
	invoker   *invoke.Invoker
	tracer    *telemetry.Tracer
	loops     []*daemon.Loop
	data      *daemon.HTTP
	control   *daemon.HTTP
	registry  *prometheus.Registry
	metrics   *daemon.HTTP // nil without an address

	stopping chan struct{} // closed at the beginning of Stop
	stop     sync.Once
	stopErr  error
}

// New validates the configuration and binds both addresses. Redis need not
// answer yet. Errors are fault.Invalid where a setting is wrong.
func New(cfg Config) (*Gateway, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	g := &Gateway{cfg: cfg, log: cfg.Logger, stopping: make(chan struct{}), registry: metrics.NewRegistry("gateway")}
	if err := g.open(); err != nil {
		return nil, errors.Join(err, g.close(context.Background()))
	}
	return g, nil
}

// open makes all parts. What it has made when it fails, close closes.
func (g *Gateway) open() error {
	var err error
	if g.metrics, err = metrics.Listen(g.cfg.MetricsAddr, g.cfg.MetricsProfiles, g.registry, g.log); err != nil {
		return err
	}
	if g.redis, err = g.cfg.RedisTLS.Open(g.cfg.RedisURL, func(o *redis.UniversalOptions) { o.WriteBufferSize = writeBuffer }); err != nil {
		return err
	}
	if g.queue, err = queue.NewClient(g.redis, true); err != nil {
		return err
	}
	if err := g.queue.AwaitReplicas(g.cfg.RedisWaitReplicas); err != nil {
		return err
	}
	shown, err := g.cfg.RedisTLS.Open(g.cfg.RedisURL, func(o *redis.UniversalOptions) { o.PoolSize = queues.PoolSize })
	if err != nil {
		return err
	}
	g.queues = queues.New(shown)
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	if g.artifacts, err = artifact.Open(ctx, g.cfg.BlobURL); err != nil {
		return err
	}
	if g.tracer, err = telemetry.Start(ctx, "gateway", "", g.log); err != nil {
		return err
	}
	records := store.New(g.redis, store.Options{Retention: g.cfg.Retention, DeadRetention: g.cfg.DeadRetention})
	workers := fleet.New(fleet.Config{Workers: records, Logger: g.log})
	g.router = route.New(route.Options{BaseDomain: g.cfg.BaseDomain, DefaultSite: g.cfg.DefaultSite, Dev: g.cfg.Dev}, records)
	g.intake = intake.New(intake.Config{Queue: g.queue, Records: records, Backlog: g.cfg.SiteBacklog, Tracer: g.tracer})
	g.waiters = await.New(await.Config{Records: records, Logger: g.log})
	keys := keyring.New(records, g.log)
	g.invoker = invoke.New(invoke.Config{
		Keys: keys, Intake: g.intake, Waiters: g.waiters, Fleet: workers, Dev: g.cfg.Dev, Logger: g.log, CheckCallback: g.cfg.checkCallback,
		Now: g.redisNow, Tracer: g.tracer, Metrics: g.registry,
	})
	g.registry.MustRegister(installation.New(installation.Config{
		Store: records, Queue: g.queue, Logger: g.log,
		Health: func(ctx context.Context) (redisdb.Health, error) { return redisdb.ReadHealth(ctx, g.redis) },
	}))
	g.loops = []*daemon.Loop{
		daemon.NewLoop(workers.Run),
		daemon.NewLoop(keys.Run),
		daemon.NewLoop(func(ctx context.Context) {
			if err := records.WatchCatalog(ctx, g.router.Update); err != nil && ctx.Err() == nil {
				g.log.Error("catalog no longer followed", "error", err)
			}
		}),
	}
	if !g.cfg.Dev {
		g.loops = append(g.loops, daemon.NewLoop(func(ctx context.Context) { redisdb.Warn(ctx, g.redis, g.log) }))
	}
	return g.serve(records)
}

// serve binds the servers.
func (g *Gateway) serve(records *store.Store) error {
	proxies, err := httpapi.ParseProxies(g.cfg.TrustProxy)
	if err != nil {
		return err
	}
	refused := httpapi.NewRefused(g.registry)
	// The handlers need the bound port for URLs, the server needs a handler.
	var data http.Handler
	g.data, err = daemon.NewHTTP(daemon.HTTPConfig{
		Addr: g.cfg.Addr, Logger: g.log, Limits: g.cfg.Limits, Trusted: proxies.Trusts, Refused: refused.Data,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { data.ServeHTTP(w, r) }),
	})
	if err != nil {
		return err
	}
	box, err := secret.Parse(g.cfg.SecretKey)
	if err != nil {
		return err
	}
	if keys := box.Keys(); len(keys) > 0 {
		g.log.Info("environment variables are sealed", "keys", len(keys), "first", keys[0])
	}
	var control http.Handler
	siteURL, variables := g.cfg.siteURL(g.data.Addr()), environment.New(records, box)
	releases := release.New(release.Config{
		Store: records, Artifacts: g.artifacts, Environment: variables, Router: g.router, DefaultSite: g.cfg.DefaultSite, SiteURL: siteURL, Dev: g.cfg.Dev,
	})
	stop, again := cancel.New(records, g.queue, g.log), rerun.New(rerun.Config{Store: records, Queue: g.queue, Intake: g.intake, Dev: g.cfg.Dev})
	plans := schedules.New(schedules.Config{
		Store: records, Intake: g.intake, Site: releases.Site, SiteURL: siteURL, Dev: g.cfg.Dev, Now: g.redisNow,
	})
	roots := access.Roots(g.cfg.Token)
	trail := audit.New(audit.Config{Store: records, Keep: g.cfg.AuditRetention, Logger: g.log, Registry: g.registry})
	callers := access.New(access.Config{Roots: roots, Tokens: records, Logger: g.log, Refused: trail.RefusedToken})
	guard := session.New(session.Config{Access: callers, Roots: roots, Audit: trail, ClientIP: proxies.ClientIP, HTTPS: proxies.HTTPS, Logger: g.log})
	data, control = httpapi.New(httpapi.Config{
		Router: g.router, Limiter: limit.New(records, g.cfg.siteRates(), g.log), Static: static.New(g.artifacts, g.cfg.Limits.Pace()), Invoker: g.invoker, Invocations: records, Cancel: stop, Workers: records,
		Environment: variables, Callbacks: records, Metrics: metrics.Handler(g.registry, g.log), Registry: g.registry, Refused: refused, Queues: g.queues,
		Rerun: again, Schedules: plans, Session: guard,
		Console: console.New(console.Config{
			Session: guard, Audit: trail, AuditLog: records, Releases: releases, Deploys: records, Records: records, Figures: records, Rerun: again, Cancel: stop,
			Schedules: plans, Callbacks: records, Workers: records, SiteURL: siteURL, ClientIP: proxies.ClientIP, Queues: queues.Path, Logger: g.log,
		}),
		Release: releases,
		Catalog: records.Catalog, Logger: g.log, Ready: g.ready, Stopping: g.stopping,
		Access: callers, Tokens: records, Audit: trail, AuditLog: records, Dev: g.cfg.Dev, PublicStatus: g.cfg.PublicStatus, Proxies: proxies,
		SiteURL: siteURL, AdminURL: g.cfg.adminURL(), Tracer: g.tracer,
	})
	g.control, err = daemon.NewHTTP(daemon.HTTPConfig{
		Addr: g.cfg.AdminAddr, Logger: g.log, Handler: control, Limits: g.cfg.Limits, Trusted: proxies.Trusts, Refused: refused.Control,
	})
	return err
}

// redisNow is the clock of Redis.
func (g *Gateway) redisNow(ctx context.Context) (time.Time, error) { return redisdb.Now(ctx, g.redis) }

// Addr is the data plane's bound host:port.
func (g *Gateway) Addr() string { return g.data.Addr() }

// AdminAddr is the control plane's bound host:port.
func (g *Gateway) AdminAddr() string { return g.control.Addr() }

// MetricsAddr is host:port where the gateway tells its figures without a token, or "".
func (g *Gateway) MetricsAddr() string {
	if g.metrics == nil {
		return ""
	}
	return g.metrics.Addr()
}

// Start begins to follow Redis and to serve. It does not wait for Redis: until
// the sites are read, /readyz and callers are told so with 503.
func (g *Gateway) Start(ctx context.Context) error {
	if g.metrics != nil { // first, and stopped last, so that a drain can be watched
		if err := g.metrics.Start(ctx); err != nil {
			return err
		}
	}
	for _, loop := range g.loops {
		if err := loop.Start(ctx); err != nil {
			return err
		}
	}
	if err := g.control.Start(ctx); err != nil {
		return err
	}
	if err := g.data.Start(ctx); err != nil {
		return err
	}
	g.log.Info("gateway serves", "addr", g.Addr(), "admin_addr", g.AdminAddr(), "base_domain", g.cfg.BaseDomain,
		"default_site", g.cfg.DefaultSite, "public_status", g.cfg.PublicStatus, "drain", g.cfg.Drain)
	return nil
}

// ready says why the gateway cannot do its work, or nil.
func (g *Gateway) ready(ctx context.Context) error {
	select {
	case <-g.stopping:
		return fault.New(fault.Unavailable, "the gateway is stopping")
	default:
	}
	if err := redisdb.Ping(ctx, g.redis); err != nil {
		return err
	}
	if !g.router.Ready() {
		return fault.New(fault.Unavailable, "the sites are not read from Redis yet")
	}
	return nil
}

// Stop lets /readyz fail, ends all waiting for invocations, waits for load balancers to notice (Config.LameDuck),
// lets running requests end (Config.Drain), and then closes everything.
func (g *Gateway) Stop(ctx context.Context) error {
	g.stop.Do(func() {
		close(g.stopping)
		g.waiters.Close()
		if g.cfg.LameDuck > 0 {
			select {
			case <-time.After(g.cfg.LameDuck):
			case <-ctx.Done():
			}
		}
		g.stopErr = g.close(ctx)
	})
	return g.stopErr
}

// close undoes open and Start, in reverse.
func (g *Gateway) close(ctx context.Context) error {
	var errs []error
	failed := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("stopping %s: %w", what, err))
		}
	}
	drain, cancel := context.WithTimeout(ctx, g.cfg.Drain)
	defer cancel()
	if g.waiters != nil {
		g.waiters.Close()
	}
	if g.data != nil {
		failed("the data plane", g.data.Stop(drain))
	}
	if g.control != nil {
		failed("the control plane", g.control.Stop(drain))
	}
	for _, loop := range g.loops {
		failed("a loop", loop.Stop(ctx))
	}
	if g.invoker != nil {
		g.invoker.Close()
	}
	if g.artifacts != nil {
		failed("the blob store", g.artifacts.Close())
	}
	if g.queues != nil {
		failed("asynqmon", g.queues.Close())
	}
	if g.queue != nil {
		failed("the queue", g.queue.Close())
	}
	if g.redis != nil {
		failed("Redis", g.redis.Close())
	}
	g.tracer.Stop(ctx)
	if g.metrics != nil {
		failed("the metrics server", g.metrics.Stop(ctx))
	}
	return errors.Join(errs...)
}
