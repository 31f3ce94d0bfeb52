package redisdb

import (
	"context"
	"errors"
	"testing"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/redis/go-redis/v9"
)

// node answers INFO with what stands under the section.
type node struct {
	asker
	sections map[string]string
	err      error
}

func (n node) Info(ctx context.Context, sections ...string) *redis.StringCmd {
	cmd := redis.NewStringCmd(ctx)
	cmd.SetVal(n.sections[sections[0]])
	cmd.SetErr(n.err)
	return cmd
}

// refusal is an error that Redis answered with.
type refusal string

func (r refusal) Error() string { return string(r) }
func (refusal) RedisError()     {}

func TestNodeHealth(t *testing.T) {
	t.Parallel()
	memory := "# Memory\r\nused_memory:1048576\r\nused_memory_human:1.00M\r\nmaxmemory:4194304\r\n"
	for name, tc := range map[string]struct {
		node node
		want Health
		kind fault.Kind
	}{
		"well":         {node: node{sections: map[string]string{"memory": memory, "persistence": "aof_last_write_status:ok\r\nrdb_last_bgsave_status:ok\r\n"}}, want: Health{MemoryUsed: 1 << 20, MemoryLimit: 4 << 20}},
		"full disk":    {node: node{sections: map[string]string{"persistence": "aof_last_write_status:err\r\nrdb_last_bgsave_status:ok\r\n"}}, want: Health{DiskFailed: true}},
		"no snapshots": {node: node{sections: map[string]string{"persistence": "rdb_last_bgsave_status:err\r\n"}}, want: Health{DiskFailed: true}},
		"tells little": {node: node{sections: map[string]string{}}},
		"tells not":    {node: node{err: refusal("NOPERM this user has no permissions to run the 'info' command")}},
		"loading":      {node: node{err: refusal("LOADING Redis is loading the dataset in memory")}, kind: fault.Unavailable},
		"away":         {node: node{err: errors.New("connection refused")}, kind: fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := nodeHealth(t.Context(), tc.node)
			if tc.kind != "" {
				if !fault.Is(err, tc.kind) {
					t.Errorf("error = %v, want %s", err, tc.kind)
				}
				return
			}
			if got != tc.want || err != nil {
				t.Errorf("health = %+v, %v; want %+v", got, err, tc.want)
			}
		})
	}
}

func TestWorse(t *testing.T) {
	t.Parallel()
	half, most := Health{MemoryUsed: 50, MemoryLimit: 100}, Health{MemoryUsed: 9, MemoryLimit: 10}
	unbound, broken := Health{MemoryUsed: 1000}, Health{MemoryUsed: 1, MemoryLimit: 100, DiskFailed: true}
	for _, tc := range []struct{ a, b, want Health }{
		{Health{}, half, half}, {Health{}, unbound, unbound}, {half, most, most},
		{unbound, half, half}, {half, broken, Health{MemoryUsed: 50, MemoryLimit: 100, DiskFailed: true}},
	} {
		for _, pair := range [][2]Health{{tc.a, tc.b}, {tc.b, tc.a}} {
			if got := worse(pair[0], pair[1]); got != tc.want {
				t.Errorf("worse(%+v, %+v) = %+v, want %+v", pair[0], pair[1], got, tc.want)
			}
		}
	}
}
