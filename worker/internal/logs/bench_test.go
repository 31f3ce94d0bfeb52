package logs

import (
	"io"
	"log/slog"
	"testing"

	"github.com/nightshift/nightshift/shared/store"
)

// BenchmarkShortAttempt is the log of an attempt that is over before anything of it
// is sent.
func BenchmarkShortAttempt(b *testing.B) {
	metrics, log := NewMetrics(nil), slog.New(slog.NewTextHandler(io.Discard, nil))
	b.ReportAllocs()
	for b.Loop() {
		w := NewWriter(&sink{}, store.LogSource{Invocation: "i"}, 1, metrics, log)
		w.Line(System, "attempt 1 started on worker vm-8d783328")
		w.Line(System, "attempt 1 ended after 1.2ms: succeeded")
		if lines := w.Finish(); len(lines) != 2 {
			b.Fatal(lines)
		}
		w.Close()
	}
}
