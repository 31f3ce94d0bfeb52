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

	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/shared/artifact"
)

// wanted is a package that something in the artifact loads at run time.
type wanted struct {
	name     string
	dirs     []string // to look for it from, absolute; Node starts where a package really is
	place    string   // of what loads it, within the artifact
	optional bool
}

// copyModules packs the packages that are not bundled, with all that they
// depend on. A package keeps its place in node_modules. Where it has none that
// Node would find in the artifact, because pnpm or a workspace linked it from
// elsewhere, it goes to the top, or below what needs it if the top is taken.
func copyModules(in Input, queue []wanted) (files []artifact.File, inputs []string, problems []problem.Problem) {
	at := problem.Position{File: slashRel(in.Root, in.Source)}
	excluded := excludedBy(in)
	places := map[string]string{} // place in the artifact → real directory
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		dir, ok := findPackage(next.dirs, next.name)
		if !ok {
			if !next.optional {
				problems = append(problems, problem.Errorf(at, "the external package %q is not installed; run npm install in the site", next.name))
			}
			continue
		}
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			problems = append(problems, problem.Errorf(at, "the external package %q cannot be copied: %v", next.name, reason(err)))
			continue
		}
		to, there := settle(places, next.place, next.name, real, packagePlace(in.Root, dir))
		if there {
			continue
		}
		places[to] = real
		copied, err := copyTree(real, to)
		if err != nil {
			problems = append(problems, problem.Errorf(at, "the external package %q cannot be copied: %v", next.name, err))
			continue
		}
		files = append(files, slices.DeleteFunc(copied, func(f artifact.File) bool { return excluded(f.Path) })...)
		required, optional := dependencies(dir)
		for _, name := range required {
			queue = append(queue, wanted{name: name, dirs: []string{real, dir}, place: to})
		}
		for _, name := range optional {
			queue = append(queue, wanted{name: name, dirs: []string{real, dir}, place: to, optional: true})
		}
	}
	return files, nil, problems
}

// settle finds a place for a package where Node, looking from another place
// upwards, comes upon it. natural is where it is in the site.
func settle(places map[string]string, from, name, real, natural string) (place string, there bool) {
	reachable := false
	for dir := from; ; dir = path.Dir(dir) {
		candidate := path.Join(dir, "node_modules", name)
		if path.Base(dir) == "node_modules" { // Node does not look in node_modules/node_modules
			candidate = ""
		}
		have, taken := places[candidate]
		switch {
		case taken && have == real:
			return candidate, true
		case taken && reachable:
			return natural, false // found before the other one
		case taken:
			return path.Join(from, "node_modules", name), false
		case candidate == natural:
			reachable = true
		}
		if dir == "." || dir == "/" {
			break
		}
	}
	if reachable {
		return natural, false
	}
	return path.Join("node_modules", name), false
}

// packageOf is the package of an import path: "@a/b/c" → "@a/b".
func packageOf(name string) string {
	parts := strings.Split(name, "/")
	if strings.HasPrefix(name, "@") && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

// findPackage looks for a package as Node does, from each directory upwards.
func findPackage(from []string, name string) (string, bool) {
	for _, start := range from {
		for dir := start; ; dir = filepath.Dir(dir) {
			candidate := filepath.Join(dir, "node_modules", filepath.FromSlash(name))
			if info, err := os.Stat(candidate); err == nil && info.IsDir() {
				return candidate, true
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", false
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
	return "node_modules/" + slashed[strings.LastIndex(slashed, modules)+len(modules):]
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
func copyTree(real, to string) ([]artifact.File, error) {
	var files []artifact.File
	err := filepath.WalkDir(real, func(name string, entry fs.DirEntry, err error) error {
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
