// Package nextjs runs the API routes of one Next.js site, built by each version
// of Next that is supported, on real services: installed by npm, built and
// deployed by the real CLI, called over HTTP, fired by the scheduler.
//
// Packages are installed once per lock file, into the user's cache folder.
package nextjs

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/invocation"
)

// version is one version of Next with a site that is arranged in its own way,
// so that together they cover the ways.
type version struct {
	name     string // of the folder in versions
	basePath string
	distDir  string
	src      bool // pages and app below src
	linked   bool // packages are linked, as pnpm does it
}

func TestVersions(t *testing.T) {
	for _, v := range []version{
		{name: "16", basePath: "/docs"},
		{name: "15", distDir: "build/next", src: true},
		{name: "14", basePath: "/docs", linked: true},
		{name: "13", src: true},
	} {
		// One after the other: each build takes all processors.
		t.Run(v.name, func(t *testing.T) {
			w := start(t, v)
			t.Run("pages", func(t *testing.T) { pages(t, w) })
			t.Run("body", func(t *testing.T) { bodies(t, w) })
			t.Run("app", func(t *testing.T) { handlers(t, w) })
			t.Run("streams", func(t *testing.T) { streams(t, w) })
			t.Run("background", func(t *testing.T) { background(t, w) })
			t.Run("scheduled", func(t *testing.T) { scheduled(t, w) })
		})
	}
}

// plain is what pages/api/plain.js answers.
type plain struct {
	Method, URL, Header, File, Env, Local string
	Query                                 map[string]any
	Cookies                               map[string]string
	Body                                  any
	Encrypted, Preview                    bool
	MS, Registered                        int
}

func pages(t *testing.T, w *world) {
	got := w.do(t, request{method: "POST", path: "/api/plain?a=1&a=2&b=x%20y", body: `{"k":[1]}`, header: http.Header{
		"Content-Type": {"application/json"}, "Cookie": {"c=d; e=f%20g"}, "X-Test": {"\u65e5"},
	}}, 201)
	var p plain
	got.decode(t, &p)
	want := plain{
		Method: "POST", URL: "/api/plain?a=1&a=2&b=x%20y", Header: "\u00e6\u0097\u00a5", // bytes, as Node gives them
		File: "from a file", Env: "production file", Local: "",
		Query: map[string]any{"a": []any{"1", "2"}, "b": "x y"}, Cookies: map[string]string{"c": "d", "e": "f g"},
		Body: map[string]any{"k": []any{1.0}}, MS: 172800000, Registered: 1,
	}
	if fmt.Sprint(p) != fmt.Sprint(want) {
		t.Errorf("POST /api/plain\n got %+v\nwant %+v", p, want)
	}

	calls := map[string]struct {
		path   string
		status int
		body   string
	}{
		"index":                  {"/api", 200, "index"},
		"trailing slash":         {"/api/", 200, "index"},
		"parameter":              {"/api/items/42", 200, `{"route":"items/[id]","query":{"id":"42"}}`},
		"parameter, escaped":     {"/api/items/a%2Fb%20c?id=no&x=1", 200, `{"route":"items/[id]","query":{"id":"a/b c","x":"1"}}`},
		"parameter, bad escape":  {"/api/items/%E0%A4%41", 400, ""},
		"catch-all":              {"/api/files/a/b%20c/d", 200, `{"route":"files/[...path]","query":{"path":["a","b c","d"]}}`},
		"optional, absent":       {"/api/shop", 200, `{"route":"shop/[[...rest]]","query":{}}`},
		"optional, there":        {"/api/shop/x/y", 200, `{"route":"shop/[[...rest]]","query":{"rest":["x","y"]}}`},
		"the most general last":  {"/api/elsewhere/1", 200, `{"route":"[...other]","query":{"other":["elsewhere","1"]}}`},
		"below a static route":   {"/api/plain/x", 200, `{"route":"[...other]","query":{"other":["plain","x"]}}`},
		"revalidate":             {"/api/revalidate", 501, `{"error":"Error: res.revalidate() is not supported on Nightshift: pages are served elsewhere, and so is their cache"}`},
		"throws":                 {"/api/throws", 500, "Internal Server Error"},
		"no route":               {"/elsewhere", 404, ""},
		"no default function":    {"/.netlify/functions/_api-handler", 404, ""},
		"scheduled is not there": {"/api/tick", 404, ""},
	}
	for name, c := range calls {
		t.Run(name, func(t *testing.T) {
			got := w.do(t, request{path: c.path}, c.status)
			if c.body != "" && got.body != c.body {
				t.Errorf("GET %s\n got %s\nwant %s", c.path, got.body, c.body)
			}
		})
	}
	t.Run("HEAD", func(t *testing.T) {
		got := w.do(t, request{method: "HEAD", path: "/api/items/1"}, 200)
		if got.body != "" || got.header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("HEAD /api/items/1 = %q with %v", got.body, got.header)
		}
	})
	t.Run("not modified", func(t *testing.T) {
		first := w.do(t, request{path: "/api/items/1"}, 200)
		w.do(t, request{path: "/api/items/1", header: http.Header{"If-None-Match": {first.header.Get("Etag")}}}, 304)
	})
	t.Run("cookies", func(t *testing.T) {
		got := w.do(t, request{path: "/api/cookies"}, 204)
		if want := []string{"a=1; Path=/", "b=2; HttpOnly"}; !slices.Equal(got.header.Values("Set-Cookie"), want) {
			t.Errorf("Set-Cookie = %q, want %q", got.header.Values("Set-Cookie"), want)
		}
	})
	t.Run("redirect", func(t *testing.T) {
		got := w.do(t, request{path: "/api/redirect"}, 307)
		if want := "/api/plain?from=redirect"; got.header.Get("Location") != want {
			t.Errorf("Location = %q, want %q", got.header.Get("Location"), want)
		}
	})
	t.Run("draft mode", func(t *testing.T) {
		first := w.do(t, request{path: "/api/draft"}, 200)
		var cookies []string
		for _, c := range first.header.Values("Set-Cookie") {
			cookie, _, _ := strings.Cut(c, ";")
			cookies = append(cookies, cookie)
		}
		second := w.do(t, request{path: "/api/draft", header: http.Header{"Cookie": {strings.Join(cookies, "; ")}}}, 200)
		if first.body != `{"draft":false}` || second.body != `{"draft":true}` {
			t.Errorf("draft mode: %s, and with its cookies %q: %s", first.body, cookies, second.body)
		}
	})
}

func bodies(t *testing.T, w *world) {
	json, form, bytes := http.Header{"Content-Type": {"application/json"}}, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		http.Header{"Content-Type": {"application/octet-stream"}}
	calls := map[string]struct {
		request
		status int
		body   string
	}{
		"raw bytes": {request{method: "PUT", path: "/api/raw", body: "\x00\xff\x80binary", header: bytes}, 200,
			`{"size":9,"sha256":"` + sha("\x00\xff\x80binary") + `","body":"undefined"}`},
		"raw json":     {request{method: "POST", path: "/api/raw", body: `{"a":1}`, header: json}, 200, `{"size":7,"sha256":"` + sha(`{"a":1}`) + `","body":"undefined"}`},
		"raw nothing":  {request{method: "POST", path: "/api/raw"}, 200, `{"size":0,"sha256":"` + sha("") + `","body":"undefined"}`},
		"raw large":    {request{method: "POST", path: "/api/raw", body: strings.Repeat("x", 3<<20), header: bytes}, 200, fmt.Sprintf(`{"size":%d,"sha256":"%s","body":"undefined"}`, 3<<20, sha(strings.Repeat("x", 3<<20)))},
		"within limit": {request{method: "POST", path: "/api/limit", body: strings.Repeat("x", 1000), header: http.Header{"Content-Type": {"text/plain"}}}, 200, `{"length":1000}`},
		"over limit":   {request{method: "POST", path: "/api/limit", body: strings.Repeat("x", 2000), header: http.Header{"Content-Type": {"text/plain"}}}, 413, "Body exceeded 1kb limit"},
		"over default": {request{method: "POST", path: "/api/items/1", body: strings.Repeat("x", 2<<20), header: http.Header{"Content-Type": {"text/plain"}}}, 413, "Body exceeded 1mb limit"},
		"bad json":     {request{method: "POST", path: "/api/items/1", body: "{", header: json}, 400, "Invalid JSON"},
	}
	for name, c := range calls {
		t.Run(name, func(t *testing.T) {
			if got := w.do(t, c.request, c.status); got.body != c.body {
				t.Errorf("%s %s\n got %s\nwant %s", c.method, c.path, got.body, c.body)
			}
		})
	}
	t.Run("form", func(t *testing.T) {
		var p plain
		w.do(t, request{method: "POST", path: "/api/plain", body: "a=1&b=x+y", header: form}, 201).decode(t, &p)
		if got := fmt.Sprint(p.Body); got != "map[a:1 b:x y]" {
			t.Errorf("a form arrives as %s", got)
		}
	})
}

func handlers(t *testing.T, w *world) {
	var got struct {
		Params                         map[string]string
		URL, Cookie, Header, File, Env string
		Search                         []string
		MS, Registered                 int
	}
	w.do(t, request{path: "/app/things/a%20b?a=1&a=2", header: http.Header{"Cookie": {"c=d"}, "X-Test": {"yes"}}}, 200).decode(t, &got)
	// Next takes the base path off, and calls the machine localhost.
	if want := "http://" + w.host + "/app/things/a%20b?a=1&a=2"; got.URL != want {
		t.Errorf("the URL of a handler's request is %q, want %q", got.URL, want)
	}
	got.URL = ""
	if text, want := fmt.Sprint(got), "{map[id:a b]  d yes from a file production file [1 2] 172800000 1}"; text != want {
		t.Errorf("GET /app/things/a%%20b\n got %s\nwant %s", text, want)
	}
	put := w.do(t, request{method: "PUT", path: "/app/things/1", body: "up"}, 201)
	if put.body != "UP" || put.header.Get("X-Made") != "yes" {
		t.Errorf("PUT /app/things/1 = %q with %v", put.body, put.header)
	}
	w.do(t, request{method: "DELETE", path: "/app/things/1"}, 405)
	w.do(t, request{path: "/app/throws"}, 500)
	w.do(t, request{path: "/app/tick"}, 404)
	if got := w.do(t, request{path: "/app/job?id=7"}, 200); got.body != "status of 7" {
		t.Errorf("GET /app/job = %q; the handler without a config is an ordinary one", got.body)
	}
	set := w.do(t, request{path: "/app/cookies"}, 203)
	cookies := strings.Join(set.header.Values("Set-Cookie"), "|")
	if !strings.Contains(cookies, "a=1") || !strings.Contains(cookies, "b=2") || len(set.header.Values("Set-Cookie")) != 2 {
		t.Errorf("Set-Cookie = %q, want a=1 and b=2", cookies)
	}
}

func streams(t *testing.T, w *world) {
	for _, path := range []string{"/api/stream", "/app/stream"} {
		t.Run(path, func(t *testing.T) {
			first, rest, gap := w.stream(t, path)
			// The route waits two seconds between the parts.
			if first != "one," || rest != "two" || gap < time.Second {
				t.Errorf("GET %s gives %q, and %q %v later; want \"one,\" at once", path, first, rest, gap)
			}
		})
	}
}

func background(t *testing.T, w *world) {
	post := func(path, body string) api.Invocation {
		t.Helper()
		return w.background(t, request{method: "POST", path: path, body: body, header: http.Header{"Content-Type": {"application/json"}}})
	}
	t.Run("pages", func(t *testing.T) {
		got := post("/api/background?x=1", `{"name":"Ada"}`)
		want := `{"hello":"Ada","method":"POST","url":"/api/background?x=1"}`
		if got.State != invocation.Succeeded || got.Function != "_api_background-background" || result(got) != want {
			t.Errorf("%s ends %s with %s, want succeeded with %s", got.Function, got.State, result(got), want)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		if got := post("/api/silent", `{}`); got.State != invocation.Succeeded {
			t.Errorf("a handler that answers nothing ends %s", got.State)
		}
	})
	t.Run("a throw is a failed attempt", func(t *testing.T) {
		got := post("/api/failing", `{"what":"luck"}`)
		if got.State != invocation.Dead || len(got.Attempts) != 2 {
			t.Errorf("ends %s after %d attempts, want dead after 2", got.State, len(got.Attempts))
		}
		if text := fault(got); !strings.Contains(text, "TypeError") || !strings.Contains(text, "no luck in attempt 2") {
			t.Errorf("the record says %s, want the TypeError of the second attempt", text)
		}
	})
	t.Run("app", func(t *testing.T) {
		got := post("/app/job", `{"name":"Grace"}`)
		if got.State != invocation.Succeeded || got.Function != "_app_job-background" || !strings.Contains(result(got), `"hello":"Grace"`) {
			t.Errorf("%s ends %s with %s", got.Function, got.State, result(got))
		}
	})
	t.Run("app, a throw", func(t *testing.T) {
		got := post("/app/job", `{"name":"nobody"}`)
		if got.State != invocation.Dead || len(got.Attempts) != 2 || !strings.Contains(fault(got), "nobody is there") {
			t.Errorf("ends %s after %d attempts with %s, want dead after 2 with the RangeError", got.State, len(got.Attempts), fault(got))
		}
	})
}

func scheduled(t *testing.T, w *world) {
	for route, want := range map[string]url.Values{
		"pages": {"route": {"pages"}, "method": {"POST"}, "url": {"/api/tick"}, "event": {"schedule"}},
		"app":   {"route": {"app"}, "method": {"GET"}, "url": {"/app/tick"}, "event": {"schedule"}},
	} {
		t.Run(route, func(t *testing.T) {
			hit := w.fired(t, route)
			if next := hit.Get("next"); route == "pages" {
				if at, err := time.Parse(time.RFC3339, next); err != nil || time.Until(at).Abs() > time.Minute {
					t.Errorf("next_run = %q, want an instant close to now", next)
				}
			}
			hit.Del("next")
			if hit.Encode() != want.Encode() {
				t.Errorf("a tick arrives as %s, want %s", hit.Encode(), want.Encode())
			}
		})
	}
}

func result(inv api.Invocation) string {
	if inv.Result == nil {
		return "nothing"
	}
	return inv.Result.Body
}

func fault(inv api.Invocation) string {
	text, err := json.Marshal(inv.Attempts)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
