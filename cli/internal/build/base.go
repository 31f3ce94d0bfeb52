package build

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/build/netlifytoml"
	"github.com/nightshift/nightshift/cli/internal/build/problem"
)

// rebase moves the site to [build] base. A netlify.toml there counts instead
// of the first one; a base that it names is not followed, as at Netlify.
func (r *Result) rebase(config netlifytoml.File, contexts []string) netlifytoml.File {
	base := filepath.Join(r.Root, filepath.FromSlash(config.Base)) // a leading slash means the root, too
	if base == r.Root {
		return config
	}
	if info, err := os.Stat(base); err != nil || !info.IsDir() || !inside(r.Root, base) {
		r.Problems = append(r.Problems, problem.Errorf(config.BaseAt, "Base directory does not exist: there is no directory %s in the site", config.Base))
		return config
	}
	r.base = base
	own := filepath.Join(base, netlifytoml.Name)
	if _, err := os.Stat(own); err != nil {
		return config
	}
	r.config = own
	inner, problems := netlifytoml.Read(base, contexts...)
	for i := range problems {
		problems[i].At.File = show(r.Root, own)
	}
	r.Problems = append(r.Problems, problems...)
	return inner
}

// Base is where the site is: Root, or [build] base below it.
func (r *Result) Base() string { return r.base }

// fromRoot makes the places of problems, which are relative to the base,
// relative to the site.
func (r *Result) fromRoot() {
	prefix := show(r.Root, r.base)
	if prefix == "." {
		return
	}
	for i := range r.Problems {
		r.Problems[i].At.File = r.showAt(prefix, r.Problems[i].At.File)
	}
	for i := range r.Broken {
		r.Broken[i].Source = prefix + "/" + r.Broken[i].Source
		r.Broken[i].Problems = slices.Clone(r.Broken[i].Problems)
		for j := range r.Broken[i].Problems {
			r.Broken[i].Problems[j].At.File = r.showAt(prefix, r.Broken[i].Problems[j].At.File)
		}
	}
}

func (r *Result) showAt(prefix, file string) string {
	switch {
	case file == "", filepath.IsAbs(file), strings.HasPrefix(file, prefix+"/"):
		return file
	case file == netlifytoml.Name && r.config == "":
		return file // the one at the root
	default:
		return path.Join(prefix, file)
	}
}

// inside reports whether a path is a directory or below it.
func inside(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// directory is where the functions are.
func directory(root string, config netlifytoml.File, opts Options) string {
	dir := DefaultDirectory
	switch {
	case filepath.IsAbs(opts.Directory):
		return opts.Directory
	case opts.Directory != "":
		dir = opts.Directory
	case opts.Dev && config.DevDirectory != "":
		dir = config.DevDirectory
	case config.Directory != "":
		dir = config.Directory
	}
	// A leading slash means the site's root, as Netlify reads it.
	return filepath.Join(root, filepath.FromSlash(strings.TrimPrefix(dir, "/")))
}
