package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/fault"
)

// Variables lists the environment variables of a site. Values of secrets are masked.
func (c *Client) Variables(ctx context.Context, site string) ([]api.Variable, error) {
	return call[[]api.Variable](ctx, c, http.MethodGet, variablesPath(site), nil, "")
}

// Variable reads an environment variable of a site, or fault.NotFound.
func (c *Client) Variable(ctx context.Context, site, key string) (api.Variable, error) {
	return call[api.Variable](ctx, c, http.MethodGet, variablesPath(site, key), nil, "")
}

// CreateVariables makes new environment variables, all or none. One that is
// there already: fault.Conflict.
func (c *Client) CreateVariables(ctx context.Context, site string, variables []api.Variable) ([]api.Variable, error) {
	return send[[]api.Variable](ctx, c, http.MethodPost, variablesPath(site), variables)
}

// ReplaceVariable makes an environment variable that is there another one.
func (c *Client) ReplaceVariable(ctx context.Context, site string, v api.Variable) (api.Variable, error) {
	return send[api.Variable](ctx, c, http.MethodPut, variablesPath(site, v.Key), v)
}

// SetVariableValue sets the value of an environment variable in one context.
func (c *Client) SetVariableValue(ctx context.Context, site, key string, value api.SetVariableValue) (api.Variable, error) {
	return send[api.Variable](ctx, c, http.MethodPatch, variablesPath(site, key), value)
}

// RemoveVariable removes an environment variable with all its values.
func (c *Client) RemoveVariable(ctx context.Context, site, key string) error {
	return c.do(ctx, http.MethodDelete, variablesPath(site, key), nil, "", nil)
}

// RemoveVariableValue removes one value of an environment variable, by its ID.
func (c *Client) RemoveVariableValue(ctx context.Context, site, key, id string) error {
	return c.do(ctx, http.MethodDelete, variablesPath(site, key, "value", id), nil, "", nil)
}

// SecretKeys says what the keys that seal environment variables are used for.
func (c *Client) SecretKeys(ctx context.Context) (api.SecretKeys, error) {
	return call[api.SecretKeys](ctx, c, http.MethodGet, path("secrets", "keys"), nil, "")
}

// Reseal seals with the first key what was sealed with others, for a while. Call
// it until the answer says that it is done.
func (c *Client) Reseal(ctx context.Context) (api.SecretKeys, error) {
	return call[api.SecretKeys](ctx, c, http.MethodPost, path("secrets", "reseal"), nil, "")
}

func variablesPath(site string, segments ...string) string {
	return path(append([]string{"accounts", api.Account, "env"}, segments...)...) + "?" + url.Values{"site_id": {site}}.Encode()
}

// send is call with a JSON body.
func send[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	data, err := json.Marshal(body)
	if err != nil {
		var none T
		return none, fault.Wrap(err, fault.Internal, "encoding a request")
	}
	return call[T](ctx, c, method, path, bytes.NewReader(data), "application/json")
}
