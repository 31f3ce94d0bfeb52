package daemon_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/shared/daemon"
)

func TestEvery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		begun := time.Now()
		var at []time.Duration
		daemon.Every(ctx, time.Minute, slog.New(slog.NewTextHandler(&log, nil)), "cannot look", func(context.Context) error {
			at = append(at, time.Since(begun))
			switch len(at) {
			case 1, 2, 4: // two in a row are one outage
				return errors.New("away")
			case 5:
				cancel()
				return errors.New("cut off") // by the end, which is no problem
			}
			return nil
		})
		if len(at) != 5 || at[0] != 0 || at[4] != 4*time.Minute {
			t.Errorf("rounds at %v; want five, at once and each minute", at)
		}
		if got := strings.Count(log.String(), "cannot look"); got != 2 || strings.Contains(log.String(), "cut off") {
			t.Errorf("the problem is said %d times; want once for each outage, and nothing of the end:\n%s", got, log.String())
		}
	})
}
