package route

import (
	"slices"
	"strings"
	"time"

	"github.com/dunglas/go-urlpattern" // the URLPattern standard, which Netlify's paths are written in
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
)

// retryAfter is when asking again makes sense if Redis did not answer.
const retryAfter = 2 * time.Second

// table is one deploy, compiled.
type table struct {
	deploy    deploy.Deploy
	functions map[string]*function.Function
	own       []own // functions with paths of their own, in the deploy's order
}

// own are the paths of one function.
type own struct {
	function *function.Function
	paths    []pattern
	excluded []pattern
}

// pattern is one path, literal or not.
type pattern struct {
	source   string
	literal  string                 // without trailing slash; if compiled is nil
	compiled *urlpattern.URLPattern // nil for a literal
}

// compile prepares a deploy. A pattern that cannot be read matches nothing: the
// builder and the control plane have refused it long before.
func compile(d deploy.Deploy) *table {
	t := &table{deploy: d, functions: make(map[string]*function.Function, len(d.Functions))}
	for i := range d.Functions {
		f := &d.Functions[i]
		t.functions[f.Name] = f
		if len(f.Paths) > 0 {
			t.own = append(t.own, own{function: f, paths: patterns(f.Paths), excluded: patterns(f.ExcludedPaths)})
		}
	}
	return t
}

func patterns(sources []string) []pattern {
	var out []pattern
	for _, source := range sources {
		if p, err := newPattern(source); err == nil {
			out = append(out, p)
		}
	}
	return out
}

func newPattern(source string) (pattern, error) {
	if !isPattern(source) {
		return pattern{source: source, literal: trimSlash(source)}, nil
	}
	path := trimSlash(source)
	compiled, err := (&urlpattern.URLPatternInit{Pathname: &path}).New(&urlpattern.Options{IgnoreCase: true})
	if err != nil {
		return pattern{}, fault.Wrap(err, fault.Invalid, "'%s' is not a valid path according to the URLPattern specification", source)
	}
	return pattern{source: source, compiled: compiled}, nil
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

// trimSlash takes one trailing slash off.
func trimSlash(path string) string {
	if len(path) > 1 {
		return strings.TrimSuffix(path, "/")
	}
	return path
}

// match reports whether a path, without trailing slash, matches.
func (p *pattern) match(path string) bool {
	if p.compiled == nil {
		return strings.EqualFold(p.literal, path)
	}
	return p.compiled.TestInit(&urlpattern.URLPatternInit{Pathname: &path})
}

// Check says what is wrong with the paths of a function, as fault.Invalid.
func Check(f *function.Function) error {
	for _, source := range slices.Concat(f.Paths, f.ExcludedPaths) {
		if _, err := newPattern(source); err != nil {
			return fault.Wrap(err, fault.Invalid, "function %s: '%s' is not a valid path according to the URLPattern specification", f.Name, source)
		}
	}
	return nil
}

// find finds the function of a method and an escaped path.
func (t *table) find(method, path string, dev bool) (Target, error) {
	target := Target{Site: t.deploy.Site, Deploy: t.deploy.ID}
	if f, route := t.findOwn(method, trimSlash(path)); f != nil {
		if f.Kind == function.Scheduled && !dev {
			return target, noURL(f.Name)
		}
		target.Function, target.Route = f, route
		return target, nil
	}
	rest, ok := strings.CutPrefix(path, prefix)
	if !ok || rest == "" {
		return target, fault.New(fault.NotFound, "Not found... No function of site %q is served at this path.", t.deploy.Site)
	}
	name, _, _ := strings.Cut(rest, "/")
	if !function.ValidName(name) {
		return target, fault.New(fault.Invalid, InvalidName)
	}
	f := t.functions[name]
	switch {
	case f == nil:
		return target, fault.New(fault.NotFound, "Function not found... Site %q has no function %q; names are case sensitive.", t.deploy.Site, name)
	case len(f.Paths) > 0:
		return target, fault.New(fault.NotFound, "Function not found... %q is served on the path in its own config only.", name)
	case f.Kind == function.Scheduled && !dev:
		return target, noURL(name)
	}
	target.Function = f
	return target, nil
}

func noURL(name string) error {
	return fault.New(fault.NotFound, "Function not found... %q runs on its schedule and has no URL.", name)
}

// findOwn finds the first function with a path of its own that matches.
func (t *table) findOwn(method, path string) (*function.Function, string) {
	for i := range t.own {
		o := &t.own[i]
		if len(o.function.Methods) > 0 && !slices.Contains(o.function.Methods, method) {
			continue
		}
		at := slices.IndexFunc(o.paths, func(p pattern) bool { return p.match(path) })
		if at >= 0 && !slices.ContainsFunc(o.excluded, func(p pattern) bool { return p.match(path) }) {
			return o.function, o.paths[at].source
		}
	}
	return nil, ""
}
