// Package system runs the system under test: real gateways, workers and
// schedulers, each with a proxy between it and a real Redis, and the folder of a
// blob store on a disk of its own where that is allowed.
package system

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/test/chaos/history"
	"github.com/nightshift/nightshift/test/chaos/proxy"
	"github.com/nightshift/nightshift/test/harness"
)

// Token is that of the control plane.
const Token = "chaos-0123456789abcdef0123456789abcdef"

// Shape is how large a system is.
type Shape struct {
	Gateways, Workers, Schedulers int
	Concurrency                   int // of each worker
	Processes                     int // of each worker
	// Sentinels puts a master with two replicas, and the three sentinels over
	// them, in place of the one Redis and its proxies. A 202 then waits for one
	// replica.
	Sentinels bool
}

// System is a running system.
type System struct {
	Shape Shape
	Fleet *harness.Fleet
	// Redis or Sentinels is nil, as the shape says.
	Redis     *harness.Redis
	Sentinels *harness.Sentinels
	Services  *harness.Services
	Control   []*client.Client // of each gateway
	// Store reads records past all proxies, over a connection of its own.
	Store     *store.Store
	History   *history.History
	Collector *harness.Collector
	Receiver  *harness.Collector // of callbacks
	// Deploy makes a deploy with code that nobody has yet, as clients do. The
	// traffic sets it.
	Deploy func(ctx context.Context) error

	proxies map[string]*proxy.Proxy // by service
	clock   *clock
	disk    *disk
	keys    keys
	closing []func() error

	mu     sync.Mutex
	frozen map[string]bool // services that were stopped on purpose
}

// Start starts a system and waits until each service is ready. bin holds the
// programs. What it starts ends with Close, also after an error.
func Start(ctx context.Context, bin string, shape Shape, h *history.History) (s *System, err error) {
	s = &System{Shape: shape, Fleet: &harness.Fleet{}, History: h, proxies: map[string]*proxy.Proxy{}, frozen: map[string]bool{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
			s = nil
		}
	}()
	dir, err := os.MkdirTemp("", "chaos")
	if err != nil {
		return s, err
	}
	s.closing = append(s.closing, func() error { return harness.RemoveReadOnly(dir) })
	if s.clock, err = newClock(dir); err != nil {
		return s, err
	}
	if s.disk, err = newDisk(filepath.Join(dir, "blobs")); err != nil {
		return s, err
	}
	s.closing = append(s.closing, s.disk.close)
	s.closing = append(s.closing, s.Fleet.Close)
	url, urls, err := s.startRedis(ctx)
	if err != nil {
		return s, err
	}
	if err = s.open(url); err != nil {
		return s, err
	}
	s.Services, err = s.Fleet.StartServices(ctx, harness.Setup{
		Bin: bin, Gateways: shape.Gateways, Workers: shape.Workers, Schedulers: shape.Schedulers, RedisURLs: urls,
		Env: append(callbackEnv(),
			"NIGHTSHIFT_REDIS_URL="+url, "NIGHTSHIFT_REDIS_WAIT_REPLICAS="+strconv.Itoa(s.replicas()), "NIGHTSHIFT_BLOB_URL=file://"+s.disk.path, "NIGHTSHIFT_TOKEN="+Token,
			"NIGHTSHIFT_WORKER_DATA_DIR="+filepath.Join(dir, "code"),
			"NIGHTSHIFT_WORKER_CONCURRENCY="+strconv.Itoa(shape.Concurrency),
			"NIGHTSHIFT_WORKER_PROCESSES="+strconv.Itoa(shape.Processes),
		),
	})
	if err != nil {
		return s, err
	}
	for _, admin := range s.Services.Admin {
		c, err := client.New(admin+"/api/v1", Token, nil)
		if err != nil {
			return s, err
		}
		s.closing = append(s.closing, func() error { c.Close(); return nil })
		s.Control = append(s.Control, c)
	}
	return s, nil
}

// startRedis starts what keeps everything, and returns its URL, and the URLs of
// single services, which lead through their proxies.
func (s *System) startRedis(ctx context.Context) (url string, urls map[string]string, err error) {
	if s.Shape.Sentinels {
		if s.Sentinels, err = s.Fleet.StartSentinels(ctx, "--appendfsync", string(harness.BeforeReply)); err != nil {
			return "", nil, err
		}
		s.closing = append([]func() error{s.Sentinels.Remove}, s.closing...)
		return s.Sentinels.URL(), nil, nil
	}
	if s.Redis, err = s.Fleet.StartRedis(ctx, harness.BeforeReply, s.clock.env()...); err != nil {
		return "", nil, err
	}
	s.closing = append([]func() error{s.Redis.Remove}, s.closing...)
	urls, err = s.startProxies()
	return s.Redis.URL(), urls, err
}

// replicas is how many must have what is answered 202.
func (s *System) replicas() int {
	if s.Shape.Sentinels {
		return 1
	}
	return 0
}

// OneRedis says why there is not one Redis with proxies before it, or nil.
func (s *System) OneRedis() error {
	if s.Redis == nil {
		return errors.New("there is more than one Redis")
	}
	return nil
}

// open makes what reads of Redis and what functions report to.
func (s *System) open(url string) error {
	rdb, err := redisdb.Open(url)
	if err != nil {
		return err
	}
	s.keys, s.Store = keys{rdb}, store.New(rdb, store.Options{})
	s.closing = append(s.closing, rdb.Close)
	if s.Collector, err = harness.StartAnswering(s.effect); err != nil {
		return err
	}
	s.closing = append(s.closing, s.Collector.Close)
	return s.startReceiver()
}

// effect notes what a function reports, and tells it how many of its runs began
// before. Sync calls have no record to be compared with, and are only counted.
func (s *System) effect(hit harness.Hit) string {
	number := func(key string) int {
		n, _ := strconv.Atoi(hit.Query.Get(key)) // 0 where there is none
		return n
	}
	if hit.Query.Get("phase") == "sync" {
		s.History.Ran(number("n"))
		return ""
	}
	return strconv.Itoa(s.History.Effect(history.Effect{
		Time: hit.Time, ID: hit.Query.Get("id"), N: number("n"), Attempt: number("attempt"),
		Run: hit.Query.Get("run"), Phase: hit.Query.Get("phase"), Version: number("version"),
	}))
}

func (s *System) startProxies() (urls map[string]string, err error) {
	urls = map[string]string{}
	for _, name := range s.Names("gateway", "worker", "scheduler") {
		p, err := proxy.Start(strings.TrimPrefix(s.Redis.URL(), "unix://"))
		if err != nil {
			return nil, err
		}
		s.closing = append(s.closing, p.Close)
		s.proxies[name], urls[name] = p, p.URL()
	}
	return urls, nil
}

// Save writes the logs of all processes and the data of Redis into a folder.
func (s *System) Save(dir string) error {
	var errs []error
	for i, p := range s.Fleet.All() {
		errs = append(errs, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d.log", p.Name, i)), []byte(p.Log.String()), 0o644))
	}
	if s.Redis != nil {
		from := filepath.Join(s.Redis.Dir(), "appendonlydir")
		errs = append(errs, os.CopyFS(filepath.Join(dir, "redis", "appendonlydir"), os.DirFS(from)))
	}
	return errors.Join(errs...)
}

// Close ends all of it.
func (s *System) Close() error {
	var errs []error
	for _, end := range slices.Backward(s.closing) {
		errs = append(errs, end())
	}
	s.closing = nil
	return errors.Join(errs...)
}
