package scheduler

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/oklog/ulid/v2" // IDs as the tick loop makes them
)

// TestFireOnRedis holds the one script against what the tick loop's fakes
// assume of it: what it refuses leaves no record behind.
func TestFireOnRedis(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	s := store.New(rdb, store.Options{})
	q, err := queue.NewClient(rdb, false)
	if err != nil {
		t.Fatal(err)
	}
	old, err := s.BeginTerm(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	term, err := s.BeginTerm(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cursors, err := s.SyncCursors(t.Context(), term, []string{"known"})
	if err != nil {
		t.Fatal(err)
	}
	after := cursors["known"]
	tick := time.Now().Add(time.Hour).Truncate(time.Second)
	steps := []struct {
		name string
		term int64
		key  string
		tick time.Time
		want int
	}{
		{"of an old term", old, "known", tick, store.FireSuperseded},
		{"without a cursor", term, "unknown", tick, store.FireUnknown},
		{"due", term, "known", tick, queue.Queued},
		{"the same one again", term, "known", tick, store.FireAlready},
		{"an earlier one", term, "known", tick.Add(-time.Second), store.FireAlready},
		{"the next one", term, "known", tick.Add(time.Second), queue.Queued},
	}
	for _, tt := range steps {
		id := ulid.MustNew(ulid.Now(), rand.Reader).String()
		verdict, err := q.Enqueue(t.Context(),
			queue.Task{ID: id, Queue: function.Scheduled, Target: queue.Target{Site: "acme", Deploy: "d1", Function: "f"}, Timeout: time.Second},
			s.Fire(tt.term, store.Firing{Key: tt.key, Site: "acme", Function: "f", After: after, Tick: tt.tick, Due: 1, Invocation: id}),
			s.Create(invocation.Invocation{ID: id, Site: "acme", Deploy: "d1", Function: "f", Kind: function.Scheduled, Tick: tt.tick}, []byte("{}")))
		if err != nil || verdict != tt.want {
			t.Errorf("firing a tick %s = %d, %v, want %d", tt.name, verdict, err, tt.want)
		}
		if verdict == queue.Queued {
			after = tt.tick
		}
		_, err = s.Invocation(t.Context(), id)
		if recorded := err == nil; recorded != (tt.want == queue.Queued) || !recorded && !fault.Is(err, fault.NotFound) {
			t.Errorf("after firing a tick %s its record reads %v", tt.name, err)
		}
	}
}
