package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/nightshift/nightshift/shared/api"
)

// CreateToken makes a token. The answer has its secret, once.
func (c *Client) CreateToken(ctx context.Context, t api.CreateToken) (api.NewToken, error) {
	return send[api.NewToken](ctx, c, http.MethodPost, path("tokens"), t)
}

// Tokens lists the tokens, newest first.
func (c *Client) Tokens(ctx context.Context) ([]api.Token, error) {
	return call[[]api.Token](ctx, c, http.MethodGet, path("tokens"), nil, "")
}

// OwnToken is the token that the client shows.
func (c *Client) OwnToken(ctx context.Context) (api.Token, error) {
	return call[api.Token](ctx, c, http.MethodGet, path("tokens", "self"), nil, "")
}

// RevokeToken lets a token be good for nothing from now on.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, path("tokens", id), nil, "", nil)
}

// AuditQuery says which entries of the audit log are listed, and which page of
// them. What is zero leaves nothing out.
type AuditQuery struct {
	Site, Actor string
	From, To    time.Time // From or later, and before To
	Cursor      string    // NextCursor of the page before
	Limit       int       // of the page; 0: the server's own
}

// Audit lists a page of the audit log, newest first.
func (c *Client) Audit(ctx context.Context, q AuditQuery) (api.AuditList, error) {
	values := url.Values{}
	for name, value := range map[string]string{"site": q.Site, "actor": q.Actor, "cursor": q.Cursor} {
		if value != "" {
			values.Set(name, value)
		}
	}
	for name, at := range map[string]time.Time{"from": q.From, "to": q.To} {
		if !at.IsZero() {
			values.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	if q.Limit > 0 {
		values.Set("limit", strconv.Itoa(q.Limit))
	}
	return call[api.AuditList](ctx, c, http.MethodGet, path("audit")+"?"+values.Encode(), nil, "")
}
