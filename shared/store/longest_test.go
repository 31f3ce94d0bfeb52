package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
)

func TestLongestQueued(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		const hour = time.Hour
		expect := func(what string, want time.Duration) {
			t.Helper()
			got, err := b.LongestQueued(t.Context(), function.Background)
			if err != nil || got < want || got > want+hour/2 {
				t.Errorf("%s: LongestQueued = %v, %v; want %v", what, got, err, want)
			}
		}
		expect("nothing", 0)
		ago := func(age time.Duration) time.Time { return time.Now().Add(-age) }
		at := func(state invocation.State, age time.Duration) string {
			id := b.put(t, state)
			b.createdAt(t, id, ago(age))
			return id
		}
		at(invocation.Running, 9*hour)
		at(invocation.Failed, 9*hour)
		at(invocation.Queued, 0)
		expect("a young one", 0)

		// What was old when it was queued again has not waited all that time.
		at(invocation.Running, 8*hour)
		drained := at(invocation.Running, 8*hour)
		b.finish(t, drained, 1, ends[invocation.Queued])
		retried := at(invocation.Running, 8*hour)
		b.finish(t, retried, 1, ends[invocation.Dead])
		if got := b.do(t, b.Retry(function.Background, retried)); got != 1 {
			t.Fatalf("Retry = %d", got)
		}
		expect("queued again", 0)

		id := b.makes(t, invocation.Invocation{Site: "shop", Deploy: "d", Function: "f", NotBefore: ago(-hour)})
		b.createdAt(t, id, ago(7*hour))
		expect("one whose time has not come", 0)
		id = b.makes(t, invocation.Invocation{Site: "shop", Deploy: "d", Function: "f", NotBefore: ago(2 * hour)})
		b.createdAt(t, id, ago(7*hour))
		expect("one whose time has come", 2*hour)
		at(invocation.Queued, 3*hour)
		expect("one that was to run at once", 3*hour)
		if got, err := b.LongestQueued(t.Context(), function.Scheduled); got != 0 || err != nil {
			t.Errorf("of the other kind: %v, %v", got, err)
		}
		for i := range 60 { // more that wait for their time
			id := b.makes(t, invocation.Invocation{Site: "shop", Deploy: "d", Function: fmt.Sprint("f", i), NotBefore: ago(-hour)})
			b.createdAt(t, id, ago(6*hour))
		}
		expect("behind many whose time has not come", 3*hour)
	})
}
