package trim

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// script is a trimmer that answers from a list, and then with nothing.
type script struct {
	answers []answer
	calls   []time.Duration // since the first
	began   time.Time
}

type answer struct {
	n   int
	err error
}

func (s *script) TrimIndex(context.Context) (int, error) {
	if s.began.IsZero() {
		s.began = time.Now()
	}
	s.calls = append(s.calls, time.Since(s.began))
	if n := len(s.calls); n <= len(s.answers) {
		return s.answers[n-1].n, s.answers[n-1].err
	}
	return 0, nil
}

func TestRun(t *testing.T) {
	t.Parallel()
	broken := errors.New("no redis")
	const minute = time.Minute
	tests := map[string]struct {
		answers    []answer
		calls      []time.Duration // in two and a half minutes
		complaints int
	}{
		"nothing to do":          {nil, []time.Duration{0, minute, 2 * minute}, 0},
		"more than a call takes": {[]answer{{n: 10_000}, {n: 10_000}, {n: 1}}, []time.Duration{0, 0, 0, 0, minute, 2 * minute}, 0},
		"an outage":              {[]answer{{n: 1, err: broken}, {err: broken}}, []time.Duration{0, minute, 2 * minute}, 1},
		"two outages":            {[]answer{{err: broken}, {}, {err: broken}}, []time.Duration{0, minute, 2 * minute}, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: tt.answers}
				var log bytes.Buffer
				ctx, stop := context.WithTimeout(t.Context(), 2*minute+minute/2)
				defer stop()
				Run(ctx, s, slog.New(slog.NewTextHandler(&log, nil)))
				if len(s.calls) != len(tt.calls) {
					t.Fatalf("trims at %v, want %v", s.calls, tt.calls)
				}
				for i, at := range tt.calls {
					if s.calls[i] != at {
						t.Errorf("trims at %v, want %v", s.calls, tt.calls)
					}
				}
				if got := strings.Count(log.String(), "cannot trim"); got != tt.complaints {
					t.Errorf("%d complaints, want %d:\n%s", got, tt.complaints, log.String())
				}
			})
		})
	}
}

// A term that ends while there is much to do ends the trimming.
func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	calls := 0
	Run(ctx, trimmer(func() (int, error) {
		if calls++; calls == 3 {
			stop()
		}
		return 1, nil
	}), slog.New(slog.DiscardHandler))
	if calls != 3 {
		t.Errorf("%d trims, want 3", calls)
	}
}

type trimmer func() (int, error)

func (f trimmer) TrimIndex(context.Context) (int, error) { return f() }
