// Package discover finds the functions of a site by Netlify's rules.
//
// In one directory: direct children only. JavaScript comes first: a directory
// by its entry file, a file by its extension; a directory beats a file of the
// same name, and files win in the order of [extensions]. What JavaScript does
// not claim may be a directory with a Go program, or a file that is a program
// already, told by its content. Among several directories the later one wins.
//
// What loses, and what looks like a function but cannot be one, is reported,
// because Netlify passes over it in silence.
package discover

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/build/executable"
	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
)

// extensions is the order in which files of one name win.
var extensions = []string{".js", ".zip", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts"}

// entryExtensions is the order in which a directory's entry is looked for; at
// each extension <dir>/<dir> comes before <dir>/index.
var entryExtensions = []string{".js", ".ts", ".mjs", ".cjs", ".tsx", ".mts", ".cts"}

// Kind says how a candidate becomes a function.
type Kind string

// The closed list of kinds. Between candidates of one name in one directory
// the kinds win in this order, zips among JavaScript by their extension.
const (
	JavaScript Kind = "JavaScript" // a source file, to be bundled
	Archive    Kind = "zip"        // bundled elsewhere
	Golang     Kind = "Go"         // a directory with a main package
	Executable Kind = "executable" // a program that was built elsewhere
)

// Candidate is a function as the file system shows it.
type Candidate struct {
	Name string // valid as a function name
	Kind Kind
	Path string // of the file to build or to take, absolute; of a Go program, the file that makes it one
	Dir  string // the functions' directory that it stands in, absolute
}

// ranked is a candidate with its place among those of the same name; lower wins.
type ranked struct {
	Candidate
	rank int
}

// Ranks of what is no JavaScript file, whose rank is that of its extension.
const (
	rankDirectory = -1
	rankGo        = 100
	rankProgram   = 101
)

// Find lists the functions of dirs, sorted by name. A later directory wins over
// an earlier one; missing ones are passed over, and if all are missing, that is
// fault.NotFound. root is what reported paths are relative to.
func Find(root string, dirs ...string) ([]Candidate, []problem.Problem, error) {
	var found []Candidate
	var problems []problem.Problem
	missing := 0
	for _, dir := range dirs {
		here, more, err := find(root, dir)
		switch {
		case fault.Is(err, fault.NotFound):
			missing++
		case err != nil:
			return nil, nil, err
		}
		problems = append(problems, more...)
		found = slices.DeleteFunc(found, func(c Candidate) bool {
			i := slices.IndexFunc(here, func(o Candidate) bool { return o.Name == c.Name })
			if i >= 0 {
				problems = append(problems, problem.Warnf(problem.Position{File: show(root, c.Path)}, "is left out, because %s has the same name, and its directory comes first", show(root, here[i].Path)))
			}
			return i >= 0
		})
		found = append(found, here...)
	}
	if missing == len(dirs) {
		return nil, nil, fault.New(fault.NotFound, "looking for functions: there is no directory %s", show(root, dirs[len(dirs)-1]))
	}
	slices.SortFunc(found, func(a, b Candidate) int { return cmp.Compare(a.Name, b.Name) })
	return found, problems, nil
}

// find lists the functions of one directory.
func find(root, dir string) ([]Candidate, []problem.Problem, error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fault.New(fault.NotFound, "there is no directory %s", show(root, dir))
	case err != nil:
		return nil, nil, fault.Wrap(err, fault.Invalid, "looking for functions in %s", show(root, dir))
	}
	var found []ranked
	var problems []problem.Problem
	for _, entry := range entries {
		if entry.Name() == "node_modules" {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		info, err := os.Stat(path) // follows links
		if err != nil {
			problems = append(problems, problem.Warnf(problem.Position{File: show(root, path)}, "cannot be read and is left out: %v", errors.Unwrap(err)))
			continue
		}
		c, rank := look(path, info)
		switch {
		case c.Kind != "":
			c.Name, _ = split(entry.Name())
			c.Dir = dir
			found = append(found, ranked{c, rank})
		case info.IsDir() && exists(path, "Cargo.toml"):
			problems = append(problems, problem.Warnf(problem.Position{File: show(root, path)},
				"Rust functions are not built here, so it is left out; build it yourself (cargo build --release --target x86_64-unknown-linux-musl, for example) and put the program into %s", show(root, dir)))
		}
	}
	chosen, more := choose(root, found)
	return chosen, append(problems, more...), nil
}

// look tells what one entry of a directory is. No kind: no function.
func look(path string, info fs.FileInfo) (c Candidate, rank int) {
	base := filepath.Base(path)
	if info.IsDir() {
		if main, ok := directoryEntry(path, base); ok {
			return Candidate{Kind: JavaScript, Path: main}, rankDirectory
		}
		for _, main := range []string{base + ".go", "main.go"} {
			if exists(path, main) {
				return Candidate{Kind: Golang, Path: filepath.Join(path, main)}, rankGo
			}
		}
		return Candidate{}, 0
	}
	_, ext := split(base)
	switch i := slices.Index(extensions, ext); {
	case declaration(base):
		return Candidate{}, 0
	case ext == ".zip":
		return Candidate{Kind: Archive, Path: path}, i
	case i >= 0:
		return Candidate{Kind: JavaScript, Path: path}, i
	case info.Mode().IsRegular() && executable.Is(path):
		return Candidate{Kind: Executable, Path: path}, rankProgram
	default:
		return Candidate{}, 0
	}
}

// choose takes one candidate per name, and reports those that lose and those
// whose name cannot be.
func choose(root string, found []ranked) (out []Candidate, problems []problem.Problem) {
	slices.SortStableFunc(found, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.rank, b.rank))
	})
	for _, c := range found {
		at := problem.Position{File: show(root, c.Path)}
		switch {
		case c.Name == function.ReservedName:
			problems = append(problems, problem.Warnf(at, "the name %s is reserved; it is left out", c.Name))
		case !function.ValidName(c.Name):
			problems = append(problems, problem.Warnf(at, "%q cannot be the name of a function, because it may have only letters, digits, hyphen and underscore (128 at most); it is left out. Rename the file, or move it out of this directory if it is not a function", c.Name))
		case len(out) > 0 && out[len(out)-1].Name == c.Name:
			problems = append(problems, problem.Warnf(at, "is left out, because %s has the same name and comes first", show(root, out[len(out)-1].Path)))
		default:
			out = append(out, c.Candidate)
		}
	}
	return out, problems
}

// split takes the last extension off a file's or a directory's name.
func split(base string) (name, ext string) {
	ext = filepath.Ext(base)
	return strings.TrimSuffix(base, ext), ext
}

// declaration reports whether a file holds only TypeScript declarations.
func declaration(base string) bool {
	return strings.HasSuffix(base, ".d.ts") || strings.HasSuffix(base, ".d.mts") || strings.HasSuffix(base, ".d.cts")
}

// directoryEntry finds the file that makes a directory a function.
func directoryEntry(dir, base string) (string, bool) {
	for _, ext := range entryExtensions {
		for _, stem := range []string{base, "index"} {
			path := filepath.Join(dir, stem+ext)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				return path, true
			}
		}
	}
	return "", false
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

// show is a path as people see it: relative to root where that is shorter.
func show(root, path string) string {
	rel, err := filepath.Rel(root, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return filepath.ToSlash(path)
	}
	return filepath.ToSlash(rel)
}
