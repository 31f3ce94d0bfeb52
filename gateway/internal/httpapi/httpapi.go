// Package httpapi is the gateway over HTTP: the data plane, where functions are
// called and invocations looked at, and the control plane, where deploys are
// made. It is the only package that knows Echo.
//
// Each plane is one table of routes and one error handler. Sites own every path
// of the data plane but /.netlify and /.nightshift, so nothing else is served
// there, and the control plane has an address of its own.
package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4" // the HTTP framework of the project
	"github.com/nightshift/nightshift/gateway/internal/access"
	"github.com/nightshift/nightshift/gateway/internal/audit"
	"github.com/nightshift/nightshift/gateway/internal/cancel"
	"github.com/nightshift/nightshift/gateway/internal/invoke"
	"github.com/nightshift/nightshift/gateway/internal/limit"
	"github.com/nightshift/nightshift/gateway/internal/queues"
	"github.com/nightshift/nightshift/gateway/internal/release"
	"github.com/nightshift/nightshift/gateway/internal/rerun"
	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/gateway/internal/schedules"
	"github.com/nightshift/nightshift/gateway/internal/session"
	"github.com/nightshift/nightshift/gateway/internal/static"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/telemetry"
	"github.com/nightshift/nightshift/shared/token"
	"github.com/prometheus/client_golang/prometheus"
)

// writeLimit bounds answers that we word ourselves; a call of a function has
// the function's limit, and a followed log one per line.
const writeLimit = 30 * time.Second

// Invocations are the records; see package store.
type Invocations interface {
	Invocation(ctx context.Context, id string) (invocation.Invocation, error)
	Invocations(ctx context.Context, f store.Filter, cursor string, limit int) (list []invocation.Invocation, next string, err error)
	Log(ctx context.Context, id, after string, limit int) ([]invocation.LogLine, error)
	FollowLog(ctx context.Context, id, after string, emit func(invocation.LogLine) error) error
}

// Config configures both planes. All fields but the named ones are required.
type Config struct {
	Router      *route.Router
	Limiter     *limit.Limiter
	Static      *static.Server
	Invoker     *invoke.Invoker
	Invocations Invocations
	Cancel      *cancel.Service
	Release     *release.Service
	Workers     Workers
	Environment Environment
	Rerun       *rerun.Service
	Schedules   *schedules.Service
	Callbacks   Callbacks
	// Metrics answers a monitoring system, and Registry is where the figures of
	// this package are registered; nil: nowhere.
	Metrics  http.Handler
	Registry prometheus.Registerer
	// Refused counts what is refused. nil: it is not counted.
	Refused *Refused
	// Queues shows what is queued, below /queues.
	Queues http.Handler
	// Console has every path of the control plane that is no other's, and Session
	// lets browsers in.
	Console http.Handler
	Session *session.Guard
	Logger  *slog.Logger
	// Catalog reads what is published.
	Catalog func(context.Context) (store.Catalog, error)
	// Ready says why the gateway cannot do its work, or nil.
	Ready func(context.Context) error
	// Stopping is closed when the gateway begins to stop: followed logs end.
	Stopping <-chan struct{}
	// Access knows who shows a token, and Tokens keeps those that are made.
	Access *access.Guard
	Tokens Tokens
	// Audit is where entries about what was changed go, and AuditLog has them.
	Audit    *audit.Log
	AuditLog AuditReader
	// Dev checks that callers of the control plane are local and no web page.
	Dev bool
	// PublicStatus is for whom /.nightshift/invocations is: StatusOn, StatusOff or
	// StatusToken.
	PublicStatus string
	// Proxies are believed when they say who calls. nil: nobody is.
	Proxies *Proxies
	// SiteURL is the URL of a site, or of a deploy of it; without trailing slash.
	SiteURL func(site, deployID string) string
	// AdminURL is the URL of the control plane.
	AdminURL string
	// Heartbeat is the time between two comments in a followed log. Default 15 s.
	Heartbeat time.Duration
	// Tracer traces requests for functions. nil: nothing is traced.
	Tracer *telemetry.Tracer
}

// server holds what the handlers need.
type server struct {
	Config
	log     *slog.Logger
	metrics *metrics
}

// New makes the handlers of the data plane and of the control plane.
func New(cfg Config) (data, control http.Handler) {
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = 15 * time.Second
	}
	if cfg.Proxies == nil {
		cfg.Proxies, _ = ParseProxies("") // which is nobody, and no error
	}
	if cfg.Refused == nil {
		cfg.Refused = NewRefused(nil)
	}
	s := &server{Config: cfg, log: cfg.Logger.With("component", "http"), metrics: newMetrics(cfg.Registry)}
	return s.dataPlane(), s.controlPlane()
}

// dataPlane is the table of what the world may ask.
func (s *server) dataPlane() http.Handler {
	e := s.echo(planeData)
	const status, log = "/.nightshift/invocations/:id", "/.nightshift/invocations/:id/logs"
	read, change := s.statusAccess(token.Read), s.statusAccess(token.Invoke)
	e.GET(status, s.invocation, s.statusOrigins, s.statusOpen, read)
	e.DELETE(status, s.cancel, s.statusOrigins, s.statusOpen, change)
	e.OPTIONS(status, statusMethods("OPTIONS, DELETE, GET"), s.statusOrigins, s.statusOpen)
	e.GET(log, s.logs(textLog), s.statusOrigins, s.statusOpen, read)
	e.OPTIONS(log, statusMethods("OPTIONS, GET"), s.statusOrigins, s.statusOpen)
	e.RouteNotFound("/.nightshift/*", notFound)
	e.RouteNotFound("/*", s.call) // any path, any method: sites own them
	e.Pre(hideSession)
	return e
}

// hideSession keeps the cookies of the control plane from functions: browsers send
// them to every port of its host.
func hideSession(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		session.Hide(c.Request().Header)
		return next(c)
	}
}

// controlPlane is the table of what operators and their tools may ask.
func (s *server) controlPlane() http.Handler {
	e := s.echo(planeControl)
	health := echo.WrapHandler(daemon.Health(s.Ready)) // without a token: load balancers ask
	e.GET("/healthz", health)
	e.GET("/readyz", health)
	e.GET("/metrics", echo.WrapHandler(s.Metrics), s.localOnly, s.authorised, s.permitted(token.Read, aboutAll))

	for _, path := range []string{queues.Path, queues.Path + "/*"} {
		e.Any(path, echo.WrapHandler(s.Queues), s.localOnly, echo.WrapMiddleware(s.Session.Require), s.permitted(token.Read, aboutAll))
	}

	// Clients of Netlify's API look for extensions beside it, without a token.
	e.GET("/team/:account/integrations/installations/meta/:site", s.noExtensions)
	e.GET("/site/:site/integrations/safe", s.noExtensions)

	v1 := e.Group("/api/v1", s.isCall, s.localOnly, s.authorised, s.inTrace)
	s.add(v1, s.routes())
	s.add(v1.Group("/accounts/:account/env", s.netlifyErrors, ofAccount), s.environmentRoutes())
	v1.RouteNotFound("/*", notFound)

	for _, path := range []string{"/api/*", "/team/*", "/site/*"} { // programs ask there, and no person
		e.Any(path, notFound)
	}

	// The log of a page, which cannot show a token. All else of the console is its own.
	e.GET("/sites/:site/invocations/:id/log", s.logs(textLog), s.localOnly, echo.WrapMiddleware(s.Session.Require), s.permitted(token.Read, aboutInvocation))
	e.Any("/*", echo.WrapHandler(s.Console), s.localOnly)
	return e
}

// echo makes an Echo with what both planes have in common.
func (s *server) echo(p plane) *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = func(err error, c echo.Context) { s.answerError(err, c, p) }
	e.IPExtractor = s.Proxies.ClientIP
	e.Pre(s.Proxies.believe)
	e.Use(s.counted(p), s.guard)
	return e
}

// guard bounds the writing of the answer and turns a panic into an error.
func (s *server) guard(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		// Recorders in tests have no deadlines; connections do.
		_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(writeLimit))
		defer func() {
			switch cause := recover(); cause {
			case nil:
			case http.ErrAbortHandler:
				panic(cause) // the way to cut a connection
			default:
				s.log.Error("handler panicked", "panic", cause, "path", c.Path(), "stack", string(debug.Stack()))
				err = fault.New(fault.Internal, "handler panicked")
			}
		}()
		return next(c)
	}
}

func notFound(c echo.Context) error {
	return fault.New(fault.NotFound, "there is nothing at %s %s; the paths are in the API documentation", c.Request().Method, c.Request().URL.Path)
}

// answerError is where every error of a handler becomes an answer.
func (s *server) answerError(err error, c echo.Context, p plane) {
	if isCut(c, err) {
		s.count(c, p, 0)
		panic(http.ErrAbortHandler)
	}
	defer func() { s.count(c, p, c.Response().Status) }()
	// What is ours may repeat what a caller sent: nothing of it is to be taken for
	// anything but what it says it is.
	h := c.Response().Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if failed, ok := errors.AsType[*invoke.Failed](err); ok {
		if wants(c, "text/html") {
			h.Set("Content-Security-Policy", pagePolicy)
			_ = c.Blob(failed.Status, "text/html", errorPage(failed.Text))
			return
		}
		_ = c.String(failed.Status, failed.Text)
		return
	}
	answer, retryAfter := s.describe(err, c)
	if retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(retryAfter.Seconds()))))
	}
	// A write that does not succeed has nobody left to tell.
	if c.Get(functionRoute) != nil { // Netlify answers in plain text there
		_ = c.String(answer.Code, netlifyText(h, answer.Message))
		return
	}
	if answer.Code == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	_ = c.JSON(answer.Code, answer)
}

// describe is what a caller may know of an error; the rest goes to the log.
func (s *server) describe(err error, c echo.Context) (api.Error, time.Duration) {
	if he, ok := errors.AsType[*echo.HTTPError](err); ok { // from Echo's own routing
		return api.Error{Code: he.Code, Kind: string(fault.KindOfStatus(he.Code)), Message: http.StatusText(he.Code)}, 0
	}
	kind := fault.KindOf(err)
	switch kind {
	case fault.Internal:
		s.logger(c).Error("request not served", append(requestAttrs(c), "error", err)...)
	case fault.Unavailable, fault.BadGateway:
		s.logger(c).Warn("request not served", append(requestAttrs(c), "error", err)...)
	}
	message, retryAfter := fault.Public(err)
	return api.Error{Code: kind.HTTPStatus(), Kind: string(kind), Message: message}, retryAfter
}

// requestAttrs say in a log which request it was; of a call that has an ID, also that.
func requestAttrs(c echo.Context) []any {
	attrs := []any{"method", c.Request().Method, "path", c.Request().URL.Path}
	if id := c.Response().Header().Get(invoke.RequestIDHeader); id != "" {
		attrs = append(attrs, "invocation", id)
	}
	return attrs
}

// wants reports whether the request asks for a media type.
func wants(c echo.Context, mediaType string) bool {
	return strings.Contains(c.Request().Header.Get(echo.HeaderAccept), mediaType)
}
