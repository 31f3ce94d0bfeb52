package queue

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/shared/function"
)

func TestLooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const q = function.Background
		l := newLooks()
		began := time.Now()
		looked := func(want time.Duration) {
			t.Helper()
			for !l.due(q) {
				time.Sleep(100 * time.Millisecond)
			}
			if got := time.Since(began); got != want {
				t.Errorf("it looks after %v; want %v", got, want)
			}
			began = time.Now()
		}
		looked(0)
		looked(lookInterval) // nothing is known
		l.in(q, time.Minute)
		looked(lookInterval)
		l.in(q, 2*time.Second)
		l.in(q, time.Second)
		l.in(q, 3*time.Second)
		looked(time.Second) // the earliest
		looked(lookInterval)
		l.in(q, 0) // there is more
		looked(0)
		l.in(function.Scheduled, 0) // is another queue
		looked(lookInterval)
	})
}
