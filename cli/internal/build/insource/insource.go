// Package insource reads, without running anything, what the source of a
// function says about itself: the calling convention it is written for, its
// `export const config`, and a `schedule()` around its handler.
//
// esbuild takes the types off, a JavaScript parser reads the rest, and a source
// map leads every finding back to the line that the author wrote. Only static
// values count: literals, names of the same file that never change, their
// members, and templates, spreads and arithmetic of those. A value that is not
// static is an error: guessing would turn a scheduled function into a public one.
//
// testdata/netlify holds what Netlify's own bundler reads in the same sources.
package insource

import (
	"bytes"
	"path/filepath"
	"strings"

	"github.com/evanw/esbuild/pkg/api" // strips types in process, at the speed of the bundler that runs anyway
	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/cli/internal/build/setting"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/js" // a JavaScript AST in Go; esbuild keeps its own to itself
)

// Module is what a source file says.
type Module struct {
	// API is 0 if the file exports nothing that can be called.
	API function.API
	// CommonJS says that the file exports through module.exports or exports.
	CommonJS bool
	// Settings of the function. Their places are in the file as it was written.
	Settings setting.Set
	Problems []problem.Problem
}

// package that the schedule helper comes from.
const helperPackage = "@netlify/functions"

// Loader says how esbuild reads a file of an extension. JSX is allowed in .js
// files too, as many sites have it.
func Loader(ext string) api.Loader {
	switch ext {
	case ".ts", ".mts", ".cts":
		return api.LoaderTS
	case ".tsx":
		return api.LoaderTSX
	default:
		return api.LoaderJSX
	}
}

// Analyze reads a source file. name is how problems call it.
func Analyze(name string, source []byte) Module {
	s, problems := read(name, source)
	if len(problems) > 0 {
		return Module{Problems: problems}
	}
	return s.module(filepath.Ext(name))
}

// read parses a file.
func read(name string, source []byte) (*scope, []problem.Problem) {
	stripped := api.Transform(string(source), api.TransformOptions{
		Sourcefile: name,
		Loader:     Loader(filepath.Ext(name)),
		Sourcemap:  api.SourceMapExternal,
		// Nobody reads it, and esbuild never comes to an end with a source that ends within a character.
		SourcesContent: api.SourcesContentExclude,
		Target:         api.ES2022,
		Charset:        api.CharsetUTF8,
		JSX:            api.JSXTransform,
		// Attributes say nothing that matters here, and the parser does not know them.
		Supported: map[string]bool{"import-attributes": false, "import-assertions": false},
		// Otherwise TypeScript drops imports that are not used, the schedule helper among them.
		TsconfigRaw: `{"compilerOptions":{"verbatimModuleSyntax":true}}`,
		LogLevel:    api.LogLevelSilent,
	})
	if len(stripped.Errors) > 0 {
		return nil, Messages(stripped.Errors)
	}
	input := parse.NewInputBytes(stripped.Code)
	m := &mapper{file: name, source: strings.Split(string(source), "\n"), code: input.Bytes(), sourceMap: stripped.Map}
	tree, err := js.Parse(input, js.Options{})
	if err != nil { // CommonJS may return at its top level, which the parser allows inline scripts only
		if script, failed := js.Parse(parse.NewInputBytes(withoutHashbang(m.code)), js.Options{Inline: true}); failed == nil {
			tree, err = script, nil
		}
	}
	if err != nil {
		return nil, []problem.Problem{problem.Errorf(m.parseError(err), "the code is valid, but cannot be analysed here: %v. Write the statement in a plainer way", message(err))}
	}
	return newScope(tree, m), nil
}

// withoutHashbang blanks a first line that is for the shell.
func withoutHashbang(code []byte) []byte {
	if bytes.HasPrefix(code, []byte("#!")) {
		copy(code, "//")
	}
	return code
}

// Messages turns esbuild's messages into problems.
func Messages(messages []api.Message) []problem.Problem {
	var out []problem.Problem
	for _, msg := range messages {
		p := problem.Errorf(problem.Position{}, "%s", msg.Text)
		if loc := msg.Location; loc != nil {
			p.At = problem.Position{File: filepath.ToSlash(loc.File), Line: loc.Line, Column: loc.Column + 1, Text: loc.LineText}
		}
		out = append(out, p)
	}
	return out
}

// module decides what the file is.
func (s *scope) module(ext string) Module {
	handler, hasHandler := s.exports["handler"]
	fallback, hasDefault := s.exports["default"]
	out := Module{
		CommonJS: !s.esmExports && (s.cjsExports || ext == ".cjs" || ext == ".cts" || ext == ".js" && !s.esmSyntax),
		Settings: setting.Set{},
	}
	switch {
	case hasHandler && hasDefault && handler.unseen():
		// Netlify runs these as v2, so they are known to work as v2.
		s.warnf(handler.mark, "this file has a default export too, which is what is called; Netlify does not see a `handler` that is a declared function, comes from elsewhere or from a method call. Take one of the two out")
		out.API = function.APIv2
	case hasHandler:
		out.API = function.APIv1
	case hasDefault:
		out.API = function.APIv2
	case s.star || out.CommonJS && s.cjsExports && !s.exportsFunction:
		// What is exported comes from another file; Netlify takes it for v1 as well.
		out.API = function.APIv1
	case s.exportsFunction:
		s.errorf(nil, "module.exports is a function, which nothing calls; write `exports.handler = …`, or `export default …` for a (Request, Context) function")
	}
	if out.API == function.APIv2 && s.onlyEvents(fallback) {
		out.API = 0
	}
	switch out.API {
	case function.APIv1:
		s.scheduleHelper(handler, out.Settings)
		s.ignoredConfig()
	case function.APIv2:
		s.config(fallback, out.Settings)
		s.misplacedHelper()
	}
	out.Problems = s.problems
	return out
}

// config reads the settings of a v2 function.
func (s *scope) config(fallback export, into setting.Set) {
	object, isObject := s.resolve(fallback.value).(*js.ObjectExpr)
	if isObject {
		s.callable(object, fallback)
	}
	config, named := s.exports["config"]
	if !named {
		if !isObject {
			return
		}
		value, ok := property(object, "config")
		if !ok {
			return
		}
		config = export{value: value, local: nameOf(value), mark: fallback.mark}
		if config.local == "" {
			config.local = fallback.local
		}
	}
	s.settings("config", config, into)
}

// settings reads an object of settings; name is how problems call it.
func (s *scope) settings(name string, config export, into setting.Set) {
	if config.from != "" {
		s.errorf(config.mark, "%s comes from %s, so it cannot be read without running the code; write `%s = { … }` in this file", name, config.from, exported(name))
		return
	}
	if mark, changed := s.touched[config.local]; changed {
		s.errorf(mark, "config cannot be read without running the code, because it is changed here; write all of it in `export const config = { … }`")
		return
	}
	object, ok := s.resolve(config.value).(*js.ObjectExpr)
	if !ok {
		s.errorf(config.mark, "%s cannot be read without running the code, because it is %s; write `%s = { … }`", name, s.kindOf(config.value), exported(name))
		return
	}
	s.object(object, func(key string, mark []byte, value js.IExpr) {
		data, bad := s.static(value, 0)
		if bad != nil {
			if at := s.first(bad); at != nil {
				mark = at
			}
			s.errorf(mark, "%s.%s cannot be read without running the code, because it is %s; use literals and constants of this file", name, key, s.kindOf(bad))
			return
		}
		delete(into, key) // a later undefined takes an earlier value out
		if _, none := data.(absent); !none {
			into[key] = setting.Value{Data: data, At: s.mapper.position(mark)}
		}
	}, config.mark)
}

// exported is how settings of a name are written down.
func exported(name string) string {
	if strings.Contains(name, ".") {
		return name
	}
	return "export const " + name
}

// callable reports a default object that nothing can be called in.
func (s *scope) callable(object *js.ObjectExpr, e export) {
	for _, p := range object.List {
		if p.Spread {
			return
		}
	}
	if _, ok := property(object, "fetch"); !ok {
		s.errorf(e.mark, "the default export is an object without a `fetch` function, so nothing can be called; write `export default { fetch(request, context) { … } }`")
	}
}

// object visits the properties of an object whose keys are all known.
func (s *scope) object(object *js.ObjectExpr, visit func(key string, mark []byte, value js.IExpr), mark []byte) {
	for _, p := range object.List {
		if p.Spread {
			inner, ok := s.resolve(p.Value).(*js.ObjectExpr)
			if name := nameOf(p.Value); name != "" && s.constants[name] == nil {
				ok = false
			}
			if !ok {
				s.errorf(orMark(s.first(p.Value), mark), "config cannot be read without running the code, because it spreads %s", s.kindOf(p.Value))
				continue
			}
			s.object(inner, visit, mark)
			continue
		}
		key, at, ok := s.key(p)
		if !ok {
			s.errorf(orMark(s.first(p.Value), mark), "config cannot be read without running the code, because it has a computed key")
			continue
		}
		visit(key, orMark(s.locate(at), orMark(s.first(p.Value), mark)), p.Value)
	}
}

// ignoredConfig reports a config beside a v1 handler.
func (s *scope) ignoredConfig() {
	config, ok := s.exports["config"]
	if !ok {
		return
	}
	if object, ok := s.resolve(config.value).(*js.ObjectExpr); ok {
		for _, key := range []string{"schedule", "background", "path"} {
			if _, has := property(object, key); has {
				s.errorf(config.mark, "config.%s would be ignored, because this file exports a `handler` and `config` belongs to functions with a default export; rename the handler to `export default`, or use schedule(), the -background suffix or netlify.toml", key)
				return
			}
		}
	}
	s.warnf(config.mark, "config is ignored, because this file exports a `handler`; it belongs to functions with a default export")
}

// scheduleHelper finds schedule("…", fn) around a v1 handler, also inside of
// other helpers: wrap(schedule("…", fn)).
func (s *scope) scheduleHelper(handler export, into setting.Set) {
	call := s.helperCall(handler.value, 0)
	if call == nil {
		s.misplacedHelper()
		return
	}
	mark := orMark(s.first(call.X), handler.mark)
	if len(call.Args.List) == 0 {
		s.errorf(mark, "Unable to find cron expression for scheduled function. schedule() has no arguments; write schedule(\"0 6 * * *\", handler)")
		return
	}
	first := call.Args.List[0].Value
	data, bad := s.static(first, 0)
	cron, isText := data.(string)
	if bad != nil || !isText {
		s.errorf(orMark(s.first(first), mark), "Unable to find cron expression for scheduled function. The first argument of schedule() must be a string that stands in this file, not %s", s.kindOf(first))
		return
	}
	into["schedule"] = setting.Value{Data: cron, At: s.mapper.position(orMark(s.first(first), mark))}
}

// helperCall finds the call of schedule that an expression is, or that is
// handed to the calls that it is.
func (s *scope) helperCall(expr js.IExpr, depth int) *js.CallExpr {
	call, ok := s.resolve(expr).(*js.CallExpr)
	if !ok || depth > maxDepth {
		return nil
	}
	if s.isHelper(call.X) {
		return call
	}
	for _, arg := range call.Args.List {
		if inner := s.helperCall(arg.Value, depth+1); inner != nil {
			return inner
		}
	}
	return nil
}

// misplacedHelper reports a schedule helper that does not reach the handler.
func (s *scope) misplacedHelper() {
	mark := s.helperMark
	if len(s.helperCalls) > 0 {
		mark = orMark(s.first(s.helperCalls[0]), mark)
	}
	if mark == nil {
		return
	}
	s.errorf(mark, "The `schedule` helper was imported but we couldn't find any usages that make the exported handler, so the function would not be scheduled; write `export const handler = schedule(\"0 6 * * *\", fn)`, or take the import out")
}
