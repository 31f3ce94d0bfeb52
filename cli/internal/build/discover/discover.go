// Package discover finds the functions of a directory by Netlify's rules:
// direct children only; a file by its extension, a directory by its entry
// file; a directory beats a file of the same name, and files win in the order
// of [extensions]. What loses, and what looks like a function but cannot be
// one, is reported, because Netlify passes over it in silence.
package discover

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
)

// extensions is the order in which files of one name win.
var extensions = []string{".js", ".zip", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts"}

// entryExtensions is the order in which a directory's entry is looked for; at
// each extension <dir>/<dir> comes before <dir>/index.
var entryExtensions = []string{".js", ".ts", ".mjs", ".cjs", ".tsx", ".mts", ".cts"}

// Candidate is a function as the file system shows it.
type Candidate struct {
	Name string // valid as a function name
	Path string // of the file to build, absolute
}

// Find lists the functions of dir, sorted by name. root is what reported
// paths are relative to. A missing dir is fault.NotFound.
func Find(root, dir string) ([]Candidate, []problem.Problem, error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fault.New(fault.NotFound, "looking for functions: there is no directory %s", show(root, dir))
	case err != nil:
		return nil, nil, fault.Wrap(err, fault.Invalid, "looking for functions in %s", show(root, dir))
	}
	type ranked struct {
		Candidate
		rank int // lower wins
	}
	var found []ranked
	var problems []problem.Problem
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		at := problem.Position{File: show(root, path)}
		info, err := os.Stat(path) // follows links
		if err != nil {
			problems = append(problems, problem.Warnf(at, "cannot be read and is left out: %v", errors.Unwrap(err)))
			continue
		}
		name, ext := split(entry.Name())
		switch {
		case entry.Name() == "node_modules":
		case info.IsDir():
			if main, ok := directoryEntry(path, entry.Name()); ok {
				found = append(found, ranked{Candidate{name, main}, -1})
			} else if lang := foreign(path, entry.Name()); lang != "" {
				problems = append(problems, problem.Warnf(at, "%s functions cannot be built from source yet; it is left out", lang))
			}
		case !slices.Contains(extensions, ext) || declaration(entry.Name()):
		default:
			found = append(found, ranked{Candidate{name, path}, slices.Index(extensions, ext)})
		}
	}
	slices.SortStableFunc(found, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.rank, b.rank))
	})
	var out []Candidate
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
	return out, problems, nil
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

// foreign names the language of a directory that Netlify would build.
func foreign(dir, base string) string {
	exists := func(name string) bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil }
	switch {
	case exists("main.go"), exists(base + ".go"):
		return "Go"
	case exists("Cargo.toml"):
		return "Rust"
	default:
		return ""
	}
}

// show is a path as people see it: relative to root where that is shorter.
func show(root, path string) string {
	rel, err := filepath.Rel(root, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return filepath.ToSlash(path)
	}
	return filepath.ToSlash(rel)
}
