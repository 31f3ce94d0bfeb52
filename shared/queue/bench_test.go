package queue

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
)

// BenchmarkEnqueue measures Enqueue with a record of 1 KiB riding along.
func BenchmarkEnqueue(b *testing.B) {
	event := make([]byte, 1024)
	for _, callers := range []int{1, 8, 64} {
		for _, pipelined := range []bool{false, true} {
			b.Run(fmt.Sprintf("callers=%d/pipelined=%v", callers, pipelined), func(b *testing.B) {
				rdb := redistest.New(b)
				client, err := NewClient(rdb, pipelined)
				if err != nil {
					b.Fatal(err)
				}
				var n atomic.Int64
				step := create()
				enqueue := func() {
					id := fmt.Sprintf("t%09d", n.Add(1))
					s := redisdb.Step{Check: step.Check, Apply: step.Apply,
						Keys: []string{"nightshift:{background}:inv:" + id}, Args: []any{event}}
					if v, err := client.Enqueue(context.Background(), task(id), s); v != Queued || err != nil {
						b.Errorf("Enqueue = %d, %v", v, err)
					}
				}
				enqueue()
				b.ResetTimer()
				var left atomic.Int64
				left.Store(int64(b.N))
				var all sync.WaitGroup
				for range callers {
					all.Go(func() {
						for left.Add(-1) >= 0 {
							enqueue()
						}
					})
				}
				all.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
			})
		}
	}
}

// BenchmarkPickUp measures from the return of Enqueue's caller's request, that
// is from before Enqueue, to the first line of the handler, on an idle server.
func BenchmarkPickUp(b *testing.B) {
	rdb := redistest.New(b)
	client, err := NewClient(rdb, true)
	if err != nil {
		b.Fatal(err)
	}
	got := make(chan time.Time, 1)
	s, err := NewServer(ServerConfig{Redis: rdb, Concurrency: 8, Logger: testLog(b),
		Handler: func(context.Context, Delivery) Disposition {
			got <- time.Now()
			return Done()
		}})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Stop(context.Background()) }()
	var total, afterAccept []time.Duration
	n := 0
	for b.Loop() {
		n++
		id := fmt.Sprintf("t%09d", n)
		start := time.Now()
		if _, err := client.Enqueue(b.Context(), task(id)); err != nil {
			b.Fatal(err)
		}
		accepted := time.Now()
		at := <-got
		total = append(total, at.Sub(start))
		afterAccept = append(afterAccept, max(at.Sub(accepted), 0))
		// Until the acknowledgement is written and the loops are parked again.
		for rdb.LLen(b.Context(), activeKey(function.Background)).Val() > 0 {
		}
		time.Sleep(2 * time.Millisecond)
	}
	report := func(name string, d []time.Duration) {
		slices.Sort(d)
		b.ReportMetric(float64(d[len(d)/2].Microseconds()), name+"-p50-µs")
		b.ReportMetric(float64(d[len(d)*99/100].Microseconds()), name+"-p99-µs")
	}
	report("enqueue-to-handler", total)
	report("accept-to-handler", afterAccept)
}
