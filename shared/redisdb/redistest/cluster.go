package redistest

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/redisdb/embedded"
	"github.com/redis/go-redis/v9"
)

// StartCluster starts a Redis Cluster of one node, which refuses scripts whose
// keys are in several slots just as a large one does, and returns a maker of
// clients, which are closed with their test. It needs a real server: see [Real].
func StartCluster(t testing.TB) func(testing.TB) redis.UniversalClient {
	t.Helper()
	path, _, _ := embedded.Find()
	// The port may be taken between our look and the server's bind; then another one is not.
	for range 5 {
		if addr, ok := tryCluster(t, path); ok {
			return func(t testing.TB) redis.UniversalClient {
				rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}, ContextTimeoutEnabled: true})
				t.Cleanup(func() { _ = rdb.Close() })
				return rdb
			}
		}
	}
	t.Fatal("no Redis Cluster came up")
	return nil
}

func tryCluster(t testing.TB, path string) (addr string, ok bool) {
	t.Helper()
	port := freePort(t)
	addr = fmt.Sprintf("127.0.0.1:%d", port)
	server := exec.Command(path, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", t.TempDir(),
		"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(freePort(t)), "--save", "", "--appendonly", "no")
	if err := server.Start(); err != nil {
		t.Fatalf("starting a Redis Cluster: %v", err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _ = rdb.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for rdb.ClusterAddSlotsRange(ctx, 0, 16383).Err() != nil {
		if !pause(ctx) {
			return "", false
		}
	}
	for {
		info, err := rdb.ClusterInfo(ctx).Result()
		if err == nil && strings.HasPrefix(info, "cluster_state:ok") {
			return addr, true
		}
		if !pause(ctx) {
			return "", false
		}
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}

// pause waits a moment, and reports whether ctx goes on.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(10 * time.Millisecond):
		return true
	}
}
