package redisdb

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/redis/go-redis/v9"
)

// Health is how full a Redis is, and whether it can write to its disk. Managed
// ones may not tell; then a field has its zero value.
type Health struct {
	MemoryUsed  int64 // bytes
	MemoryLimit int64 // bytes; 0: no limit, or not told
	// DiskFailed says that the last write to the append-only file, or the last
	// snapshot, failed. Redis then takes no more writes, as it is set up by default.
	DiskFailed bool
}

// ReadHealth asks Redis for its health. In a cluster every master is asked, and
// the answer is that of the fullest one, and the disk of any of them. Errors are
// [fault.Unavailable]: Redis did not answer.
func ReadHealth(ctx context.Context, rdb redis.UniversalClient) (Health, error) {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		return nodeHealth(ctx, rdb)
	}
	var (
		mu  sync.Mutex
		all Health
	)
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		one, err := nodeHealth(ctx, master)
		mu.Lock()
		defer mu.Unlock()
		all = worse(all, one)
		return err
	})
	if err != nil {
		return Health{}, fault.Wrap(err, fault.Unavailable, "reading the health of the Redis Cluster")
	}
	return all, nil
}

func nodeHealth(ctx context.Context, node asker) (Health, error) {
	var h Health
	for _, section := range []string{"memory", "persistence"} { // one at a time: before 7.0 INFO takes one
		text, err := node.Info(ctx, section).Result()
		if forbidden(err) {
			continue
		}
		if err != nil {
			return h, fault.Wrap(err, fault.Unavailable, "reading the health of Redis")
		}
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			switch name {
			case "used_memory":
				h.MemoryUsed, _ = strconv.ParseInt(value, 10, 64)
			case "maxmemory":
				h.MemoryLimit, _ = strconv.ParseInt(value, 10, 64)
			case "aof_last_write_status", "rdb_last_bgsave_status":
				h.DiskFailed = h.DiskFailed || value != "ok"
			}
		}
	}
	return h, nil
}

// worse takes the memory of the fuller one, and the disk of both.
func worse(a, b Health) Health {
	fuller := a
	if a.fullness() < b.fullness() || a.fullness() == b.fullness() && a.MemoryUsed < b.MemoryUsed {
		fuller = b
	}
	fuller.DiskFailed = a.DiskFailed || b.DiskFailed
	return fuller
}

// fullness is the part of the memory that is used. Without a limit it is none.
func (h Health) fullness() float64 {
	if h.MemoryLimit == 0 {
		return 0
	}
	return float64(h.MemoryUsed) / float64(h.MemoryLimit)
}
