package httpapi

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/gateway/internal/invoke"
	"github.com/nightshift/nightshift/gateway/internal/limit"
	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/token"
)

// functionRoute is the context key that marks a request as one for a function.
const functionRoute = "function-route"

// call serves what sites own: a call of a function, a redirect, or a static file.
func (s *server) call(c echo.Context) error {
	c.Set(functionRoute, true)
	r := c.Request()
	if isPreflight(r) && s.preflight(c, r) {
		return nil
	}
	target, err := s.find(c, r)
	if err != nil {
		return err
	}
	if target.Redirect != nil {
		s.is(c, planeData, kindRedirect)
		return redirect(c, *target.Redirect)
	}
	s.is(c, planeData, kindOf(target))
	if kindOf(target) == kindBackground {
		dress(c.Response().Header(), target, r.URL.EscapedPath())
	}
	r = withQuery(r, target.Query)
	if target.Function != nil {
		return s.traced(c, r, target, s.serve)
	}
	return s.serve(c, r, target)
}

// find finds what a request is for.
func (s *server) find(c echo.Context, r *http.Request) (route.Target, error) {
	target, err := s.Router.Route(r.Context(), r.Host, r.Method, r.URL.EscapedPath())
	if err != nil {
		return target, err
	}
	return target.Follow(r, s.scheme(c))
}

// serve serves what a request was routed to.
func (s *server) serve(c echo.Context, r *http.Request, target route.Target) (err error) {
	caller := limit.Caller{IP: c.RealIP(), Host: r.Host}
	if target.Function != nil {
		if err := s.siteRates(r, target.Site, caller); err != nil {
			return err
		}
	}
	if wait := s.Limiter.Wait(r.Context(), target, caller); wait > 0 {
		if r, target, err = s.overLimit(r, target, caller, wait); err != nil {
			return err
		}
		s.is(c, planeData, kindOf(target))
	}
	if target.File != nil {
		return s.Static.Serve(c.Response(), r, *target.File)
	}
	return s.Invoker.Serve(c.Response(), r, target, invoke.Origin{ClientIP: caller.IP, BaseURL: s.baseURL(c)})
}

// redirect sends the caller elsewhere. Caches are not to keep it: a deploy may
// change it, and it may depend on headers.
func redirect(c echo.Context, to route.Redirect) error {
	h := c.Response().Header()
	h.Set("Location", to.Location)
	h.Set("Cache-Control", "public, max-age=0, must-revalidate")
	h.Set("X-Content-Type-Options", "nosniff")
	return c.String(to.Status, "Redirecting to "+to.Location+"\n")
}

// withQuery is the request with another query, unless that is empty.
func withQuery(r *http.Request, query string) *http.Request {
	if query == "" {
		return r
	}
	other, u := *r, *r.URL
	u.RawQuery, other.URL = query, &u
	return &other
}

// overLimit finds what serves a call that is over the limit of its function.
// The call is held to the limit of the function that it comes to then, and if
// it is over that one too, or comes back, that is the end.
func (s *server) overLimit(r *http.Request, target route.Target, caller limit.Caller, wait time.Duration) (*http.Request, route.Target, error) {
	s.Refused.Data(overFunctionRate)
	to := target.Function.RateLimit.RewriteTo
	if to == "" {
		return r, target, tooMany(wait)
	}
	u, err := url.Parse(to)
	if err != nil {
		return r, target, fault.Wrap(err, fault.Internal, "the rate limit of function %s rewrites to %q", target.Function.Name, to)
	}
	r = r.Clone(r.Context())
	r.URL.Path, r.URL.RawPath = u.Path, u.RawPath
	if u.RawQuery != "" {
		r.URL.RawQuery = u.RawQuery
	}
	if target, err = target.Elsewhere(r.Method, r.URL.EscapedPath()); err != nil {
		return r, target, err
	}
	if target.File != nil && r.Method != http.MethodHead {
		r.Method = http.MethodGet // the page that says "slow down" is for every method
	}
	if wait := s.Limiter.Wait(r.Context(), target, caller); wait > 0 {
		return r, target, tooMany(wait)
	}
	return r, target, nil
}

// siteRates holds a call to the rates of its site. The address is first, so that
// one that asks too often does not use up what all others may have.
func (s *server) siteRates(r *http.Request, site string, caller limit.Caller) error {
	if wait := s.Limiter.WaitForAddress(r.Context(), site, caller); wait > 0 {
		s.Refused.Data(overAddressRate)
		return tooMany(wait)
	}
	if wait := s.Limiter.WaitForSite(r.Context(), site); wait > 0 {
		s.Refused.Data(overSiteRate)
		return tooMany(wait)
	}
	return nil
}

// tooMany is the answer to a call that is over its limit.
func tooMany(wait time.Duration) error {
	return fault.New(fault.Throttled, "Too many requests. Try again in a moment.").After(wait)
}

// baseURL is scheme://host as the caller sees it. A host that cannot stand in a
// URL is replaced: functions make URLs of what they are given.
func (s *server) baseURL(c echo.Context) string {
	r, scheme := c.Request(), s.scheme(c)
	base := scheme + "://" + r.Host
	if isPlain(r.Host) {
		return base
	}
	if u, err := url.Parse(base); err != nil || u.Host != r.Host || u.Hostname() == "" || u.User != nil {
		return scheme + "://localhost"
	}
	return base
}

// isPlain reports whether a host is one that nobody has to look at twice: a name of
// lower case, with or without a port.
func isPlain(host string) bool {
	name, port, hasPort := strings.Cut(host, ":")
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" &&
		(!hasPort || port != "" && len(port) <= 5 && strings.Trim(port, "0123456789") == "")
}

// scheme is http or https, as the caller sees it.
func (s *server) scheme(c echo.Context) string {
	r := c.Request()
	if s.Proxies.HTTPS(r) {
		return "https"
	}
	return "http"
}

// What Config.PublicStatus may be.
const (
	StatusOn    = "on"    // whoever knows an ID may
	StatusOff   = "off"   // nobody may
	StatusToken = "token" // whoever shows a token besides, for the site
)

// statusOpen closes the invocation routes of the data plane where the operator
// does not want them.
func (s *server) statusOpen(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		s.is(c, planeData, kindStatus)
		if s.PublicStatus != StatusOn && s.PublicStatus != StatusToken {
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

// statusAccess lets those pass to an invocation on the data plane whom the
// operator lets. Each site has its own: on the host of another one it is not there.
func (s *server) statusAccess(scope token.Scope) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r, sees := c.Request(), func(string) bool { return true }
			if s.PublicStatus == StatusToken {
				who, err := s.Access.Bearer(r.Context(), r.Header.Get(echo.HeaderAuthorization), c.RealIP())
				if err != nil {
					return err
				}
				if err := who.Need(scope); err != nil {
					return err
				}
				sees = who.Sees
			}
			inv, err := s.found(c)
			if err != nil {
				return err
			}
			if inv.Site != s.Router.Site(r.Host) || !sees(inv.Site) {
				return store.UnknownInvocation(inv.ID)
			}
			return next(c)
		}
	}
}
