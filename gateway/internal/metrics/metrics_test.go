package metrics_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/metrics"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/store"
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

func TestHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &counted{}
		h := metrics.Handler(s, slog.New(slog.DiscardHandler))
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
		time.Sleep(1100 * time.Millisecond)
		s.err = fault.New(fault.Unavailable, "away")
		if status, text := scrape(); status != 500 || strings.Contains(text, "accepted_total") {
			t.Errorf("without Redis: %d %s, want no numbers", status, text)
		}
		s.err, s.stuck = nil, true
		begun := time.Now()
		if status, _ := scrape(); status != 500 || time.Since(begun) != 2*time.Second {
			t.Errorf("a stuck Redis: %d after %v, want 500 after 2 s", status, time.Since(begun))
		}
		s.stuck = false
		if status, _ := scrape(); status != 200 {
			t.Errorf("when Redis is back: %d", status)
		}
	})
}
