package bundle

import (
	"encoding/json"
	"io/fs"
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

// copyIncluded packs the files that included_files names. Globs are relative
// to the site, or to the function if they stand in its source; one that starts
// with "!" takes files out, wherever it stands in the list.
func copyIncluded(in Input) (files []artifact.File, inputs []string, problems []problem.Problem) {
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

// copyModules packs the packages that are not to be bundled, with all that
// they depend on, at the place in node_modules where they are found.
func copyModules(in Input) (files []artifact.File, inputs []string, problems []problem.Problem) {
	at := problem.Position{File: slashRel(in.Root, in.Source)}
	type want struct {
		name, from string
		optional   bool
	}
	var queue []want
	for _, name := range in.ExternalModules {
		queue = append(queue, want{name: packageOf(name), from: filepath.Dir(in.Source)})
	}
	done, excluded := map[string]bool{}, excludedBy(in)
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		dir, ok := findPackage(next.from, next.name)
		if !ok {
			if !next.optional {
				problems = append(problems, problem.Errorf(at, "the external package %q is not installed; run npm install in the site", next.name))
			}
			continue
		}
		if done[dir] {
			continue
		}
		done[dir] = true
		copied, err := copyTree(dir, packagePlace(in.Root, dir))
		if err != nil {
			problems = append(problems, problem.Errorf(at, "the external package %q cannot be copied: %v", next.name, err))
			continue
		}
		files = append(files, slices.DeleteFunc(copied, func(f artifact.File) bool { return excluded(f.Path) })...)
		required, optional := dependencies(dir)
		for _, name := range required {
			queue = append(queue, want{name: name, from: dir})
		}
		for _, name := range optional {
			queue = append(queue, want{name: name, from: dir, optional: true})
		}
	}
	return files, nil, problems
}

// packageOf is the package of an import path: "@a/b/c" → "@a/b".
func packageOf(name string) string {
	parts := strings.Split(name, "/")
	if strings.HasPrefix(name, "@") && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

// findPackage looks for a package as Node does, from a directory upwards.
func findPackage(from, name string) (string, bool) {
	for dir := from; ; dir = filepath.Dir(dir) {
		candidate := filepath.Join(dir, "node_modules", filepath.FromSlash(name))
		if info, err := os.Stat(candidate); err == nil && info.IsDir() {
			return candidate, true
		}
		if dir == filepath.Dir(dir) {
			return "", false
		}
	}
}

// packagePlace is where a package goes in the artifact: where it is in the
// site, or in the top node_modules if it was found above the site.
func packagePlace(root, dir string) string {
	rel := slashRel(root, dir)
	if !strings.HasPrefix(rel, "../") && !filepath.IsAbs(rel) {
		return rel
	}
	const modules = "/node_modules/"
	slashed := filepath.ToSlash(dir)
	return "node_modules/" + slashed[strings.Index(slashed, modules)+len(modules):]
}

// dependencies are those that a package states.
func dependencies(dir string) (required, optional []string) {
	data, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		return nil, nil
	}
	var manifest struct {
		Dependencies         map[string]string `json:"dependencies"`
		OptionalDependencies map[string]string `json:"optionalDependencies"`
		PeerDependencies     map[string]string `json:"peerDependencies"`
	}
	if json.Unmarshal(data, &manifest) != nil {
		return nil, nil
	}
	for _, name := range slices.Sorted(maps.Keys(manifest.Dependencies)) {
		if _, ok := manifest.OptionalDependencies[name]; !ok {
			required = append(required, name)
		}
	}
	optional = slices.Concat(slices.Sorted(maps.Keys(manifest.OptionalDependencies)), slices.Sorted(maps.Keys(manifest.PeerDependencies)))
	return required, optional
}

// copyTree reads a package without the packages nested in it, which are
// copied when something depends on them. Links are followed for files only.
func copyTree(dir, to string) ([]artifact.File, error) {
	real, err := filepath.EvalSymlinks(dir) // pnpm and workspaces link packages
	if err != nil {
		return nil, err
	}
	var files []artifact.File
	err = filepath.WalkDir(real, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "node_modules" && name != real:
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
			return nil
		}
		rel, err := filepath.Rel(real, name)
		if err != nil {
			return err
		}
		f, err := readFile(name, to+"/"+filepath.ToSlash(rel))
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// slashRel is a path relative to root, with slashes.
func slashRel(root, path string) string {
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return filepath.ToSlash(path)
	}
	return filepath.ToSlash(rel)
}
