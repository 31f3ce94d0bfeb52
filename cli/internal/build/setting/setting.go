// Package setting turns what people write about a function, in its source and
// in netlify.toml, into a checked description of it.
//
// Both places use the same keys. Netlify's own are spelled with underscores in
// the file and in camel case in the source, so keys are compared in camel
// case. Every value carries its place, and every mistake is a problem at that
// place: a value of the wrong type is never dropped, because a dropped
// schedule would be a public function.
package setting

import (
	"maps"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/schedule"
)

// Value is a static value and where it stands. Data is nil, bool, float64,
// string, []any or map[string]any.
type Value struct {
	Data any
	At   problem.Position
}

// Set is settings by key, in camel case.
type Set map[string]Value

// joined are the lists of which a function gets all that any section names.
var joined = []string{"includedFiles", "externalNodeModules", "ignoredNodeModules"}

// Merge lays a section of netlify.toml over a less exact one.
func Merge(under, over Set) Set {
	return lay(under, over, joined)
}

// Replace lays a function's own source over netlify.toml. Packages are joined;
// included files are not, because the source names them from where it stands.
func Replace(under, over Set) Set {
	if list, ok := over["includedFiles"].Data.([]any); ok && len(list) == 0 {
		over = maps.Clone(over)
		delete(over, "includedFiles")
	}
	return lay(under, over, joined[1:])
}

func lay(under, over Set, joined []string) Set {
	out := maps.Clone(under)
	if out == nil {
		out = Set{}
	}
	if slices.ContainsFunc(exclusive, func(key string) bool { _, has := over[key]; return has }) {
		for _, key := range exclusive {
			delete(out, key)
		}
	}
	for key, value := range over {
		below, both := under[key].Data.([]any)
		above, isList := value.Data.([]any)
		if both && isList && slices.Contains(joined, key) {
			value.Data = slices.Concat(below, above)
		}
		out[key] = value
	}
	return out
}

// CamelCase spells a key of netlify.toml as the source has it.
func CamelCase(key string) string {
	var b strings.Builder
	up := false
	for _, r := range key {
		switch {
		case r == '_':
			up = true
		case up:
			b.WriteString(strings.ToUpper(string(r)))
			up = false
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Bundling is what settings say about how the code is packed.
type Bundling struct {
	IncludedFiles   []string // globs, relative to the site; "!" in front takes files out again
	ExternalModules []string // packages that are copied instead of bundled
	IgnoredModules  []string // packages that are left out
	CopyModules     bool     // all packages are copied instead of bundled
}

// unsupported are keys that Netlify knows and Nightshift cannot honour yet.
var unsupported = map[string]string{
	"memory":        "the memory of a function is not limited yet",
	"vcpu":          "the processors of a function are not limited yet",
	"region":        "functions run where your workers run",
	"name":          "display names are not kept",
	"generator":     "it is not kept",
	"nodeVersion":   "functions run on the Node of the worker",
	"denoImportMap": "there are no edge functions",
}

// supported are the keys that Resolve reads.
var supported = []string{
	"background", "schedule", "timezone", "catchUp", "overlap", "onRollback", "path", "excludedPath", "method", "preferStatic", "rateLimit",
	"timeout", "retries", "retryDelays", "concurrency", "includedFiles", "externalNodeModules", "ignoredNodeModules", "nodeBundler",
}

// Known reports whether a key (in camel case) means something here or at Netlify.
func Known(key string) bool {
	_, other := unsupported[key]
	return other || slices.Contains(supported, key)
}

// Resolve checks the settings of one function and lays them over base, which
// says name, API, runtime and source. The kind follows from the settings and
// the name.
func Resolve(base function.Function, set Set) (function.Function, Bundling, []problem.Problem) {
	r := reader{set: set}
	f := base
	f.Schedule = r.text("schedule", "a cron expression such as \"0 6 * * *\"")
	f.Timezone = r.text("timezone", "an IANA zone such as \"Europe/Berlin\"")
	f.CatchUp = r.choice("catchUp", "last", "all", "none")
	f.Overlap = r.choice("overlap", "allow", "skip")
	f.OnRollback = r.choice("onRollback", "pinned", "latest")
	background := r.flag("background") || strings.HasSuffix(f.Name, "-background")
	f.Kind = function.Sync
	switch {
	case f.Schedule != "":
		f.Kind = function.Scheduled
	case background:
		f.Kind = function.Background
	}

	f.Paths = r.paths("path")
	f.ExcludedPaths = r.paths("excludedPath")
	f.Methods = r.methods()
	f.PreferStatic = r.flag("preferStatic")
	f.RateLimit = r.rateLimit()
	r.rewrite(&f)

	f.TimeoutMS = r.timeout()
	if f.Kind == function.Scheduled && background && f.TimeoutMS == 0 {
		f.TimeoutMS = function.DefaultBackgroundTimeout.Milliseconds()
	}
	if n, ok := r.number("retries", 0, function.MaxRetries, true, "a whole number"); ok {
		retries := int(n)
		f.Retries = &retries
	}
	f.RetryDelaysMS = r.delays()
	if n, ok := r.number("concurrency", 1, 100_000, true, "a whole number"); ok {
		f.Concurrency = int(n)
	}
	b := Bundling{
		IncludedFiles:   r.texts("includedFiles", "a glob such as \"data/**\""),
		ExternalModules: r.texts("externalNodeModules", "a package name"),
		IgnoredModules:  r.texts("ignoredNodeModules", "a package name"),
	}
	// esbuild is what functions are bundled with. The others keep packages as files.
	bundler := r.choice("nodeBundler", "esbuild", "nft", "zisi", "none")
	b.CopyModules = bundler != "" && bundler != "esbuild"
	r.schedule(&f)
	r.event(f)
	r.size()
	r.unknown()
	return f, b, r.problems
}

// schedule checks what the settings of a schedule say together.
func (r *reader) schedule(f *function.Function) {
	if f.Kind != function.Scheduled {
		if v, ok := r.set["schedule"]; ok && v.Data == "" {
			r.errorf(v.At, "schedule is empty; write a cron expression such as \"0 6 * * *\", or take the key out")
		}
		return
	}
	if _, err := schedule.Parse(f.Schedule, f.Timezone); err != nil {
		message, _ := fault.Public(err)
		if fault.KindOf(err) == fault.Internal {
			message = err.Error()
		}
		r.errorf(r.set["schedule"].At, "%s", message)
	}
	if len(f.Paths) > 0 {
		r.errorf(r.set["path"].At, "Scheduled functions must not specify a custom path, because nothing calls them over HTTP; take out path or schedule")
	}
}

// unknown reports keys that have no effect.
func (r *reader) unknown() {
	for _, key := range slices.Sorted(maps.Keys(r.set)) {
		v := r.set[key]
		if why, ok := unsupported[key]; ok {
			r.warnf(v.At, "%s has no effect: %s", key, why)
			continue
		}
		if slices.Contains(supported, key) {
			continue
		}
		if like := similar(key); like != "" {
			r.errorf(v.At, "there is no setting %q; did you mean %q?", key, like)
			continue
		}
		r.warnf(v.At, "there is no setting %q; it has no effect", key)
	}
}

// similar finds the setting that a key is a misspelling of, or "".
func similar(key string) string {
	best, distance := "", 3
	for _, candidate := range supported {
		if d := edits(strings.ToLower(key), strings.ToLower(candidate)); d < distance && d < len(candidate)/2 {
			best, distance = candidate, d
		}
	}
	return best
}

// Similar reports whether one word is a misspelling of the other.
func Similar(a, b string) bool {
	return a != b && edits(strings.ToLower(a), strings.ToLower(b)) <= 2
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
