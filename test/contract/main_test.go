package contract

import (
	"os"
	"testing"

	"github.com/nightshift/nightshift/test/harness"
)

// binDir holds the binaries under test.
var binDir string

func TestMain(m *testing.M) { os.Exit(harness.RunBuilt(m, &binDir)) }
