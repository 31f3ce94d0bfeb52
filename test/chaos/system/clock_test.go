package system

import (
	"context"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/test/harness"
)

func TestSkew(t *testing.T) {
	t.Parallel()
	c, err := newClock(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &System{Fleet: &harness.Fleet{}, clock: c}
	if c.why != nil {
		t.Skip(c.why)
	}
	t.Cleanup(func() { _ = s.Fleet.Close() })
	redis, err := s.Fleet.StartRedis(t.Context(), harness.BeforeReply, c.env()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Remove() })
	rdb, err := redisdb.Open(redis.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	for _, want := range []time.Duration{0, time.Hour, -time.Hour, 0} {
		if err := s.Skew(want); err != nil {
			t.Fatal(err)
		}
		now, err := redisdb.Now(context.Background(), rdb)
		if got := time.Until(now); err != nil || (got-want).Abs() > time.Minute {
			t.Errorf("Redis is ahead by %v, %v; want %v", got, err, want)
		}
	}
}
