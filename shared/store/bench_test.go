package store

import (
	"testing"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
)

// BenchmarkAttempt is what the store adds to an attempt: one Begin with the
// event, one batch of log lines, one Finish.
func BenchmarkAttempt(b *testing.B) {
	server := redistest.Start(b)
	s := &backend{Store: New(server.Client(), Options{})}
	step := func() string {
		inv := invocation.Invocation{ID: newID(), Site: "shop", Deploy: "d1", Function: "f", Kind: function.Background}
		s.do(b, s.Create(inv, make([]byte, 2048)))
		return inv.ID
	}
	lines := numbered(1, 0, 10)
	for b.Loop() {
		b.StopTimer()
		id := step()
		src := LogSource{Site: "shop", Kind: function.Background, Invocation: id}
		b.StartTimer()
		begun := s.begin(b, id, "w")
		if err := s.AppendLog(b.Context(), src, lines); err != nil {
			b.Fatal(err)
		}
		s.finish(b, id, begun.Attempt, ends[invocation.Succeeded])
	}
}
