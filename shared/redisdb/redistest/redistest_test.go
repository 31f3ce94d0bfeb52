package redistest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

func TestServersAreIsolated(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]func(testing.TB) redis.UniversalClient{"best": redistest.New, "mini": redistest.NewMini} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := client(t), client(t)
			if err := a.Set(t.Context(), "k", "v", 0).Err(); err != nil {
				t.Fatal(err)
			}
			if got := b.Exists(t.Context(), "k").Val(); got != 0 {
				t.Errorf("the second server has %d keys of the first", got)
			}
		})
	}
}

func TestMiniExpiresByTheClock(t *testing.T) {
	t.Parallel()
	rdb := redistest.NewMini(t)
	if err := rdb.Set(t.Context(), "k", "v", 100*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(5 * time.Second)
	for rdb.Exists(t.Context(), "k").Val() != 0 {
		select {
		case <-deadline:
			t.Fatal("the key is still there after 5 s")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	var breaker redistest.Breaker
	rdb.AddHook(&breaker)

	breaker.Break(1, redistest.Failed, nil)
	if err := rdb.Set(t.Context(), "failed", 1, 0).Err(); !errors.Is(err, redistest.ErrBroken) {
		t.Errorf("Set = %v, want ErrBroken", err)
	}
	breaker.Break(1, redistest.FailedButDone, nil)
	if err := rdb.Set(t.Context(), "done", 1, 0).Err(); !errors.Is(err, redistest.ErrBroken) {
		t.Errorf("Set = %v, want ErrBroken", err)
	}
	if n := rdb.Exists(t.Context(), "failed").Val(); n != 0 {
		t.Error("the failed write is there")
	}
	if n := rdb.Exists(t.Context(), "done").Val(); n != 1 {
		t.Error("the write with the lost reply is not there")
	}
}

func TestStoppedServerDoesNotAnswer(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client()
	if err := redisdb.Ping(t.Context(), rdb); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if err := redisdb.Ping(t.Context(), rdb); err == nil {
		t.Error("Ping = nil after Stop")
	}
}
