package bundle

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4" // ** in included_files
	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/shared/artifact"
)

// Included packs the files that included_files names. Globs are relative
// to the site, or to the function if they stand in its source; one that starts
// with "!" takes files out, wherever it stands in the list.
func Included(in Input) (files []artifact.File, inputs []string, problems []problem.Problem) {
	at := problem.Position{File: slashRel(in.Root, in.Source)}
	root := os.DirFS(in.Root)
	chosen := map[string]bool{}
	excluded := excludedBy(in)
	for _, glob := range in.IncludedFiles {
		if strings.HasPrefix(glob, "!") {
			continue
		}
		pattern, ok := sitePattern(in, glob)
		if !ok {
			problems = append(problems, problem.Errorf(at, "included files: %q is not a glob of files inside of the site", glob))
			continue
		}
		matches, err := doublestar.Glob(root, pattern, doublestar.WithFilesOnly())
		if err != nil {
			problems = append(problems, problem.Errorf(at, "included files: reading %q: %v", glob, reason(err)))
			continue
		}
		if len(matches) == 0 {
			problems = append(problems, problem.Warnf(at, "included files: %q matches no file", glob))
		}
		for _, name := range matches {
			chosen[name] = true
		}
	}
	maps.DeleteFunc(chosen, func(name string, _ bool) bool { return excluded(name) })
	for _, name := range slices.Sorted(maps.Keys(chosen)) {
		abs := filepath.Join(in.Root, filepath.FromSlash(name))
		f, err := readFile(abs, name)
		if err != nil {
			problems = append(problems, problem.Errorf(at, "included files: %s: %v", name, reason(err)))
			continue
		}
		files = append(files, f)
		inputs = append(inputs, abs)
	}
	return files, inputs, problems
}

// sitePattern is a glob relative to the site; false if it leads out of it.
func sitePattern(in Input, glob string) (string, bool) {
	from := "."
	if in.IncludedFrom != "" {
		from = slashRel(in.Root, in.IncludedFrom)
	}
	pattern := path.Join(from, filepath.ToSlash(glob)) // ".." within the site is fine
	return pattern, doublestar.ValidatePattern(pattern) && !path.IsAbs(filepath.ToSlash(glob)) && pattern != ".." && !strings.HasPrefix(pattern, "../")
}

// excludedBy tells which files of the site included_files takes out, those of
// copied packages too.
func excludedBy(in Input) func(name string) bool {
	var patterns []string
	for _, glob := range in.IncludedFiles {
		if glob, out := strings.CutPrefix(glob, "!"); out {
			if pattern, ok := sitePattern(in, glob); ok {
				patterns = append(patterns, pattern)
			}
		}
	}
	return func(name string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool { return doublestar.MatchUnvalidated(pattern, name) })
	}
}

// slashRel is a path relative to root, with slashes.
func slashRel(root, path string) string {
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return filepath.ToSlash(path)
	}
	return filepath.ToSlash(rel)
}
