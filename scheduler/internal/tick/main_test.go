package tick

import (
	"testing"

	"go.uber.org/goleak" // a goroutine without an owner fails the package
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
