package httpapi

import (
	"context"
	"net"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/gateway/internal/access"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/store"
)

// Workers lists the live workers; see package store.
type Workers interface {
	Workers(ctx context.Context) ([]store.Worker, error)
}

// authorised lets those pass who show a token.
func (s *server) authorised(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		who, err := s.Access.Bearer(r.Context(), r.Header.Get(echo.HeaderAuthorization), c.RealIP())
		if err != nil {
			return err
		}
		c.SetRequest(r.WithContext(access.With(r.Context(), who)))
		return next(c)
	}
}

// localOnly keeps web pages away from a control plane that may have no token:
// a page can make a browser send requests to a local port, under its own host
// name (DNS rebinding) or across origins.
func (s *server) localOnly(next echo.HandlerFunc) echo.HandlerFunc {
	crossOrigin := http.NewCrossOriginProtection()
	return func(c echo.Context) error {
		if !s.Dev {
			return next(c)
		}
		r := c.Request()
		if !isLoopback(r.Host) {
			return fault.New(fault.Forbidden, "in dev the control plane answers on localhost only, not on %q", r.Host)
		}
		if err := crossOrigin.Check(r); err != nil {
			return fault.Wrap(err, fault.Forbidden, "web pages of other origins may not use the control plane")
		}
		if origin := r.Header.Get(echo.HeaderOrigin); origin != "" && origin != "http://"+r.Host && origin != "https://"+r.Host {
			return fault.New(fault.Forbidden, "web pages of other origins may not use the control plane")
		}
		return next(c)
	}
}

// isLoopback reports whether a Host header names this machine.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// workers answers with the live workers.
func (s *server) workers(c echo.Context) error {
	list, err := s.Workers.Workers(c.Request().Context())
	if err != nil {
		return err
	}
	out := make([]api.Worker, 0, len(list))
	for _, w := range list {
		warm := 0
		for _, n := range w.Warm {
			warm += n
		}
		out = append(out, api.Worker{
			ID: w.ID, Addr: w.Addr, StartedAt: w.StartedAt.UTC(), Concurrency: w.Concurrency, Capacity: w.Capacity,
			Busy: w.Busy, Warm: warm, Draining: w.Draining,
		})
	}
	return c.JSON(http.StatusOK, out)
}
