package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	root = "../.."
	ours = "github.com/nightshift/nightshift"
)

// pkg is what `go list -json` says about a package, as far as the rules need it.
type pkg struct {
	ImportPath   string
	Name         string
	Dir          string
	Standard     bool
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string
	Deps         []string
}

// short is the import path without the part that all our packages share.
func (p *pkg) short() string { return strings.TrimPrefix(p.ImportPath, ours+"/") }

// packages lists every package of the workspace with all that they depend on.
var packages = sync.OnceValues(func() ([]*pkg, error) {
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Name,Dir,Standard,GoFiles,TestGoFiles,XTestGoFiles,Imports,Deps", "work")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", cmd, err, stderr.String())
	}
	var all []*pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		}
		all = append(all, &p)
	}
})

// ownPackages lists the packages of the workspace itself.
func ownPackages(t *testing.T) []*pkg {
	t.Helper()
	all, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	own := slices.DeleteFunc(slices.Clone(all), func(p *pkg) bool { return !strings.HasPrefix(p.ImportPath, ours+"/") })
	if len(own) == 0 {
		t.Fatalf("go list names no package of %s", ours)
	}
	return own
}

// match reports whether an import path is the pattern, or is at or below it
// when the pattern ends in "/...".
func match(pattern, path string) bool {
	prefix, subtree := strings.CutSuffix(pattern, "/...")
	return path == prefix || subtree && strings.HasPrefix(path, prefix+"/")
}

func matchAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return match(pattern, path) })
}

// parse reads some files of a package, with their comments.
func parse(t *testing.T, p *pkg, names []string) (*token.FileSet, map[string]*ast.File) {
	t.Helper()
	fset, files := token.NewFileSet(), map[string]*ast.File{}
	for _, name := range names {
		file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = file
	}
	return fset, files
}
