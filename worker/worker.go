// Package worker is the service that runs functions. It takes queued
// invocations from Redis and sync calls from gateways, runs both in warm child
// processes, and records how queued ones ended.
//
//	queue ─▶ execute ─┐                 ┌─▶ code ─▶ bundle ─▶ artifact store
//	                  ├─▶ (loads code) ─┘
//	HTTP ─▶ dispatch ─┘
//	                  └─▶ pool ─▶ function process
//
// It also tells receivers that invocations have ended (package callback).
//
// A worker keeps nothing that cannot be lost: the task is in the queue until
// its end is recorded, the code is in the artifact store. It reports itself to
// gateways every 2 s (package presence), and is forgotten 6 s after it falls
// silent.
//
// It goes New → Start → Stop. Stop drains: the worker says so, takes nothing
// new, waits up to [Config].Drain for what runs, then ends the processes and
// hands their tasks back uncounted.
package worker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nightshift/nightshift/shared/artifact"
	told "github.com/nightshift/nightshift/shared/callback"
	"github.com/nightshift/nightshift/shared/daemon"
	wire "github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/dispatch/keyring"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/metrics"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/telemetry"
	"github.com/nightshift/nightshift/worker/internal/attempt"
	"github.com/nightshift/nightshift/worker/internal/bundle"
	"github.com/nightshift/nightshift/worker/internal/callback"
	"github.com/nightshift/nightshift/worker/internal/code"
	"github.com/nightshift/nightshift/worker/internal/dispatch"
	"github.com/nightshift/nightshift/worker/internal/execute"
	"github.com/nightshift/nightshift/worker/internal/jail"
	"github.com/nightshift/nightshift/worker/internal/logs"
	"github.com/nightshift/nightshift/worker/internal/pool"
	"github.com/nightshift/nightshift/worker/internal/presence"
	"github.com/nightshift/nightshift/worker/runtime/node"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// stopReserve is the part of Stop's time that is kept for ending processes and
// handing tasks back, after the wait for what runs.
const stopReserve = 15 * time.Second

// Worker is a daemon.Service.
type Worker struct {
	cfg       Config
	node      string // the executable
	id        string
	addr      string   // as gateways are told
	keys      []string // names of those that open environments
	startedAt time.Time

	rdb       redis.UniversalClient
	store     *store.Store
	artifacts *artifact.Store
	tracer    *telemetry.Tracer
	jail      *jail.Jail
	bundles   *bundle.Cache
	loader    *code.Source
	pool      *pool.Pool
	executor  *execute.Executor
	handler   *dispatch.Handler
	queue     *queue.Server
	settler   *queue.Settler
	http      *daemon.HTTP
	registry  *prometheus.Registry
	metrics   *daemon.HTTP // nil without an address
	reporter  *presence.Reporter
	cancels   *daemon.Loop // cancellations of what runs
	callbacks *daemon.Loop // callbacks of what ended
	beats     *daemon.Loop // heartbeats
	ring      *daemon.Loop // of calls
	check     *daemon.Loop // of the settings of Redis

	started  atomic.Bool
	draining atomic.Bool
	stop     sync.Once
	stopErr  error
}

// New validates the configuration, finds Node, and binds the address. Redis
// need not be there yet. What it opens is closed by Stop.
func New(cfg Config) (*Worker, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	nodePath, version, err := node.FindNode(context.Background())
	if err != nil {
		return nil, err
	}
	cfg.Logger.Debug("node found", "path", nodePath, "version", version)
	if !cfg.Dev { // a debugger may want to look at it
		if err := jail.Shield(); err != nil {
			return nil, err
		}
	}
	w := &Worker{cfg: cfg, node: nodePath, id: newID(), registry: metrics.NewRegistry("worker")}
	if err := w.open(); err != nil {
		return nil, errors.Join(err, w.close(context.Background()))
	}
	if err := w.assemble(); err != nil {
		return nil, errors.Join(err, w.close(context.Background()))
	}
	return w, nil
}

// open opens what holds files or connections.
func (w *Worker) open() (err error) {
	if w.metrics, err = metrics.Listen(w.cfg.MetricsAddr, w.cfg.MetricsProfiles, w.registry, w.cfg.Logger); err != nil {
		return err
	}
	if w.rdb, err = w.cfg.RedisTLS.Open(w.cfg.RedisURL); err != nil {
		return err
	}
	if w.artifacts, err = artifact.Open(context.Background(), w.cfg.BlobURL); err != nil {
		return err
	}
	if w.tracer, err = telemetry.Start(context.Background(), "worker", w.id, w.cfg.Logger); err != nil {
		return err
	}
	dir, err := dataDir(w.cfg.DataDir)
	if err != nil {
		return err
	}
	// Before the folder of code, whose permissions depend on it.
	w.jail, err = jail.New(jail.Config{
		Dir: filepath.Join(dir, "cells"), Node: w.node, Readable: w.cfg.readable(), Max: w.cfg.Processes,
		Limits: jail.Limits{
			Memory: int64(w.cfg.FunctionMemory) << 20, Tmp: int64(w.cfg.FunctionTmp) << 20,
			Processes: w.cfg.FunctionProcesses, Files: w.cfg.FunctionFiles,
		},
		ControlGroups: !w.cfg.Dev, // a developer's shell has others in its group
		Open:          w.cfg.Isolation == IsolationOff, Required: w.cfg.Isolation == IsolationRequired,
	})
	if err != nil {
		return err
	}
	if !w.cfg.Dev { // where functions are the developer's own
		w.jail.Log(w.cfg.Logger)
	}
	w.bundles, err = bundle.Open(bundle.Config{
		Dir:       filepath.Join(dir, "functions"),
		Enterable: true, // names are digests, which cannot be guessed
		Source:    w.artifacts,
		Discard:   w.cfg.Dev, // the directory is in the folder of somebody's site
		Evicted:   w.forget,
		Logger:    w.cfg.Logger.With("component", "bundle"),
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(wire.Path, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.handler.ServeHTTP(rw, r) }))
	mux.Handle("/", daemon.Health(w.ready))
	w.http, err = daemon.NewHTTP(daemon.HTTPConfig{
		Addr: w.cfg.Addr, Handler: mux, Logger: w.cfg.Logger,
		// Few gateways make all of the calls.
		Limits: daemon.Limits{MaxConnectionsPerAddress: -1, MaxRequestsPerConnection: -1},
	})
	if err != nil {
		return err
	}
	w.addr, err = advertise(w.cfg.AdvertiseAddr, w.http.Addr())
	return err
}

// assemble connects the parts.
func (w *Worker) assemble() (err error) {
	w.store = store.New(w.rdb, w.cfg.Records)
	w.pool, err = pool.New(pool.Config{
		Max:         w.cfg.Processes,
		Spares:      w.cfg.Spares,
		IdleTimeout: w.cfg.IdleTimeout,
		MaxOutput:   w.cfg.MaxOutput,
		Jail:        w.jail,
		Node:        w.node,
		Metrics:     w.registry,
		Logger:      w.cfg.Logger.With("component", "pool"),
	})
	if err != nil {
		return err
	}
	box, err := secret.Parse(w.cfg.SecretKey)
	if err != nil {
		return err
	}
	if w.keys = box.Keys(); len(w.keys) > 0 {
		w.cfg.Logger.Info("environment variables are opened", "keys", len(w.keys), "first", w.keys[0])
	}
	w.loader = code.NewSource(w.store, w.bundles, box, w.cfg.Dev)
	w.reporter = presence.NewReporter(w.store, w.snapshot, w.cfg.Logger)
	deliver, ended, err := w.deliverer()
	if err != nil {
		return err
	}
	w.callbacks = daemon.NewLoop(deliver)
	attempts, lines := attempt.NewMetrics(w.registry), logs.NewMetrics(w.registry)
	w.settler = queue.NewSettler(w.rdb)
	w.executor = execute.New(execute.Config{
		Worker: w.id, Store: w.store, Ends: execute.Records{Steps: w.store, Settler: w.settler}, Logs: w.store, Runner: w.pool, Loader: w.loader,
		Attempts: attempts, Lines: lines, Metrics: w.registry, Tracer: w.tracer,
		Logger: w.cfg.Logger, Changed: w.reporter.Changed, Ended: ended,
	})
	ring := keyring.New(w.store, w.cfg.Logger)
	w.ring = daemon.NewLoop(ring.Run)
	if w.cfg.UnsignedCalls == unsignedAccept {
		w.cfg.Logger.Warn("whoever reaches this worker can run any function: NIGHTSHIFT_WORKER_UNSIGNED_CALLS is accept; unset it once all gateways sign")
	}
	w.handler = dispatch.NewHandler(dispatch.Config{
		Worker: w.id, Keys: ring, Unsigned: w.cfg.UnsignedCalls == unsignedAccept, Metrics: w.registry,
		Runner: w.pool, Loader: w.loader, Logs: w.store, Attempts: attempts, Lines: lines, Tracer: w.tracer,
		Logger: w.cfg.Logger, Max: w.cfg.Processes - w.cfg.Concurrency, Changed: w.reporter.Changed,
	})
	w.queue, err = queue.NewServer(queue.ServerConfig{
		Redis: w.rdb, Concurrency: w.cfg.Concurrency, Handler: w.executor.Handle, Settler: w.settler,
		Logger: w.cfg.Logger.With("component", "queue"),
	})
	w.cancels, w.beats = daemon.NewLoop(w.executor.Run), daemon.NewLoop(w.reporter.Run)
	w.check = daemon.NewLoop(func(ctx context.Context) {
		if !w.cfg.Dev {
			redisdb.Warn(ctx, w.rdb, w.cfg.Logger)
		}
	})
	return err
}

// deliverer makes the loop that makes callbacks, and what tells it that there
// may be one. Without a secret both do nothing: workers that have it do it all.
func (w *Worker) deliverer() (run func(context.Context), ended func(), err error) {
	signer, err := told.NewSigner(w.cfg.CallbackSecret)
	if err != nil {
		return nil, nil, err
	}
	allowed, err := told.ParseAllow(w.cfg.CallbackAllow)
	if err != nil {
		return nil, nil, err
	}
	if signer == nil {
		return func(context.Context) {}, func() {}, nil
	}
	d := callback.New(callback.Config{Store: w.store, Signer: signer, Allowed: allowed, Metrics: w.registry, Logger: w.cfg.Logger, Tracer: w.tracer})
	return d.Run, d.Kick, nil
}

// Start begins to work. It does not wait for Redis.
func (w *Worker) Start(ctx context.Context) error {
	if w.started.Swap(true) {
		return fault.New(fault.Internal, "the worker was started before")
	}
	w.startedAt = time.Now().UTC()
	if w.metrics != nil { // first, and stopped last, so that a drain can be watched
		if err := w.metrics.Start(ctx); err != nil {
			return err
		}
	}
	if err := w.pool.Start(ctx); err != nil {
		return fmt.Errorf("starting the process pool: %w", err)
	}
	// Gateways are told last, when everything answers.
	err := errors.Join(w.ring.Start(ctx), w.http.Start(ctx), w.cancels.Start(ctx), w.callbacks.Start(ctx), w.queue.Start(), w.beats.Start(ctx), w.check.Start(ctx))
	if err != nil {
		return err
	}
	w.cfg.Logger.Info("worker takes work", "worker", w.id, "addr", w.addr, "concurrency", w.cfg.Concurrency, "processes", w.cfg.Processes)
	return nil
}

// Stop drains and closes; see the package's words on it. What still runs when
// ctx ends is cut off. Idempotent, and safe without Start.
func (w *Worker) Stop(ctx context.Context) error {
	w.stop.Do(func() {
		var errs []error
		if w.started.Load() {
			errs = append(errs, w.drain(ctx))
		}
		w.stopErr = errors.Join(append(errs, w.close(ctx))...)
	})
	return w.stopErr
}

// drain ends all work.
func (w *Worker) drain(ctx context.Context) error {
	w.draining.Store(true)
	w.handler.Close()
	w.reporter.Now(ctx)
	grace, cancel := w.grace(ctx)
	defer cancel()
	w.cfg.Logger.Info("worker drains", "worker", w.id)

	var queueErr error
	var both sync.WaitGroup
	both.Go(func() { queueErr = w.queue.Stop(grace) })
	both.Go(func() { w.handler.Stop(grace) })
	both.Wait()

	return errors.Join(
		queueErr,
		named("ending function processes", w.pool.Stop(ctx)),
		named("ending heartbeats", w.beats.Stop(ctx)),
		named("ending the watch for cancellations", w.cancels.Stop(ctx)),
		named("ending callbacks", w.callbacks.Stop(ctx)),
		named("ending the check of Redis", w.check.Stop(ctx)),
		named("ending the reading of keys", w.ring.Stop(ctx)),
		named("withdrawing the worker", w.reporter.Withdraw(ctx)),
	)
}

// grace is how long drain waits for what runs: as configured, but never so
// long that no time is left of ctx to hand back what then still runs.
func (w *Worker) grace(ctx context.Context) (context.Context, context.CancelFunc) {
	wait := w.cfg.Drain
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		wait = min(wait, left-min(stopReserve, left/2))
	}
	return context.WithTimeout(ctx, wait)
}

// close closes what open opened, as far as it came.
func (w *Worker) close(ctx context.Context) error {
	var errs []error
	if w.queue != nil && !w.started.Load() {
		errs = append(errs, w.queue.Stop(ctx)) // it holds connections from the beginning
	}
	if w.http != nil {
		errs = append(errs, named("closing the HTTP server", w.http.Stop(ctx)))
	}
	if w.bundles != nil {
		errs = append(errs, named("closing the code cache", w.bundles.Close()))
	}
	if w.jail != nil {
		errs = append(errs, named("removing the folders of function processes", w.jail.Close()))
	}
	if w.artifacts != nil {
		errs = append(errs, named("closing the artifact store", w.artifacts.Close()))
	}
	if w.settler != nil {
		w.settler.Close()
	}
	if w.rdb != nil {
		errs = append(errs, named("closing Redis", w.rdb.Close()))
	}
	w.tracer.Stop(ctx)
	if w.metrics != nil {
		errs = append(errs, named("closing the metrics server", w.metrics.Stop(ctx)))
	}
	return errors.Join(errs...)
}

// MetricsAddr is host:port where the worker tells its figures, or "".
func (w *Worker) MetricsAddr() string {
	if w.metrics == nil {
		return ""
	}
	return w.metrics.Addr()
}

// Addr is host:port where the worker is reached, as gateways are told.
func (w *Worker) Addr() string { return w.addr }

// ID is the worker's name in records and heartbeats.
func (w *Worker) ID() string { return w.id }

// ready says whether the worker can do its work.
func (w *Worker) ready(ctx context.Context) error {
	if w.draining.Load() {
		return fault.New(fault.Unavailable, "the worker is shutting down")
	}
	return redisdb.Ping(ctx, w.rdb)
}

// snapshot is what a heartbeat reports.
func (w *Worker) snapshot() store.Worker {
	stats := w.pool.Stats()
	return store.Worker{
		ID: w.id, Addr: w.addr, StartedAt: w.startedAt,
		Concurrency: w.cfg.Concurrency, Capacity: w.cfg.Processes,
		Busy: stats.Busy, Warm: stats.Warm, Draining: w.draining.Load(), Keys: w.keys,
	}
}

// forget ends the idle processes of functions whose code leaves the disk: they
// stand in a directory that is about to be gone.
func (w *Worker) forget(digest string) {
	if w.loader == nil {
		return // the code is a former run's, and so were its processes
	}
	for _, key := range w.loader.Keys(digest) {
		w.pool.Forget(key)
	}
}

func named(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

var notInID = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// newID names a worker after its machine, with something random, because
// several run on one and the next one must not be taken for it.
func newID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "worker"
	}
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	return notInID.ReplaceAllString(host, "-") + "-" + hex.EncodeToString(random[:])
}
