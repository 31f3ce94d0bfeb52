// Package console is the control plane as pages for people: what ran, what failed
// and why, what will run next, and what can be done about it.
//
// A page is a handler that reads what it shows into a view, one struct per page,
// and a template of the same name that draws it. A view is rendered into memory
// before anything is sent, so an error is a page of its own and never half of
// another one. Data flows one way: handlers read the services that the API has
// too, templates read views.
//
//	GET  a page, which changes nothing: links can be shared and loaded again
//	POST a form, which changes one thing and leads to a page that says so
//
// Everything works without JavaScript. The one script keeps pages fresh that
// somebody looks at, and follows logs.
//
// What is about one site stands below /sites/<site>/. The token, or the session
// that stands for it, is asked for by package session; what it may do and which
// sites there are for it is asked here, for each page. What it may not do has no
// button.
package console

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/audit"
	"github.com/nightshift/nightshift/gateway/internal/intake"
	"github.com/nightshift/nightshift/gateway/internal/rerun"
	"github.com/nightshift/nightshift/gateway/internal/schedules"
	"github.com/nightshift/nightshift/gateway/internal/session"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/token"
)

// Releases moves the pointers of sites; see package release.
type Releases interface {
	Site(ctx context.Context, name string) (deploy.Site, error)
	Publish(ctx context.Context, site, id string) error
	Rollback(ctx context.Context, site string) (id string, err error)
	Lock(ctx context.Context, id string) (deploy.Deploy, error)
	Unlock(ctx context.Context, id string) (deploy.Deploy, error)
}

// Deploys reads sites and deploys; see package store.
type Deploys interface {
	Sites(ctx context.Context) ([]deploy.Site, error)
	Deploy(ctx context.Context, id string) (deploy.Deploy, error)
	DeploySummaries(ctx context.Context, site string, offset, limit int) ([]deploy.Summary, error)
	History(ctx context.Context, site string) ([]string, error)
}

// Records reads invocations; see package store.
type Records interface {
	Invocation(ctx context.Context, id string) (invocation.Invocation, error)
	Invocations(ctx context.Context, f store.Filter, cursor string, limit int) (list []invocation.Invocation, next string, err error)
	Event(ctx context.Context, id string) ([]byte, error)
	Log(ctx context.Context, id, after string, limit int) ([]invocation.LogLine, error)
}

// Figures counts invocations; see package store.
type Figures interface {
	SiteCounts(ctx context.Context, site string) (store.StateCounts, error)
	Minutes(ctx context.Context, site string, from time.Time, n int) ([]store.Minute, error)
	OldestQueued(ctx context.Context, site string) (time.Time, error)
	FunctionFigures(ctx context.Context, site string, functions []string, n int) (map[string]store.Figures, error)
}

// Rerun lets invocations run once more; see package rerun.
type Rerun interface {
	Retry(ctx context.Context, id string) (invocation.Invocation, error)
	Replay(ctx context.Context, id, key string) (rerun.Made, error)
	ReplayAll(ctx context.Context, b rerun.Batch) (rerun.Report, error)
}

// Cancel ends invocations; see package cancel.
type Cancel interface {
	Cancel(ctx context.Context, id string) (inv invocation.Invocation, stopping bool, err error)
}

// Schedules is what can be done with schedules; see package schedules.
type Schedules interface {
	List(ctx context.Context, site string) ([]schedules.Schedule, error)
	Ledger(ctx context.Context, site, name, before string, limit int) ([]store.LedgerEntry, string, error)
	Pause(ctx context.Context, site, name, who string) error
	Resume(ctx context.Context, site, name string) error
	Trigger(ctx context.Context, site, name, key string) (intake.Accepted, error)
	Backfill(ctx context.Context, site, name string, from, to time.Time, limit int, key string) (schedules.Backfilled, error)
}

// Callbacks are those that were given up; see package store.
type Callbacks interface {
	DeadCallbacks(ctx context.Context, site, cursor string, limit int) (list []store.DeadCallback, next string, err error)
	RetryCallback(ctx context.Context, id string) error
}

// Workers lists the live workers; see package store.
type Workers interface {
	Workers(ctx context.Context) ([]store.Worker, error)
}

// AuditReader reads the audit log; see package store.
type AuditReader interface {
	Audit(ctx context.Context, f store.AuditFilter, cursor string, limit int) (list []store.AuditEntry, next string, err error)
}

// Config configures the console. All fields but Queues are required.
type Config struct {
	Session   *session.Guard
	Audit     *audit.Log
	AuditLog  AuditReader
	Releases  Releases
	Deploys   Deploys
	Records   Records
	Figures   Figures
	Rerun     Rerun
	Cancel    Cancel
	Schedules Schedules
	Callbacks Callbacks
	Workers   Workers
	// SiteURL is the URL of a site, or of a deploy of it; without trailing slash.
	SiteURL func(site, deployID string) string
	// ClientIP is the address of the caller, which is said of who paused a schedule.
	ClientIP func(*http.Request) string
	// Queues is the path of a tool that looks into the queues. Empty: there is none.
	Queues string
	Logger *slog.Logger
}

// Console is the handler of all pages. It is safe for concurrent use.
type Console struct {
	Config
	log     *slog.Logger
	handler http.Handler
}

// New makes the console.
func New(cfg Config) *Console {
	c := &Console{Config: cfg, log: cfg.Logger.With("component", "console")}
	c.handler = c.routes()
	return c
}

func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// page is what is at a path, the scope that it takes, and what it is called in the
// audit log if it changes something.
type page struct {
	scope  token.Scope
	action string
	handle func(http.ResponseWriter, *http.Request) error
}

// routes is the table of all pages. What has a site in its path is there for
// those only for whom the site is.
func (c *Console) routes() http.Handler {
	pages := http.NewServeMux()
	for pattern, p := range map[string]page{
		"GET /{$}":                    {token.Read, "", c.sites},
		"GET /sites/{site}":           {token.Read, "", c.overview},
		"GET /sites/{site}/functions": {token.Read, "", c.functions},
		"GET /workers":                {token.Read, "", c.workers},

		"GET /sites/{site}/invocations":                {token.Read, "", c.invocations},
		"GET /sites/{site}/invocations/{id}":           {token.Read, "", c.invocation},
		"GET /sites/{site}/invocations/{id}/cancel":    {token.Invoke, "", c.confirmCancel},
		"POST /sites/{site}/invocations/{id}/cancel":   {token.Invoke, "invocation.cancel", c.cancel},
		"POST /sites/{site}/invocations/{id}/retry":    {token.Invoke, "invocation.retry", c.retry},
		"POST /sites/{site}/invocations/{id}/replay":   {token.Invoke, "invocation.replay", c.replay},
		"POST /sites/{site}/invocations/{id}/callback": {token.Invoke, "callback.retry", c.retryCallback},

		"GET /sites/{site}/schedules":                      {token.Read, "", c.schedules},
		"GET /sites/{site}/schedules/{function}":           {token.Read, "", c.schedule},
		"POST /sites/{site}/schedules/{function}/trigger":  {token.Invoke, "schedule.trigger", c.trigger},
		"POST /sites/{site}/schedules/{function}/pause":    {token.Invoke, "schedule.pause", c.pause},
		"POST /sites/{site}/schedules/{function}/resume":   {token.Invoke, "schedule.resume", c.resume},
		"POST /sites/{site}/schedules/{function}/backfill": {token.Invoke, "schedule.backfill", c.backfill},

		"GET /sites/{site}/deploys":               {token.Read, "", c.deploys},
		"GET /sites/{site}/deploys/{id}/publish":  {token.Deploy, "", c.confirmPublish},
		"POST /sites/{site}/deploys/{id}/publish": {token.Deploy, "deploy.publish", c.publish},
		"POST /sites/{site}/deploys/{id}/lock":    {token.Deploy, "deploy.lock", c.lock},
		"POST /sites/{site}/deploys/{id}/unlock":  {token.Deploy, "deploy.unlock", c.unlock},
		"GET /sites/{site}/rollback":              {token.Deploy, "", c.confirmRollback},
		"POST /sites/{site}/rollback":             {token.Deploy, "site.rollback", c.rollback},

		"GET /sites/{site}/dead":         {token.Read, "", c.dead},
		"GET /sites/{site}/dead/replay":  {token.Invoke, "", c.confirmReplayAll},
		"POST /sites/{site}/dead/replay": {token.Invoke, "invocation.replay_all", c.replayAll},
		"GET /sites/{site}/callbacks":    {token.Read, "", c.callbacks},

		"GET /audit": {token.Admin, "", c.audit},

		"/": {token.Read, "", c.nothing},
	} {
		if !slices.Contains(token.Scopes, p.scope) || strings.HasPrefix(pattern, "POST ") == (p.action == "") {
			panic("the page " + pattern + " does not say who may see it, or what it changes")
		}
		pages.Handle(pattern, c.page(p))
	}
	all := http.NewServeMux()
	all.Handle("/", c.Session.Require(pages))
	all.Handle(session.SignInPath, c.Session.SignIn(c.signIn)) // asks for no session,
	all.HandleFunc("POST "+session.SignOutPath, c.Session.SignOut)
	all.HandleFunc("GET /assets/{name}", asset) // nor does what its page needs
	return secured(all)
}

// secured sets what browsers are to forbid the pages: scripts, styles and forms
// of others, and to be shown within another page.
func secured(next http.Handler) http.Handler {
	const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin") // IDs of invocations are capabilities
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
