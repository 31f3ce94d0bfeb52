package route_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/rulefile"
	"github.com/nightshift/nightshift/shared/store"
)

// ruled is a router with one site that has these redirects, as `_redirects` has
// them, files and functions.
func ruled(t testing.TB, redirects string, headers []deploy.HeaderRule, paths []string, functions ...function.Function) *route.Router {
	t.Helper()
	d := site("main", mainLive, functions...)
	d.Files, d.Headers = map[string]deploy.File{}, headers
	for _, path := range paths {
		d.Files[path] = deploy.File{}
	}
	rules := rulefile.Redirects(redirects)
	for _, note := range rules.Notes {
		if !note.Warning {
			t.Fatalf("%d: %s", note.Line, note.Text)
		}
	}
	d.Redirects = rules.Redirects
	r := route.New(route.Options{BaseDomain: "example.test", DefaultSite: "main"}, &deploys{})
	r.Update(store.Catalog{Version: 1, Published: map[string]deploy.Deploy{"main": d}})
	return r
}

// followed is what a request leads to, in one word. A path may have headers
// behind it: "/a Cookie: x=1".
func followed(t testing.TB, r *route.Router, path string) string {
	t.Helper()
	path, header, _ := strings.Cut(path, " ")
	method := "GET"
	if name, rest, ok := strings.Cut(path, ":/"); ok && name == "POST" {
		method, path = name, "/"+rest
	}
	req := httptest.NewRequest(method, "http://x.example"+path, nil)
	if name, value, ok := strings.Cut(header, ": "); ok {
		req.Header.Set(name, value)
		if name == "Host" {
			req.Host = value
		}
	}
	target, err := r.Route(t.Context(), req.Host, req.Method, req.URL.EscapedPath())
	if err == nil {
		target, err = target.Follow(req, "http")
	}
	set := 0
	for _, is := range []bool{target.Function != nil, target.File != nil, target.Redirect != nil} {
		if is {
			set++
		}
	}
	query := ""
	if target.Query != "" {
		query = "?" + target.Query
	}
	switch {
	case err != nil:
		return "error " + err.Error()
	case set != 1 || target.Site != "main" || target.Deploy != mainLive || !target.Published:
		return fmt.Sprintf("broken: %+v", target)
	case target.Function != nil:
		return "function " + target.Function.Name + query
	case target.Redirect != nil:
		return fmt.Sprint(target.Redirect.Status, " ", target.Redirect.Location)
	case target.File.Status != 0:
		return fmt.Sprint("page ", target.File.Status, " ", target.File.Path)
	case target.File.Missing:
		return "missing " + target.File.Path
	default:
		return target.File.Path
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	paths := []string{"index.html", "about.html", "404.html", "gone.html", "login.html", "admin/index.html", "de/index.html", "preferred"}
	functions := []function.Function{
		{Name: "hello", Kind: function.Sync}, {Name: "job-background", Kind: function.Background}, {Name: "tick", Kind: function.Scheduled},
		{Name: "own", Kind: function.Sync, Paths: []string{"/own/:id"}},
		{Name: "preferred", Kind: function.Sync, Paths: []string{"/preferred"}, PreferStatic: true},
	}
	tests := []struct{ name, rules, path, want string }{
		{"no rules", "", "/nothing", "missing 404.html"},
		{"sent away", "/old /new", "/old", "301 /new"},
		{"status", "/old /new 307", "POST:/old", "307 /new"},
		{"query goes along", "/old /new", "/old?a=1&b=%20", "301 /new?a=1&b=%20"},
		{"query of its own", "/old /new?x=1", "/old?a=1", "301 /new?x=1"},
		{"splat", "/old/* /new/:splat", "/old/a/b%20c", "301 /new/a/b%20c"},
		{"to another host", "/old/* https://e.example/:splat 302", "/old/a?q=1", "302 https://e.example/a?q=1"},
		{"not to another host by chance", "/old/* /:splat", "/old//evil.example", "301 /evil.example"},
		{"nor with a backslash", "/old/* /:splat", "/old/%5Cevil.example", "301 /%5Cevil.example"},
		{"first of two", "/a /1\n/a /2", "/a", "301 /1"},
		{"first of two, pattern first", "/* /1 302\n/a /2", "/a", "302 /1"},
		{"first of two, literal first", "/a /2\n/* /1 302", "/a/", "301 /2"},
		{"another literal between", "/b /2\n/* /1 302\n/a /3", "/a", "302 /1"},

		{"a file is there", "/about /new", "/about", "about.html"},
		{"a file is there, forced", "/about /new 301!", "/about", "301 /new"},
		{"only the first that matches counts", "/about /new\n/about /newer 301!", "/about", "about.html"},
		{"a directory is there", "/admin /new", "/admin", "admin/index.html"},
		{"a function is there", "/.netlify/functions/* /x 301!\n/* /index.html 200!", "/.netlify/functions/hello", "function hello"},
		{"a function is there by its path", "/own/* /x 301!", "/own/1", "function own"},
		{"no function there", "/* /index.html 200!", "/.netlify/functions/nope", "error Function not found... Site \"main\" has no function \"nope\"; names are case sensitive."},
		{"default URL of one with paths", "/* /index.html 200!", "/.netlify/functions/own", "missing 404.html"},
		{"the platform's own", "/* /index.html 200!", "/.nightshift/x", "missing 404.html"},
		{"a preferred file is there", "/preferred /x", "/preferred", "preferred"},
		{"a preferred file is there, forced", "/preferred /x 301!", "/preferred", "301 /x"},

		{"single page", "/* /index.html 200", "/any/where", "index.html"},
		{"single page, root", "/* /index.html 200", "/", "index.html"},
		{"single page, a file is there", "/* /index.html 200", "/about", "about.html"},
		{"rewrite to a page", "/x /about 200", "/x", "about.html"},
		{"rewrite to nothing", "/x /y 200", "/x", "missing 404.html"},
		{"only one hop", "/x /y 200\n/y /about 200", "/x", "missing 404.html"},
		{"rewrite to itself", "/x/* /x/:splat 200", "/x/1", "missing 404.html"},
		{"rewrite to a function", "/api/* /.netlify/functions/:splat 200", "/api/hello?q=1", "function hello"},
		{"rewrite to a background function", "/api/* /.netlify/functions/:splat 200", "POST:/api/job-background", "function job-background"},
		{"rewrite to a scheduled function", "/api/* /.netlify/functions/:splat 200", "/api/tick", "error Function not found... \"tick\" runs on its schedule and has no URL."},
		{"rewrite to a function's own path", "/api/* /own/:splat 200", "/api/7", "function own"},
		{"rewrite to a function with a query", "/api/:id /.netlify/functions/hello?id=:id&v=2 200", "/api/a%26b?x=1&v=3", "function hello?id=a%26b&v=2&x=1"},
		{"rewrite to a function, the query only", "/api /.netlify/functions/hello?v=2 200", "/api", "function hello?v=2"},
		{"rewrite to a function that is not there", "/api/* /.netlify/functions/:splat 200", "/api/nope", "error Function not found... Site \"main\" has no function \"nope\"; names are case sensitive."},
		{"rewrite to another host is left out", "/api/* https://e.example/:splat 200!\n/* /index.html 200", "/api/1", "index.html"},

		{"page for what is missing", "/shop/* /gone.html 404", "/shop/1", "page 404 gone.html"},
		{"page for what is gone", "/about /gone 410!", "/about", "page 410 gone.html"},
		{"hidden", "/admin/* /404.html 404!", "/admin/", "page 404 404.html"},
		{"hidden, for every method", "/admin/* /404.html 404!", "POST:/admin/", "page 404 404.html"},
		{"page that is missing itself", "/shop/* /no.html 404", "/shop/1", "page 404 404.html"},
		{"page that is missing itself, other status", "/shop/* /no.html 410", "/shop/1", "page 410 "},

		{"parameter", "/store id=:id /blog/:id", "/store?id=12", "301 /blog/12?id=12"},
		{"parameter missing", "/store id=:id /blog/:id", "/store", "missing 404.html"},
		{"parameter among others", "/store id=:id /blog/:id?", "/store?x=1&id=a%2Fb&id=%20c", "301 /blog/%20c"},
		{"parameter of a value", "/store a=1 /one\n/store a=2 /two", "/store?a=2", "301 /two?a=2"},
		{"parameters, all of them", "/store a=1 b=:b /:b", "/store?b=2", "missing 404.html"},
		{"empty parameter", "/store a= /empty?", "/store?a=", "301 /empty"},

		{"language", "/ /de/ 302! Language=de", "/ Accept-Language: de-AT,en;q=0.5", "302 /de/"},
		{"language by weight", "/ /de/ 302! Language=de", "/ Accept-Language: en;q=0.5, *, de;q=0.9", "302 /de/"},
		{"another language", "/ /de/ 302! Language=de,fr", "/ Accept-Language: en,de;q=0.9", "index.html"},
		{"one of two languages", "/ /de/ 302! Language=fr,DE", "/ Accept-Language: de", "302 /de/"},
		{"language of a country", "/ /at/ 302! Language=de-at", "/ Accept-Language: de", "index.html"},
		{"no language", "/ /en/ 302! Language=en", "/", "index.html"},
		{"language by cookie", "/ /de/ 302! Language=de", "/ Cookie: nf_lang=de", "302 /de/"},
		{"cookie", "/ /beta 302! Cookie=old,beta", "/ Cookie: a=b; beta=1", "302 /beta"},
		{"empty cookie", "/ /beta 302! Cookie=beta", "/ Cookie: beta=", "index.html"},
		{"no cookie", "/ /beta 302! Cookie=beta", "/", "index.html"},
		{"both", "/ /beta 302! Cookie=beta Language=de", "/ Cookie: beta=1", "index.html"},
		{"country", "/* /de/:splat 302! Country=de\n/* /index.html 200", "/x", "index.html"},
		{"unknown condition", "/ /de 302! Moon=full", "/", "index.html"},
		{"role closes what it covers", "/admin/* 200! Role=admin", "/admin/", "missing 404.html"},
		{"role, the next one", "/admin/* 200! Role=admin\n/admin/* /login 401!", "/admin/", "page 401 login.html"},
		{"role, the next one without force", "/admin/* 200! Role=admin\n/* /index.html 200", "/admin/", "index.html"},
		{"role, another path", "/admin/* 200! Role=admin", "/about", "about.html"},

		{"host", "http://old.example/* https://new.example/:splat 301!", "/about Host: old.example:8888", "301 https://new.example/about"},
		{"host, case", "http://old.example/* https://new.example/:splat 301!", "/about Host: OLD.example", "301 https://new.example/about"},
		{"host with port", "http://old.example:81/* /x 301!", "/about Host: old.example", "about.html"},
		{"another host", "http://old.example/* https://new.example/:splat 301!", "/about", "about.html"},
		{"another scheme", "https://old.example/* https://new.example/:splat 301!", "/about Host: old.example", "about.html"},
		{"to https", "http://old.example/* https://old.example/:splat 301!", "/about Host: old.example", "301 https://old.example/about"},

		{"for ever", "/a /a\n/a /b", "/a", "301 /b"},
		{"for ever, with a slash", "/a /a/", "/a", "missing 404.html"},
		{"for ever, everything", "/* /:splat", "/a/b", "missing 404.html"},
		{"for ever, by URL", "/* http://x.example/:splat", "/a", "missing 404.html"},
		{"for ever, with a query", "/a /a?x=1", "/a?x=1", "missing 404.html"},
		{"not for ever, another query", "/a x=1 /a?y=1", "/a?x=1", "301 /a?y=1"},
		{"escaped slash", "/a/:x /b/:x", "/a/b%2Fc", "301 /b/b%2Fc"},
		{"letters", "/ü /b", "/%c3%bc", "301 /b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := ruled(t, tt.rules, nil, paths, functions...)
			if got := followed(t, r, tt.path); got != tt.want {
				t.Errorf("%q with %q leads to %q, want %q", tt.path, tt.rules, got, tt.want)
			}
		})
	}
}

func TestHeadersOfFiles(t *testing.T) {
	t.Parallel()
	r := ruled(t, "/* /index.html 200\n/gone /gone.html 410!", []deploy.HeaderRule{
		{For: "/*", Values: map[string]string{"x-all": "1", "Cache-Control": "no-cache"}},
		{For: "/assets/*.js", Values: map[string]string{"Cache-Control": "immutable"}},
		{For: "/index.html", Values: map[string]string{"X-Index": "1"}},
	}, []string{"index.html", "assets/app.js", "gone.html"}, function.Function{Name: "hello", Kind: function.Sync, Paths: []string{"/hello"}})
	tests := []struct{ name, path, want string }{
		{"all", "/gone.html", "[{Cache-Control no-cache} {X-All 1}]"},
		{"the last one counts", "/assets/app.js", "[{Cache-Control immutable} {X-All 1}]"},
		{"by the path that was asked for", "/", "[{Cache-Control no-cache} {X-All 1}]"},
		{"by the path that it was led to", "/assets/none.js", "[{Cache-Control no-cache} {X-All 1} {X-Index 1}]"},
		{"of a page for what is gone", "/gone", "[{Cache-Control no-cache} {X-All 1}]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req := httptest.NewRequest("GET", tt.path, nil)
			target, err := r.Route(t.Context(), "x", "GET", tt.path)
			if err == nil {
				target, err = target.Follow(req, "http")
			}
			if err != nil || target.File == nil || fmt.Sprint(target.File.Headers) != tt.want {
				t.Errorf("headers of %s = %+v, %v; want %s", tt.path, target.File, err, tt.want)
			}
		})
	}
}

// TestManyRules: a path is found among many without trying each.
func TestManyRules(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range deploy.MaxRedirects {
		fmt.Fprintf(&text, "/old-%d /new-%d\n", i, i)
	}
	r := ruled(t, text.String(), nil, nil)
	for path, want := range map[string]string{"/old-0": "301 /new-0", "/old-9999/": "301 /new-9999", "/old-10000": "missing "} {
		if got := followed(t, r, path); got != want {
			t.Errorf("%s leads to %q, want %q", path, got, want)
		}
	}
}

// TestNoRulesCostNothing: what most deploys do not have must not slow them down.
func TestNoRulesCostNothing(t *testing.T) { // not parallel: it counts allocations
	r := ruled(t, "", nil, []string{"about.html"})
	req := httptest.NewRequest("GET", "/about", nil)
	target, err := r.Route(t.Context(), "x", "GET", "/about")
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := target.Follow(req, "http"); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("Follow without rules allocates %v times, want none", n)
	}
}

func BenchmarkFollow(b *testing.B) {
	r := ruled(b, "/a /b\n/x/* /y/:splat\n/*/z /q\n/* /index.html 200", nil, []string{"index.html", "about.html"})
	for _, path := range []string{"/about", "/a", "/x/1", "/any"} {
		b.Run(path, func(b *testing.B) {
			req := httptest.NewRequest("GET", path, nil)
			b.ReportAllocs()
			for b.Loop() {
				target, err := r.Route(b.Context(), "x", "GET", path)
				if err == nil {
					_, err = target.Follow(req, "http")
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
