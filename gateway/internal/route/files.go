package route

import (
	"net/url"
	"strings"

	"github.com/nightshift/nightshift/shared/deploy"
)

// File is what a path that is no function's is answered with.
type File struct {
	// Path is that of the file within its deploy; its extension says what it is.
	// Empty: there is nothing to serve.
	Path string
	deploy.File
	// Missing says that nothing is at the path that was asked for: the file is
	// the deploy's own page for that, if it has one.
	Missing bool
	// Status is what it is answered with; 0: 200, or 404 if it is missing.
	Status int
	// Headers are those that the deploy adds.
	Headers []Field
}

// files are the static files of a deploy, by path.
type files map[string]deploy.File

// notFoundPage is the file that a site shows where there is nothing.
const notFoundPage = "404.html"

// at is what a path is answered with; a path with nothing at it, too.
func (f files) at(escaped string) *File {
	if file, ok := f.find(escaped); ok {
		return &file
	}
	return f.missing()
}

// missing is what a path with nothing at it is answered with.
func (f files) missing() *File {
	if page, ok := f[notFoundPage]; ok {
		return &File{Path: notFoundPage, File: page, Missing: true}
	}
	return &File{Missing: true}
}

// find finds the file at an escaped path: that very file, or the page that is
// meant by it, so that links need neither .html nor index.html.
func (f files) find(escaped string) (File, bool) {
	path, ok := decode(escaped)
	if !ok || len(f) == 0 {
		return File{}, false
	}
	dir, isDir := strings.CutSuffix(path, "/")
	candidates := []string{path, path + ".html", path + "/index.html"}
	switch {
	case path == "":
		candidates = []string{"index.html"}
	case isDir:
		candidates = []string{path + "index.html", dir + ".html"}
	}
	for _, candidate := range candidates {
		if file, ok := f[candidate]; ok {
			return File{Path: candidate, File: file}, true
		}
	}
	return File{}, false
}

// decode is an escaped path without its first slash, as files are named. An
// escaped slash is part of no name.
func decode(escaped string) (string, bool) {
	path, err := url.PathUnescape(strings.TrimPrefix(escaped, "/"))
	return path, err == nil && strings.Count(path, "/") == strings.Count(strings.TrimPrefix(escaped, "/"), "/")
}
