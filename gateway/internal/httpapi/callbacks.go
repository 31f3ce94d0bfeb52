package httpapi

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/store"
)

// Callbacks are those that were given up; see package store.
type Callbacks interface {
	DeadCallbacks(ctx context.Context, site, cursor string, limit int) (list []store.DeadCallback, next string, err error)
	RetryCallback(ctx context.Context, id string) error
}

// callbacks lists the dead callbacks of a site.
func (s *server) callbacks(c echo.Context) error {
	if err := knownParams(c, "cursor", "limit"); err != nil {
		return err
	}
	ctx := c.Request().Context()
	limit, err := limitOf(c)
	if err != nil {
		return err
	}
	site, err := s.Release.Site(ctx, siteParam(c))
	if err != nil {
		return err
	}
	list, next, err := s.Callbacks.DeadCallbacks(ctx, site.Name, c.QueryParam("cursor"), limit)
	if err != nil {
		return err
	}
	out := api.DeadCallbackList{Callbacks: make([]api.DeadCallback, 0, len(list)), NextCursor: next}
	for _, d := range list {
		out.Callbacks = append(out.Callbacks, api.DeadCallback{DiedAt: d.DiedAt.UTC(), Invocation: api.FromInvocation(d.Invocation)})
	}
	return c.JSON(http.StatusOK, out)
}

// retryCallback makes a dead callback again.
func (s *server) retryCallback(c echo.Context) error {
	if err := s.Callbacks.RetryCallback(c.Request().Context(), c.Param("id")); err != nil {
		return err
	}
	inv, err := s.Invocations.Invocation(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	s.log.Info("callback retried", "invocation", inv.ID, "site", inv.Site, "from", c.RealIP())
	return c.JSON(http.StatusAccepted, api.FromInvocation(inv))
}
