package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/fault"
)

// Sites lists all sites.
func (c *Client) Sites(ctx context.Context) ([]api.Site, error) {
	return pages[api.Site](ctx, c, path("sites"), math.MaxInt)
}

// Site reads a site, or fault.NotFound.
func (c *Client) Site(ctx context.Context, name string) (api.Site, error) {
	return call[api.Site](ctx, c, http.MethodGet, path("sites", name), nil, "")
}

// CreateSite makes a site. A name that is taken: fault.Conflict.
func (c *Client) CreateSite(ctx context.Context, name string) (api.Site, error) {
	body, err := json.Marshal(api.CreateSite{Name: name})
	if err != nil {
		return api.Site{}, fault.Wrap(err, fault.Internal, "encoding the site")
	}
	return call[api.Site](ctx, c, http.MethodPost, path("sites"), bytes.NewReader(body), "application/json")
}

// Unpublish lets a site serve nothing.
func (c *Client) Unpublish(ctx context.Context, site string) (api.Site, error) {
	return call[api.Site](ctx, c, http.MethodPut, path("sites", site, "unpublish"), nil, "")
}

// CreateDeploy announces a deploy. The answer says which code is missing;
// without any the deploy is ready, and published unless it is a draft.
func (c *Client) CreateDeploy(ctx context.Context, site string, in api.CreateDeploy) (api.Deploy, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return api.Deploy{}, fault.Wrap(err, fault.Internal, "encoding the deploy")
	}
	return call[api.Deploy](ctx, c, http.MethodPost, path("sites", site, "deploys"), bytes.NewReader(body), "application/json")
}

// UploadFunction sends the code of a deploy's function, as the zip whose digest
// the deploy names. It may be repeated. zip is read to its end; where it tells
// how much is left (Len, as of bytes.Reader) that is sent ahead.
func (c *Client) UploadFunction(ctx context.Context, deployID, function string, zip io.Reader) (api.Deploy, error) {
	return call[api.Deploy](ctx, c, http.MethodPut, path("deploys", deployID, "functions", function), zip, "application/zip")
}

// UploadFile sends one static file of a deploy, whose digest the deploy names.
// It may be repeated. content is read to its end; where it tells how much is
// left (Len, as of bytes.Reader) that is sent ahead.
func (c *Client) UploadFile(ctx context.Context, deployID, name string, content io.Reader) (api.File, error) {
	segments := append([]string{"deploys", deployID, "files"}, strings.Split(name, "/")...)
	return call[api.File](ctx, c, http.MethodPut, path(segments...), content, "application/octet-stream")
}

// Deploy reads a deploy of a site.
func (c *Client) Deploy(ctx context.Context, site, id string) (api.Deploy, error) {
	return call[api.Deploy](ctx, c, http.MethodGet, path("sites", site, "deploys", id), nil, "")
}

// Deploys lists a site's newest deploys, at most limit of them, without their functions.
func (c *Client) Deploys(ctx context.Context, site string, limit int) ([]api.Deploy, error) {
	return pages[api.Deploy](ctx, c, path("sites", site, "deploys"), limit)
}

// pageSize is how many things the API lists at once.
const pageSize = 100

// pages reads a list, at most limit of it, page by page.
func pages[T any](ctx context.Context, c *Client, path string, limit int) ([]T, error) {
	var all []T
	size := min(limit, pageSize) // the same for each page, which is counted in it
	for page := 1; len(all) < limit; page++ {
		query := url.Values{"per_page": {strconv.Itoa(size)}}
		if page > 1 {
			query.Set("page", strconv.Itoa(page))
		}
		list, err := call[[]T](ctx, c, http.MethodGet, path+"?"+query.Encode(), nil, "")
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if len(list) < size {
			break
		}
	}
	return all[:min(len(all), limit)], nil
}

// Publish makes a deploy the one that callers of its site get.
func (c *Client) Publish(ctx context.Context, site, id string) (api.Deploy, error) {
	return call[api.Deploy](ctx, c, http.MethodPost, path("sites", site, "deploys", id, "restore"), nil, "")
}

// Rollback publishes what was published before, and returns it.
func (c *Client) Rollback(ctx context.Context, site string) (api.Deploy, error) {
	return call[api.Deploy](ctx, c, http.MethodPut, path("sites", site, "rollback"), nil, "")
}

// Lock keeps a site at a deploy, which must be the published one.
func (c *Client) Lock(ctx context.Context, id string) (api.Deploy, error) {
	return call[api.Deploy](ctx, c, http.MethodPost, path("deploys", id, "lock"), nil, "")
}

// Unlock ends what Lock began, given any deploy of the site.
func (c *Client) Unlock(ctx context.Context, id string) (api.Deploy, error) {
	return call[api.Deploy](ctx, c, http.MethodPost, path("deploys", id, "unlock"), nil, "")
}

// CancelDeploy gives a deploy up that is not ready.
func (c *Client) CancelDeploy(ctx context.Context, id string) (api.Deploy, error) {
	return call[api.Deploy](ctx, c, http.MethodPost, path("deploys", id, "cancel"), nil, "")
}
