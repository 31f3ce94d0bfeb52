// Package examples runs each site in examples/ as its README says: it is built
// and deployed by the command line, the README's commands are typed into a shell
// one after the other, and then the test looks at what really happened – at the
// mail that arrived, the PDF in it, the pixels of the image, the commits.
//
// One installation serves all sites; each has its own stand-ins for the systems
// around it, which the site's dev command starts, and an SMTP server of the test.
// The sites in quickstart, go and nextjs are run by test/e2e and test/nextjs.
package examples

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nightshift/nightshift/test/harness"
)

// binDir holds the binaries under test.
var binDir string

func TestMain(m *testing.M) { os.Exit(harness.RunBuilt(m, &binDir)) }

// examples says for each site how its README is followed, and what must have
// happened then.
var examples = map[string]func(*site){
	"batch":         batch,
	"cart-recovery": cartRecovery,
	"compute":       compute,
	"dashboard":     dashboard,
	"git-backup":    gitBackup,
	"invoices":      invoices,
	"media":         media,
	"report-email":  reportEmail,
	"scraping":      scraping,
}

// elsewhere are the sites that other packages run.
var elsewhere = []string{"go", "nextjs", "quickstart"}

func TestExamples(t *testing.T) {
	in := install(t)
	for name, follow := range examples {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := in.open(t, name)
			follow(s)
			s.allTyped()
		})
	}
}

// underDev are the examples that go another way there: whose calls lead to their
// own site, whose callbacks are signed with a secret of dev, and whose data is in
// the folder of dev.
var underDev = []string{"invoices", "media", "git-backup"}

// TestDev follows READMEs to the letter, with nightshift dev.
func TestDev(t *testing.T) {
	for _, name := range underDev {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := dev(t, name)
			examples[name](s)
			s.allTyped()
		})
	}
}

// TestEachIsRun fails for an example that nobody runs, and for one that the list
// of examples leaves out.
func TestEachIsRun(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob(filepath.Join(harness.Root(), "examples", "*", "README.md"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no example has a README: %v", err)
	}
	list, err := os.ReadFile(filepath.Join(harness.Root(), "examples", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		name := filepath.Base(filepath.Dir(dir))
		if _, here := examples[name]; !here && !slices.Contains(elsewhere, name) {
			t.Errorf("examples/%s is run by no test", name)
		}
		if !slices.Contains(linksIn(string(list)), name) {
			t.Errorf("examples/README.md does not mention %s", name)
		}
	}
}
