package client

import (
	"context"
	"net/http"

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
