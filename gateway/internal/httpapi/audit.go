package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/gateway/internal/access"
	"github.com/nightshift/nightshift/gateway/internal/audit"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/store"
)

// AuditReader reads the audit log; see package store.
type AuditReader interface {
	Audit(ctx context.Context, f store.AuditFilter, cursor string, limit int) (list []store.AuditEntry, next string, err error)
}

// recordKey is where a request that changes something has its entry.
const recordKey = "audit"

// record is the entry of a request.
type record struct {
	store.AuditEntry
	written bool
}

// entryOf is the entry of a request, for handlers that have more to say in it.
func entryOf(c echo.Context) *record {
	if rec, ok := c.Get(recordKey).(*record); ok {
		return rec
	}
	return &record{}
}

// audited writes what a call has changed, or was to change, into the audit log.
func (s *server) audited(call apiCall) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		if call.action == "" || call.action == partOfDeploy {
			return next
		}
		return func(c echo.Context) error {
			ctx := c.Request().Context()
			rec := &record{AuditEntry: audit.Entry(access.From(ctx), c.RealIP(), call.action)}
			c.Set(recordKey, rec)
			err := next(c)
			if rec.written {
				return err
			}
			rec.Status = c.Response().Status
			if err != nil {
				rec.Status = statusOf(err)
			}
			s.fill(c, call.about, &rec.AuditEntry)
			_ = s.Audit.Write(ctx, rec.AuditEntry) // it has been logged
			return err
		}
	}
}

// statusOf is what an error is answered with.
func statusOf(err error) int {
	if he, ok := errors.AsType[*echo.HTTPError](err); ok {
		return he.Code
	}
	return fault.KindOf(err).HTTPStatus()
}

// fill says in an entry what a call is about, as far as that can be told.
func (s *server) fill(c echo.Context, about subject, e *store.AuditEntry) {
	id := c.Param("id")
	if name := c.Param("function"); name != "" {
		e.Function = name
	}
	switch about {
	case aboutSite:
		e.Site = siteParam(c)
		if id != "" {
			e.Deploy = id
		}
	case aboutQuery:
		e.Site = deploy.SiteName(c.QueryParam("site_id"))
	case aboutDeploy:
		e.Deploy = id
		if d, err := s.Release.Store.Deploy(c.Request().Context(), id); err == nil {
			e.Site = d.Site
		}
	case aboutInvocation:
		e.Invocation = id
		if inv, err := s.found(c); err == nil {
			e.Site, e.Deploy, e.Function = inv.Site, inv.Deploy, inv.Function
		}
	}
}

// listAudit answers with a page of the audit log.
func (s *server) listAudit(c echo.Context) error {
	if err := knownParams(c, "site", "actor", "from", "to", "cursor", "limit"); err != nil {
		return err
	}
	limit, err := limitOf(c)
	if err != nil {
		return err
	}
	filter := store.AuditFilter{Site: deploy.SiteName(c.QueryParam("site")), Actor: c.QueryParam("actor")}
	if filter.From, err = instantOf(c, "from"); err != nil {
		return err
	}
	if filter.To, err = instantOf(c, "to"); err != nil {
		return err
	}
	list, next, err := s.AuditLog.Audit(c.Request().Context(), filter, c.QueryParam("cursor"), limit)
	if err != nil {
		return err
	}
	out := api.AuditList{Entries: make([]api.AuditEntry, 0, len(list)), NextCursor: next}
	for _, e := range list {
		out.Entries = append(out.Entries, fromAudit(e))
	}
	return c.JSON(http.StatusOK, out)
}

// fromAudit translates an entry.
func fromAudit(e store.AuditEntry) api.AuditEntry {
	return api.AuditEntry{
		ID: e.ID, At: e.At.UTC(), Actor: e.Actor, Token: e.Token, From: e.From, Action: e.Action, Site: e.Site, Deploy: e.Deploy,
		Function: e.Function, Invocation: e.Invocation, Details: e.Details, Status: e.Status, Trace: e.Trace, Missed: e.Missed,
	}
}
