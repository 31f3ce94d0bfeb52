package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/rulefile"
)

// deployRules deploys files, functions and the rules of a netlify.toml.
func (b *bundle) deployRules(draft bool, toml string, files map[string]string, functions ...function.Function) api.Deploy {
	b.t.Helper()
	redirects, headers, err := rulefile.FromTOML([]byte(toml))
	if err != nil {
		b.t.Fatal(err)
	}
	zip, digest := code(b.t, "export default () => new Response('hi')")
	for i := range functions {
		functions[i] = fn(functions[i], digest)
	}
	d, err := b.api.CreateDeploy(b.t.Context(), "default", api.CreateDeploy{
		Draft: draft, Functions: functions, Files: manifest(files), Redirects: redirects, Headers: headers,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	for path, text := range files {
		if _, err := b.api.UploadFile(b.t.Context(), d.ID, path, strings.NewReader(text)); err != nil {
			b.t.Fatal(err)
		}
	}
	if len(d.RequiredFunctions) > 0 {
		if _, err := b.api.UploadFunction(b.t.Context(), d.ID, functions[0].Name, strings.NewReader(string(zip))); err != nil {
			b.t.Fatal(err)
		}
	}
	if d, err = b.api.Deploy(b.t.Context(), "default", d.ID); err != nil || d.State != "ready" {
		b.t.Fatalf("deploy = %+v, %v; want ready", d, err)
	}
	return d
}

const rules = `
[[redirects]]
from = "/old/*"
to = "/new/:splat"
[[redirects]]
from = "/temporary"
to = "https://e.example/there?a=1"
status = 307
[[redirects]]
from = "/"
to = "/de/"
status = 302
force = true
conditions = {Language = ["de"]}
[[redirects]]
from = "/api/:name/:id"
to = "/.netlify/functions/:name?id=:id"
status = 200
[[redirects]]
from = "/admin/*"
to = "/secret/:splat"
status = 200
force = true
conditions = {Role = ["admin"]}
[[redirects]]
from = "/admin/*"
to = "/sorry.html"
status = 401
force = true
[[redirects]]
from = "/gone/*"
to = "/sorry"
status = 410
[[redirects]]
from = "/remote/*"
to = "https://e.example/:splat"
status = 200
force = true
[[redirects]]
from = "/app/*"
to = "/index.html"
status = 200

[[headers]]
for = "/*"
values = {X-Frame-Options = "DENY", Access-Control-Allow-Origin = "*"}
[[headers]]
for = "/assets/*"
values = {Cache-Control = "public, max-age=31536000, immutable", X-Frame-Options = "SAMEORIGIN"}
[[headers]]
for = "/feed"
values = {Content-Type = "application/atom+xml"}
`

func TestRules(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *gateway.Config) { c.TrustProxy = "true" })
	b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.deployRules(false, rules, map[string]string{
		"index.html": "<h1>home</h1>", "404.html": "lost", "sorry.html": "sorry", "admin/index.html": "admin", "assets/app.js": "js", "feed": "<feed/>",
	}, function.Function{Name: "hello"}, function.Function{Name: "job-background", Kind: function.Background}, function.Function{Name: "own", Paths: []string{"/own"}})
	b.worker(echo)

	const html, noStore = "text/html; charset=utf-8", "public, max-age=0, must-revalidate"
	etag := `"` + digestOf("js") + `"`
	tests := []struct {
		name, method, path string
		header             [2]string
		status             int
		body               string // part of it, or all with a "=" in front
		want               map[string]string
	}{
		{"sent away", "GET", "/old/a%20b/c?q=1&r=%2F", [2]string{}, 301, "=Redirecting to /new/a%20b/c?q=1&r=%2F\n", map[string]string{"Location": "/new/a%20b/c?q=1&r=%2F", "Cache-Control": noStore, "Content-Type": "text/plain; charset=UTF-8", "X-Frame-Options": ""}},
		{"head of it", "HEAD", "/old/x", [2]string{}, 301, "=", map[string]string{"Location": "/new/x"}},
		{"with another method", "POST", "/temporary?b=2", [2]string{}, 307, "", map[string]string{"Location": "https://e.example/there?a=1"}},
		{"not to another host by chance", "GET", "/old//evil.example/%2e%2e/x", [2]string{}, 301, "", map[string]string{"Location": "/new//evil.example/../x"}},
		{"by language", "GET", "/", [2]string{"Accept-Language", "de-DE,de;q=0.9,en;q=0.5"}, 302, "", map[string]string{"Location": "/de/"}},
		{"another language", "GET", "/", [2]string{"Accept-Language", "en"}, 200, "=<h1>home</h1>", map[string]string{"Cache-Control": "public, max-age=0", "X-Frame-Options": "DENY", "Access-Control-Allow-Origin": "*"}},
		{"single page", "GET", "/app/deep/link?x=1", [2]string{}, 200, "=<h1>home</h1>", map[string]string{"Content-Type": html, "X-Frame-Options": "DENY", "Etag": `"` + digestOf("<h1>home</h1>") + `"`}},
		{"single page, head", "HEAD", "/app/deep", [2]string{}, 200, "=", map[string]string{"Content-Length": "13"}},
		{"single page, posted to", "POST", "/app/deep", [2]string{}, 405, "=Method Not Allowed", nil},
		{"function", "POST", "/api/hello/7?x=1", [2]string{"Content-Type", "text/plain"}, 200, `"path":"/api/hello/7","httpMethod":"POST","queryStringParameters":{"id":"7","x":"1"}`, map[string]string{"X-Frame-Options": ""}},
		{"function, its URL", "GET", "/api/hello/7?x=1", [2]string{}, 200, `/api/hello/7?id=7&x=1","rawQuery":"id=7&x=1"`, nil},
		{"background function", "POST", "/api/job-background/7", [2]string{}, 202, "=", nil},
		{"function that is not there", "GET", "/api/nope/7", [2]string{}, 404, "=Function not found...", nil},
		{"role", "GET", "/admin/", [2]string{}, 401, "=sorry", map[string]string{"Content-Type": html, "Content-Length": "5", "Cache-Control": noStore, "X-Frame-Options": "DENY", "Etag": ""}},
		{"gone", "GET", "/gone/x", [2]string{}, 410, "=sorry", map[string]string{"Content-Type": html, "Cache-Control": noStore}},
		{"gone, for every method", "DELETE", "/gone/x", [2]string{}, 410, "=sorry", nil},
		{"gone, head", "HEAD", "/gone/x", [2]string{}, 410, "=", map[string]string{"Content-Length": "5"}},
		{"nothing is fetched from elsewhere", "GET", "/remote/x", [2]string{}, 404, "=lost", nil},
		{"headers of a file", "GET", "/assets/app.js", [2]string{}, 200, "=js", map[string]string{"Cache-Control": "public, max-age=31536000, immutable", "X-Frame-Options": "SAMEORIGIN", "Access-Control-Allow-Origin": "*", "Content-Type": "application/javascript; charset=utf-8", "Etag": etag}},
		{"headers of an unchanged file", "GET", "/assets/app.js", [2]string{"If-None-Match", etag}, 304, "=", map[string]string{"Cache-Control": "public, max-age=31536000, immutable", "X-Frame-Options": "SAMEORIGIN"}},
		{"headers of a part", "GET", "/assets/app.js", [2]string{"Range", "bytes=1-"}, 206, "=s", map[string]string{"X-Frame-Options": "SAMEORIGIN"}},
		{"what is missing is not kept", "GET", "/assets/none.js", [2]string{}, 404, "=lost", map[string]string{"Cache-Control": noStore, "X-Frame-Options": "SAMEORIGIN"}},
		{"type", "GET", "/feed", [2]string{}, 200, "=<feed/>", map[string]string{"Content-Type": "application/atom+xml"}},
		{"own path of a function", "GET", "/own", [2]string{}, 200, `"route":"/own"`, map[string]string{"X-Frame-Options": "", "Access-Control-Allow-Origin": ""}},
		{"the platform's own", "GET", "/.nightshift/nothing", [2]string{}, 404, "there is nothing at", nil},
	}
	for _, tt := range tests {
		req := b.request(tt.method, tt.path, nil)
		if tt.header[0] != "" {
			req.Header.Set(tt.header[0], tt.header[1])
		}
		got := b.do(req)
		whole, isWhole := strings.CutPrefix(tt.body, "=")
		if got.status != tt.status || got.err != nil || isWhole && got.body != whole || !strings.Contains(got.body, whole) {
			t.Errorf("%s: %s %s = %d %q, %v; want %d %q", tt.name, tt.method, tt.path, got.status, got.body, got.err, tt.status, tt.body)
		}
		for key, want := range tt.want {
			if value := got.header.Get(key); value != want {
				t.Errorf("%s: %s = %q, want %q", tt.name, key, value, want)
			}
		}
	}
}

// TestRulesOfEachDeploy: rules belong to the deploy, on its permalink too.
func TestRulesOfEachDeploy(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	files := map[string]string{"index.html": "home"}
	one := b.deployRules(false, "[[redirects]]\nfrom = '/a'\nto = '/one'\n", files)
	draft := b.deployRules(true, "[[redirects]]\nfrom = '/a'\nto = '/draft'\n[[headers]]\nfor = '/'\nvalues = {A = 'draft'}\n", files)
	without := b.deployRules(true, "", files)
	for host, want := range map[string][3]string{
		"localhost": {"301", "/one", ""}, one.ID + "--default.localhost": {"301", "/one", ""},
		draft.ID + "--default.localhost": {"301", "/draft", "draft"}, without.ID + "--default.localhost": {"404", "", ""},
	} {
		at := func(path string) answer {
			req := b.request("GET", path, nil)
			req.Host = host
			return b.do(req)
		}
		got, home := at("/a"), at("/")
		if (got.status == 301) != (want[0] == "301") || got.header.Get("Location") != want[1] || home.status != 200 || home.header.Get("A") != want[2] {
			t.Errorf("%s: /a = %d %q, / = %d with %q; want %v", host, got.status, got.header.Get("Location"), home.status, home.header.Get("A"), want)
		}
	}
}

func TestDeployRefusesRules(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for name, body := range map[string]api.CreateDeploy{
		"redirect": {Redirects: []deploy.Redirect{{From: "/a", To: "b", Status: 301}}},
		"status":   {Redirects: []deploy.Redirect{{From: "/a", To: "/b"}}},
		"header":   {Headers: []deploy.HeaderRule{{For: "/a", Values: map[string]string{"Content-Length": "1"}}}},
		"password": {Headers: []deploy.HeaderRule{{For: "/a", Values: map[string]string{"Basic-Auth": "a:b"}}}},
	} {
		if _, err := b.api.CreateDeploy(t.Context(), "default", body); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "the deploy is not valid") {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}
