// Package scheduler is the service that fires schedules.
//
// Any number of schedulers run side by side; one of them leads and the others
// stand by. The leader turns due ticks into invocations, exactly one per tick,
// hands tasks of dead workers back to their queues, has waiting tasks released as
// the fleet grows, takes expired invocations off their index, queues unfinished ones
// again that have lost their task, and removes deploys that nobody needs any more,
// with their blobs. When it stops, a standby takes
// over at once; when it is killed, within LockTTL and a quarter. No tick is lost
// or fired twice by that: package internal/leader says why the lock need not be
// perfect, and internal/tick what happens to ticks that are late.
//
// A scheduler keeps no state of its own. It may start before Redis does.
package scheduler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nightshift/nightshift/scheduler/internal/audit"
	"github.com/nightshift/nightshift/scheduler/internal/collect"
	"github.com/nightshift/nightshift/scheduler/internal/leader"
	"github.com/nightshift/nightshift/scheduler/internal/sweep"
	"github.com/nightshift/nightshift/scheduler/internal/tick"
	"github.com/nightshift/nightshift/scheduler/internal/trim"
	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/metrics"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/telemetry"
	"github.com/redis/go-redis/v9"
)

// Config configures a Scheduler. Its zero value with a RedisURL is usable.
type Config struct {
	// RedisURL is where everything meets; redisdb.Open lists the forms. Required.
	RedisURL string `env:"REDIS_URL"`
	// RedisTLS has the certificates for it.
	RedisTLS redisdb.TLS
	// RedisWaitReplicas is how many replicas of Redis must have a tick's invocation
	// and its cursor before it counts as fired, 0 to 10. Default 0.
	RedisWaitReplicas int `env:"REDIS_WAIT_REPLICAS"`
	// Addr is host:port for GET /healthz and GET /readyz. Default: no listener.
	Addr string `env:"SCHEDULER_ADDR"`
	// MetricsAddr is host:port where GET /metrics answers a monitoring system,
	// without a token, and GET /healthz; see docs/metrics.md. Default: none.
	MetricsAddr string `env:"METRICS_ADDR"`
	// MetricsProfiles has that address answer GET /debug/pprof/ too, where profiles of
	// the process are: what takes its time and its memory. They tell addresses of
	// code and no data, but taking one costs time, so it is for who looks into a
	// problem. Default false.
	MetricsProfiles bool `env:"METRICS_PROFILES"`
	// LockTTL is how long a killed leader stays in the way of a successor, 2s to
	// 60s. Shorter values make a busy Redis cost leadership more often. Default 5s.
	LockTTL time.Duration `env:"SCHEDULER_LOCK_TTL"`
	// SiteConcurrency is how many tasks of one site, of each kind, may be pending
	// or running at once, over all workers: 0 or more. Default 0, no limit.
	SiteConcurrency int `env:"SITE_CONCURRENCY"`
	// UpkeepOnly hands back the tasks of dead workers but fires no tick: for
	// development, where schedules are fired by hand. Default false.
	UpkeepOnly bool `env:"SCHEDULER_UPKEEP_ONLY"`
	// BaseDomain, PublicURL and DefaultSite are as the gateway has them: they
	// make the URL that functions see in their events. Defaults: localhost,
	// http://<base domain>, default.
	BaseDomain  string `env:"BASE_DOMAIN"`
	PublicURL   string `env:"PUBLIC_URL"`
	DefaultSite string `env:"DEFAULT_SITE"`
	// BlobURL is where code and static files are kept, the same for all services
	// and of no other installation: file:// or s3://, see artifact.Open. Default:
	// not known, and then nothing is removed of deploys.
	BlobURL string `env:"BLOB_URL"`
	// DeployRetention is how long a deploy is kept that nothing points at, 1h or
	// more, or Forever ("off"). Default 2160h, 90 days.
	DeployRetention Retention `env:"DEPLOY_RETENTION"`
	// Dev tells functions that they run under nightshift dev.
	Dev bool `env:"-"`
	// Records says how long records are kept; the same for all services.
	Records store.Options
	// Logger is required.
	Logger *slog.Logger `env:"-"`
}

// HealthAddr is where the scheduler answers /readyz.
func (c Config) HealthAddr() string { return c.Addr }

const defaultLockTTL = 5 * time.Second

// prepare sets defaults and says what is wrong.
func (c *Config) prepare() error {
	c.LockTTL = cmp.Or(c.LockTTL, defaultLockTTL)
	c.BaseDomain = cmp.Or(c.BaseDomain, "localhost")
	c.PublicURL = strings.TrimSuffix(cmp.Or(c.PublicURL, "http://"+c.BaseDomain), "/")
	c.DefaultSite = cmp.Or(c.DefaultSite, "default")
	c.DeployRetention = cmp.Or(c.DeployRetention, defaultDeployRetention)
	switch {
	case c.RedisURL == "":
		return fault.New(fault.Invalid, "NIGHTSHIFT_REDIS_URL is not set; it looks like redis://user:password@host:6379/0")
	case c.LockTTL < 2*time.Second || c.LockTTL > time.Minute:
		return fault.New(fault.Invalid, "NIGHTSHIFT_SCHEDULER_LOCK_TTL is %v; it must be 2s to 60s", c.LockTTL)
	case c.SiteConcurrency < 0:
		return fault.New(fault.Invalid, "NIGHTSHIFT_SITE_CONCURRENCY is %d; it must be 0, for no limit, or more", c.SiteConcurrency)
	case !strings.HasPrefix(c.PublicURL, "http://") && !strings.HasPrefix(c.PublicURL, "https://"):
		return fault.New(fault.Invalid, "NIGHTSHIFT_PUBLIC_URL is %q; it looks like https://example.com", c.PublicURL)
	case c.DeployRetention != Forever && c.DeployRetention < minDeployRetention:
		return fault.New(fault.Invalid, "NIGHTSHIFT_DEPLOY_RETENTION is %v; it must be 1h or more, or off", c.DeployRetention)
	case c.Logger == nil:
		return fault.New(fault.Internal, "the scheduler needs a logger")
	}
	return c.Records.Validate()
}

// baseURL is where a site's functions seem to be called. The default site is at
// the base domain itself.
func (c *Config) baseURL(site string) string {
	scheme, host, _ := strings.Cut(c.PublicURL, "://")
	if site != c.DefaultSite {
		host = site + "." + host
	}
	return scheme + "://" + host
}

// Scheduler is the service. It is a daemon.Service.
type Scheduler struct {
	cfg     Config
	rdb     redis.UniversalClient
	lockRDB redis.UniversalClient
	queue   *queue.Client
	records *store.Store
	elector *leader.Elector
	ticks   *tick.Loop
	blobs   *artifact.Store    // nil without a BlobURL, as is the next
	garbage *collect.Collector // used by the term that leads
	http    *daemon.HTTP       // nil without an address
	metrics *daemon.HTTP       // nil without an address
	swept   *sweep.Metrics     // these two count over all terms
	audited *audit.Metrics
	tracer  *telemetry.Tracer
	stack   daemon.Stack
	stop    func() error // closes what New opened, once
}

// New validates the configuration and binds the address. It does not wait for
// Redis. Stop releases what New took, also without Start.
func New(cfg Config) (*Scheduler, error) {
	if err := cfg.prepare(); err != nil {
		return nil, err
	}
	rdb, err := cfg.RedisTLS.Open(cfg.RedisURL)
	if err != nil {
		return nil, err
	}
	// The lock has a client of its own: see leader.Config.
	lockRDB, err := cfg.RedisTLS.Open(cfg.RedisURL, func(o *redis.UniversalOptions) {
		o.MaxRetries, o.ReadTimeout, o.WriteTimeout, o.PoolSize = 1, time.Second, time.Second, 3
	})
	if err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	registry := metrics.NewRegistry("scheduler")
	s := &Scheduler{
		cfg: cfg, rdb: rdb, lockRDB: lockRDB, records: store.New(rdb, cfg.Records),
		swept: sweep.NewMetrics(registry), audited: audit.NewMetrics(registry),
	}
	s.stop = sync.OnceValue(s.close)
	if s.metrics, err = metrics.Listen(cfg.MetricsAddr, cfg.MetricsProfiles, registry, cfg.Logger); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	if s.metrics != nil {
		s.stack.Add("metrics", s.metrics) // first, and so stopped last
	}
	if s.tracer, err = telemetry.Start(context.Background(), "scheduler", "", cfg.Logger); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	if s.queue, err = queue.NewClient(rdb, true); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	if err := s.queue.AwaitReplicas(cfg.RedisWaitReplicas); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	records := s.records
	redisNow := func(ctx context.Context) (time.Time, error) { return redisdb.Now(ctx, rdb) }
	if cfg.BlobURL != "" {
		if s.blobs, err = artifact.Open(context.Background(), cfg.BlobURL); err != nil {
			return nil, errors.Join(err, s.stop())
		}
		s.garbage = collect.New(collect.Config{
			Store: records, Blobs: s.blobs, Retention: max(time.Duration(cfg.DeployRetention), 0), Now: redisNow,
			Logger: cfg.Logger.With("component", "collect"), Metrics: registry,
		})
	}
	if cfg.Addr != "" {
		health := daemon.Health(func(ctx context.Context) error { return redisdb.Ping(ctx, rdb) })
		if s.http, err = daemon.NewHTTP(daemon.HTTPConfig{Addr: cfg.Addr, Handler: health, Logger: cfg.Logger}); err != nil {
			return nil, errors.Join(err, s.stop())
		}
		s.stack.Add("health", s.http)
	}
	s.elector = leader.New(leader.Config{
		Redis: lockRDB, Terms: store.New(lockRDB, cfg.Records), TTL: cfg.LockTTL, Logger: cfg.Logger, Metrics: registry,
	})
	s.ticks = tick.New(tick.Config{
		Store: records, Queue: s.queue, BaseURL: cfg.baseURL, Dev: cfg.Dev, Logger: cfg.Logger,
		RedisNow: redisNow, Metrics: registry, Tracer: s.tracer,
	})
	if !cfg.Dev {
		s.stack.Add("check of Redis", daemon.NewLoop(func(ctx context.Context) { redisdb.Warn(ctx, rdb, cfg.Logger) }))
	}
	s.stack.Add("leadership", daemon.NewLoop(func(ctx context.Context) { s.elector.Lead(ctx, s.lead) }))
	return s, nil
}

// lead is the work of a term.
func (s *Scheduler) lead(ctx context.Context, term int64) {
	// All parts end together: whoever may not fire need not sweep either.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var parts sync.WaitGroup
	parts.Go(func() {
		sweep.Run(ctx, sweep.Config{
			Reaper: queue.NewReaper(s.rdb, s.cfg.Logger), Lanes: queue.NewLanes(s.rdb, s.cfg.Logger),
			Workers: s.records, SiteLimit: s.cfg.SiteConcurrency, Metrics: s.swept, Logger: s.cfg.Logger,
		})
	})
	parts.Go(func() { trim.Run(ctx, s.records, s.cfg.Logger) })
	parts.Go(func() {
		audit.New(audit.Config{
			Records: s.records, Queue: s.queue, Metrics: s.audited, Logger: s.cfg.Logger,
			Now: func(ctx context.Context) (time.Time, error) { return redisdb.Now(ctx, s.rdb) },
		}).Run(ctx)
	})
	if s.garbage != nil {
		parts.Go(func() { s.garbage.Run(ctx, term) })
	}
	if s.cfg.UpkeepOnly {
		parts.Wait()
		return
	}
	if err := s.ticks.Run(ctx, term); err != nil {
		s.cfg.Logger.Warn("firing ended", "term", term, "error", err)
	}
	cancel()
	parts.Wait()
}

// Addr is the bound address, or "" without a listener.
func (s *Scheduler) Addr() string {
	if s.http == nil {
		return ""
	}
	return s.http.Addr()
}

// MetricsAddr is host:port where the scheduler tells its figures, or "".
func (s *Scheduler) MetricsAddr() string {
	if s.metrics == nil {
		return ""
	}
	return s.metrics.Addr()
}

// Start begins to compete for leadership.
func (s *Scheduler) Start(ctx context.Context) error {
	s.cfg.Logger.Info("scheduler starts", "lock_ttl", s.cfg.LockTTL, "upkeep_only", s.cfg.UpkeepOnly,
		"public_url", s.cfg.PublicURL, "addr", s.Addr(), "deploy_retention", s.cfg.DeployRetention.String())
	if s.garbage == nil && !s.cfg.Dev {
		s.cfg.Logger.Info("nothing is removed of deploys: NIGHTSHIFT_BLOB_URL is not set")
	}
	return s.stack.Start(ctx)
}

// Stop gives leadership up and ends all work, within ctx. It is idempotent.
func (s *Scheduler) Stop(ctx context.Context) error {
	err := s.stack.Stop(ctx)
	return errors.Join(err, s.stop())
}

func (s *Scheduler) close() error {
	var errs []error
	if s.http != nil {
		errs = append(errs, s.http.Stop(context.Background())) // idle: unbinds what was never started
	}
	if s.metrics != nil {
		errs = append(errs, s.metrics.Stop(context.Background()))
	}
	if s.blobs != nil {
		errs = append(errs, s.blobs.Close())
	}
	if s.queue != nil {
		errs = append(errs, s.queue.Close())
	}
	s.tracer.Stop(context.Background())
	if err := errors.Join(append(errs, s.lockRDB.Close(), s.rdb.Close())...); err != nil {
		return fmt.Errorf("closing the scheduler: %w", err)
	}
	return nil
}
