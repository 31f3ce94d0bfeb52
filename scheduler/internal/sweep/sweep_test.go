package sweep

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

// script is a sweeper that answers from a list, and then with nothing.
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

func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("no redis")
		s := &script{answers: []error{nil, broken, broken, nil, broken}}
		var log bytes.Buffer
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second+time.Millisecond)
		defer stop()
		Run(ctx, s, slog.New(slog.NewTextHandler(&log, nil)))
		if s.calls != 11 {
			t.Errorf("%d sweeps in 10 s, want 11", s.calls)
		}
		if got := strings.Count(log.String(), "cannot look"); got != 2 {
			t.Errorf("%d complaints about two outages, want 2:\n%s", got, log.String())
		}
		if got := strings.Count(log.String(), "handed back"); got != 5 {
			t.Errorf("%d rounds reported, want 5:\n%s", got, log.String())
		}
	})
}
