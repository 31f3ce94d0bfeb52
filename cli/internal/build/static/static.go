// Package static collects the static files of a site: what stands in the
// directory that netlify.toml publishes, each with the digest of its content.
//
// What is collected is public. So it is only what the person put there on
// purpose: no hidden files, no packages, no source of functions, and nothing
// that a link brings in from outside of the site.
package static

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/rulefile"
	"golang.org/x/sync/errgroup" // bounds how many files are read at once
)

// File is one static file.
type File struct {
	deploy.File
	Path   string // in the deploy: slash-separated, relative
	Source string // on this machine, absolute
}

// Input says what is collected.
type Input struct {
	Root      string           // of the site, absolute, without links
	Directory string           // to publish, absolute
	At        problem.Position // where that is said
	Functions string           // directory of the functions, absolute
	MaxFiles  int              // default deploy.MaxFiles
}

// Collect lists the static files, sorted by path. A directory that is not there
// is a warning: what fills it may not have run yet.
func Collect(in Input) ([]File, []problem.Problem) {
	shown := show(in.Root, in.Directory)
	real, err := filepath.EvalSymlinks(in.Directory)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, []problem.Problem{problem.Warnf(in.At, "there is no directory %s, so no static files are served; run what builds the site first", shown)}
	case err != nil:
		return nil, []problem.Problem{problem.Errorf(in.At, "the directory %s cannot be read: %v", shown, err)}
	case !within(in.Root, real):
		return nil, []problem.Problem{problem.Errorf(in.At, "the directory %s is outside of the site; publish one inside of %s", shown, in.Root)}
	case in.Functions != "" && within(in.Functions, real):
		return nil, []problem.Problem{problem.Errorf(in.At, "the directory %s holds the source of the functions, which is not for the public; publish another one", shown)}
	case serverCode(real):
		return nil, []problem.Problem{problem.Warnf(in.At, "%s is what next build makes for its own server, and no static files: it is not published", shown)}
	}
	if info, err := os.Stat(real); err != nil || !info.IsDir() {
		return nil, []problem.Problem{problem.Errorf(in.At, "%s is not a directory", shown)}
	}
	in.MaxFiles = cmp.Or(in.MaxFiles, deploy.MaxFiles)
	c := collector{in: in, dir: real}
	if err := filepath.WalkDir(real, c.visit); err != nil {
		c.errorf(in.Directory, "cannot be read: %v", err)
	}
	if problem.Errors(c.problems) == 0 { // what is too much is not read at all
		c.read()
	}
	if problem.Errors(c.problems) > 0 {
		return nil, c.problems
	}
	return c.files, c.problems
}

// serverCode reports whether a directory is the output of next build, which
// netlify.toml of such sites names for Netlify's plugin.
func serverCode(dir string) bool {
	if filepath.Base(dir) == ".next" {
		return true
	}
	_, id := os.Stat(filepath.Join(dir, "BUILD_ID"))
	_, server := os.Stat(filepath.Join(dir, "server"))
	return id == nil && server == nil
}

type collector struct {
	in       Input
	dir      string // the directory without links
	files    []File
	size     int64
	problems []problem.Problem
}

func (c *collector) errorf(path, format string, args ...any) {
	c.problems = append(c.problems, problem.Errorf(problem.Position{File: show(c.in.Root, path)}, format, args...))
}

func (c *collector) warnf(path, format string, args ...any) {
	c.problems = append(c.problems, problem.Warnf(problem.Position{File: show(c.in.Root, path)}, format, args...))
}

// visit is called with each entry, in the order of names.
func (c *collector) visit(path string, entry fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	rel := filepath.ToSlash(strings.TrimPrefix(path, c.dir+string(filepath.Separator)))
	switch {
	case path == c.dir:
		return nil
	case private(entry.Name()) || path == c.in.Functions:
		if entry.IsDir() {
			return fs.SkipDir
		}
		return nil
	case entry.IsDir():
		return nil
	case rel == "netlify.toml" || rel == rulefile.RedirectsFile || rel == rulefile.HeadersFile: // for the builder to read
		return nil
	case !deploy.ValidFilePath(rel):
		c.warnf(path, "has a name that cannot stand in a URL; it is left out")
		return nil
	}
	source, ok := c.source(path, entry)
	if !ok {
		return nil
	}
	return c.add(rel, source)
}

// private reports whether a name is kept from the public wherever it stands.
func private(name string) bool {
	return strings.HasPrefix(name, ".") && name != ".well-known" || name == "node_modules"
}

// source is the file to read for an entry: itself, or what a link leads to
// within the site. What is left out is said.
func (c *collector) source(path string, entry fs.DirEntry) (string, bool) {
	if entry.Type().IsRegular() {
		return path, true
	}
	if entry.Type()&fs.ModeSymlink == 0 {
		c.warnf(path, "is no file; it is left out")
		return "", false
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		c.warnf(path, "is a link that leads nowhere; it is left out")
		return "", false
	}
	inside := within(c.in.Root, target)
	for part := range strings.SplitSeq(show(c.in.Root, target), "/") {
		inside = inside && !private(part)
	}
	info, err := os.Stat(target)
	switch {
	case !inside || within(c.in.Functions, target):
		c.warnf(path, "is a link out of what may be published; it is left out. Copy the file instead")
		return "", false
	case err != nil || !info.Mode().IsRegular():
		c.warnf(path, "is a link to a directory; it is left out. Copy the directory instead")
		return "", false
	}
	return target, true
}

// add takes a file in, by its size. The error ends the walk.
func (c *collector) add(rel, source string) error {
	info, err := os.Stat(source)
	if err != nil {
		c.errorf(source, "cannot be read: %v", errors.Unwrap(err))
		return nil
	}
	c.size += info.Size()
	switch {
	case info.Size() > deploy.MaxFileSize:
		c.errorf(source, "has %d MiB; %d MiB are allowed for a static file", info.Size()>>20, deploy.MaxFileSize>>20)
		return nil
	case c.size > deploy.MaxFilesSize:
		c.errorf(c.in.Directory, "its files are more than %d MiB together; publish less, or serve large files from elsewhere", deploy.MaxFilesSize>>20)
		return fs.SkipAll
	case len(c.files) == c.in.MaxFiles:
		c.errorf(c.in.Directory, "there are more than %d files in it; publish less", c.in.MaxFiles)
		return fs.SkipAll
	}
	c.files = append(c.files, File{Path: rel, Source: source})
	return nil
}

// read reads the files, for their digests: as many at once as there are
// processors, because it is hashing that takes the time.
func (c *collector) read() {
	failed := make([]error, len(c.files))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range c.files {
		f := &c.files[i]
		group.Go(func() error {
			f.Digest, f.Size, failed[i] = digest(f.Source)
			return nil
		})
	}
	_ = group.Wait() // each failure is kept by its file, in order
	for i, err := range failed {
		if err != nil {
			c.errorf(c.files[i].Source, "cannot be read: %v", err)
		}
	}
}

func digest(path string) (hexSum string, size int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", 0, errors.Unwrap(err)
	}
	defer file.Close()
	hash := sha256.New()
	size, err = io.Copy(hash, file)
	if err != nil {
		return "", 0, fmt.Errorf("reading to its end: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil)), size, nil
}

// within reports whether path is dir or lies below it.
func within(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, string(filepath.Separator))+string(filepath.Separator))
}

// show is a path relative to the site, with slashes.
func show(root, path string) string {
	rel, err := filepath.Rel(root, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return filepath.ToSlash(path)
	}
	return filepath.ToSlash(rel)
}
