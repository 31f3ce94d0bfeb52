package embedded_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/redisdb/embedded"
	"github.com/redis/go-redis/v9"
)

func open(t *testing.T, s *embedded.Server) redis.UniversalClient {
	t.Helper()
	rdb, err := redisdb.Open(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func stop(t *testing.T, s *embedded.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

// A durable server keeps its data over a restart; the last resort says that it
// does not.
func TestDataSurvivesARestartWhereItSaysSo(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "redis")
	s, err := embedded.Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := open(t, s).Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	durable := s.Durable()
	stop(t, s)

	s, err = embedded.Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, s)
	if survived := open(t, s).Exists(t.Context(), "k").Val() == 1; survived != durable {
		t.Errorf("%s: data survived = %v, Durable() = %v", s.Kind(), survived, durable)
	}
}

// Two servers on one append-only file would ruin it.
func TestADataFolderHasOneServer(t *testing.T) {
	t.Parallel()
	// The lock is taken before the server is started, so any program will do
	// to see it refused.
	server, kind, ok := embedded.Find()
	if !ok {
		server, kind = "/bin/sleep", embedded.RedisServer
	}
	dir := t.TempDir()
	if ok {
		s, err := embedded.StartChild(t.Context(), server, kind, dir)
		if err != nil {
			t.Fatal(err)
		}
		defer stop(t, s)
	} else {
		lockByHand(t, filepath.Join(dir, "redis.lock"))
	}
	if _, err := embedded.StartChild(t.Context(), server, kind, dir); !fault.Is(err, fault.Conflict) {
		t.Errorf("second StartChild = %v, want a conflict", err)
	}
}

func TestAServerThatEndsAtOnceIsAnErrorThatNamesItsLog(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "redis-server")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := embedded.StartChild(t.Context(), broken, embedded.RedisServer, t.TempDir())
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("StartChild = %v, want unavailable", err)
	}
}

func TestStopIsIdempotent(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func() (*embedded.Server, error){
		"best": func() (*embedded.Server, error) { return embedded.Start(t.Context(), t.TempDir()) },
		"mini": embedded.StartMini,
	} {
		t.Run(name, func(t *testing.T) {
			s, err := start()
			if err != nil {
				t.Fatal(err)
			}
			stop(t, s)
			stop(t, s)
		})
	}
}
