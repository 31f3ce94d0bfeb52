// Package abuse runs the product against people who mean it no good: receivers
// of callbacks that answer for ever, clients of the control plane that upload
// half of something, functions that try to take the machine or to read what is
// another site's.
//
// The processes are real ones, with settings by environment only, as in
// test/e2e. A test here holds a wall of docs/security.md: it fails when the wall
// is taken down. What is fuzzed is fuzzed beside the package that reads it;
// test/abuse/fuzz runs all of that.
package abuse

import (
	"os"
	"testing"

	"github.com/nightshift/nightshift/test/harness"
)

// binDir holds the binaries under test.
var binDir string

func TestMain(m *testing.M) { os.Exit(harness.RunBuilt(m, &binDir)) }
