package queue

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/shared/function"
)

// taking is a loop whose takes are noted, each with the time since the one before.
type taking struct {
	*loopClient
	t     *testing.T
	at    time.Time
	takes []string
	tasks map[function.Kind]int // that wait
}

func newTaking(t *testing.T, slots int) *taking {
	w := newWaker(nil, slog.New(slog.DiscardHandler))
	t.Cleanup(w.stop)
	return &taking{
		loopClient: &loopClient{waker: w, slots: slots, empty: map[function.Kind]time.Time{}}, t: t,
		at: time.Now(), tasks: map[function.Kind]int{},
	}
}

// ask is a round of asynq's, which ends with the first task.
func (l *taking) ask() {
	l.t.Helper()
	for _, kind := range queues {
		cmd := l.dequeue(l.t.Context(), kind, func(most int) (tasks []takenTask, _ error) {
			n := min(most, l.tasks[kind])
			l.takes = append(l.takes, fmt.Sprintf("%d of %s after %v", n, kind, time.Since(l.at)))
			l.at = time.Now()
			l.tasks[kind] -= n
			for range n {
				tasks = append(tasks, takenTask{kind, "id", "a task"})
			}
			return tasks, nil
		})
		if cmd.Err() == nil {
			return
		}
	}
}

func (l *taking) want(takes ...string) {
	l.t.Helper()
	if !slices.Equal(l.takes, takes) {
		l.t.Errorf("the takes are %q, want %q", l.takes, takes)
	}
	l.takes = nil
}

// Slots that come free one shortly after the other are filled together, but only
// while most of them are taken.
func TestTakesTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newTaking(t, 8)
		l.tasks[function.Background] = 100
		for range 8 {
			l.ask()
		}
		l.want("0 of scheduled after 0s", "8 of background after 0s")
		l.returned()
		go func() { // while the loop waits
			l.returned()
			l.returned()
		}()
		for range 3 {
			l.ask()
		}
		l.want("3 of background after 1ms")
		time.Sleep(time.Minute)
		l.returned()
		l.ask()
		l.want("0 of scheduled after 1m0s", "1 of background after 0s")
		for range 5 {
			l.returned()
		}
		for range 5 {
			l.ask()
		}
		l.want("5 of background after 0s")
	})
}

// A queue that was empty is asked again soon, whatever waits in the one behind it.
func TestAsksAnEmptyQueueAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newTaking(t, 1)
		l.tasks[function.Background] = 100
		next := func() {
			l.ask()
			l.returned()
		}
		next()
		l.want("0 of scheduled after 0s", "1 of background after 0s")
		l.tasks[function.Scheduled] = 2
		next()
		l.want("1 of background after 0s")
		time.Sleep(emptyFor)
		next()
		next()
		l.want("1 of scheduled after 5ms", "1 of scheduled after 0s")
	})
}
