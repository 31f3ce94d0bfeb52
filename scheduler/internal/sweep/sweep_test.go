package sweep

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// script is a reaper that answers from a list, and then with nothing.
type script struct {
	answers []error
	calls   int
}

func (s *script) Sweep(context.Context) (int, error) {
	s.calls++
	if s.calls <= len(s.answers) {
		return 1, s.answers[s.calls-1]
	}
	return 0, nil
}

// fleet is workers and lanes: the workers of each round, and what was made of them.
type fleet struct {
	rounds [][]store.Worker // nil: Redis does not answer
	told   []queue.Fleet

	released int // by each sweep
}

func (f *fleet) Workers(context.Context) ([]store.Worker, error) {
	if len(f.rounds) == 0 {
		return []store.Worker{}, nil
	}
	workers := f.rounds[0]
	f.rounds = f.rounds[1:]
	if workers == nil {
		return nil, errors.New("no redis")
	}
	return workers, nil
}

func (f *fleet) Sweep(_ context.Context, fleet queue.Fleet) (int, error) {
	f.told = append(f.told, fleet)
	return f.released, nil
}

func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("no redis")
		s := &script{answers: []error{nil, broken, broken, nil, broken}}
		var log bytes.Buffer
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second+time.Millisecond)
		defer stop()
		f, m := &fleet{released: 3}, NewMetrics(nil)
		Run(ctx, Config{Reaper: s, Lanes: f, Workers: f, Metrics: m, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if s.calls != 11 || len(f.told) != 11 {
			t.Errorf("%d and %d sweeps in 10 s, want 11: a broken one keeps none from the other", s.calls, len(f.told))
		}
		if got := strings.Count(log.String(), "cannot look"); got != 2 {
			t.Errorf("%d complaints about two outages, want 2:\n%s", got, log.String())
		}
		if got := strings.Count(log.String(), "handed back"); got != 5 {
			t.Errorf("%d rounds reported, want 5:\n%s", got, log.String())
		}
		if back, released := testutil.ToFloat64(m.handedBack), testutil.ToFloat64(m.released); back != 5 || released != 33 {
			t.Errorf("%v tasks are told as handed back and %v as released, want 5 and 33", back, released)
		}
	})
}

func TestTellsTheLanes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{rounds: [][]store.Worker{
			{},
			{{Concurrency: 8, Busy: 3}},
			{{Concurrency: 8}, {Concurrency: 4, Busy: 9, Draining: true}},
			nil, // nothing is known: the lanes go on with what they were told last
			{{Concurrency: 8, Busy: 2, Draining: true}, {Concurrency: 8}},
		}}
		var log bytes.Buffer
		ctx, stop := context.WithTimeout(t.Context(), 4*time.Second+time.Millisecond)
		defer stop()
		Run(ctx, Config{Reaper: new(script), Lanes: f, Workers: f, SiteLimit: 5, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		want := []queue.Fleet{{Capacity: 0, SiteLimit: 5}, {Capacity: 8, SiteLimit: 5}, {Capacity: 12, SiteLimit: 5}, {Capacity: 10, SiteLimit: 5}}
		if !slices.Equal(f.told, want) {
			t.Errorf("the lanes were told %v, want %v", f.told, want)
		}
		if got := strings.Count(log.String(), "cannot release"); got != 1 {
			t.Errorf("%d complaints about one outage, want 1:\n%s", got, log.String())
		}
	})
}
