package execute

import (
	"slices"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
)

func TestSpread(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		verdict invocation.Verdict
		draw    float64
		want    time.Duration
	}{
		"the earliest is what was promised": {invocation.Verdict{State: invocation.Failed, Delay: time.Minute}, 0, time.Minute},
		"a tenth more":                      {invocation.Verdict{State: invocation.Failed, Delay: time.Minute}, 0.5, 63 * time.Second},
		"the latest":                        {invocation.Verdict{State: invocation.Failed, Delay: 2 * time.Minute}, 1, 132 * time.Second},
		"of long delays 30 s":               {invocation.Verdict{State: invocation.Failed, Delay: 24 * time.Hour}, 1, 24*time.Hour + 30*time.Second},
		"at once stays at once":             {invocation.Verdict{State: invocation.Failed}, 1, 0},
		"nothing follows":                   {invocation.Verdict{State: invocation.Dead}, 1, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := spread(test.verdict, test.draw)
			if got.State != test.verdict.State || got.Delay != test.want {
				t.Errorf("spread(%+v, %v) = %+v, want a delay of %v", test.verdict, test.draw, got, test.want)
			}
		})
	}
}

// TestRetriesSpread lets a thousand invocations fail together.
func TestRetriesSpread(t *testing.T) {
	t.Parallel()
	const n, promised = 1000, time.Minute
	var delays []time.Duration
	for range n {
		b := setup(t, throws(invocation.Error))
		b.draw = New(b.cfg).draw // the real one
		got := b.Handle(t.Context(), delivery)
		// The record and the queue must know the same time.
		if got != queue.RetryIn(b.store.delay) {
			t.Fatalf("the queue runs it again by %+v, the record says in %v", got, b.store.delay)
		}
		delays = append(delays, b.store.delay)
	}
	slices.Sort(delays)
	if delays[0] < promised || delays[n-1] >= promised+promised/10 {
		t.Errorf("delays from %v to %v, want %v to a tenth more", delays[0], delays[n-1], promised)
	}
	// Of an even distribution each tenth has 100 of the 1000, give or take 9.5.
	tenth := promised / 100
	for i := range 10 {
		from := promised + time.Duration(i)*tenth
		count := 0
		for _, d := range delays {
			if d >= from && d < from+tenth {
				count++
			}
		}
		if count < 40 || count > 160 {
			t.Errorf("%d of %d delays are in [%v, %v), want about %d", count, n, from, from+tenth, n/10)
		}
	}
}
