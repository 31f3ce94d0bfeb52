package insource

import (
	"slices"

	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/cli/internal/build/setting"
	"github.com/tdewolff/parse/v2/js"
)

// Methods are the names that a route handler of Next.js exports, one for each
// HTTP method.
var Methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// Route is what the source of a Next.js route says about itself.
type Route struct {
	// Config is `export const config`.
	Config setting.Set
	// Segment are constants that Next knows by themselves: runtime, maxDuration, dynamic.
	Segment setting.Set
	// Handlers are the exported functions named after methods, with `POST.config = …`;
	// nil without one.
	Handlers map[string]setting.Set
	Problems []problem.Problem
}

// segment are the constants of Route.Segment.
var segment = []string{"runtime", "maxDuration", "dynamic"}

// AnalyzeRoute reads the source of an API route or a route handler.
func AnalyzeRoute(name string, source []byte) Route {
	out := Route{Config: setting.Set{}, Segment: setting.Set{}, Handlers: map[string]setting.Set{}}
	s, problems := read(name, source)
	if len(problems) > 0 {
		out.Problems = problems
		return out
	}
	if config, ok := s.exports["config"]; ok {
		s.settings("config", config, out.Config)
	} else if s.star {
		s.errorf(s.starMark, "everything of another file is exported here, and its config cannot be seen; write `export const config = { … }` in this file, or export by name")
	}
	s.misspelledConfig()
	for _, key := range segment {
		e, ok := s.exports[key]
		if !ok {
			continue
		}
		if data, bad := s.static(e.value, 0); e.value != nil && bad == nil {
			out.Segment[key] = setting.Value{Data: data, At: s.mapper.position(e.mark)}
		} else {
			s.errorf(e.mark, "%s cannot be read without running the code; write `export const %s = …` with a literal", key, key)
		}
	}
	for _, method := range Methods {
		e, ok := s.exports[method]
		if !ok {
			continue
		}
		out.Handlers[method] = nil
		local := method
		if e.local != "" {
			local = e.local
		}
		if config, ok := s.handlerConfig(method, local, e); ok {
			out.Handlers[method] = setting.Set{}
			s.settings(method+".config", config, out.Handlers[method])
		}
	}
	out.Problems = s.problems
	return out
}

// misspelledConfig reports an export that was meant to be the config.
func (s *scope) misspelledConfig() {
	for name, e := range s.exports {
		object, ok := s.resolve(e.value).(*js.ObjectExpr)
		if !ok || !setting.Similar(name, "config") {
			continue
		}
		for _, key := range []string{"type", "schedule"} {
			if _, has := property(object, key); has {
				s.errorf(e.mark, "the export %s has no effect; did you mean config?", name)
				break
			}
		}
	}
}

// handlerConfig finds the config of a handler: `POST.config = { … }`, or
// `export const POST = Object.assign(handler, { config: { … } })`.
func (s *scope) handlerConfig(method, local string, e export) (export, bool) {
	for member, value := range s.members[local] {
		if member == "config" {
			return value, true
		}
		if setting.Similar(member, "config") {
			s.errorf(value.mark, "%s.%s has no effect; did you mean %s.config?", method, member, method)
		}
	}
	call, ok := s.resolve(e.value).(*js.CallExpr)
	if !ok || len(call.Args.List) < 2 {
		return export{}, false
	}
	callee, ok := call.X.(*js.DotExpr)
	if !ok || memberName(callee) != "assign" {
		return export{}, false
	}
	if owner, ok := callee.X.(*js.Var); !ok || string(owner.Name()) != "Object" {
		return export{}, false
	}
	for _, arg := range slices.Backward(call.Args.List[1:]) {
		object, ok := s.resolve(arg.Value).(*js.ObjectExpr)
		if !ok {
			continue
		}
		if value, ok := property(object, "config"); ok {
			return export{value: value, mark: orMark(s.first(value), e.mark)}, true
		}
	}
	return export{}, false
}
