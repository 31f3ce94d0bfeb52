package queue

import (
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/nightshift/nightshift/shared/function"
)

func TestOneRingWakesOneLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWaker(nil, slog.New(slog.DiscardHandler))
		defer w.stop()
		woken := make(chan function.Kind, 2)
		for range 2 {
			go func() { woken <- w.park() }()
		}
		synctest.Wait()
		for i, queue := range []function.Kind{function.Background, function.Scheduled} {
			if more, want := w.ring(queue), i == 0; more != want {
				t.Errorf("ring %d = %v; want %v", i+1, more, want)
			}
			synctest.Wait()
			if n := len(woken); n != 1 {
				t.Fatalf("ring %d woke %d loops; want 1", i+1, n)
			}
			if got := <-woken; got != queue {
				t.Errorf("the loop was woken for %q; want %q", got, queue)
			}
		}
		if w.ring(function.Background) {
			t.Error("ring = true though nobody is parked")
		}
	})
}

func TestUnheardLoopLooksByItselfAndLeavesNoBell(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWaker(nil, slog.New(slog.DiscardHandler))
		defer w.stop()
		if got := w.park(); got != "" {
			t.Errorf("park = %q after its time; want any queue", got)
		}
		if n := len(w.parked); n != 0 {
			t.Errorf("%d bells are left", n)
		}
	})
}

func TestAsksOnlyTheQueueThatRang(t *testing.T) {
	t.Parallel()
	w := newWaker(nil, slog.New(slog.DiscardHandler))
	defer w.stop()
	c := &loopClient{waker: w, rang: function.Background}
	var asked []string
	ask := func(queue function.Kind) {
		c.dequeue(t.Context(), queue, func(int) ([]takenTask, error) {
			asked = append(asked, string(queue))
			return []takenTask{{queue, "id", "a task"}}, nil
		})
	}
	ask(function.Scheduled)
	ask(function.Background)
	ask(function.Scheduled) // from now on all again
	if want := []string{"background", "scheduled"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q; want %q", asked, want)
	}
}
