package httpapi

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/gateway/internal/invoke"
	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/telemetry"
)

// traced serves a request for a function in the trace that its headers name, as
// a span if spans are made. It answers errors itself then, so that the span has
// the status.
func (s *server) traced(c echo.Context, r *http.Request, target route.Target, serve func(echo.Context, *http.Request, route.Target) error) (err error) {
	r = s.enter(c, r)
	if !s.Tracer.On() {
		return serve(c, r, target)
	}
	pattern := target.Route
	if pattern == "" {
		pattern = "/.netlify/functions/" + target.Function.Name
	}
	ctx, span := s.Tracer.Request(r.Context(), r.Method, s.scheme(c), pattern, telemetry.Call{
		Site: target.Site, Deploy: target.Deploy, Function: target.Function.Name, Kind: string(target.Function.Kind),
	})
	res := c.Response()
	defer func() {
		span.Invocation(res.Header().Get(invoke.RequestIDHeader))
		switch {
		case errors.Is(err, invoke.ErrGone):
			span.Failed("caller_gone")
		case errors.Is(err, invoke.ErrCut):
			span.Failed("cut")
		case res.Committed:
			span.Answered(res.Status)
		default: // it panicked
			span.Failed("panic")
		}
		span.End()
	}()
	r = r.WithContext(ctx)
	c.SetRequest(r)
	if err = serve(c, r, target); err != nil {
		s.answerError(err, c, planeData)
		return errAnswered
	}
	return nil
}

// enter is a request in the trace that its headers name.
func (s *server) enter(c echo.Context, r *http.Request) *http.Request {
	ctx := telemetry.Extract(r.Context(), r.Header)
	if ctx == r.Context() {
		return r
	}
	r = r.WithContext(ctx)
	c.SetRequest(r)
	return r
}

// logger is the log, in lines that name the trace of the request, if it has one.
func (s *server) logger(c echo.Context) *slog.Logger {
	return telemetry.Logger(c.Request().Context(), s.log)
}

// inTrace lets what a request of the control plane makes stand in the trace that
// its headers name. The request itself is no span.
func (s *server) inTrace(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		s.enter(c, c.Request())
		return next(c)
	}
}
