package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/fault"
)

// serve makes a client of a handler.
func serve(t *testing.T, h http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL+"/api/v1/", "secret", server.Client())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRequests(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, method, path, body, answer string
		call                             func(*client.Client) (any, error)
	}{
		{"create", "POST", "/api/v1/sites/shop/deploys", `{"draft":true,"functions":null}`, `{"id":"d1","required_functions":["a"]}`,
			func(c *client.Client) (any, error) {
				return c.CreateDeploy(t.Context(), "shop", api.CreateDeploy{Draft: true})
			}},
		{"upload", "PUT", "/api/v1/deploys/d1/functions/hello", "zip", `{"id":"d1"}`,
			func(c *client.Client) (any, error) {
				return c.UploadFunction(t.Context(), "d1", "hello", bytes.NewReader([]byte("zip")))
			}},
		{"upload of a file", "PUT", "/api/v1/deploys/d1/files/a%20b/%3Fc.txt", "text", `{"path":"a b/?c.txt","digest":"","size":4}`,
			func(c *client.Client) (any, error) {
				return c.UploadFile(t.Context(), "d1", "a b/?c.txt", strings.NewReader("text"))
			}},
		{"deploy", "GET", "/api/v1/sites/shop/deploys/d1", "", `{"id":"d1"}`,
			func(c *client.Client) (any, error) { return c.Deploy(t.Context(), "shop", "d1") }},
		{"functions", "GET", "/api/v1/sites/a%2Fb/functions", "", `[{"name":"x"}]`,
			func(c *client.Client) (any, error) { return c.Functions(t.Context(), "a/b") }},
		{"workers", "GET", "/api/v1/workers", "", `[{"id":"w"}]`,
			func(c *client.Client) (any, error) { return c.Workers(t.Context()) }},
		{"invocation", "GET", "/api/v1/invocations/I", "", `{"id":"I"}`,
			func(c *client.Client) (any, error) { return c.Invocation(t.Context(), "I") }},
		{"logs", "GET", "/api/v1/invocations/I/logs?after=1-2", "", `[{"text":"hi"}]`,
			func(c *client.Client) (any, error) { return c.Logs(t.Context(), "I", "1-2") }},
		{"cancel", "POST", "/api/v1/invocations/I/cancel", "", `{"id":"I"}`,
			func(c *client.Client) (any, error) { return c.Cancel(t.Context(), "I") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if r.Method != tt.method || r.RequestURI != tt.path || string(body) != tt.body {
					t.Errorf("request = %s %s %q, want %s %s %q", r.Method, r.RequestURI, body, tt.method, tt.path, tt.body)
				}
				if got := r.Header.Get("Authorization"); got != "Bearer secret" {
					t.Errorf("Authorization = %q", got)
				}
				_, _ = io.WriteString(w, tt.answer)
			})
			got, err := tt.call(c)
			if err != nil {
				t.Fatal(err)
			}
			// What was answered stands in what came back.
			encoded, _ := json.Marshal(got)
			for part := range strings.SplitSeq(strings.Trim(tt.answer, "{}[]"), ",") {
				if !strings.Contains(string(encoded), strings.Trim(part, "{}[]")) {
					t.Errorf("answer %s does not hold %s", encoded, part)
				}
			}
		})
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		status  int
		body    string
		kind    fault.Kind
		message string
		after   time.Duration
	}{
		{"told", 404, `{"code":404,"kind":"not_found","message":"there is no deploy d1"}`, fault.NotFound, "there is no deploy d1", 0},
		{"retry", 503, `{"code":503,"kind":"unavailable","message":"Redis does not answer"}`, fault.Unavailable, "Redis does not answer", 2 * time.Second},
		{"kind that lies", 409, `{"kind":"internal","message":"m"}`, fault.Conflict, "m", 0},
		{"no JSON", 502, "<html>bad</html>", fault.BadGateway, "the server answered 502: <html>bad</html>", 0},
		{"no body", 401, "", fault.Unauthorized, "the server answered 401: Unauthorized", 0},
		{"unknown status", 418, "", fault.Internal, "the server answered 418: I'm a teapot", 0},
		{"not ours", 200, "<html>", fault.BadGateway, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if tt.after > 0 {
					w.Header().Set("Retry-After", "2")
				}
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			})
			_, err := c.Invocation(t.Context(), "I")
			e, ok := errors.AsType[*fault.Error](err)
			if !ok || e.Kind != tt.kind || e.RetryAfter != tt.after || tt.message != "" && e.Message != tt.message {
				t.Errorf("error = %#v, want kind %s, message %q, after %v", err, tt.kind, tt.message, tt.after)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	c, err := client.New(server.URL, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Workers(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Workers of a closed port: %v, want unavailable", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Workers(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Workers under a cancelled context: %v, want context.Canceled", err)
	}
}

func TestNewRefusesBadURL(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"", "127.0.0.1:8889", "ftp://x", "http://"} {
		if _, err := client.New(u, "", nil); !fault.Is(err, fault.Invalid) {
			t.Errorf("New(%q) = %v, want invalid", u, err)
		}
	}
}
