package contract

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/nightshift/nightshift/test/harness"
)

// binDir holds the binaries under test.
var binDir string

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds what is tested, unless NIGHTSHIFT_TEST_BIN names a directory with
// the programs already built.
func run(m *testing.M) int {
	if binDir = os.Getenv("NIGHTSHIFT_TEST_BIN"); binDir != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "nightshift-bin")
	if err == nil {
		defer os.RemoveAll(dir)
		binDir, err = dir, harness.Build(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
