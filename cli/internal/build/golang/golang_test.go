package golang_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/build/executable"
	"github.com/nightshift/nightshift/cli/internal/build/golang"
)

// site writes files into a new directory, and what a build of its function f is given.
func site(t *testing.T, files map[string]string) golang.Input {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return golang.Input{Root: root, Dir: filepath.Join(root, "functions", "f"), Target: executable.Host()}
}

// good is a site whose function prints something of another package of it.
var good = map[string]string{
	"go.mod":              "module example.com/site\n\ngo 1.26\n",
	"word/word.go":        "package word\n\nimport _ \"embed\"\n\n//go:embed word.txt\nvar Word string\n",
	"word/word.txt":       "hello from an embedded file",
	"word/word_test.go":   "package word\n",
	"functions/f/main.go": "package main\n\nimport \"example.com/site/word\"\n\nfunc main() { println(word.Word) }\n",
	"functions/f/note.md": "a note",
}

func TestBuild(t *testing.T) {
	t.Parallel()
	in := site(t, good)
	out := golang.Build(t.Context(), in)
	if len(out.Problems) > 0 || len(out.Files) != 1 {
		t.Fatalf("Build = %d files, %v; want one program", len(out.Files), out.Problems)
	}
	f := out.Files[0]
	if f.Path != "bootstrap" || !f.Executable {
		t.Errorf("the file is %s, executable %t; want an executable bootstrap", f.Path, f.Executable)
	}
	if warning, err := executable.Check(f.Data, in.Target); warning != "" || err != nil {
		t.Errorf("the program is not static: %s %v", warning, err)
	}
	program := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(program, f.Data, 0o755); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.CommandContext(t.Context(), program).CombinedOutput(); err != nil || string(said) != "hello from an embedded file\n" {
		t.Errorf("the program says %q, %v", said, err)
	}
	var inputs []string
	for _, path := range out.Inputs {
		rel, err := filepath.Rel(in.Root, path)
		if err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, filepath.ToSlash(rel))
	}
	want := []string{"functions/f/main.go", "functions/f/note.md", "go.mod", "go.sum", "word/word.go", "word/word.txt"}
	if !slices.Equal(inputs, want) {
		t.Errorf("Inputs = %q, want %q", inputs, want)
	}

	other := site(t, good)
	other.Scratch = t.TempDir()
	for range 2 { // the second finds what the first has left
		again := golang.Build(t.Context(), other)
		if len(again.Files) != 1 || !bytes.Equal(again.Files[0].Data, f.Data) {
			t.Errorf("equal sources in another directory give another program (%v)", again.Problems)
		}
	}
}

func TestBuildProblems(t *testing.T) {
	t.Parallel()
	const mod = "module example.com/site\n\ngo 1.26\n"
	tests := map[string]struct {
		files map[string]string
		want  []string
	}{
		"type errors": {
			map[string]string{"go.mod": mod, "functions/f/main.go": "package main\n\nfunc main() {\n\tx := 1\n\ty()\n}\n"},
			[]string{"functions/f/main.go:4:2: declared and not used: x", "functions/f/main.go:5:2: undefined: y"},
		},
		"in another package": {
			map[string]string{"go.mod": mod, "lib/lib.go": "package lib\n\nvar X int = \"\"\n", "functions/f/main.go": "package main\n\nimport \"example.com/site/lib\"\n\nfunc main() { println(lib.X) }\n"},
			[]string{`lib/lib.go:3:13: cannot use "" (untyped string constant) as int value in variable declaration`},
		},
		"syntax": {
			map[string]string{"go.mod": mod, "functions/f/main.go": "package main\n\nfunc main( {\n"},
			[]string{"functions/f/main.go:3:12: syntax error: unexpected {, expected )"},
		},
		"a package that is not required": {
			map[string]string{"go.mod": mod, "functions/f/main.go": "package main\n\nimport _ \"example.org/missing\"\n\nfunc main() {}\n"},
			[]string{"functions/f/main.go:3:8: no required module provides package example.org/missing; to add it: go get example.org/missing"},
		},
		"no module": {
			map[string]string{"functions/f/main.go": "package main\n\nfunc main() {}\n"},
			[]string{"functions/f: cannot be built: go: go.mod file not found in current directory or any parent directory; see 'go help modules'"},
		},
		"no program": {
			map[string]string{"go.mod": mod, "functions/f/f.go": "package f\n\nvar X = 1\n"},
			[]string{"functions/f: is not a main package, so there is no program to run; a function needs package main with func main"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := site(t, test.files)
			out := golang.Build(t.Context(), in)
			var got []string
			for _, p := range out.Problems {
				got = append(got, p.Error())
				if p.At.Line > 0 && p.At.Text == "" {
					t.Errorf("%v does not show its line", p)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("problems\n got %q\nwant %q", got, test.want)
			}
			if len(out.Files) > 0 || len(out.Inputs) == 0 {
				t.Errorf("%d files and %d inputs, want no file and what to watch", len(out.Files), len(out.Inputs))
			}
		})
	}
}

func TestBuildWithoutGo(t *testing.T) {
	in := site(t, good)
	t.Setenv("PATH", t.TempDir())
	out := golang.Build(t.Context(), in)
	if len(out.Problems) != 1 || !strings.HasPrefix(out.Problems[0].Error(), "functions/f: is written in Go, and there is no go command on the PATH; ") {
		t.Errorf("problems %v, want one that says to install Go", out.Problems)
	}
	if len(out.Inputs) == 0 {
		t.Error("there are no Inputs, want the directory's files")
	}
}
