// Package docs keeps the documentation true: what can be made of the source is
// made of it, and what people write is run. `make docs` writes anew what is made.
package docs

import (
	"bytes"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"text/template"

	"github.com/nightshift/nightshift/test/docs/setting"
	"github.com/nightshift/nightshift/test/harness"
)

var update = flag.Bool("update", false, "write the documentation anew that is made of the source")

// services are what each service reads. The common settings are those of package daemon.
var services = []setting.Source{
	{Service: "gateway", Structs: [][2]string{{"gateway", "Config"}, {"shared/daemon", "Common"}}},
	{Service: "worker", Structs: [][2]string{{"worker", "Config"}, {"shared/daemon", "Common"}}},
	{Service: "scheduler", Structs: [][2]string{{"scheduler", "Config"}, {"shared/daemon", "Common"}}},
}

// links are what comments say to programmers, with what operators read instead.
var links = strings.NewReplacer(
	"redisdb.Open lists the forms", "[Redis](#redis) lists the forms",
	"see redisdb.Open", "see [Redis](#redis)", "See redisdb.Open", "See [Redis](#redis)",
	"see artifact.Open", "see [Blobs](#blobs)",
	"see package secret", "see [environment.md](environment.md)",
	"See docs/isolation.md", "See [isolation.md](isolation.md)",
	"see package callback", "see [callbacks.md](callbacks.md)",
	"Forever (\"off\")", "`off`",
	"<", "&lt;", ">", "&gt;",
)

func settings(t *testing.T) []setting.Setting {
	t.Helper()
	list, err := setting.Of(harness.Root(), services)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	page, err := template.ParseFiles("configuration.md.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	list := settings(t)
	var got bytes.Buffer
	if err := page.Execute(&got, struct{ Table, Sections string }{setting.Table(list), setting.Sections(list, links)}); err != nil {
		t.Fatal(err)
	}
	generated(t, "configuration.md", got.Bytes())
	for _, s := range list {
		if s.Reads[0].Default == "" && !s.Reads[0].Required {
			t.Errorf("%s: its comment says neither a default nor that it is required", s.Name)
		}
	}
	if goName := regexp.MustCompile(`\b[a-z]+\.[A-Z]\w+`).Find(got.Bytes()); goName != nil {
		t.Errorf("configuration.md names %s, which operators do not know; say it otherwise in links", goName)
	}
}

// generated compares a file of docs with what it must be, or writes it.
func generated(t *testing.T, name string, want []byte) {
	t.Helper()
	path := filepath.Join(harness.Root(), "docs", name)
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("docs/%s is not what the source says; `make docs` writes it anew. %s", name, difference(string(got), string(want)))
	}
}

// difference is the first line that differs.
func difference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		a, b := line(g, i), line(w, i)
		if a != b {
			return "Line " + strconv.Itoa(i+1) + " is\n" + a + "\nand must be\n" + b
		}
	}
	return ""
}

func line(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(nothing)"
}

// Every variable that our programs read stands in configuration.md: those of a
// Config are made of it, and others are found where they are named.
func TestEveryVariable(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(harness.Root(), "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`^NIGHTSHIFT_[A-Z_]+$`)
	seen := 0
	for _, module := range []string{"cli", "gateway", "worker", "scheduler", "shared"} {
		err := filepath.WalkDir(filepath.Join(harness.Root(), module), func(path string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && (entry.Name() == "testdata" || strings.HasSuffix(entry.Name(), "test")):
				return fs.SkipDir // what only tests read
			case entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				literal, ok := n.(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING {
					return true
				}
				if text, err := strconv.Unquote(literal.Value); err == nil && name.MatchString(text) {
					seen++
					if !bytes.Contains(page, []byte(text)) {
						t.Errorf("%s reads %s, which configuration.md does not have", path, text)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen == 0 {
		t.Error("no variable was found in the source; the search is broken")
	}
}

// What a service's own page (its package comment) lists is read by it.
func TestServicePages(t *testing.T) {
	t.Parallel()
	reads := map[string]map[string]bool{}
	for _, s := range settings(t) {
		for _, r := range s.Reads {
			if reads[r.Service] == nil {
				reads[r.Service] = map[string]bool{"NIGHTSHIFT_NODE": true}
			}
			reads[r.Service][s.Name] = true
		}
	}
	for service, known := range reads {
		path := filepath.Join(harness.Root(), service, "cmd", service, "main.go")
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		listed := regexp.MustCompile(`(?m)^\s+(NIGHTSHIFT_[A-Z_]+)`).FindAllStringSubmatch(file.Doc.Text(), -1)
		if len(listed) == 0 {
			t.Errorf("%s lists no settings", path)
		}
		for _, m := range listed {
			if !known[m[1]] {
				t.Errorf("%s lists %s, which the %s does not read", path, m[1], service)
			}
		}
	}
}
