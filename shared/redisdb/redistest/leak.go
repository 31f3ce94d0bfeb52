package redistest

import (
	"testing"

	"go.uber.org/goleak" // finds goroutines that nobody stopped
)

// VerifyTestMain runs the tests of a package and fails if they leave goroutines
// behind. Call it from TestMain.
//
// One of go-redis's own is let be: after a hundred failed dials a pool keeps
// trying once a second, and notices that it was closed only then.
func VerifyTestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}
