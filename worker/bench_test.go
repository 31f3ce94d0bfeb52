package worker

import (
	"net/http"
	"strings"
	"testing"

	wire "github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/invocation"
)

// BenchmarkBackgroundCall is from Enqueue to the recorded result, on a warm
// process, one call after the other.
func BenchmarkBackgroundCall(b *testing.B) {
	f := newFleet(b)
	f.worker(b)
	f.awaitState(b, f.enqueue(b, "hello", ""), invocation.Succeeded)
	for b.Loop() {
		id := f.enqueue(b, "hello", "x")
		for {
			inv, err := f.store.Invocation(b.Context(), id)
			if err != nil {
				b.Fatal(err)
			}
			if inv.State == invocation.Succeeded {
				break
			}
		}
	}
}

// BenchmarkSyncCall is one HTTP exchange with a worker, on a warm process: signed
// as gateways do, and, for the difference, on a worker that takes it unsigned.
func BenchmarkSyncCall(b *testing.B) {
	for _, unsigned := range []string{unsignedRefuse, unsignedAccept} {
		b.Run("unsigned="+unsigned, func(b *testing.B) {
			f := newFleet(b)
			f.unsigned = unsigned == unsignedAccept
			w := f.worker(b, func(c *Config) { c.UnsignedCalls = unsigned })
			client := &http.Client{}
			defer client.CloseIdleConnections()
			for b.Loop() {
				answer, body := f.call(b, client, w, "hello", "you")
				if answer.Header.Get(wire.HeaderOutcome) != "succeeded" || !strings.Contains(body, "hi you") {
					b.Fatalf("answer = %d %q", answer.StatusCode, body)
				}
			}
		})
	}
}
