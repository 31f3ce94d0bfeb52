package execute

import (
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/store"
)

var spoken = queue.Delivery{ID: "01ARZ3NDEKTSV4RRFFQ69G5FAV", Queue: function.Background, Target: queue.Target{Site: "shop", Deploy: "d1", Function: "send"}}

// What a line is about stands in it in the same order whoever writes it, and not
// before it is known.
func TestSpeaker(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	s := speaker{log: slog.New(slog.NewJSONHandler(&out, nil)).With("component", "execute"), d: spoken}
	s.that(slog.LevelDebug, "not heard")
	s.warn("first")
	s.attempt, s.trace = 2, "4bf92f3577b34da6a3ce929d0e0e4736"
	s.that(slog.LevelInfo, "second", outcome(store.End{Outcome: invocation.OK}), slog.Duration("duration", time.Second))
	const who = `"component":"execute","invocation":"01ARZ3NDEKTSV4RRFFQ69G5FAV","site":"shop","deploy":"d1","function":"send"`
	for i, want := range []string{
		`"level":"WARN","msg":"first",` + who + "}",
		`"level":"INFO","msg":"second",` + who + `,"attempt":2,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","outcome":"succeeded","duration":1000000000}`,
	} {
		line := strings.Split(out.String(), "\n")[i]
		if !json.Valid([]byte(line)) || !strings.HasSuffix(line, want) {
			t.Errorf("line %d is %s, want it to end with %s", i, line, want)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("%d lines, want 2", n)
	}
}

// BenchmarkSpeaker is the one line that nearly every attempt says.
func BenchmarkSpeaker(b *testing.B) {
	log := slog.New(slog.NewJSONHandler(io.Discard, nil)).With("service", "worker").With("component", "execute")
	b.ReportAllocs()
	for b.Loop() {
		s := speaker{log: log, d: spoken, attempt: 1}
		s.that(slog.LevelInfo, "attempt ended", outcome(store.End{Outcome: invocation.OK}), slog.String("state", "succeeded"), slog.Duration("duration", time.Second))
	}
}
