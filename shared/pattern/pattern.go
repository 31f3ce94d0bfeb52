// Package pattern reads the paths that functions are served on: a literal path,
// or one of the URLPattern standard, which is what Netlify's `path` is written
// in.
//
// Case and one trailing slash do not count, in either form. The builder checks
// patterns with it, with file and line, and the gateway matches with it, so
// that what was accepted is what is served.
package pattern

import (
	"strings"

	"github.com/dunglas/go-urlpattern" // the URLPattern standard, which Netlify's paths are written in
	"github.com/nightshift/nightshift/shared/fault"
)

// Pattern is one path, literal or not. It is safe for concurrent use.
type Pattern struct {
	source   string
	literal  string                 // without trailing slash; if compiled is nil
	compiled *urlpattern.URLPattern // nil for a literal
}

// Parse reads a path. One that does not start with a slash, or that the
// URLPattern standard does not accept, is fault.Invalid, in Netlify's words.
func Parse(source string) (Pattern, error) {
	if !strings.HasPrefix(source, "/") {
		return Pattern{}, fault.New(fault.Invalid, "'%s' must start with a '/'", source)
	}
	if !isPattern(source) {
		return Pattern{source: source, literal: TrimSlash(source)}, nil
	}
	path := TrimSlash(source)
	compiled, err := (&urlpattern.URLPatternInit{Pathname: &path}).New(&urlpattern.Options{IgnoreCase: true})
	if err != nil {
		return Pattern{}, fault.Wrap(err, fault.Invalid, "'%s' is not a valid path according to the URLPattern specification", source)
	}
	return Pattern{source: source, compiled: compiled}, nil
}

// isPattern is Netlify's rule for what is not taken literally.
func isPattern(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if strings.HasPrefix(segment, ":") || strings.ContainsAny(segment, "*{[(") {
			return true
		}
	}
	return false
}

// String is the path as it was written.
func (p *Pattern) String() string { return p.source }

// Match reports whether an escaped path, without trailing slash, matches.
func (p *Pattern) Match(path string) bool {
	if p.compiled == nil {
		return strings.EqualFold(p.literal, path)
	}
	return p.compiled.TestInit(&urlpattern.URLPatternInit{Pathname: &path})
}

// TrimSlash takes one trailing slash off, but not off the root.
func TrimSlash(path string) string {
	if len(path) > 1 {
		return strings.TrimSuffix(path, "/")
	}
	return path
}
