package queue

import (
	"fmt"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

// BenchmarkLanes is what a delivery costs Redis while tasks wait in lanes: its
// processor time for taking eight and for ending them, of which each releases
// another one.
func BenchmarkLanes(b *testing.B) {
	for _, lanes := range []int{1, 20} {
		b.Run(fmt.Sprintf("lanes=%d", lanes), func(b *testing.B) {
			const n, some = 8_000, 8
			server := redistest.Start(b)
			rdb := server.Client()
			client, err := NewClient(rdb, false)
			if err != nil {
				b.Fatal(err)
			}
			finish, err := finishTemplate.With(nil)
			if err != nil {
				b.Fatal(err)
			}
			finishScript := redis.NewScript(finish.Source())
			kind, used := task("").Queue, 0.0
			for b.Loop() {
				if _, err := NewLanes(rdb, testLog(b)).Sweep(b.Context(), Fleet{Capacity: 32}); err != nil {
					b.Fatal(err)
				}
				for i := range n {
					t := task(fmt.Sprintf("t%06d", i))
					t.Target.Function = fmt.Sprint("f", i%lanes)
					if v, err := client.Enqueue(b.Context(), t); v != Queued || err != nil {
						b.Fatalf("Enqueue = %d, %v", v, err)
					}
				}
				from := server.ProcessorTime()
				for range n / some {
					taken, err := takeScript.Run(b.Context(), rdb,
						[]string{pendingKey(kind), pausedKey(kind), activeKey(kind), leaseKey(kind)},
						time.Now().Add(time.Minute).Unix(), taskKeyPrefix(kind), some).StringSlice()
					if err != nil || len(taken) != 2*some {
						b.Fatalf("took %d tasks, %v", len(taken)/2, err)
					}
					var args []any
					for i := 0; i < len(taken); i += 2 {
						args = append(args, taken[i], 4102444800)
					}
					keys := laneKeys(kind, queueKey(kind, "processed:today"))
					if err := finishScript.Run(b.Context(), rdb, keys, args...).Err(); err != nil {
						b.Fatal(err)
					}
				}
				used += server.ProcessorTime() - from
				if err := rdb.FlushAll(b.Context()).Err(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(used/float64(b.N)/n*1e6, "redis-µs/delivery")
		})
	}
}
