package queue

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
)

// BenchmarkRedis is what a task costs Redis: its processor time for each Enqueue,
// with a record of 1 KiB riding along, and for each delivery that is done. Callers
// that share round trips show the script, a lone one the round trip too.
func BenchmarkRedis(b *testing.B) {
	for _, callers := range []int{1, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			const n = 10_000
			server := redistest.Start(b)
			rdb := server.Client()
			client, err := NewClient(rdb, callers > 1)
			if err != nil {
				b.Fatal(err)
			}
			var enqueued, delivered float64
			event, step := make([]byte, 1024), create()
			for b.Loop() {
				from := server.ProcessorTime()
				var all sync.WaitGroup
				for caller := range callers {
					all.Go(func() {
						for i := caller; i < n; i += callers {
							id := fmt.Sprintf("t%06d", i)
							s := redisdb.Step{Check: step.Check, Apply: step.Apply,
								Keys: []string{"nightshift:{background}:inv:" + id}, Args: []any{event}}
							if v, err := client.Enqueue(b.Context(), task(id), s); v != Queued || err != nil {
								b.Errorf("Enqueue = %d, %v", v, err)
							}
						}
					})
				}
				all.Wait()
				enqueued += server.ProcessorTime() - from
				from = server.ProcessorTime()
				all.Add(n)
				s, err := NewServer(ServerConfig{Redis: rdb, Concurrency: 32, Logger: testLog(b),
					Handler: func(context.Context, Delivery) Disposition {
						all.Done()
						return Done()
					}})
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Start(); err != nil {
					b.Fatal(err)
				}
				all.Wait()
				if err := s.Stop(context.Background()); err != nil {
					b.Fatal(err)
				}
				delivered += server.ProcessorTime() - from
				if err := rdb.FlushAll(b.Context()).Err(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(enqueued/float64(b.N)/n*1e6, "redis-µs/enqueue")
			b.ReportMetric(delivered/float64(b.N)/n*1e6, "redis-µs/delivery")
		})
	}
}
