package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/test/harness"
)

// wallsHeader is the first line of a table that says what is guarded by what.
const wallsHeader = "| Threat | Wall | Test |"

var (
	// proof is how such a table names a test: the folder, a space, and the name of
	// a function with its subtests, or of a file that is a test in another language.
	proof  = regexp.MustCompile(`^([a-z0-9/._-]+) (\S+)$`)
	goTest = regexp.MustCompile(`^(?:Test|Fuzz)[A-Z0-9]`)
	// cell ends where a pipe stands that is not escaped.
	cell = regexp.MustCompile(`(?:\\.|[^|\\])*`)
)

// TestWalls: each row of security.md names a threat, a wall, and tests that there are.
func TestWalls(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(harness.Root(), "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	walls, wrong := wallsOf(string(page))
	for _, err := range wrong {
		t.Error(err)
	}
	if len(walls) == 0 {
		t.Fatalf("docs/security.md has no row below %q", wallsHeader)
	}
	tests := testIndex{root: harness.Root()}
	for _, w := range walls {
		for _, name := range w.tests {
			if err := tests.find(name); err != nil {
				t.Errorf("line %d of docs/security.md, %q: %v", w.line, w.threat, err)
			}
		}
	}
}

// wall is a row of such a table.
type wall struct {
	line   int
	threat string
	tests  []string
}

// wallsOf reads the tables of a page that have the header of walls.
func wallsOf(page string) (walls []wall, wrong []error) {
	inside := false
	for i, line := range strings.Split(page, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == wallsHeader:
			inside = true
			continue
		case !strings.HasPrefix(line, "|"):
			inside = false
			continue
		case !inside || strings.Trim(line, "|-: ") == "":
			continue
		}
		w, err := readWall(line)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("line %d of docs/security.md: %w", i+1, err))
			continue
		}
		w.line = i + 1
		walls = append(walls, w)
	}
	return walls, wrong
}

func readWall(row string) (wall, error) {
	var cells []string
	for rest := strings.TrimPrefix(row, "|"); rest != ""; {
		text := cell.FindString(rest)
		cells = append(cells, strings.TrimSpace(text))
		rest = strings.TrimPrefix(rest[len(text):], "|")
	}
	if len(cells) != 3 {
		return wall{}, fmt.Errorf("the row has %d cells, want threat, wall and test: %s", len(cells), row)
	}
	for _, text := range cells {
		if text == "" {
			return wall{}, fmt.Errorf("the row has an empty cell: %s", row)
		}
	}
	w := wall{threat: cells[0]}
	for name := range strings.SplitSeq(cells[2], ",") {
		name = strings.TrimSpace(name)
		bare := strings.Trim(name, "`")
		if name != "`"+bare+"`" || !proof.MatchString(bare) {
			return wall{}, fmt.Errorf("a test is named like `worker/internal/jail TestClimbs`, and not like %s", name)
		}
		w.tests = append(w.tests, bare)
	}
	return w, nil
}

// testIndex finds tests in the source. It reads each folder once.
type testIndex struct {
	root string
	read map[string]folder
}

// folder is what stands in the tests of one.
type folder struct {
	functions map[string]bool
	text      string // of all, with underscores for spaces, as -run writes names of subtests
}

// find says why there is no test under a name, or nil.
func (x *testIndex) find(name string) error {
	parts := proof.FindStringSubmatch(name)
	dir, test := parts[1], parts[2]
	if !goTest.MatchString(test) {
		if _, err := os.Stat(filepath.Join(x.root, filepath.FromSlash(dir), test)); err != nil {
			return fmt.Errorf("there is no test file %s in %s", test, dir)
		}
		return nil
	}
	in, err := x.folder(dir)
	if err != nil {
		return err
	}
	function, subtests, _ := strings.Cut(test, "/")
	if !in.functions[function] {
		return fmt.Errorf("there is no test %s in %s", function, dir)
	}
	for sub := range strings.SplitSeq(subtests, "/") {
		if !strings.Contains(in.text, sub) {
			return fmt.Errorf("the tests in %s say nothing of %q", dir, sub)
		}
	}
	return nil
}

// folder reads the tests of a folder.
func (x *testIndex) folder(dir string) (folder, error) {
	if in, ok := x.read[dir]; ok {
		return in, nil
	}
	in := folder{functions: map[string]bool{}}
	files, err := filepath.Glob(filepath.Join(x.root, filepath.FromSlash(dir), "*_test.go"))
	if err != nil {
		return in, err
	}
	for _, path := range files {
		source, err := os.ReadFile(path)
		if err != nil {
			return in, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, 0)
		if err != nil {
			return in, err
		}
		in.text += strings.ReplaceAll(string(source), " ", "_")
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && goTest.MatchString(f.Name.Name) {
				in.functions[f.Name.Name] = true
			}
		}
	}
	if x.read == nil {
		x.read = map[string]folder{}
	}
	x.read[dir] = in
	return in, nil
}

// What the page may not say is seen for what it is.
func TestWallsAreChecked(t *testing.T) {
	t.Parallel()
	const rule = "|---|---|---|"
	tests := []struct{ name, row, says string }{
		{"real", "| a | b | `test/docs TestWalls`, `test/docs TestWallsAreChecked/real` |", ""},
		{"escaped pipe", `| a \| b | c | ` + "`test/docs TestWalls` |", ""},
		{"test file", "| a | b | `worker/runtime/node/test cookies.test.mjs` |", ""},
		{"no wall", "| a | | `test/docs TestWalls` |", "empty cell"},
		{"no test", "| a | b | |", "empty cell"},
		{"two cells", "| a | b |", "2 cells"},
		{"words", "| a | b | we looked |", "named like"},
		{"words beside", "| a | b | `test/docs TestWalls` and others |", "named like"},
		{"unknown test", "| a | b | `test/docs TestNothing` |", "no test TestNothing"},
		{"unknown folder", "| a | b | `test/nowhere TestWalls` |", "no test TestWalls"},
		{"unknown subtest", "| a | b | `test/docs TestWalls/on_" + "the_moon` |", "say nothing of"},
		{"unknown file", "| a | b | `worker/runtime/node/test none.test.mjs` |", "no test file"},
	}
	index := testIndex{root: harness.Root()}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			walls, wrong := wallsOf("text\n\n" + wallsHeader + "\n" + rule + "\n" + test.row + "\n\ntext\n")
			for _, w := range walls {
				for _, name := range w.tests {
					if err := index.find(name); err != nil {
						wrong = append(wrong, err)
					}
				}
			}
			switch {
			case test.says == "" && (len(wrong) > 0 || len(walls) != 1):
				t.Errorf("%q: %v", test.row, wrong)
			case test.says != "" && (len(wrong) != 1 || !strings.Contains(wrong[0].Error(), test.says)):
				t.Errorf("%q: %v, want one that says %q", test.row, wrong, test.says)
			}
		})
	}
}
