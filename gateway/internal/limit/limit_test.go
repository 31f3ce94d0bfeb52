package limit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/limit"
	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { redistest.VerifyTestMain(m) }

func target(n int) route.Target {
	return route.Target{Site: "main", Function: &function.Function{Name: "f", RateLimit: &function.RateLimit{Limit: n, WindowMS: 60_000}}}
}

// TestFaults breaks the one write that counting is, on the real store. A call
// that Redis did not confirm passes, and counts if it was counted.
func TestFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		fault  redistest.Fault
		broken int
		after  int // calls of a limit of 3 that pass after the broken one
		warns  int
	}{
		{"works", redistest.Failed, 0, 2, 0},
		{"failed", redistest.Failed, 1, 3, 1},
		{"failed but done", redistest.FailedButDone, 1, 2, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rdb := redistest.New(t)
			var breaker redistest.Breaker
			rdb.AddHook(&breaker)
			var log bytes.Buffer
			l := limit.New(store.New(rdb, store.Options{}), limit.Rates{}, slog.New(slog.NewTextHandler(&log, nil)))
			// Another function's call loads the script, so that the next is one command.
			other := target(1)
			other.Site = "other"
			l.Wait(t.Context(), other, limit.Caller{})

			breaker.Break(tt.broken, tt.fault, func(cmd redis.Cmder) bool { return cmd.Name() == "evalsha" })
			if wait := l.Wait(t.Context(), target(3), limit.Caller{}); wait != 0 {
				t.Errorf("Wait = %v, want none", wait)
			}
			passed := 0
			for passed < 10 && l.Wait(t.Context(), target(3), limit.Caller{}) == 0 {
				passed++
			}
			if passed != tt.after {
				t.Errorf("%d calls passed after it, want %d", passed, tt.after)
			}
			if got := strings.Count(log.String(), "not held"); got != tt.warns || strings.Count(log.String(), "answers again") != tt.warns {
				t.Errorf("log = %s, want %d warnings and as many ends of them", log.String(), tt.warns)
			}
		})
	}
}

// counters are a Redis that does not answer.
type counters struct {
	hangs bool
	asked int
}

func (c *counters) CountCall(ctx context.Context, _ store.Rate) (time.Duration, error) {
	c.asked++
	if c.hangs {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return 0, errors.New("refused")
}

// A Redis that is away costs little: a few calls wait, then one a second.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	for name, hangs := range map[string]bool{"refuses": false, "hangs": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				c := &counters{hangs: hangs}
				l := limit.New(c, limit.Rates{}, slog.New(slog.NewTextHandler(&log, nil)))
				begun := time.Now()
				for range 100 {
					if wait := l.Wait(t.Context(), target(1), limit.Caller{}); wait != 0 {
						t.Errorf("Wait = %v, want none", wait)
					}
				}
				if took := time.Since(begun); c.asked != 3 || took > 3*time.Second {
					t.Errorf("100 calls asked %d times and took %v, want 3 times and 3 s", c.asked, took)
				}
				<-time.After(time.Second) // of the bubble's clock
				for range 100 {
					l.Wait(t.Context(), target(1), limit.Caller{})
				}
				if c.asked != 4 {
					t.Errorf("a second later it was asked %d times, want once more", c.asked)
				}
				if got := strings.Count(log.String(), "level=WARN"); got != 1 {
					t.Errorf("%d warnings, want one: %s", got, log.String())
				}
			})
		})
	}
}

// A caller that hangs up says nothing about Redis.
func TestCallerHangsUp(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	l := limit.New(&counters{hangs: true}, limit.Rates{}, slog.New(slog.NewTextHandler(&log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if wait := l.Wait(ctx, target(1), limit.Caller{}); wait != 0 || log.Len() > 0 {
		t.Errorf("Wait = %v, log %q; want neither", wait, log.String())
	}
}

func TestWithoutALimitNothingIsAsked(t *testing.T) {
	t.Parallel()
	c := &counters{}
	l := limit.New(c, limit.Rates{}, slog.New(slog.DiscardHandler))
	for _, to := range []route.Target{{File: &route.File{}}, {Function: &function.Function{Name: "f"}}} {
		if wait := l.Wait(t.Context(), to, limit.Caller{}); wait != 0 || c.asked != 0 {
			t.Errorf("Wait(%+v) = %v after %d questions, want none", to, wait, c.asked)
		}
	}
}

func TestParseRate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]function.RateLimit{
		"600/1m": {Limit: 600, WindowMS: 60_000}, " 1/1s ": {Limit: 1, WindowMS: 1000}, "100000000/1h": {Limit: 100_000_000, WindowMS: 3_600_000},
	} {
		if got, err := limit.ParseRate(text); err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("ParseRate(%q) = %+v, %v", text, got, err)
		}
	}
	if got, err := limit.ParseRate(""); got != nil || err != nil {
		t.Errorf("ParseRate of nothing = %v, %v", got, err)
	}
	for _, text := range []string{"600", "600/", "/1m", "0/1m", "-1/1m", "1/0s", "1/2h", "1/1500ms", "1/1", "x/1m", "100000001/1m", "1/1m/1m"} {
		if got, err := limit.ParseRate(text); !fault.Is(err, fault.Invalid) {
			t.Errorf("ParseRate(%q) = %v, %v; want invalid", text, got, err)
		}
	}
}
