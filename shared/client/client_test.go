package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
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
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
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
		{"sites", "GET", "/api/v1/sites?per_page=100", "", `[{"id":"shop"}]`,
			func(c *client.Client) (any, error) { return c.Sites(t.Context()) }},
		{"site", "GET", "/api/v1/sites/shop", "", `{"id":"shop","locked":true}`,
			func(c *client.Client) (any, error) { return c.Site(t.Context(), "shop") }},
		{"create a site", "POST", "/api/v1/sites", `{"name":"shop"}`, `{"id":"shop"}`,
			func(c *client.Client) (any, error) { return c.CreateSite(t.Context(), "shop") }},
		{"unpublish", "PUT", "/api/v1/sites/shop/unpublish", "", `{"id":"shop"}`,
			func(c *client.Client) (any, error) { return c.Unpublish(t.Context(), "shop") }},
		{"deploys", "GET", "/api/v1/sites/shop/deploys?per_page=20", "", `[{"id":"d1"}]`,
			func(c *client.Client) (any, error) { return c.Deploys(t.Context(), "shop", 20) }},
		{"publish", "POST", "/api/v1/sites/shop/deploys/d1/restore", "", `{"id":"d1"}`,
			func(c *client.Client) (any, error) { return c.Publish(t.Context(), "shop", "d1") }},
		{"rollback", "PUT", "/api/v1/sites/shop/rollback", "", `{"id":"d1"}`,
			func(c *client.Client) (any, error) { return c.Rollback(t.Context(), "shop") }},
		{"lock", "POST", "/api/v1/deploys/d1/lock", "", `{"id":"d1"}`,
			func(c *client.Client) (any, error) { return c.Lock(t.Context(), "d1") }},
		{"unlock", "POST", "/api/v1/deploys/d1/unlock", "", `{"id":"d1"}`,
			func(c *client.Client) (any, error) { return c.Unlock(t.Context(), "d1") }},
		{"give a deploy up", "POST", "/api/v1/deploys/d1/cancel", "", `{"id":"d1"}`,
			func(c *client.Client) (any, error) { return c.CancelDeploy(t.Context(), "d1") }},
		{"functions", "GET", "/api/v1/sites/a%2Fb/functions", "", `[{"name":"x"}]`,
			func(c *client.Client) (any, error) { return c.Functions(t.Context(), "a/b") }},
		{"workers", "GET", "/api/v1/workers", "", `[{"id":"w"}]`,
			func(c *client.Client) (any, error) { return c.Workers(t.Context()) }},
		{"invocation", "GET", "/api/v1/invocations/I", "", `{"id":"I"}`,
			func(c *client.Client) (any, error) { return c.Invocation(t.Context(), "I") }},
		{"invocations", "GET", "/api/v1/sites/shop/invocations?cursor=1-I&function=f&limit=20&state=dead", "", `{"invocations":[{"id":"I"}],"next_cursor":"0-I"}`,
			func(c *client.Client) (any, error) {
				return c.Invocations(t.Context(), "shop", client.InvocationQuery{Function: "f", State: invocation.Dead, Cursor: "1-I", Limit: 20})
			}},
		{"invocations of a day", "GET", "/api/v1/sites/shop/invocations?deploy=d1&from=2026-01-02T00%3A00%3A00Z&to=2026-01-03T00%3A00%3A00.5Z", "", `{"invocations":[],"next_cursor":""}`,
			func(c *client.Client) (any, error) {
				return c.Invocations(t.Context(), "shop", client.InvocationQuery{Deploy: "d1", From: day, To: day.Add(24*time.Hour + time.Second/2)})
			}},
		{"all invocations", "GET", "/api/v1/sites/shop/invocations", "", `{"invocations":[],"next_cursor":""}`,
			func(c *client.Client) (any, error) {
				return c.Invocations(t.Context(), "shop", client.InvocationQuery{})
			}},
		{"logs", "GET", "/api/v1/invocations/I/logs?after=1-2", "", `[{"text":"hi"}]`,
			func(c *client.Client) (any, error) { return c.Logs(t.Context(), "I", "1-2") }},
		{"cancel", "POST", "/api/v1/invocations/I/cancel", "", `{"id":"I"}`,
			func(c *client.Client) (any, error) { return c.Cancel(t.Context(), "I") }},
		{"retry", "POST", "/api/v1/invocations/I/retry", "", `{"id":"I","state":"queued"}`,
			func(c *client.Client) (any, error) { return c.Retry(t.Context(), "I") }},
		{"replay", "POST", "/api/v1/invocations/I/replay", "", `{"id":"J","replay_of":"I"}`,
			func(c *client.Client) (any, error) { return c.Replay(t.Context(), "I", "") }},
		{"replay with a key", "POST", "/api/v1/invocations/I/replay", "", `{"id":"J","existed":true}`,
			func(c *client.Client) (any, error) { return c.Replay(t.Context(), "I", "k1") }},
		{"replay by filter", "POST", "/api/v1/sites/shop/invocations/replay", `{"function":"f","state":"dead","from":"2026-01-02T00:00:00Z","limit":5,"dry_run":true}`, `{"matched":["I"],"next_cursor":"1-I"}`,
			func(c *client.Client) (any, error) {
				return c.ReplayAll(t.Context(), "shop", api.ReplayInvocations{Function: "f", State: "dead", From: &day, Limit: 5, DryRun: true}, "")
			}},
		{"replay by filter with a key", "POST", "/api/v1/sites/shop/invocations/replay", `{"cursor":"1-I"}`, `{"next_cursor":"0-I"}`,
			func(c *client.Client) (any, error) {
				return c.ReplayAll(t.Context(), "shop", api.ReplayInvocations{Cursor: "1-I"}, "k1")
			}},
		{"schedules", "GET", "/api/v1/sites/shop/schedules", "", `[{"function":"tick"}]`,
			func(c *client.Client) (any, error) { return c.Schedules(t.Context(), "shop") }},
		{"trigger", "POST", "/api/v1/sites/shop/schedules/a%2Fb/trigger", "", `{"id":"I"}`,
			func(c *client.Client) (any, error) { return c.Trigger(t.Context(), "shop", "a/b", "") }},
		{"trigger with a key", "POST", "/api/v1/sites/shop/schedules/tick/trigger", "", `{"id":"I"}`,
			func(c *client.Client) (any, error) { return c.Trigger(t.Context(), "shop", "tick", "k1") }},
		{"pause", "POST", "/api/v1/sites/shop/schedules/tick/pause", "", "",
			func(c *client.Client) (any, error) { return nil, c.PauseSchedule(t.Context(), "shop", "tick") }},
		{"resume", "POST", "/api/v1/sites/shop/schedules/tick/resume", "", "",
			func(c *client.Client) (any, error) { return nil, c.ResumeSchedule(t.Context(), "shop", "tick") }},
		{"backfill", "POST", "/api/v1/sites/shop/schedules/tick/backfill", `{"from":"2026-01-02T00:00:00Z","to":"2026-01-03T00:00:00Z","limit":9}`, `{"next_from":"2026-01-02T12:00:00Z"}`,
			func(c *client.Client) (any, error) {
				return c.Backfill(t.Context(), "shop", "tick", api.Backfill{From: day, To: day.AddDate(0, 0, 1), Limit: 9}, "")
			}},
		{"backfill with a key", "POST", "/api/v1/sites/shop/schedules/tick/backfill", `{"from":"2026-01-02T00:00:00Z","to":"2026-01-03T00:00:00Z"}`, `{"invocations":[{"id":"I"}]}`,
			func(c *client.Client) (any, error) {
				return c.Backfill(t.Context(), "shop", "tick", api.Backfill{From: day, To: day.AddDate(0, 0, 1)}, "k1")
			}},
		{"ledger", "GET", "/api/v1/sites/shop/schedules/tick/ledger", "", `{"next_cursor":"1-0"}`,
			func(c *client.Client) (any, error) { return c.Ledger(t.Context(), "shop", "tick", "", 0) }},
		{"a page of the ledger", "GET", "/api/v1/sites/shop/schedules/tick/ledger?cursor=1-0&limit=7", "", `{"next_cursor":"0-1"}`,
			func(c *client.Client) (any, error) { return c.Ledger(t.Context(), "shop", "tick", "1-0", 7) }},
		{"dead callbacks", "GET", "/api/v1/sites/shop/callbacks?cursor=1-I&limit=200", "", `{"next_cursor":"0-I"}`,
			func(c *client.Client) (any, error) { return c.DeadCallbacks(t.Context(), "shop", "1-I", 200) }},
		{"retry of a callback", "POST", "/api/v1/invocations/I/callback/retry", "", `{"id":"I"}`,
			func(c *client.Client) (any, error) { return c.RetryCallback(t.Context(), "I") }},
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
				if got := r.Header.Get("Idempotency-Key"); (got == "k1") != strings.HasSuffix(tt.name, "with a key") || got != "" && got != "k1" {
					t.Errorf("Idempotency-Key = %q", got)
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

// TestDeploysByPage reads more deploys than the API lists at once.
func TestDeploysByPage(t *testing.T) {
	t.Parallel()
	const there = 250
	for limit, pages := range map[int]int{1: 1, 100: 1, 101: 2, 250: 3, 1000: 3} {
		asked := 0
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			asked++
			size, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
			page := 1
			if text := r.URL.Query().Get("page"); text != "" {
				page, _ = strconv.Atoi(text)
			}
			if size < 1 || size > 100 {
				t.Errorf("per_page = %d, want 1 to 100", size)
			}
			list := []api.Deploy{}
			for i := (page - 1) * size; i < min(page*size, there); i++ {
				list = append(list, api.Deploy{ID: strconv.Itoa(i)})
			}
			_ = json.NewEncoder(w).Encode(list)
		})
		got, err := c.Deploys(t.Context(), "shop", limit)
		if want := min(limit, there); err != nil || len(got) != want || asked != pages || got[want-1].ID != strconv.Itoa(want-1) {
			t.Errorf("Deploys(%d) = %d deploys, %v, in %d requests; want %d in %d", limit, len(got), err, asked, want, pages)
		}
	}
}

// TestLengthsAreSentAhead uploads what tells its length.
func TestLengthsAreSentAhead(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]sized{"some": {strings.NewReader("text")}, "none": {strings.NewReader("")}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := int64(content.Len())
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if body, err := io.ReadAll(r.Body); err != nil || r.ContentLength != want || int64(len(body)) != want {
					t.Errorf("Content-Length %d with %d bytes, %v; want %d", r.ContentLength, len(body), err, want)
				}
				_, _ = io.WriteString(w, "{}")
			})
			if _, err := c.UploadFile(t.Context(), "d1", "a.txt", content); err != nil {
				t.Error(err)
			}
		})
	}
}

// sized is a reader that net/http does not know.
type sized struct{ text *strings.Reader }

func (s sized) Read(p []byte) (int, error) { return s.text.Read(p) }
func (s sized) Len() int                   { return s.text.Len() }
