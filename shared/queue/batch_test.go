package queue

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

// A caller that gives up while it waits for a flight is withdrawn: Redis never
// sees its command.
func TestBatcherWithdraws(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	started, release := make(chan struct{}, maxFlights), make(chan struct{})
	var seen sync.Map
	rdb.AddHook(&watch{see: func(cmd redis.Cmder) {
		if cmd.Name() != "echo" {
			return
		}
		word := cmd.Args()[1].(string)
		seen.Store(word, true)
		if strings.HasPrefix(word, "first") {
			started <- struct{}{}
			<-release
		}
	}})
	b := &batcher{rdb: rdb}
	var callers sync.WaitGroup
	do := func(ctx context.Context, word string, want error) {
		callers.Go(func() {
			if err := b.do(ctx, redis.NewCmd(ctx, "echo", word)).Err(); !errors.Is(err, want) {
				t.Errorf("%s: %v; want %v", word, err, want)
			}
		})
	}
	waiting := func() int {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.waiting)
	}
	for range maxFlights {
		do(t.Context(), "first", nil)
		receive(t, "a flight starts", started)
	}
	ctx, giveUp := context.WithCancel(t.Context())
	do(ctx, "impatient", context.Canceled)
	do(t.Context(), "patient", nil)
	eventually(t, "both wait", func() bool { return waiting() == 2 })
	giveUp()
	close(release)
	callers.Wait()
	b.wait()
	if _, ok := seen.Load("patient"); !ok {
		t.Error("the patient caller's command was not sent")
	}
	if _, ok := seen.Load("impatient"); ok {
		t.Error("the command of the caller who gave up was sent")
	}
}

func TestBatchLen(t *testing.T) {
	t.Parallel()
	calls := func(n, size int) []*call {
		var list []*call
		for i := range n {
			var arg any = make([]byte, size)
			if i%2 == 1 {
				arg = strings.Repeat("x", size)
			}
			list = append(list, &call{cmd: redis.NewCmd(t.Context(), arg)})
		}
		return list
	}
	for _, tc := range []struct{ n, size, want int }{
		{1, 1, 1},
		{10, 1000, 10},
		{maxBatch + 1, 1, maxBatch},
		{10, maxBatchBytes / 4, 4},
		{10, maxBatchBytes / 4 * 3, 1},
		{2, 2 * maxBatchBytes, 1},
	} {
		if got := batchLen(calls(tc.n, tc.size)); got != tc.want {
			t.Errorf("batchLen of %d calls of %d bytes = %d; want %d", tc.n, tc.size, got, tc.want)
		}
	}
}
