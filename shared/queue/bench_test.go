package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
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

// BenchmarkIdle measures what a worker without work costs: run it with
// -benchtime 10x. Each iteration is a second of idling.
func BenchmarkIdle(b *testing.B) {
	rdb := redistest.New(b)
	s, err := NewServer(ServerConfig{Redis: rdb, Concurrency: 8, Loops: 2, Logger: testLog(b),
		Handler: func(context.Context, Delivery) Disposition { return Done() }})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Stop(context.Background()) }()
	commands := func() (n, calls int) {
		info := rdb.Info(b.Context(), "stats", "commandstats").Val()
		for line := range strings.Lines(info) {
			_, _ = fmt.Sscanf(line, "total_commands_processed:%d", &n)
			if name, stat, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(name, "cmdstat_info") {
				// evalsha and what is sent as itself; the rest runs inside scripts.
				switch name {
				case "cmdstat_evalsha", "cmdstat_eval", "cmdstat_blmove", "cmdstat_ping":
					var c int
					_, _ = fmt.Sscanf(stat, "calls=%d", &c)
					calls += c
				}
			}
		}
		return n, calls
	}
	cpu := func() time.Duration {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	time.Sleep(time.Second) // start-up is over
	n0, c0 := commands()
	cpu0, start := cpu(), time.Now()
	for b.Loop() {
		time.Sleep(time.Second)
	}
	n1, c1 := commands()
	seconds := time.Since(start).Seconds()
	b.ReportMetric(float64(n1-n0)/seconds, "commands/s")
	b.ReportMetric(float64(c1-c0)/seconds, "requests/s")
	b.ReportMetric(100*(cpu()-cpu0).Seconds()/seconds, "%cpu")
}

// BenchmarkDeliver measures tasks through the server, with handlers that do
// nothing. Those that wait come to the worker one by one, through their lane.
func BenchmarkDeliver(b *testing.B) {
	for _, loops := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("loops=%d", loops), func(b *testing.B) { benchmarkDeliver(b, loops, false) })
	}
	b.Run("loops=2/waiting", func(b *testing.B) { benchmarkDeliver(b, 2, true) })
}

func benchmarkDeliver(b *testing.B, loops int, waiting bool) {
	rdb := redistest.New(b)
	if waiting {
		if _, err := NewLanes(rdb, testLog(b)).Sweep(b.Context(), Fleet{Capacity: 32}); err != nil {
			b.Fatal(err)
		}
	}
	client, err := NewClient(rdb, true)
	if err != nil {
		b.Fatal(err)
	}
	var all sync.WaitGroup
	all.Add(b.N)
	s, err := NewServer(ServerConfig{Redis: rdb, Concurrency: 32, Loops: loops, Logger: testLog(b),
		Handler: func(context.Context, Delivery) Disposition {
			all.Done()
			return Done()
		}})
	if err != nil {
		b.Fatal(err)
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var callers sync.WaitGroup
	for range 32 {
		callers.Go(func() {
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				if _, err := client.Enqueue(context.Background(), task(fmt.Sprintf("t%09d", n))); err != nil {
					b.Error(err)
				}
			}
		})
	}
	callers.Wait()
	b.ResetTimer()
	if err := s.Start(); err != nil {
		b.Fatal(err)
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
	b.StopTimer()
	_ = s.Stop(context.Background())
}
