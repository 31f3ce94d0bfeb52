package queue_test

import (
	"crypto/rand"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/oklog/ulid/v2"
)

// Calls that share a script take no more places than there are, and each one that
// was accepted is listed.
func TestRoomForCallsThatCome(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	client, err := queue.NewClient(rdb, true)
	if err != nil {
		t.Fatal(err)
	}
	records := store.New(rdb, store.Options{})
	const callers, room = 100, 37
	var accepted, refused atomic.Int64
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			id := ulid.MustNew(ulid.Now(), rand.Reader).String()
			target := queue.Target{Site: "shop", Deploy: "d1", Function: "f"}
			verdict, err := client.Enqueue(t.Context(), queue.Task{ID: id, Queue: function.Background, Timeout: time.Minute, Target: target},
				records.Create(invocation.Invocation{ID: id, Site: "shop", Deploy: "d1", Function: "f", Kind: function.Background}, []byte("event")),
				records.Room(function.Background, "shop", room))
			switch {
			case err != nil:
				t.Error(err)
			case verdict == queue.Queued:
				accepted.Add(1)
			case verdict == store.Full:
				refused.Add(1)
			}
		})
	}
	all.Wait()
	if accepted.Load() != room || refused.Load() != callers-room {
		t.Errorf("%d accepted and %d refused, want %d and the rest of %d", accepted.Load(), refused.Load(), room, callers)
	}
	list, _, err := records.Invocations(t.Context(), store.Filter{Site: "shop", Function: "f", State: invocation.Queued}, "", 200)
	if err != nil || len(list) != room {
		t.Errorf("%d are listed, %v, want %d", len(list), err, room)
	}
}
