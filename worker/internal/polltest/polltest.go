// Package polltest waits in tests for what nothing tells: what the kernel does
// with processes has no clock and no signal of ours.
package polltest

import (
	"testing"
	"time"
)

// patience is long, because machines that run tests are busy; who waits for it
// has found a fault.
const patience = 30 * time.Second

// Until returns when ok does with true, and fails the test if that takes too
// long. what completes the sentence "timed out waiting until …".
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("timed out waiting until %s", what)
		case <-tick.C:
		}
	}
}
