package contract

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/test/contract/golden"
	"github.com/nightshift/nightshift/test/harness"
)

// documentName is the one place where people read what differs.
const documentName = "docs/compatibility.md"

func document(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(harness.Root(), filepath.FromSlash(documentName)))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// row is a row of the document's tables of chosen differences.
var row = regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\|")

func TestDocumentListsTheDifferences(t *testing.T) {
	t.Parallel()
	_, chapter, ok := strings.Cut(document(t), "\n## Chosen differences\n")
	if !ok {
		t.Fatalf("%s has no chapter on chosen differences", documentName)
	}
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	var listed []string
	for _, m := range row.FindAllStringSubmatch(chapter, -1) {
		listed = append(listed, m[1])
	}
	var tested []string
	for _, d := range differences {
		tested = append(tested, d.id)
	}
	for _, f := range fields {
		tested = append(tested, f.id)
	}
	slices.Sort(listed)
	slices.Sort(tested)
	tested = slices.Compact(tested)
	if !slices.Equal(listed, tested) {
		t.Errorf("%s lists the differences\n%q, the test has\n%q", documentName, listed, tested)
	}
}

// TestTablesNameCases keeps names of cases that were renamed out of the tables,
// and the recorded answers complete.
func TestTablesNameCases(t *testing.T) {
	t.Parallel()
	recorded, err := golden.Load()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, c := range golden.Cases() {
		if known[c.Name] {
			t.Errorf("two cases are called %s", c.Name)
		}
		known[c.Name] = true
		if _, ok := recorded[c.Name]; !ok {
			t.Errorf("there is no recorded answer to %s", c.Name)
		}
	}
	for _, d := range differences {
		for name := range d.cases {
			if !known[name] {
				t.Errorf("difference %s names the case %s, which is none", d.id, name)
			}
			if _, both := openCases[name]; both {
				t.Errorf("%s is a chosen difference and open", name)
			}
		}
	}
	for name := range openCases {
		if !known[name] {
			t.Errorf("openCases names the case %s, which is none", name)
		}
	}
	for name := range recorded {
		if !known[name] {
			t.Errorf("the recorded answer %s belongs to no case", name)
		}
	}
}
