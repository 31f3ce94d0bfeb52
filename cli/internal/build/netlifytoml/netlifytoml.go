// Package netlifytoml reads the parts of netlify.toml that concern functions,
// static files, redirects and headers.
//
//	[build]   base                               where the site is, below this file
//	[build]   publish, functions                 the directory of static files; that of functions, as old sites have it
//	[build.environment]                          variables for functions under `nightshift dev`
//	[dev]     command, publish, functions        what `nightshift dev` runs beside, and the directories there
//	[functions]            directory, included_files, external_node_modules, …  for all functions
//	[functions."<glob>"]   settings of the functions whose name matches
//	[[redirects]], [[headers]]   see package rulefile
//	[context.<name>]       any of these, for deploys of that context
//
// Everything else in the file is Netlify's business. It is listed as a
// warning, with its line, so that nobody takes it for honoured.
package netlifytoml

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"       // the reference implementation; its errors carry line and column
	"github.com/bmatcuk/doublestar/v4" // globs with ** and {a,b}, as Netlify's minimatch has them
	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/cli/internal/build/setting"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/rulefile"
)

// Name is the file's name.
const Name = "netlify.toml"

// File is what a netlify.toml says. The zero File is that of a site without one.
type File struct {
	Directory    string // [functions] directory, or [build] functions
	DirectoryAt  problem.Position
	DevDirectory string // [dev] functions
	DevCommand   string // [dev] command
	Base         string // [build] base
	BaseAt       problem.Position
	Publish      string // [build] publish
	PublishAt    problem.Position
	DevPublish   string // [dev] publish
	DevPublishAt problem.Position
	Redirects    []deploy.Redirect
	Headers      []deploy.HeaderRule
	// RuleProblems are about redirects and headers, and stop nothing else.
	RuleProblems []problem.Problem
	// Environment is [build.environment]. Netlify's functions see it in
	// development only.
	Environment map[string]string

	sections []section
}

// section is one [functions."<glob>"].
type section struct {
	glob   string
	weight int
	order  int // place in the file; of two globs of one weight the later wins
	set    setting.Set
}

// hoisted are the keys that stand directly in [functions] and mean all
// functions; any other key there is the name or glob of some.
var hoisted = []string{
	"deno_import_map", "external_node_modules", "ignored_node_modules", "included_files",
	"memory", "node_bundler", "region", "schedule", "vcpu",
}

// Read reads <root>/netlify.toml for a build in contexts, such as "production"
// or "branch-deploy" and the name of a branch. A missing file is an empty one.
// The problems that are errors make the file unusable as a whole.
func Read(root string, contexts ...string) (File, []problem.Problem) {
	data, err := os.ReadFile(filepath.Join(root, Name))
	if errors.Is(err, fs.ErrNotExist) {
		return File{}, nil
	}
	if err != nil {
		return File{}, []problem.Problem{problem.Errorf(problem.Position{File: Name}, "cannot be read: %v", errors.Unwrap(err))}
	}
	return parse(strings.TrimPrefix(string(data), "\ufeff"), contexts)
}

func parse(text string, contexts []string) (File, []problem.Problem) {
	var doc map[string]any
	meta, err := toml.Decode(text, &doc)
	if err != nil {
		return File{}, []problem.Problem{syntaxError(text, err)}
	}
	p := parser{places: locate(text), keys: meta.Keys()}
	own := map[string]problem.Position{"redirects": p.places.at([]string{"redirects"}), "headers": p.places.at([]string{"headers"})}
	if build, ok := doc["build"].(map[string]any); ok {
		_, p.beyondDev = build["environment"]
	}
	p.overlay(doc, contexts)
	for _, key := range slices.Sorted(maps.Keys(own)) {
		if p.places.at([]string{key}) != own[key] {
			p.rules(doc, key, "") // a context's, whose lines are not known
			continue
		}
		p.rules(doc, key, text)
	}
	for _, key := range slices.Sorted(maps.Keys(doc)) {
		switch table, isTable := doc[key].(map[string]any); {
		case key == "build" && isTable:
			p.build(table)
		case key == "dev" && isTable:
			p.dev(table)
		case key == "functions" && isTable:
			p.functions(table)
		case key == "context" || key == "redirects" || key == "headers": // read above
		case key == "build" || key == "dev" || key == "functions":
			p.errorf([]string{key}, "%s must be a table: write [%s]", key, key)
		default:
			p.warnf([]string{key}, "%s has no effect: Nightshift serves functions and static files, with redirects and headers", key)
		}
	}
	problem.Sort(p.problems)
	return p.file, p.problems
}

// rules reads redirects or headers; text is where their lines are found.
func (p *parser) rules(doc map[string]any, key, text string) {
	value, there := doc[key]
	if !there {
		return
	}
	rules := rulefile.Tables(map[string]any{key: value}, text)
	p.file.Redirects, p.file.Headers = append(p.file.Redirects, rules.Redirects...), append(p.file.Headers, rules.Headers...)
	for _, note := range rules.Notes {
		at := p.places.at([]string{key})
		if note.Line > 0 {
			at = problem.Position{File: Name, Line: note.Line, Column: note.Column, Text: lineOf(text, note.Line)}
		}
		p.file.RuleProblems = append(p.file.RuleProblems, problem.Problem{At: at, Message: note.Text, Warning: note.Warning})
	}
}

func syntaxError(text string, err error) problem.Problem {
	at := problem.Position{File: Name}
	message := err.Error()
	if e, ok := errors.AsType[toml.ParseError](err); ok {
		message = e.Message
		if message == "" {
			message = strings.TrimPrefix(regexp.MustCompile(`^toml: line \d+( \(last key "[^"]*"\))?: `).ReplaceAllString(e.Error(), ""), "toml: ")
		}
		at.Line, at.Column = e.Position.Line, e.Position.Col
		// An error at the end of a line is reported with the number of the next one.
		if at.Column > len(lineOf(text, at.Line))+1 && at.Column <= len(lineOf(text, at.Line-1))+1 {
			at.Line--
		}
		at.Text = lineOf(text, at.Line)
	}
	return problem.Errorf(at, "is not valid TOML: %s", message)
}

type parser struct {
	file     File
	places   places
	keys     []toml.Key // in the order of the file
	problems []problem.Problem
	// beyondDev says that there is an environment which is not of dev alone, so
	// that somebody may expect it where it is not.
	beyondDev bool
}

func (p *parser) errorf(key []string, format string, args ...any) {
	p.problems = append(p.problems, problem.Errorf(p.places.at(key), format, args...))
}

func (p *parser) warnf(key []string, format string, args ...any) {
	p.problems = append(p.problems, problem.Warnf(p.places.at(key), format, args...))
}

// text reads a string or reports that it is none.
func (p *parser) text(key []string, value any) string {
	s, ok := value.(string)
	if !ok {
		p.errorf(key, "%s must be a string", strings.Join(key, "."))
	}
	return s
}

func (p *parser) build(table map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(table)) {
		path := []string{"build", key}
		switch key {
		case "base":
			p.file.Base, p.file.BaseAt = p.text(path, table[key]), p.places.at(path)
		case "publish":
			p.file.Publish, p.file.PublishAt = p.text(path, table[key]), p.places.at(path)
		case "functions":
			if dir := p.text(path, table[key]); p.file.Directory == "" {
				p.file.Directory, p.file.DirectoryAt = dir, p.places.at(path)
			}
		case "environment":
			p.environment(table[key])
		default:
			p.warnf(path, "build.%s has no effect: Nightshift bundles the functions and runs no build", key)
		}
	}
}

func (p *parser) environment(value any) {
	path := []string{"build", "environment"}
	table, ok := value.(map[string]any)
	if !ok {
		p.errorf(path, "build.environment must be a table: write [build.environment]")
		return
	}
	p.file.Environment = map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		switch v := table[key].(type) {
		case string:
			p.file.Environment[key] = v
		case bool, int64, float64:
			p.file.Environment[key] = fmt.Sprint(v)
		default:
			p.errorf(append(path, key), "build.environment.%s must be a string", key)
		}
	}
	if !p.beyondDev {
		return
	}
	p.warnf(path, "build.environment is for nightshift dev only: functions that are deployed do not see it, as on Netlify; for them use nightshift env set")
}

func (p *parser) dev(table map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(table)) {
		path := []string{"dev", key}
		switch key {
		case "command":
			p.file.DevCommand = p.text(path, table[key])
		case "functions":
			p.file.DevDirectory = p.text(path, table[key])
		case "publish":
			p.file.DevPublish, p.file.DevPublishAt = p.text(path, table[key]), p.places.at(path)
		default:
			p.warnf(path, "dev.%s has no effect: it configures Netlify's own dev server", key)
		}
	}
}

func (p *parser) functions(table map[string]any) {
	all := setting.Set{}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		path := []string{"functions", key}
		settings, isTable := table[key].(map[string]any)
		camel := setting.CamelCase(key)
		switch {
		case key == "directory":
			p.file.Directory, p.file.DirectoryAt = p.text(path, table[key]), p.places.at(path)
		case isTable:
			p.section(key, settings)
		case slices.Contains(hoisted, key), camel != "background" && setting.Known(camel):
			all[camel] = setting.Value{Data: plain(table[key]), At: p.places.at(path)}
		case camel == "background":
			p.errorf(path, "background must be said of certain functions: [functions.\"name\"] background = true")
		default:
			p.errorf(path, "functions.%s is neither a setting nor a table; settings of one function stand in [functions.%q]", key, key)
		}
	}
	if len(all) > 0 {
		p.file.sections = append(p.file.sections, section{glob: "*", weight: weigh("*"), order: -1, set: all})
	}
	slices.SortStableFunc(p.file.sections, func(a, b section) int {
		return cmp.Or(cmp.Compare(a.weight, b.weight), cmp.Compare(a.order, b.order))
	})
}

func (p *parser) section(glob string, table map[string]any) {
	if !doublestar.ValidatePattern(strings.TrimLeft(glob, "!")) {
		p.errorf([]string{"functions", glob}, "%q is not a valid glob", glob)
		return
	}
	if extended.MatchString(glob) {
		p.errorf([]string{"functions", glob}, "%q has an extended glob, which is not read here; write {a,b} for a choice, or a section for each name", glob)
		return
	}
	set := setting.Set{}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		path := []string{"functions", glob, key}
		if key == "directory" {
			p.errorf(path, "directory must be defined on the main `functions` object, because it is that of all functions: [functions] directory = …")
			continue
		}
		set[setting.CamelCase(key)] = setting.Value{Data: plain(table[key]), At: p.places.at(path)}
	}
	p.file.sections = append(p.file.sections, section{glob: glob, weight: weigh(glob), order: p.order(glob), set: set})
}

// order is where a section first stands in the file.
func (p *parser) order(glob string) int {
	return slices.IndexFunc(p.keys, func(key toml.Key) bool { return len(key) > 1 && key[0] == "functions" && key[1] == glob })
}

// extended are globs such as +(a|b), which Netlify's minimatch has and doublestar has not.
var extended = regexp.MustCompile(`[!?*+@]\(`)

// weigh says how exact a glob is, by Netlify's measure: its length without
// stars, and one less if it has any. Other wildcards count as they are.
func weigh(glob string) int {
	stars := strings.Count(glob, "*")
	return utf8.RuneCountInString(glob) - stars - min(stars, 1)
}

// match reports whether a glob means a name; "!" in front means all others.
func match(glob, name string) bool {
	pattern := strings.TrimLeft(glob, "!")
	negated := (len(glob)-len(pattern))%2 == 1
	return doublestar.MatchUnvalidated(pattern, name) != negated
}

// Settings are those of a function: of all sections that match its name, the
// more exact one wins; lists are joined.
func (f *File) Settings(name string) setting.Set {
	out := setting.Set{}
	for _, s := range f.sections {
		if match(s.glob, name) {
			out = setting.Merge(out, s.set)
		}
	}
	return out
}

// Unmatched warns about sections that name one function which is not there.
func (f *File) Unmatched(names []string) []problem.Problem {
	var out []problem.Problem
	for _, s := range f.sections {
		if s.glob == "*" || slices.ContainsFunc(names, func(n string) bool { return match(s.glob, n) }) {
			continue
		}
		at := problem.Position{File: Name}
		for _, v := range s.set {
			if at.Line == 0 || v.At.Line < at.Line {
				at = v.At
			}
		}
		at.Column = 0
		out = append(out, problem.Warnf(at, "[functions.%q] matches no function", s.glob))
	}
	return out
}

// plain is a TOML value with the types that package setting knows.
func plain(v any) any {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plain(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for key := range v {
			out[key] = plain(v[key])
		}
		return out
	case string, bool, float64:
		return v
	default:
		return fmt.Sprint(v)
	}
}
