package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/invocation"
)

// InvocationQuery says which invocations are listed, and which page of them.
// What is zero leaves nothing out.
type InvocationQuery struct {
	Function string
	State    invocation.State
	Deploy   string
	From, To time.Time // time of creation: From or later, and before To
	Cursor   string    // NextCursor of the page before
	Limit    int       // of the page; 0: the server's own
}

func (q InvocationQuery) encode() string {
	values := url.Values{}
	set := func(name, value string) {
		if value != "" {
			values.Set(name, value)
		}
	}
	set("function", q.Function)
	set("state", string(q.State))
	set("deploy", q.Deploy)
	if !q.From.IsZero() {
		set("from", q.From.UTC().Format(time.RFC3339Nano))
	}
	if !q.To.IsZero() {
		set("to", q.To.UTC().Format(time.RFC3339Nano))
	}
	set("cursor", q.Cursor)
	if q.Limit > 0 {
		set("limit", strconv.Itoa(q.Limit))
	}
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}

// Invocations lists a page of a site's invocations, newest first.
func (c *Client) Invocations(ctx context.Context, site string, q InvocationQuery) (api.InvocationList, error) {
	return call[api.InvocationList](ctx, c, http.MethodGet, path("sites", site, "invocations")+q.encode(), nil, "")
}
