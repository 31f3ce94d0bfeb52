package installation_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/installation"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// counted is a store that counts how often it is read.
type counted struct {
	mu    sync.Mutex
	reads int
	err   error
	stuck bool
}

func (c *counted) Counts(ctx context.Context) (store.Counts, error) {
	c.mu.Lock()
	c.reads++
	err, stuck := c.err, c.stuck
	c.mu.Unlock()
	if stuck {
		<-ctx.Done()
		return store.Counts{}, ctx.Err()
	}
	return store.Counts{Accepted: 10, Queued: 1, Running: 1, Failed: 1, Succeeded: 3, Dead: 2, Cancelled: 1}, err
}

func (c *counted) TickTotals(context.Context) (store.TickTotals, error) {
	return store.TickTotals{
		Due: 9, Fired: 5, CaughtUp: 1, Skipped: 2, SkippedBy: map[store.SkipReason]int64{store.SkipPaused: 2}, LateSum: 2500 * time.Millisecond,
		Lateness: []store.LatenessBucket{{UpTo: 10 * time.Millisecond, Count: 3}, {UpTo: time.Second, Count: 1}, {Count: 1}},
	}, nil
}

func (c *counted) CallbackCounts(context.Context) (store.CallbackCounts, error) {
	return store.CallbackCounts{Pending: 4, Delivered: 3, Died: 2, Lost: 1}, nil
}

func (c *counted) Workers(context.Context) ([]store.Worker, error) {
	return []store.Worker{
		{Concurrency: 8, Capacity: 24, Busy: 3}, {Concurrency: 4, Capacity: 12}, {Concurrency: 8, Capacity: 24, Busy: 2, Draining: true},
	}, nil
}

func (c *counted) LongestQueued(_ context.Context, kind function.Kind) (time.Duration, error) {
	return map[function.Kind]time.Duration{function.Background: 90 * time.Second}[kind], nil
}

func (c *counted) Depth(_ context.Context, kind function.Kind) (queue.Depth, error) {
	if kind == function.Scheduled {
		return queue.Depth{Retry: 1, Oldest: 1500 * time.Millisecond}, nil
	}
	return queue.Depth{Pending: 5, Waiting: 4, Delayed: 3, Active: 2, Buried: 6, Oldest: time.Second}, nil
}

func (c *counted) Health(context.Context) (redisdb.Health, error) {
	return redisdb.Health{MemoryUsed: 1000, MemoryLimit: 4000, DiskFailed: true}, nil
}

func TestCollector(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &counted{}
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(installation.New(installation.Config{Store: s, Queue: s, Health: s.Health, Logger: slog.New(slog.DiscardHandler)}))
		h := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
		scrape := func() (int, string) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
			return w.Code, "\n" + w.Body.String()
		}
		status, text := scrape()
		for _, line := range []string{
			"nightshift_invocations_accepted_total 10", `nightshift_invocations{state="failed"} 1`, `nightshift_invocations_finished_total{state="dead"} 2`,
			"nightshift_conservation_drift 1", "nightshift_ticks_drift 1", `nightshift_ticks_skipped_total{reason="paused"} 2`,
			`nightshift_tick_lateness_seconds_bucket{le="0.01"} 3`, `nightshift_tick_lateness_seconds_bucket{le="1"} 4`, `nightshift_tick_lateness_seconds_bucket{le="+Inf"} 5`,
			"nightshift_tick_lateness_seconds_sum 2.5", "nightshift_callbacks_pending 4", `nightshift_callbacks_total{outcome="lost"} 1`,
			`nightshift_queue_tasks{queue="background",state="waiting"} 4`, `nightshift_queue_tasks{queue="background",state="buried"} 6`,
			`nightshift_queue_oldest_age_seconds{queue="background"} 90`, `nightshift_queue_oldest_age_seconds{queue="scheduled"} 1.5`,
			`nightshift_workers{state="ready"} 2`, `nightshift_workers{state="draining"} 1`, "nightshift_workers_concurrency 12",
			"nightshift_workers_processes_limit 36", "nightshift_workers_processes_busy 5",
			"nightshift_redis_up 1", "nightshift_redis_memory_used_bytes 1000", "nightshift_redis_memory_limit_bytes 4000", "nightshift_redis_disk_failed 1",
		} {
			if status != 200 || !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("%d without %s in%s", status, line, text)
			}
		}
		for range 5 {
			scrape()
		}
		if s.reads != 1 {
			t.Errorf("%d reads within a second, want 1", s.reads)
		}
		alone := func() (took time.Duration) {
			t.Helper()
			begun := time.Now()
			status, text := scrape()
			if status != 200 || !strings.Contains(text, "\nnightshift_redis_up 0\n") || strings.Count(text, "\nnightshift_") != 1 {
				t.Errorf("without Redis: %d %s, want to be told so, and no other number", status, text)
			}
			return time.Since(begun)
		}
		time.Sleep(1100 * time.Millisecond)
		s.err = fault.New(fault.Unavailable, "away")
		alone()
		s.err, s.stuck = nil, true
		if took := alone(); took != 2*time.Second {
			t.Errorf("a stuck Redis is waited for %v, want 2 s", took)
		}
		s.stuck = false
		if status, text := scrape(); status != 200 || !strings.Contains(text, "\nnightshift_redis_up 1\n") {
			t.Errorf("when Redis is back: %d %s", status, text)
		}
	})
}
