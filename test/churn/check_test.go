package churn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/test/harness"
)

// shown is how many wrong answers are printed.
const shown = 10

// check looks at a history. leastRate is how many calls per second it must have.
func (w *world) check(h *history, leastRate float64) {
	w.Helper()
	w.readRecords(h)
	var failed, mixed, late int
	counts := map[kind]int{}
	var waits []time.Duration
	for _, c := range h.calls {
		counts[c.kind]++
		waits = append(waits, c.answered.Sub(c.due))
		problem := c.err
		switch {
		case errors.Is(c.err, errMixed):
			mixed++
		case c.err != nil:
			failed++
		case c.kind != permalink:
			if problem = h.stale(c); problem != nil {
				late++
			}
		}
		if problem != nil && failed+mixed+late <= shown {
			w.Errorf("gateway %d, %s, sent %v: %v", c.gateway+1, c.kind, c.sent.Sub(h.moves[0].begun).Round(time.Millisecond), problem)
		}
	}
	rate := float64(len(h.calls)) / h.took.Seconds()
	w.Logf("%d calls in %v: %.0f per second; %v", len(h.calls), h.took.Round(time.Millisecond), rate, counts)
	w.Logf("%d failed, %d mixed, %d of the old deploy after its gateway had changed over", failed, mixed, late)
	w.Logf("answered after %s", percentiles(waits))
	if rate < leastRate {
		w.Errorf("%.0f calls per second were sent, which is below %.0f and shows nothing", rate, leastRate)
	}
	if failed+mixed+late > 0 {
		w.Errorf("%d calls failed, %d answers were mixed, %d were of the old deploy", failed, mixed, late)
	}

	var lags []time.Duration
	for _, m := range h.moves[1:] {
		lags = append(lags, slices.MaxFunc(m.adopted, time.Time.Compare).Sub(m.returned))
	}
	w.Logf("%d moves, from their return to the last gateway's first answer of the new deploy: %s", len(lags), percentiles(lags))
	if slowest := slices.Max(lags); slowest > promise {
		w.Errorf("a gateway served the old deploy %v after the move had returned; %v is promised", slowest, promise)
	}
}

// stale says what is wrong with the version of an answer: after its gateway has
// answered with a new deploy, and until another move begins, no other may come.
func (h *history) stale(c call) error {
	for i, m := range slices.Backward(h.moves) {
		if c.sent.Before(m.adopted[c.gateway]) {
			continue
		}
		if i+1 < len(h.moves) && c.answered.After(h.moves[i+1].begun) {
			return nil // of either
		}
		if c.version != m.version {
			return fmt.Errorf("of deploy %s, %v after this gateway served %s", c.version, c.sent.Sub(m.adopted[c.gateway]), m.version)
		}
		return nil
	}
	return nil
}

// readRecords sees to it that each background call ran on the deploy that has
// accepted it, which becomes its version.
func (w *world) readRecords(h *history) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	slots := make(chan struct{}, 8) // bounds the readers
	var reading sync.WaitGroup
	for i := range h.calls {
		c := &h.calls[i]
		if c.location == "" {
			continue
		}
		slots <- struct{}{}
		reading.Go(func() {
			defer func() { <-slots }()
			c.version, c.err = w.ran(ctx, c.location)
		})
	}
	reading.Wait()
}

// ran waits for the end of an invocation and finds the version that ran.
func (w *world) ran(ctx context.Context, location string) (version string, err error) {
	id := location[strings.LastIndex(location, "/")+1:]
	var inv api.Invocation
	if err := harness.Eventually(ctx, func() (err error) {
		if inv, err = w.control[0].Invocation(ctx, id); err == nil && !inv.State.Terminal() {
			err = fmt.Errorf("invocation %s is still %s", id, inv.State)
		}
		return err
	}); err != nil {
		return "", err
	}
	if inv.State != invocation.Succeeded || inv.Result == nil {
		return "", fmt.Errorf("invocation %s is %s after %d attempts", id, inv.State, len(inv.Attempts))
	}
	if version, err = w.read([]byte(inv.Result.Body)); err != nil {
		return "", err
	}
	if accepted := w.version(inv.Deploy); accepted != version {
		return "", fmt.Errorf("%w: accepted by %s, run on %s", errMixed, accepted, version)
	}
	return version, nil
}

func percentiles(all []time.Duration) string {
	slices.Sort(all)
	at := func(p float64) time.Duration {
		return all[min(len(all)-1, int(p*float64(len(all))))].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("p50 %v, p99 %v, max %v", at(0.50), at(0.99), all[len(all)-1].Round(100*time.Microsecond))
}
