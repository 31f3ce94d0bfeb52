package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/nightshift/nightshift/shared/api"
)

// Schedules lists the schedules of a site's published deploy.
func (c *Client) Schedules(ctx context.Context, site string) ([]api.Schedule, error) {
	return call[[]api.Schedule](ctx, c, http.MethodGet, path("sites", site, "schedules"), nil, "")
}

// Trigger makes an invocation of a scheduled function now: once for each key, if
// that is not empty.
func (c *Client) Trigger(ctx context.Context, site, function, key string) (api.Accepted, error) {
	return call[api.Accepted](ctx, c.once(key), http.MethodPost, path("sites", site, "schedules", function, "trigger"), nil, "")
}

// PauseSchedule lets a schedule skip its ticks until ResumeSchedule.
func (c *Client) PauseSchedule(ctx context.Context, site, function string) error {
	return c.do(ctx, http.MethodPost, path("sites", site, "schedules", function, "pause"), nil, "", nil)
}

// ResumeSchedule ends a pause.
func (c *Client) ResumeSchedule(ctx context.Context, site, function string) error {
	return c.do(ctx, http.MethodPost, path("sites", site, "schedules", function, "resume"), nil, "", nil)
}

// Backfill makes an invocation for each tick in a span: each once for each key,
// also the empty one.
func (c *Client) Backfill(ctx context.Context, site, function string, in api.Backfill, key string) (api.Backfilled, error) {
	return send[api.Backfilled](ctx, c.once(key), http.MethodPost, path("sites", site, "schedules", function, "backfill"), in)
}

// Ledger reads a page of what became of a schedule's ticks, newest first. cursor
// is empty, or that of the page before; limit 0 is the server's own.
func (c *Client) Ledger(ctx context.Context, site, function, cursor string, limit int) (api.Ledger, error) {
	return call[api.Ledger](ctx, c, http.MethodGet, path("sites", site, "schedules", function, "ledger")+page(cursor, limit), nil, "")
}

// page is a query for one page of a list, with the question mark.
func page(cursor string, limit int) string {
	values := url.Values{}
	if cursor != "" {
		values.Set("cursor", cursor)
	}
	if limit > 0 {
		values.Set("limit", strconv.Itoa(limit))
	}
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}
