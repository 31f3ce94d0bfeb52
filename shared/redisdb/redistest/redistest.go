// Package redistest gives a test a Redis of its own: a redis-server on a unix
// socket, up in about 0.1 s, or miniredis where none is installed, which is
// said once. asynq's key names are fixed, so a shared server with a prefix per
// test would not isolate.
//
// With NIGHTSHIFT_TEST_REDIS=real a missing redis-server fails the test, as it
// must in CI; with NIGHTSHIFT_TEST_REDIS=mini everything runs on miniredis.
package redistest

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/redisdb/embedded"
	"github.com/redis/go-redis/v9"
)

// Server is a private Redis, which ends with the test.
type Server struct {
	t      testing.TB
	dir    string
	server *embedded.Server
}

// New returns a client of a fresh private server.
func New(t testing.TB) redis.UniversalClient { return Start(t).Client() }

// URL starts a fresh private server and returns its NIGHTSHIFT_REDIS_URL.
func URL(t testing.TB) string { return Start(t).URL() }

// NewMini returns a client of a fresh private miniredis.
func NewMini(t testing.TB) redis.UniversalClient { return StartMini(t).Client() }

// Kinds are the kinds of Redis that what is stored is tested on: the best that there
// is, and the last resort too, unless NIGHTSHIFT_TEST_REDIS names one of them.
func Kinds() map[string]func(testing.TB) redis.UniversalClient {
	kinds := map[string]func(testing.TB) redis.UniversalClient{"best": New}
	if Mini() {
		kinds["mini"] = NewMini
	}
	return kinds
}

// Mini reports whether tests run on the last resort beside a real Redis server.
func Mini() bool { return os.Getenv("NIGHTSHIFT_TEST_REDIS") == "" }

// Real reports whether Start gives a real Redis server.
func Real() bool {
	_, _, ok := embedded.Find()
	return ok && os.Getenv("NIGHTSHIFT_TEST_REDIS") != "mini"
}

var sayOnce sync.Once

// Start starts a fresh private server.
func Start(t testing.TB) *Server {
	t.Helper()
	if Real() {
		s := &Server{t: t, dir: t.TempDir()}
		s.start()
		t.Cleanup(s.Stop)
		return s
	}
	if os.Getenv("NIGHTSHIFT_TEST_REDIS") == "real" {
		t.Fatal("redistest: NIGHTSHIFT_TEST_REDIS=real, but neither redis-server nor valkey-server is on PATH")
	}
	sayOnce.Do(func() {
		fmt.Fprintln(os.Stderr, "redistest: no redis-server on PATH: these tests run on miniredis")
	})
	return StartMini(t)
}

// StartMini starts a fresh private miniredis.
func StartMini(t testing.TB) *Server {
	t.Helper()
	server, err := embedded.StartMini()
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	s := &Server{t: t, server: server}
	t.Cleanup(s.Stop)
	return s
}

func (s *Server) start() {
	s.t.Helper()
	path, kind, _ := embedded.Find()
	server, err := embedded.StartChild(context.Background(), path, kind, s.dir)
	if err != nil {
		s.t.Fatalf("redistest: %v", err)
	}
	s.server = server
}

// URL is what redisdb.Open takes.
func (s *Server) URL() string { return s.server.URL() }

// Client returns a new client, which is closed with the test.
func (s *Server) Client() redis.UniversalClient {
	s.t.Helper()
	rdb, err := redisdb.Open(s.URL())
	if err != nil {
		s.t.Fatalf("redistest: %v", err)
	}
	s.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// ProcessorTime is what a real server has used so far, in seconds: unlike the time
// that passes, it says nearly the same on a busy machine.
func (s *Server) ProcessorTime() (sum float64) {
	s.t.Helper()
	info, err := s.Client().Info(context.Background(), "cpu").Result()
	if err != nil {
		s.t.Fatalf("redistest: %v", err)
	}
	for _, field := range processorTimes.FindAllStringSubmatch(info, -1) {
		seconds, err := strconv.ParseFloat(field[1], 64)
		if err != nil {
			s.t.Fatalf("redistest: %v", err)
		}
		sum += seconds
	}
	return sum
}

var processorTimes = regexp.MustCompile(`used_cpu_(?:sys|user):([0-9.]+)`)

// Stop ends the server; its data stays, unless it is a miniredis. Idempotent.
func (s *Server) Stop() {
	if s.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.server.Stop(ctx); err != nil {
		s.t.Logf("redistest: %v", err)
	}
	s.server = nil
}
