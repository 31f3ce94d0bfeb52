package httpapi

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/gateway/internal/access"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/token"
)

// apiCall is a call of the API, with who may make it.
type apiCall struct {
	method, path string
	scope        token.Scope
	about        subject
	action       string // for the audit log, thing.verb; empty: it changes nothing
	handle       echo.HandlerFunc
}

// partOfDeploy is the action of uploads, which have no entry in the audit log: they
// bring the bytes whose digests the entry's deploy was described with, and there
// may be thousands.
const partOfDeploy = "part of a deploy"

// subject says whose thing a call is about: it decides for whom that is there.
type subject int

const (
	aboutCaller     subject = iota + 1 // nobody's in particular; the handler leaves out what is not the caller's
	aboutAll                           // all sites together
	aboutSite                          // the site in the path
	aboutQuery                         // the site in the query, if there is one
	aboutDeploy                        // the site of the deploy in the path
	aboutInvocation                    // the site of the invocation in the path
)

// routes are the calls of the API, but for those about environment variables.
// There is no other way to add one: each says which scope it takes, and whose
// thing it is about.
func (s *server) routes() []apiCall {
	return []apiCall{
		{http.MethodGet, "/user", token.Read, aboutCaller, "", s.user},
		{http.MethodGet, "/accounts", token.Read, aboutCaller, "", s.accounts},
		{http.MethodGet, "/workers", token.Read, aboutAll, "", s.workers},

		{http.MethodGet, "/tokens", token.Admin, aboutAll, "", s.listTokens},
		{http.MethodPost, "/tokens", token.Admin, aboutAll, "token.create", s.createToken},
		{http.MethodGet, "/tokens/self", token.Read, aboutCaller, "", s.ownToken},
		{http.MethodGet, "/audit", token.Admin, aboutAll, "", s.listAudit},
		{http.MethodDelete, "/tokens/:id", token.Admin, aboutAll, "token.revoke", s.revokeToken},
		{http.MethodGet, "/secrets/keys", token.Admin, aboutAll, "", s.secretKeys},
		{http.MethodPost, "/secrets/reseal", token.Admin, aboutAll, "secret.reseal", s.reseal},

		{http.MethodGet, "/sites", token.Read, aboutCaller, "", s.sites},
		{http.MethodPost, "/sites", token.Deploy, aboutCaller, "site.create", s.createSite},
		{http.MethodPost, "/:account/sites", token.Deploy, aboutCaller, "site.create", s.createSite}, // the way that the netlify CLI takes
		{http.MethodGet, "/sites/:site", token.Read, aboutSite, "", s.site},
		{http.MethodPut, "/sites/:site/unpublish", token.Deploy, aboutSite, "site.unpublish", s.unpublish},
		{http.MethodPut, "/sites/:site/rollback", token.Deploy, aboutSite, "site.rollback", s.rollback},
		{http.MethodGet, "/sites/:site/builds", token.Read, aboutSite, "", s.builds},
		{http.MethodGet, "/sites/:site/functions", token.Read, aboutSite, "", s.functions},
		{http.MethodGet, "/sites/:site/deploys", token.Read, aboutSite, "", s.deploys},
		{http.MethodPost, "/sites/:site/deploys", token.Deploy, aboutSite, "deploy.create", s.createDeploy},
		{http.MethodGet, "/sites/:site/deploys/:id", token.Read, aboutSite, "", s.deploy},
		{http.MethodPut, "/sites/:site/deploys/:id", token.Deploy, aboutSite, "deploy.describe", s.updateDeploy},
		{http.MethodPost, "/sites/:site/deploys/:id/restore", token.Deploy, aboutSite, "deploy.publish", s.restoreDeploy},
		{http.MethodGet, "/deploys/:id", token.Read, aboutDeploy, "", s.deployAlone},
		{http.MethodPost, "/deploys/:id/lock", token.Deploy, aboutDeploy, "deploy.lock", s.lockDeploy},
		{http.MethodPost, "/deploys/:id/unlock", token.Deploy, aboutDeploy, "deploy.unlock", s.unlockDeploy},
		{http.MethodPost, "/deploys/:id/cancel", token.Deploy, aboutDeploy, "deploy.cancel", s.cancelDeploy},
		{http.MethodPut, "/deploys/:id/functions/:name", token.Deploy, aboutDeploy, partOfDeploy, s.uploadFunction},
		{http.MethodPut, "/deploys/:id/files/*", token.Deploy, aboutDeploy, partOfDeploy, s.uploadFile},

		{http.MethodGet, "/sites/:site/invocations", token.Read, aboutSite, "", s.invocations},
		{http.MethodPost, "/sites/:site/invocations/replay", token.Invoke, aboutSite, "invocation.replay_all", s.replayAll},
		{http.MethodGet, "/sites/:site/callbacks", token.Read, aboutSite, "", s.callbacks},
		{http.MethodGet, "/invocations/:id", token.Read, aboutInvocation, "", s.invocation},
		{http.MethodGet, "/invocations/:id/logs", token.Read, aboutInvocation, "", s.logs(jsonLog)},
		{http.MethodPost, "/invocations/:id/cancel", token.Invoke, aboutInvocation, "invocation.cancel", s.cancel},
		{http.MethodPost, "/invocations/:id/retry", token.Invoke, aboutInvocation, "invocation.retry", s.retry},
		{http.MethodPost, "/invocations/:id/replay", token.Invoke, aboutInvocation, "invocation.replay", s.replay},
		{http.MethodPost, "/invocations/:id/callback/retry", token.Invoke, aboutInvocation, "callback.retry", s.retryCallback},

		{http.MethodGet, "/sites/:site/schedules", token.Read, aboutSite, "", s.schedules},
		{http.MethodPost, "/sites/:site/schedules/:function/trigger", token.Invoke, aboutSite, "schedule.trigger", s.trigger},
		{http.MethodPost, "/sites/:site/schedules/:function/backfill", token.Invoke, aboutSite, "schedule.backfill", s.backfill},
		{http.MethodPost, "/sites/:site/schedules/:function/pause", token.Invoke, aboutSite, "schedule.pause", s.pause},
		{http.MethodPost, "/sites/:site/schedules/:function/resume", token.Invoke, aboutSite, "schedule.resume", s.resume},
		{http.MethodGet, "/sites/:site/schedules/:function/ledger", token.Read, aboutSite, "", s.ledger},
	}
}

// environmentRoutes are Netlify's calls about environment variables. Here they
// belong to sites: the one account has none of its own. Values are shown to
// those who may deploy, because a build needs them, and to nobody else.
func (s *server) environmentRoutes() []apiCall {
	return []apiCall{
		{http.MethodGet, "", token.Deploy, aboutQuery, "", s.listVariables},
		{http.MethodPost, "", token.Deploy, aboutQuery, "variable.create", s.createVariables},
		{http.MethodGet, "/:key", token.Deploy, aboutQuery, "", s.variable},
		{http.MethodPut, "/:key", token.Deploy, aboutQuery, "variable.replace", s.replaceVariable},
		{http.MethodPatch, "/:key", token.Deploy, aboutQuery, "variable.set", s.setVariable},
		{http.MethodDelete, "/:key", token.Deploy, aboutQuery, "variable.remove", s.removeVariable},
		{http.MethodDelete, "/:key/value/:id", token.Deploy, aboutQuery, "variable.remove_value", s.removeValue},
	}
}

// add adds calls to the API. It panics where one does not say who may make it, or
// what it is called in the audit log.
func (s *server) add(to *echo.Group, routes []apiCall) {
	for _, r := range routes {
		if !slices.Contains(token.Scopes, r.scope) || r.about == 0 || (r.method == http.MethodGet) != (r.action == "") {
			panic("the route " + r.method + " " + r.path + " does not say who may use it, or what it changes")
		}
		to.Add(r.method, r.path, r.handle, s.audited(r), s.permitted(r.scope, r.about))
	}
}

// permitted lets those pass whose token has a scope, and for whom what they ask
// about is there. A site that is not there for them is so in the same words as
// one that is not there at all.
func (s *server) permitted(scope token.Scope, about subject) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			who := access.From(c.Request().Context())
			if err := who.Need(scope); err != nil {
				return err
			}
			if err := s.there(c, who, about); err != nil {
				return err
			}
			return next(c)
		}
	}
}

// there is an error if what a call is about is not there for somebody.
func (s *server) there(c echo.Context, who access.Who, about subject) error {
	if !who.Bound() {
		return nil
	}
	ctx, id := c.Request().Context(), c.Param("id")
	switch about {
	case aboutCaller:
		return nil
	case aboutSite:
		return seen(who, siteParam(c), store.UnknownSite(siteParam(c)))
	case aboutQuery:
		site := deploy.SiteName(c.QueryParam("site_id"))
		if site == "" { // the handler says that one is needed
			return nil
		}
		return seen(who, site, store.UnknownSite(site))
	case aboutDeploy:
		d, err := s.Release.Store.Deploy(ctx, id)
		if err != nil {
			return err
		}
		return seen(who, d.Site, store.UnknownDeploy(id))
	case aboutInvocation:
		inv, err := s.found(c)
		if err != nil {
			return err
		}
		return seen(who, inv.Site, store.UnknownInvocation(id))
	case aboutAll:
		return who.NeedAll()
	default: // refused rather than let through
		return fault.New(fault.Internal, "whose %s %s is has not been said", c.Request().Method, c.Path())
	}
}

// seen is unknown unless a site is there for somebody.
func seen(who access.Who, site string, unknown error) error {
	if who.Sees(site) {
		return nil
	}
	return unknown
}
