package dev

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/scheduler"
	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/redisdb/embedded"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/nightshift/nightshift/worker"
)

const (
	// drain is how long running calls have at the end; invocations that still
	// run then are handed back and go on when dev starts again.
	drain = 2 * time.Second
	// kept is how long a version of the site stays that is not the newest: each
	// change leaves one behind.
	kept = 24 * time.Hour
	// idle ends processes of functions that have not been called for so long:
	// each change leaves some behind.
	idle = time.Minute
	// loopbackNetworks is where callbacks may go beside public addresses: the
	// receiver that is developed runs here too.
	loopbackNetworks = "127.0.0.0/8,::1/128"
)

// redisServer is the store: an embedded one, or somebody else's.
type redisServer struct {
	url      string
	embedded *embedded.Server // nil: somebody else's
}

func openRedis(ctx context.Context, url, dir string) (*redisServer, error) {
	if url != "" {
		return &redisServer{url: url}, nil
	}
	server, err := embedded.Start(ctx, dir)
	if err != nil {
		return nil, err
	}
	return &redisServer{url: server.URL(), embedded: server}, nil
}

func (r *redisServer) stop(ctx context.Context) error {
	if r.embedded == nil {
		return nil
	}
	if err := r.embedded.Stop(ctx); err != nil {
		return fmt.Errorf("stopping %s: %w", r.embedded.Kind(), err)
	}
	return nil
}

// secrets are those that services share.
type secrets struct {
	environment secret.Text // seals variables
	callbacks   secret.Text // signs callbacks
}

// openSecrets reads the secrets of the data folder, and makes what is missing.
func openSecrets(cfg Config, dataDir string) (secrets, error) {
	key, err := secretKey(dataDir)
	if err != nil || cfg.CallbackSecret != "" {
		return secrets{key, cfg.CallbackSecret}, err
	}
	own, err := callbackSecret(dataDir)
	return secrets{key, own}, err
}

// services are the three services, in the order in which they start: the
// worker stands before the gateway serves, and ends after it.
type services struct {
	gateway *gateway.Gateway
	all     []daemon.Service
}

// newServices makes all, or nothing.
func newServices(cfg Config, redisURL, dataDir string, keys secrets) (_ *services, err error) {
	s := &services{}
	defer func() {
		if err != nil {
			ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
			defer cancel()
			err = errors.Join(err, s.stop(ctx))
		}
	}()
	allow := cmp.Or(cfg.CallbackAllow, loopbackNetworks)
	blobs := "file://" + filepath.ToSlash(filepath.Join(dataDir, "artifacts"))
	w, err := worker.New(worker.Config{
		RedisURL: redisURL, BlobURL: blobs, DataDir: filepath.Join(dataDir, "worker"),
		SecretKey: keys.environment, CallbackSecret: keys.callbacks, CallbackAllow: allow,
		Isolation: worker.Isolation(cfg.Isolation), FunctionReadable: cfg.FunctionReadable,
		Drain: drain, IdleTimeout: idle, Dev: true, Logger: cfg.Logger.With("service", "worker"),
	})
	if err != nil {
		return nil, err
	}
	s.all = append(s.all, w)
	s.gateway, err = gateway.New(gateway.Config{
		RedisURL: redisURL, BlobURL: blobs, Addr: loopback(cfg.Port), AdminAddr: loopback(cfg.AdminPort),
		Token: cfg.Token, SecretKey: keys.environment, CallbackSecret: keys.callbacks, CallbackAllow: allow, DefaultSite: Site, Dev: true, Drain: drain, Logger: cfg.Logger.With("service", "gateway"),
	})
	if err != nil {
		return nil, err
	}
	s.all = append(s.all, s.gateway)
	collected := blobs
	if cfg.RedisURL != "" {
		collected = "" // what is in somebody else's store is not for dev to remove
	}
	sched, err := scheduler.New(scheduler.Config{
		RedisURL: redisURL, BlobURL: collected, DeployRetention: scheduler.Retention(kept), UpkeepOnly: !cfg.Cron, Dev: true, DefaultSite: Site, PublicURL: publicURL(s.gateway.Addr()),
		Logger: cfg.Logger.With("service", "scheduler"),
	})
	if err != nil {
		return nil, err
	}
	s.all = append(s.all, sched)
	return s, nil
}

// publicURL is the data plane as functions see it that a schedule calls.
func publicURL(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "http://" + addr
	}
	return "http://" + net.JoinHostPort("localhost", port)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func (s *services) start(ctx context.Context) error {
	for _, service := range s.all {
		if err := service.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stop ends the services, newest first. It does no harm to those that have not started.
func (s *services) stop(ctx context.Context) error {
	var errs []error
	for _, service := range slices.Backward(s.all) {
		errs = append(errs, service.Stop(ctx))
	}
	return errors.Join(errs...)
}
