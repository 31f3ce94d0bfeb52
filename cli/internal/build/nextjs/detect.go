package nextjs

import (
	"crypto/sha256"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// detect reports whether a directory holds a Next.js site with routes of its
// own: it depends on next, and has a file below pages/api or a route file in app.
func detect(root string) bool {
	data, err := os.ReadFile(filepath.Join(root, "package.json"))
	if err != nil {
		return false
	}
	var manifest struct {
		Dependencies    map[string]string `json:"dependencies"`
		DevDependencies map[string]string `json:"devDependencies"`
	}
	if json.Unmarshal(data, &manifest) != nil {
		return false
	}
	if manifest.Dependencies["next"] == "" && manifest.DevDependencies["next"] == "" {
		return false
	}
	for _, dir := range []string{root, filepath.Join(root, "src")} {
		if hasFile(filepath.Join(dir, "pages"), func(rel string) bool {
			return strings.HasPrefix(rel, "api/") || strings.HasPrefix(rel, "api.")
		}) {
			return true
		}
		if hasFile(filepath.Join(dir, "app"), func(rel string) bool {
			return strings.HasPrefix(rel[strings.LastIndex(rel, "/")+1:], "route.")
		}) {
			return true
		}
	}
	return false
}

// hasFile reports whether a file below dir has a fitting path, relative and with slashes.
func hasFile(dir string, fits func(rel string) bool) bool {
	found := false
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil
		}
		if rel, err := filepath.Rel(dir, path); err == nil && fits(filepath.ToSlash(rel)) {
			found = true
			return fs.SkipAll
		}
		return nil
	})
	return found
}

// sources are the files that a build depends on, relative to the root, with
// the digest of their content.
type sources map[string][sha256.Size]byte

// read reads the sources of a site: all that is in it but packages, what is
// hidden (.env files are not), what builds make, and functions of other kinds.
func read(opts Options, distDir string) sources {
	out := sources{}
	dist := filepath.Join(opts.Root, filepath.FromSlash(distDir))
	_ = filepath.WalkDir(opts.Root, func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return nil
		case entry.IsDir() && path != opts.Root && (name == "node_modules" || strings.HasPrefix(name, ".") || path == dist || path == opts.Functions):
			return fs.SkipDir
		case !entry.Type().IsRegular(), strings.HasPrefix(name, ".") && !strings.HasPrefix(name, ".env"),
			name == "next-env.d.ts", strings.HasSuffix(name, ".tsbuildinfo"): // written by Next
			return nil
		}
		if rel, err := filepath.Rel(opts.Root, path); err == nil {
			out.refresh(opts.Root, filepath.ToSlash(rel))
		}
		return nil
	})
	return out
}

// refresh reads one of them again.
func (s sources) refresh(root, rel string) {
	file, err := os.Open(filepath.Join(root, filepath.FromSlash(rel)))
	if err != nil {
		delete(s, rel)
		return
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return // gone while it was read; the watch will tell
	}
	s[rel] = [sha256.Size]byte(hash.Sum(nil))
}

// absorb takes over what a build has written itself, so that it is no reason
// for the next one: new files outside of the trees, what is made for public,
// and what Next does to tsconfig.json. Other changes were made by somebody
// while the build ran.
func (s sources) absorb(after sources, trees []string) {
	for rel, digest := range after {
		_, before := s[rel]
		top, _, _ := strings.Cut(rel, "/")
		inTree := slices.ContainsFunc(trees, func(dir string) bool { return filepath.Base(dir) == top })
		if !before && !inTree || top == "public" || rel == "tsconfig.json" {
			s[rel] = digest
		}
	}
}

// same reports whether the sources are what they were.
func (s sources) same(opts Options, distDir string) bool {
	return maps.Equal(s, read(opts, distDir))
}

// files lists them, absolute.
func (s sources) files(root string) []string {
	var out []string
	for rel := range s {
		out = append(out, filepath.Join(root, filepath.FromSlash(rel)))
	}
	slices.Sort(out)
	return out
}

// trees are the folders in which a new file may be a new route.
func trees(root string) []string {
	var out []string
	for _, name := range []string{"app", "pages", "src"} {
		if info, err := os.Stat(filepath.Join(root, name)); err == nil && info.IsDir() {
			out = append(out, filepath.Join(root, name))
		}
	}
	return out
}
