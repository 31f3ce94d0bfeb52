package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/function"
)

const corsRules = `
[[headers]]
for = "/.netlify/functions/open-background"
values = {Access-Control-Allow-Origin = "https://a.example", Access-Control-Allow-Headers = "content-type", Access-Control-Expose-Headers = "Location, X-Nf-Request-Id", Vary = "Origin", X-Frame-Options = "DENY", Cache-Control = "public, max-age=60", X-Nf-Request-Id = "forged", Nightshift-Hint = "forged", Content-Type = "text/html", Retry-After = "1"}
[[headers]]
for = "/api/*"
values = {Access-Control-Allow-Origin = "https://api.example"}
[[headers]]
for = "/.netlify/functions/quiet-background"
values = {X-Frame-Options = "DENY"}
[[headers]]
for = "/.netlify/functions/sync"
values = {Access-Control-Allow-Origin = "*"}
[[headers]]
for = "/.nightshift/invocations/*"
values = {Access-Control-Allow-Origin = "https://a.example", Access-Control-Allow-Methods = "GET, DELETE", X-Frame-Options = "DENY", Cache-Control = "public"}
[[redirects]]
from = "/api/open"
to = "/.netlify/functions/open-background"
status = 200
`

// TestHeadersOfBackgroundAnswers: what a site has configured for the path stands on
// every answer that is given for a background function, and on nothing else.
func TestHeadersOfBackgroundAnswers(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	open := function.Function{Name: "open-background", Kind: function.Background}
	posted := function.Function{Name: "posted-background", Kind: function.Background, Paths: []string{"/api/posted"}, Methods: []string{"POST"}}
	few := limited("few-background", function.RateLimit{Limit: 1})
	few.Paths = []string{"/api/few"}
	b.deployRules(false, corsRules, map[string]string{"index.html": "home"}, open, posted, few,
		function.Function{Name: "quiet-background", Kind: function.Background}, function.Function{Name: "sync"})
	b.worker(echo)
	const openURL = "/.netlify/functions/open-background"
	call := func(method, path, origin, requested string, body string) answer {
		req := b.request(method, path, strings.NewReader(body))
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		if requested != "" {
			req.Header.Set("Access-Control-Request-Method", requested)
		}
		return b.do(req)
	}
	queued := func() int64 { return b.redis.LLen(t.Context(), "asynq:{background}:pending").Val() }

	got := call("POST", openURL, "https://a.example", "", "{}")
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": "https://a.example", "Access-Control-Expose-Headers": "Location, X-Nf-Request-Id", "Vary": "Origin", "X-Frame-Options": "DENY",
		"Cache-Control": "", "Nightshift-Hint": "", "Content-Type": "", "Retry-After": "", "Content-Length": "0",
		"Location": "/.nightshift/invocations/" + got.header.Get("X-Nf-Request-Id"),
	} {
		if value := got.header.Get(name); got.status != 202 || value != want {
			t.Errorf("the 202 (%d) has %s = %q, want %q", got.status, name, value, want)
		}
	}
	if n := len(got.header.Values("X-Nf-Request-Id")[0]); n != 26 {
		t.Errorf("X-Nf-Request-Id = %q", got.header.Values("X-Nf-Request-Id"))
	}

	const allowed = "https://a.example"
	for _, tt := range []struct {
		name, method, path, requested, body string
		status                              int
		origin                              string // allowed, on the answer
		queues                              int64
	}{
		{"413", "POST", openURL, "", strings.Repeat("x", 256<<10+1), 413, allowed, 0},
		{"by a redirect, as it was asked for", "POST", "/api/open", "", "{}", 202, "https://api.example", 1},
		{"without rules", "POST", "/.netlify/functions/quiet-background", "", "{}", 202, "", 1},
		{"first of few", "POST", "/api/few", "", "{}", 202, "https://api.example", 1},
		{"429", "POST", "/api/few", "", "{}", 429, "https://api.example", 0},
		{"a sync function says it itself", "POST", "/.netlify/functions/sync", "", "{}", 200, "", 0},
		{"preflight", "OPTIONS", openURL, "POST", "", 204, allowed, 0},
		{"preflight of a redirect", "OPTIONS", "/api/open", "POST", "", 204, "https://api.example", 0},
		{"preflight of a method that is taken", "OPTIONS", "/api/posted", "POST", "", 204, "https://api.example", 0},
		{"preflight of one that is not", "OPTIONS", "/api/posted", "PUT", "", 405, "https://api.example", 0},
		{"preflight without rules is a call", "OPTIONS", "/.netlify/functions/quiet-background", "POST", "", 202, "", 1},
		{"preflight of a sync function is its business", "OPTIONS", "/.netlify/functions/sync", "POST", "", 200, "", 0},
		{"OPTIONS that is no preflight is a call", "OPTIONS", openURL, "", "", 202, allowed, 1},
	} {
		before := queued()
		got := call(tt.method, tt.path, allowed, tt.requested, tt.body)
		if got.status != tt.status || got.header.Get("Access-Control-Allow-Origin") != tt.origin && tt.status != 405 {
			t.Errorf("%s: %d with %q, want %d with %q", tt.name, got.status, got.header.Get("Access-Control-Allow-Origin"), tt.status, tt.origin)
		}
		if n := queued() - before; n != tt.queues {
			t.Errorf("%s: %d calls were queued, want %d", tt.name, n, tt.queues)
		}
		if tt.status == 204 && (got.header.Get("Location") != "" || got.header.Get("X-Nf-Request-Id") != "") {
			t.Errorf("%s: headers %v of a call that was not made", tt.name, got.header)
		}
	}

	// The status, which the page must know the ID of.
	location := got.header.Get("Location")
	status := call("GET", location, allowed, "", "")
	if status.status != 200 || status.header.Get("Access-Control-Allow-Origin") != allowed || status.header.Get("X-Frame-Options") != "" || status.header.Get("Cache-Control") != "no-store" {
		t.Errorf("status = %d %v", status.status, status.header)
	}
	if got := call("OPTIONS", location, allowed, "DELETE", ""); got.status != 204 || got.header.Get("Access-Control-Allow-Methods") != "GET, DELETE" {
		t.Errorf("preflight of the status = %d %v", got.status, got.header)
	}
	if got := call("GET", "/.nightshift/invocations/01JD0000000000000000000000", allowed, "", ""); got.status != 404 || got.header.Get("Access-Control-Allow-Origin") != allowed {
		t.Errorf("status of nothing = %d %v", got.status, got.header)
	}

	b.server.Stop()
	if got := call("POST", openURL, allowed, "", "{}"); got.status != http.StatusServiceUnavailable || got.header.Get("Access-Control-Allow-Origin") != allowed || got.header.Get("Retry-After") != "2" {
		t.Errorf("without Redis = %d %v, want 503 that the page can read", got.status, got.header)
	}
}
