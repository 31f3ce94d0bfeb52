package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile" // the go command's own reader of go.mod and go.work
)

func readWork(t *testing.T) *modfile.WorkFile {
	t.Helper()
	path := filepath.Join(root, "go.work")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	work, err := modfile.ParseWork(path, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return work
}

func readMod(t *testing.T, dir string) *modfile.File {
	t.Helper()
	path := filepath.Join(dir, "go.mod")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse(path, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return mod
}

// moduleDirs finds the directories that hold a go.mod. The examples are sites of
// their own, which a user would not have in this workspace either.
func moduleDirs(t *testing.T) []string {
	t.Helper()
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "testdata" || name == "examples") {
			return fs.SkipDir
		}
		if name == "go.mod" {
			dirs = append(dirs, filepath.Dir(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

func TestWorkspaceListsEveryModule(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, use := range readWork(t).Use {
		listed = append(listed, filepath.Join(root, use.Path))
	}
	found := moduleDirs(t)
	slices.Sort(listed)
	slices.Sort(found)
	if !slices.Equal(listed, found) {
		t.Errorf("go.work uses %v, but go.mod files stand in %v", listed, found)
	}
}

func TestGoLinesAreEqual(t *testing.T) {
	t.Parallel()
	want := readWork(t).Go.Version
	for _, dir := range moduleDirs(t) {
		if got := readMod(t, dir).Go.Version; got != want {
			t.Errorf("%s/go.mod says go %s, go.work says %s", dir, got, want)
		}
	}
}

// TestModulesReplaceTheirSiblings keeps each module buildable by itself: the go
// command does not look at go.work when it tidies, nor with GOWORK=off.
func TestModulesReplaceTheirSiblings(t *testing.T) {
	t.Parallel()
	for _, dir := range moduleDirs(t) {
		mod := readMod(t, dir)
		for _, req := range mod.Require {
			name, sibling := strings.CutPrefix(req.Mod.Path, ours+"/")
			if !sibling {
				continue
			}
			if !slices.ContainsFunc(mod.Replace, func(r *modfile.Replace) bool {
				return r.Old.Path == req.Mod.Path && r.New.Path == "../"+name
			}) {
				t.Errorf("%s/go.mod requires %s and does not replace it with ../%s", dir, req.Mod.Path, name)
			}
		}
	}
}

// maxMainLines keeps logic out of mains: they translate flags, environment,
// signals and exit codes. The doc, which is the operator's page, does not count.
const maxMainLines = 60

func TestMainsAreThin(t *testing.T) {
	t.Parallel()
	for _, p := range ownPackages(t) {
		if p.Name != "main" || !strings.Contains(p.short(), "/cmd/") {
			continue
		}
		lines := 0
		fset, files := parse(t, p, p.GoFiles)
		for _, file := range files {
			lines += fset.Position(file.FileEnd).Line - fset.Position(file.Package).Line
		}
		if lines > maxMainLines {
			t.Errorf("%s has %d lines in %v, want %d at most", p.short(), lines, p.GoFiles, maxMainLines)
		}
	}
}

// buckets are names that say nothing about what is inside.
var buckets = []string{"util", "utils", "common", "helper", "helpers", "types", "models", "base", "core", "manager", "misc"}

func TestPackagesAreNamedForWhatTheyHold(t *testing.T) {
	t.Parallel()
	for _, p := range ownPackages(t) {
		if slices.Contains(buckets, p.Name) {
			t.Errorf("%s: a package named %s attracts everything; name it for the one thing it holds", p.short(), p.Name)
		}
	}
}
