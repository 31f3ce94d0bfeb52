package route

import (
	"slices"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/pattern"
)

// retryAfter is when asking again makes sense if Redis did not answer.
const retryAfter = 2 * time.Second

// table is one deploy, compiled.
type table struct {
	deploy    deploy.Deploy
	functions map[string]*function.Function
	own       []own // functions with paths of their own, in the deploy's order
	files     files
	redirects *redirects // nil without any
	headers   []headerRule
}

// own are the paths of one function.
type own struct {
	function *function.Function
	paths    []pattern.Pattern
	excluded []pattern.Pattern
}

// compile prepares a deploy. A pattern that cannot be read matches nothing: the
// builder and the control plane have refused it long before.
func compile(d deploy.Deploy) *table {
	t := &table{
		deploy: d, functions: make(map[string]*function.Function, len(d.Functions)), files: d.Files,
		redirects: compileRedirects(d.Redirects), headers: compileHeaders(d.Headers),
	}
	for i := range d.Functions {
		f := &d.Functions[i]
		t.functions[f.Name] = f
		if len(f.Paths) > 0 {
			t.own = append(t.own, own{function: f, paths: patterns(f.Paths), excluded: patterns(f.ExcludedPaths)})
		}
	}
	return t
}

func patterns(sources []string) []pattern.Pattern {
	var out []pattern.Pattern
	for _, source := range sources {
		if p, err := pattern.Parse(source); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// Check says what is wrong with the paths of a function, as fault.Invalid.
func Check(f *function.Function) error {
	for _, source := range slices.Concat(f.Paths, f.ExcludedPaths) {
		if _, err := pattern.Parse(source); err != nil {
			message, _ := fault.Public(err)
			return fault.Wrap(err, fault.Invalid, "function %s: %s", f.Name, message)
		}
	}
	return nil
}

// find finds what a method and an escaped path are for: a function's own path,
// then a function's default URL, then a static file. A function that does not
// match, be it for its method, is passed over, and what is left is a file or
// nothing.
func (t *table) find(method, path string, dev bool) (Target, error) {
	target := Target{Site: t.deploy.Site, Deploy: t.deploy.ID, table: t, dev: dev}
	f, route := t.findOwn(method, pattern.TrimSlash(path))
	if f == nil {
		var err error
		if f, err = t.findDefault(path); err != nil {
			return target, err
		}
	}
	switch {
	case f == nil:
		t.serve(&target, t.files.at(path), path)
		return target, nil
	case f.Kind == function.Scheduled && !dev:
		return target, noURL(f.Name)
	case f.PreferStatic:
		if file, ok := t.files.find(path); ok {
			t.serve(&target, &file, path)
			return target, nil
		}
	}
	target.Function, target.Route = f, route
	return target, nil
}

// serve makes a file the target of an escaped path.
func (t *table) serve(target *Target, file *File, path string) {
	file.Headers = t.fields(path)
	target.File = file
}

// findDefault finds the function on its default URL. nil is one that is served
// on its own paths only, and a path that is no function's.
func (t *table) findDefault(path string) (*function.Function, error) {
	name, _, _ := strings.Cut(strings.TrimPrefix(path, prefix), "/")
	if !strings.HasPrefix(path, prefix) || name == "" {
		return nil, nil
	}
	if f := t.functions[name]; f != nil {
		if len(f.Paths) > 0 {
			return nil, nil
		}
		return f, nil
	}
	if base, ok := withoutExtension(name); ok && t.functions[base] != nil {
		return nil, fault.New(fault.NotFound, "Function not found... Function names have no extension; ask for %q.", base)
	}
	if !function.ValidName(name) {
		return nil, fault.New(fault.Invalid, InvalidName)
	}
	return nil, fault.New(fault.NotFound, "Function not found... Site %q has no function %q; names are case sensitive.", t.deploy.Site, name)
}

// withoutExtension takes the extension of a source file off a name.
func withoutExtension(name string) (string, bool) {
	for _, ext := range []string{".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".tsx"} {
		if base, ok := strings.CutSuffix(name, ext); ok {
			return base, true
		}
	}
	return name, false
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
		at := slices.IndexFunc(o.paths, func(p pattern.Pattern) bool { return p.Match(path) })
		if at >= 0 && !slices.ContainsFunc(o.excluded, func(p pattern.Pattern) bool { return p.Match(path) }) {
			return o.function, o.paths[at].String()
		}
	}
	return nil, ""
}
