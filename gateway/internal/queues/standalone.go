package queues

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/hibiken/asynqmon" // the web page of asynq, which design and users know
	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/redis/go-redis/v9"
)

// standaloneAddr is where a [Standalone] listens.
const standaloneAddr = ":8080"

// StandaloneConfig configures a Standalone.
type StandaloneConfig struct {
	// RedisURL is the Redis that all services share; see redisdb.Open. Required.
	RedisURL string `env:"REDIS_URL"`
	// RedisTLS has the certificates for it.
	RedisTLS redisdb.TLS
	// Addr is host:port. Default :8080.
	Addr   string       `env:"-"`
	Logger *slog.Logger `env:"-"`
}

// HealthAddr is where it says how it is.
func (c StandaloneConfig) HealthAddr() string { return cmp.Or(c.Addr, standaloneAddr) }

// Standalone is asynqmon as it comes, on an address of its own, without a sign-in,
// for looking only. asynq's own program would do, but gives Redis no user name, and
// so could be nobody but the default user.
type Standalone struct {
	redis redis.UniversalClient
	mon   http.Handler
	http  *daemon.HTTP
}

// NewStandalone binds the address. Redis need not answer yet.
func NewStandalone(cfg StandaloneConfig) (*Standalone, error) {
	if cfg.RedisURL == "" {
		return nil, fault.New(fault.Invalid, "NIGHTSHIFT_REDIS_URL is not set; it looks like redis://user:password@host:6379/0")
	}
	rdb, err := cfg.RedisTLS.Open(cfg.RedisURL, func(o *redis.UniversalOptions) { o.PoolSize = PoolSize })
	if err != nil {
		return nil, err
	}
	mon := asynqmon.New(asynqmon.Options{
		RedisConnOpt: connection{rdb}, ReadOnly: true,
		PayloadFormatter: asynqmon.PayloadFormatterFunc(formatPayload),
		ResultFormatter:  asynqmon.ResultFormatterFunc(formatResult),
	})
	health := daemon.Health(func(ctx context.Context) error { return redisdb.Ping(ctx, rdb) })
	mux := http.NewServeMux()
	mux.Handle("/healthz", health)
	mux.Handle("/readyz", health)
	mux.Handle("/", looking(mon))
	server, err := daemon.NewHTTP(daemon.HTTPConfig{Addr: cfg.HealthAddr(), Handler: mux, Logger: cfg.Logger})
	if err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	return &Standalone{redis: rdb, mon: mon, http: server}, nil
}

// Addr is the bound host:port.
func (s *Standalone) Addr() string { return s.http.Addr() }

// Start begins to serve.
func (s *Standalone) Start(ctx context.Context) error { return s.http.Start(ctx) }

// Stop ends it.
func (s *Standalone) Stop(ctx context.Context) error {
	return errors.Join(s.http.Stop(ctx), s.redis.Close())
}

// looking lets through what changes nothing. asynqmon refuses the rest itself, but
// for what it does not know.
func looking(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "Queues can be looked at here, not changed. Use nightshift cancel, retry and replay.", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}
