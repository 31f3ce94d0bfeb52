package client

import (
	"context"
	"net/http"

	"github.com/nightshift/nightshift/shared/api"
)

// Retry queues a dead invocation again. One that is not dead, or whose deploy is
// gone, is fault.Conflict.
func (c *Client) Retry(ctx context.Context, id string) (api.Invocation, error) {
	return call[api.Invocation](ctx, c, http.MethodPost, path("invocations", id, "retry"), nil, "")
}

// Replay makes an invocation with the request of a finished one: once for each
// key, if that is not empty. Where nothing can run it: fault.Conflict.
func (c *Client) Replay(ctx context.Context, id, key string) (api.Replay, error) {
	return call[api.Replay](ctx, c.once(key), http.MethodPost, path("invocations", id, "replay"), nil, "")
}

// ReplayAll replays the finished invocations of a site that a filter lets
// through: each once for each key, if that is not empty.
func (c *Client) ReplayAll(ctx context.Context, site string, in api.ReplayInvocations, key string) (api.Replays, error) {
	return send[api.Replays](ctx, c.once(key), http.MethodPost, path("sites", site, "invocations", "replay"), in)
}

// DeadCallbacks lists a page of a site's callbacks that were given up. cursor is
// empty, or that of the page before; limit 0 is the server's own.
func (c *Client) DeadCallbacks(ctx context.Context, site, cursor string, limit int) (api.DeadCallbackList, error) {
	return call[api.DeadCallbackList](ctx, c, http.MethodGet, path("sites", site, "callbacks")+page(cursor, limit), nil, "")
}

// RetryCallback makes a dead callback again. One that is not dead is fault.Conflict.
func (c *Client) RetryCallback(ctx context.Context, id string) (api.Invocation, error) {
	return call[api.Invocation](ctx, c, http.MethodPost, path("invocations", id, "callback", "retry"), nil, "")
}
