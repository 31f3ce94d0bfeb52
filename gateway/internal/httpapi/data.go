package httpapi

import (
	"net/url"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/gateway/internal/invoke"
	"github.com/nightshift/nightshift/shared/fault"
)

// functionRoute is the context key that marks a request as one for a function.
const functionRoute = "function-route"

// call serves a call of a function.
func (s *server) call(c echo.Context) error {
	c.Set(functionRoute, true)
	r := c.Request()
	target, err := s.Router.Route(r.Context(), r.Host, r.Method, r.URL.EscapedPath())
	if err != nil {
		return err
	}
	return s.Invoker.Serve(c.Response(), r, target, invoke.Origin{ClientIP: c.RealIP(), BaseURL: s.baseURL(c)})
}

// baseURL is scheme://host as the caller sees it. A host that cannot stand in a
// URL is replaced: functions make URLs of what they are given.
func (s *server) baseURL(c echo.Context) string {
	r := c.Request()
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	if proto := r.Header.Get(echo.HeaderXForwardedProto); s.TrustProxy && (proto == "http" || proto == "https") {
		scheme = proto
	}
	base := scheme + "://" + r.Host
	if u, err := url.Parse(base); err != nil || u.Host != r.Host || u.Hostname() == "" || u.User != nil {
		return scheme + "://localhost"
	}
	return base
}

// statusAccess closes the invocation routes of the data plane where the
// operator does not want them.
func (s *server) statusAccess(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !s.PublicStatus {
			return fault.New(fault.NotFound, "the status of invocations is not public on this installation; ask the control plane")
		}
		// The ID in the path is a secret: keep it out of caches and referrers.
		h := c.Response().Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		return next(c)
	}
}
