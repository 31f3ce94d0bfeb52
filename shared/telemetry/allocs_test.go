//go:build !race

package telemetry

import "testing"

// The race detector makes allocations of its own.
func TestOffAllocatesNothing(t *testing.T) {
	h, ctx := header("Content-Type", "application/json"), t.Context()
	if n := testing.AllocsPerRun(100, func() { accept(nil, ctx, h) }); n != 0 {
		t.Errorf("a call that is not traced costs %v allocations here, want 0", n)
	}
}
