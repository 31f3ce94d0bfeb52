package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/function"
)

// What a function answers says itself which pages may read it. A background
// function is answered for, so for its answers that is said by the headers that
// the site has for the path, in its _headers or netlify.toml.

const allowOrigin = "Access-Control-Allow-Origin"

// dress puts the headers that a site has for the path of a background function on
// its answers: the 202, and what is said in place of one. Where a caller waits and
// gets the function's own answer, that has the last word.
func dress(h http.Header, target route.Target, path string) {
	for _, f := range target.Headers(path) {
		if !own(f.Name) {
			h.Set(f.Name, f.Value)
		}
	}
}

// own reports whether a header of such an answer is ours to state: it says what
// became of the call, or for how long the answer is good, which is not at all.
func own(name string) bool {
	switch name {
	case "Content-Type", "Expires", "Idempotency-Replayed", "Preference-Applied", "Retry-After":
		return true
	}
	return strings.HasSuffix(name, "Cache-Control") || strings.HasPrefix(name, "X-Nf-") || strings.HasPrefix(name, dispatch.HeaderPrefix)
}

// isPreflight reports whether a browser asks in advance whether a page may make
// the request that follows.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get(echo.HeaderOrigin) != "" && r.Header.Get(echo.HeaderAccessControlRequestMethod) != ""
}

// preflight answers for a background function whose site says which pages may
// call it. Others are asked themselves, as with any method.
func (s *server) preflight(c echo.Context, r *http.Request) (answered bool) {
	asked := *r
	asked.Method = r.Header.Get(echo.HeaderAccessControlRequestMethod)
	target, err := s.find(c, &asked)
	path := r.URL.EscapedPath()
	if err != nil || target.Function == nil || target.Function.Kind != function.Background || !allowsOrigins(target.Headers(path)) {
		return false
	}
	s.is(c, planeData, kindBackground)
	dress(c.Response().Header(), target, path)
	c.Response().WriteHeader(http.StatusNoContent)
	return true
}

func allowsOrigins(fields []route.Field) bool {
	return slices.ContainsFunc(fields, func(f route.Field) bool { return f.Name == allowOrigin })
}

// statusOrigins lets pages of other origins read the status of an invocation,
// whose ID they must know, where the site that the host names has headers for its
// path that say so. Nothing but those that are about origins is taken from there.
func (s *server) statusOrigins(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		path := r.URL.EscapedPath()
		if target, err := s.Router.Route(r.Context(), r.Host, r.Method, path); err == nil && allowsOrigins(target.Headers(path)) {
			for _, f := range target.Headers(path) {
				if strings.HasPrefix(f.Name, "Access-Control-") || f.Name == "Vary" || f.Name == "Timing-Allow-Origin" {
					c.Response().Header().Set(f.Name, f.Value)
				}
			}
		}
		return next(c)
	}
}

// statusMethods answers OPTIONS, preflights among them: those carry no token, and
// nothing is told of an invocation.
func statusMethods(methods string) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set("Allow", methods)
		return c.NoContent(http.StatusNoContent)
	}
}
