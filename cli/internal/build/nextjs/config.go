package nextjs

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/build/insource"
	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/cli/internal/build/setting"
	"github.com/nightshift/nightshift/shared/function"
)

// The types that make a route more than a route.
const (
	typeBackground = "experimental-background"
	typeScheduled  = "experimental-scheduled"
)

// planned is a function before it is packed.
type planned struct {
	function.Function
	route    route
	method   string // that a tick calls, for handlers of the app directory
	problems []problem.Problem
}

// next's own keys of a config; they concern the route's code only.
var passedOver = []string{"api", "amp", "regions", "preferredRegion", "unstable_allowDynamic", "unstable_allowDynamicGlobs", "supportsResponseStreaming"}

// fixed are settings that a route cannot have, with what there is instead.
var fixed = map[string]string{
	"path":                "the path of a route is where its file is",
	"excludedPath":        "the path of a route is where its file is",
	"method":              "the route sees all methods, and a handler is named after its own",
	"preferStatic":        "routes come before files",
	"includedFiles":       "Next decides which files a route needs; use outputFileTracingIncludes in next.config.js",
	"externalNodeModules": "Next decides what is bundled; use serverExternalPackages in next.config.js",
}

// fromFile are the settings that netlify.toml may have for a route.
var fromFile = []string{"timeout", "retries", "retryDelays", "concurrency", "timezone", "overlap", "catchUp", "onRollback"}

// plan decides which functions a route becomes. Problems of the second result
// are about no function.
func (s *site) plan(r route) ([]planned, []problem.Problem) {
	at := problem.Position{File: r.source}
	text, err := os.ReadFile(filepath.Join(s.Root, filepath.FromSlash(r.source)))
	if err != nil {
		return nil, []problem.Problem{problem.Errorf(at, "cannot be read: %v", err)}
	}
	source := insource.AnalyzeRoute(r.source, text)
	if problem.Errors(source.Problems) > 0 {
		// Without its settings nobody knows what the route is; it must not become a public one.
		return []planned{{Function: function.Function{Name: functionName(r.page, false), Source: r.source}, route: r, problems: source.Problems}}, nil
	}
	var out []planned
	if r.router == appRouter {
		out = s.planHandlers(r, source)
	} else {
		set := source.Config
		for _, key := range []string{"runtime", "maxDuration"} {
			if v, ok := source.Segment[key]; ok {
				set[key] = v
			}
		}
		out = []planned{s.resolve(r, set)}
	}
	out[0].problems = append(source.Problems, out[0].problems...)
	var left []problem.Problem
	out = slices.DeleteFunc(out, func(p planned) bool {
		if problem.Errors(p.problems) > 0 {
			return false
		}
		why := ""
		switch {
		case r.edge:
			why = "runs on Next's edge runtime, which is not here, so it is left out; take `runtime` out, or set it to nodejs"
			if v, ok := source.Segment["runtime"]; ok {
				at = v.At
			} else if v, ok := source.Config["runtime"]; ok {
				at = v.At
			}
		case r.prerendered && p.Kind == function.Sync:
			why = "is run by next build, and its result is a file, so it is left out; `export const dynamic = 'force-dynamic'` makes it run for each call"
		default:
			return false
		}
		w := problem.Warnf(at, "%s", why)
		left = append(left, w)
		return true
	})
	return out, left
}

// planHandlers makes one function of the handlers that have a config, and one
// of the others.
func (s *site) planHandlers(r route, source insource.Route) []planned {
	segment := setting.Set{}
	maps.Copy(segment, source.Segment)
	delete(segment, "dynamic")
	var with, without []string
	var chosen setting.Set
	var problems []problem.Problem
	for _, method := range insource.Methods {
		set, ok := source.Handlers[method]
		switch {
		case !ok:
		case set == nil:
			without = append(without, method)
		default:
			if chosen == nil {
				chosen = set
			} else if !sameSettings(chosen, set) {
				problems = append(problems, problem.Errorf(first(set, r.source),
					"%s.config differs from %s.config; give both the same, or move one handler to a route of its own", method, with[0]))
			}
			with = append(with, method)
		}
	}
	for _, key := range []string{"type", "schedule"} {
		if v, ok := source.Config[key]; ok {
			problems = append(problems, problem.Errorf(v.At, "config.%s has no effect in a route handler; write it behind the handler: POST.config = { … }", key))
		}
	}
	var out []planned
	if len(with) > 0 {
		p := s.resolve(r, setting.Replace(segment, chosen))
		p.Methods, p.method = with, with[0]
		if r.prerendered && p.Kind != function.Sync {
			p.problems = append(p.problems, problem.Errorf(first(chosen, r.source),
				"next build runs this handler to make a file of its result; add `export const dynamic = 'force-dynamic'`, or make it a POST"))
		}
		if p.Kind == function.Sync { // it differs from the others in its limits only
			p.Name = strings.TrimSuffix(p.Name, "-handler") + "-" + strings.Join(with, "-") + "-handler"
		}
		if len(without) == 0 && p.Kind == function.Sync {
			p.Name, p.Methods = functionName(r.page, false), nil // Next answers for the methods that are not there
		}
		p.problems = append(problems, p.problems...)
		problems = nil
		out = append(out, p)
	}
	if len(without) > 0 || len(with) == 0 {
		p := s.resolve(r, segment)
		p.problems = append(problems, p.problems...)
		if len(out) > 0 && out[0].Name == p.Name {
			out[0].Name = strings.TrimSuffix(p.Name, "-handler") + "-" + strings.Join(with, "-") + "-handler"
		}
		out = append(out, p)
	}
	return out
}

// resolve reads the settings of a route. Each mistake that Netlify reports is
// reported in its words.
func (s *site) resolve(r route, set setting.Set) planned {
	set = maps.Clone(set)
	if set == nil {
		set = setting.Set{}
	}
	var problems []problem.Problem
	invalid := func(at problem.Position, format string, args ...any) {
		problems = append(problems, problem.Errorf(at, "Invalid config value in %s: %s", r.source, fmt.Sprintf(format, args...)))
	}
	kind, hasKind := set["type"]
	schedule, hasSchedule := set["schedule"]
	edge := r.edge || isEdge(set["runtime"].Data)
	background := false
	switch {
	case !hasKind || kind.Data == nil:
		hasKind = false
		if hasSchedule {
			invalid(schedule.At, `schedule is not allowed unless type is "experimental-scheduled"`)
		}
	case kind.Data == typeScheduled:
		if !hasSchedule || schedule.Data == "" || schedule.Data == nil {
			invalid(kind.At, `schedule is required when type is "experimental-scheduled"`)
			delete(set, "schedule")
		}
		if edge {
			invalid(kind.At, "edge runtime is not supported for scheduled functions")
		}
		if dynamic(r.page) {
			problems = append(problems, problem.Errorf(kind.At, "a scheduled route cannot have parameters in its path, because nothing gives them a value; move it to a path without [ ]"))
		}
	case kind.Data == typeBackground:
		background = true
		if hasSchedule {
			invalid(schedule.At, `schedule is not allowed unless type is "experimental-scheduled"`)
		}
		if edge {
			invalid(kind.At, "edge runtime is not supported for background functions")
		}
	default:
		text, ok := kind.Data.(string)
		if !ok {
			data, _ := json.Marshal(kind.Data) // it came from literals
			text = string(data)
		}
		invalid(kind.At, "type %s is not supported", text)
	}
	if len(problems) > 0 || kind.Data != typeScheduled {
		delete(set, "schedule") // it has been reported
	}
	if v, ok := set["background"]; ok && v.Data == true && !hasKind {
		background = true
	}
	for _, key := range slices.Sorted(maps.Keys(fixed)) {
		if v, ok := set[key]; ok {
			problems = append(problems, problem.Errorf(v.At, "%s cannot be set for a route: %s", key, fixed[key]))
			delete(set, key)
		}
	}
	if v, ok := set["maxDuration"]; ok {
		if _, own := set["timeout"]; !own {
			if seconds, isNumber := v.Data.(float64); !isNumber || seconds <= 0 || seconds > function.MaxTimeout.Seconds() {
				problems = append(problems, problem.Errorf(v.At, "maxDuration must be a number of seconds up to %g", function.MaxTimeout.Seconds()))
			} else {
				set["timeout"] = v
			}
		}
	}
	for key, v := range set {
		if key != "type" && setting.Similar(key, "type") || key != "type" && (v.Data == typeBackground || v.Data == typeScheduled) {
			problems = append(problems, problem.Errorf(v.At, "there is no setting %q; did you mean \"type\"?", key))
			delete(set, key)
		}
	}
	for _, key := range slices.Concat(passedOver, []string{"type", "runtime", "maxDuration"}) {
		delete(set, key)
	}
	base := function.Function{Name: functionName(r.page, background), API: function.APIv1, Runtime: "node", Source: r.source}
	f, _, more := setting.Resolve(base, setting.Replace(s.fromFile(base.Name), set))
	f.Paths = []string{pattern(s.config.BasePath, r.page)}
	return planned{Function: f, route: r, problems: append(problems, more...)}
}

// fromFile are the settings of netlify.toml that concern a route.
func (s *site) fromFile(name string) setting.Set {
	if s.Settings == nil {
		return nil
	}
	out := setting.Set{}
	for key, value := range s.Settings(name) {
		if slices.Contains(fromFile, key) {
			out[key] = value
		}
	}
	return out
}

func isEdge(runtime any) bool { return runtime == "edge" || runtime == "experimental-edge" }

// sameSettings compares settings without their places.
func sameSettings(a, b setting.Set) bool {
	return maps.EqualFunc(a, b, func(x, y setting.Value) bool { return reflect.DeepEqual(x.Data, y.Data) })
}

// first is the place of the first setting of a set.
func first(set setting.Set, file string) problem.Position {
	at := problem.Position{File: file}
	for _, v := range set {
		if at.Line == 0 || v.At.Line < at.Line || v.At.Line == at.Line && v.At.Column < at.Column {
			at = v.At
		}
	}
	return at
}
