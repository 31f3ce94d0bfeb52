package redisdb_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

// Each connection costs memory, so pipelines get none of their own.
func TestPipelinesHaveNoConnectionsOfTheirOwn(t *testing.T) {
	t.Parallel()
	var dialed atomic.Int32
	rdb, err := redisdb.Open(redistest.URL(t), func(o *redis.UniversalOptions) {
		o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			dialed.Add(1)
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	for range 3 {
		if err := rdb.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		pipe := rdb.Pipeline()
		pipe.Ping(t.Context())
		pipe.Ping(t.Context())
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := dialed.Load(); n != 1 {
		t.Errorf("one command at a time takes %d connections, want 1", n)
	}
}
