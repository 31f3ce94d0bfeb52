// Package client calls the control API.
//
// Answers that are not a success come back as [*fault.Error] with the kind that
// the server gave, so that a caller acts on them as the server's own code would;
// a server that cannot be reached is fault.Unavailable.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/fault"
)

// maxError bounds what is read of an answer that is not a success.
const maxError = 64 << 10

// ErrUnreachable is in the chain of the error of a request that got no answer.
var ErrUnreachable = errors.New("not reachable")

// Client is safe for concurrent use.
type Client struct {
	base  string
	shown string // base, without a password
	token string
	http  *http.Client
	key   string // Idempotency-Key of its requests; see [Client.once]
}

// New makes a client of the API at baseURL, which ends in the version, as in
// http://127.0.0.1:8889/api/v1. token may be empty where the server needs none.
// A nil httpClient is one that gives up connecting after 5 s and waiting for an
// answer's head after 2 min; contexts bound the rest.
func New(baseURL, token string, httpClient *http.Client) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		if strings.Contains(baseURL, "@") { // there may be a password in front of it
			baseURL = "…" + baseURL[strings.LastIndex(baseURL, "@"):]
		}
		return nil, fault.New(fault.Invalid, "the API URL %q cannot be used; it looks like http://127.0.0.1:8889/api/v1", baseURL)
	}
	if httpClient == nil {
		httpClient = &http.Client{Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout:   5 * time.Second,
			ResponseHeaderTimeout: 2 * time.Minute,
			IdleConnTimeout:       time.Minute,
			MaxIdleConnsPerHost:   8, // as many as a deploy has uploads at once
		}}
	}
	return &Client{base: strings.TrimSuffix(baseURL, "/"), shown: strings.TrimSuffix(u.Redacted(), "/"), token: token, http: httpClient}, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Functions lists the functions of a site's published deploy.
func (c *Client) Functions(ctx context.Context, site string) ([]api.Function, error) {
	return call[[]api.Function](ctx, c, http.MethodGet, path("sites", site, "functions"), nil, "")
}

// Workers lists the live workers.
func (c *Client) Workers(ctx context.Context) ([]api.Worker, error) {
	return call[[]api.Worker](ctx, c, http.MethodGet, path("workers"), nil, "")
}

// Invocation reads the record of an invocation.
func (c *Client) Invocation(ctx context.Context, id string) (api.Invocation, error) {
	return call[api.Invocation](ctx, c, http.MethodGet, path("invocations", id), nil, "")
}

// Logs reads the log lines of an invocation that stand after the cursor; "" is
// the beginning.
func (c *Client) Logs(ctx context.Context, id, after string) ([]api.LogLine, error) {
	query := ""
	if after != "" {
		query = "?" + url.Values{"after": {after}}.Encode()
	}
	return call[[]api.LogLine](ctx, c, http.MethodGet, path("invocations", id, "logs")+query, nil, "")
}

// Cancel asks for the end of an invocation. A running one may still be running
// in the record that comes back; one that is finished is fault.Conflict.
func (c *Client) Cancel(ctx context.Context, id string) (api.Invocation, error) {
	return call[api.Invocation](ctx, c, http.MethodPost, path("invocations", id, "cancel"), nil, "")
}

// once is the client with a key for its requests: the server does what is asked
// with one key once, however often it is asked. An empty key is none.
func (c *Client) once(key string) *Client {
	other := *c
	other.key = key
	return &other
}

// path joins segments, escaped.
func path(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}

// call is do with an answer of type T.
func call[T any](ctx context.Context, c *Client, method, path string, body io.Reader, contentType string) (T, error) {
	var out T
	err := c.do(ctx, method, path, body, contentType, &out)
	return out, err
}

// do sends a request and decodes the answer into out, unless that is nil.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader, contentType string, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "making a request to the API")
	}
	if sized, ok := body.(interface{ Len() int }); ok {
		req.ContentLength = int64(sized.Len())
		if req.ContentLength == 0 { // with a body it would mean "not known"
			req.Body = http.NoBody
		}
	}
	req.Header.Set("Accept", "application/json")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.key != "" {
		req.Header.Set("Idempotency-Key", c.key)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return failure(resp)
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fault.Wrap(err, fault.BadGateway, "the answer of %s cannot be read; is it the control plane of Nightshift?", c.shown)
	}
	return nil
}

// unreachable tells a request that was given up from one that did not arrive.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err = fmt.Errorf("%w: %w", ErrUnreachable, err)
	if dnsErr, ok := errors.AsType[*net.DNSError](err); ok && dnsErr.IsNotFound {
		return fault.Wrap(err, fault.Unavailable, "the host of %s is not known", c.shown)
	}
	return fault.Wrap(err, fault.Unavailable, "%s does not answer; is the gateway running, and is the URL its control plane?", c.shown)
}

// failure makes an error of an answer.
func failure(resp *http.Response) error {
	var told api.Error
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	if err == nil && json.Unmarshal(body, &told) == nil && told.Message != "" {
		return fault.New(fault.KindOfStatus(resp.StatusCode), "%s", told.Message).After(retryAfter(resp))
	}
	text := strings.TrimSpace(string(body))
	if text == "" || len(text) > 500 {
		text = http.StatusText(resp.StatusCode)
	}
	return fault.New(fault.KindOfStatus(resp.StatusCode), "%s", fmt.Sprintf("the server answered %d: %s", resp.StatusCode, text)).After(retryAfter(resp))
}

// maxRetryAfter is the longest wait that a server is believed.
const maxRetryAfter = time.Hour

func retryAfter(resp *http.Response) time.Duration {
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
}
