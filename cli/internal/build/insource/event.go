package insource

import (
	"slices"
	"strings"

	"github.com/tdewolff/parse/v2/js"
)

// events are the members of a default object that Netlify calls when something
// happens to a site: its typed event handlers.
var events = []string{
	"deployBuilding", "deploySucceeded", "deployFailed", "deployDeleted", "deployLocked", "deployUnlocked",
	"formSubmitted", "userLogin", "userSignup", "userValidate", "userModified", "userDeleted",
}

// onlyEvents warns about event handlers, which nothing calls here, and reports
// whether the default export has nothing else.
func (s *scope) onlyEvents(fallback export) bool {
	object, ok := s.resolve(fallback.value).(*js.ObjectExpr)
	if !ok {
		return false
	}
	var found []string
	var mark []byte
	other := false
	for _, p := range object.List {
		key, at, ok := propertyKey(p)
		switch {
		case ok && slices.Contains(events, key):
			found = append(found, key)
			mark = orMark(mark, s.locate(at))
		case !ok || key == "fetch":
			other = true
		}
	}
	if len(found) == 0 {
		return false
	}
	if other {
		s.warnf(orMark(mark, fallback.mark), "%s: never called, because Netlify's events do not happen here", strings.Join(found, ", "))
		return false
	}
	s.warnf(orMark(mark, fallback.mark), "%s: never called, because Netlify's events do not happen here. There is no `fetch` beside them, so the function is left out", strings.Join(found, ", "))
	return true
}

// unseen reports whether Netlify, beside a default export, would not see a handler.
func (e export) unseen() bool {
	if e.declared || e.from != "" {
		return true
	}
	call, ok := e.value.(*js.CallExpr)
	if !ok {
		return false
	}
	_, named := call.X.(*js.Var)
	return !named
}
