package queue

import (
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

func TestDepth(t *testing.T) {
	t.Parallel()
	for name, open := range redistest.Kinds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupOn(t, open(t))
			if d := b.depth(); d != (Depth{}) {
				t.Errorf("an empty queue has %+v", d)
			}
			one, two, later := task("one"), task("two"), task("later")
			one.Concurrency, two.Concurrency = 1, 1 // so the second waits
			later.Target.Function, later.NotBefore = "other", time.Now().Add(time.Hour)
			for _, task := range []Task{one, two, later} {
				if verdict, err := b.client.Enqueue(t.Context(), task); verdict != Queued || err != nil {
					t.Fatalf("Enqueue(%s) = %d, %v", task.ID, verdict, err)
				}
			}
			b.ok(b.rdb.LPush(t.Context(), activeKey(function.Background), "a1", "a2").Err())
			for i, id := range []string{"r1", "r2", "r3"} {
				b.ok(b.rdb.ZAdd(t.Context(), retryKey(function.Background), redis.Z{Score: float64(time.Now().Unix() + int64(i) + 1000), Member: id}).Err())
			}
			b.ok(b.rdb.ZAdd(t.Context(), archivedKey(function.Background), redis.Z{Score: 1, Member: "d1"}).Err())
			for _, id := range []string{"a1", "a2", "r1", "r2", "r3", "d1"} {
				b.ok(b.rdb.HSet(t.Context(), taskKeyPrefix(function.Background)+id, "msg", "").Err())
			}
			d := b.depth()
			want := Depth{Pending: 1, Waiting: 1, Delayed: 1, Active: 2, Retry: 3, Buried: 1, Oldest: d.Oldest}
			if d != want || d.Oldest < 0 || d.Oldest > time.Minute {
				t.Errorf("Depth = %+v, want %+v and no age to speak of", d, want)
			}
			// asynq's own tools see the same.
			info, err := b.tasks.GetQueueInfo(string(function.Background))
			b.ok(err)
			if int64(info.Pending) != d.Pending || int64(info.Scheduled) != d.Waiting+d.Delayed || int64(info.Active) != d.Active ||
				int64(info.Retry) != d.Retry || int64(info.Archived) != d.Buried {
				t.Errorf("Depth = %+v, asynq says %+v", d, info)
			}

			ago := func(age time.Duration) int64 { return time.Now().Add(-age).Unix() }
			b.ok(b.rdb.HSet(t.Context(), taskKeyPrefix(function.Background)+"one", "pending_since", ago(time.Hour)*1e9).Err())
			b.aged(time.Hour)
			// Retries and delayed tasks that are overdue wait too: without a worker nobody moves them.
			b.ok(b.rdb.ZAdd(t.Context(), retryKey(function.Background), redis.Z{Score: float64(ago(2 * time.Hour)), Member: "r2"}).Err())
			b.aged(2 * time.Hour)
			b.ok(b.rdb.ZAdd(t.Context(), delayedKey(function.Background), redis.Z{Score: float64(ago(3 * time.Hour)), Member: "later"}).Err())
			b.aged(3 * time.Hour)
			if _, err := b.client.Depth(t.Context(), function.Sync); !fault.Is(err, fault.Internal) {
				t.Errorf("Depth of a queue that is none = %v", err)
			}
		})
	}
}

func (b *bundle) depth() Depth {
	b.Helper()
	d, err := b.client.Depth(b.Context(), function.Background)
	b.ok(err)
	return d
}

// aged checks the age of the oldest task, to the minute.
func (b *bundle) aged(want time.Duration) {
	b.Helper()
	if d := b.depth(); d.Oldest < want-time.Minute || d.Oldest > want+10*time.Minute {
		b.Errorf("the oldest is %v old, want %v", d.Oldest, want)
	}
}

func (b *bundle) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
