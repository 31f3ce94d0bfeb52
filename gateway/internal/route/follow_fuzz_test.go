package route_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/rule"
	"github.com/nightshift/nightshift/shared/rulefile"
	"github.com/nightshift/nightshift/shared/store"
)

// FuzzFollow: whatever path is asked for, a site's redirects and files lead to
// one thing of that very site: a function or a file of its deploy, or a place
// that a browser takes for where the site's own rule says, and not for another host.
func FuzzFollow(f *testing.F) {
	for _, seed := range []struct{ redirects, path, query string }{
		{"/a/* /:splat 301", "/a//evil.example", ""},
		{"/a/:x /:x 302", "/a/%2F%2Fevil.example", ""},
		{"/a/:x /:x 302", `/a/\evil.example`, ""},
		{"/* /:splat/index.html 200", "/b", ""},
		{"/q to=:to /:to 302", "/q", "to=//evil.example%0d%0aSet-Cookie:x"},
		{"/x/* https://:splat/ 302", "/x/evil.example", ""},
		{"/secret/* 200 Role=admin\n/s/* /secret/:splat 200", "/s/../secret/a", ""},
		{"/* /.netlify/functions/hello?to=:splat 200", "/%00/%zz", "a=1"},
	} {
		f.Add(seed.redirects, seed.path, seed.query)
	}
	f.Fuzz(func(t *testing.T, redirects, path, query string) {
		d := site("main", mainLive, function.Function{Name: "hello", Kind: function.Sync})
		d.Files = map[string]deploy.File{"index.html": {}, "b.html": {}, "secret/a": {}, "404.html": {}}
		d.Redirects = rulefile.Redirects(redirects).Redirects
		if d.Validate() != nil && len(d.Redirects) > 0 {
			d.Redirects = nil
		}
		u, err := url.ParseRequestURI(path)
		if err != nil || u.Host != "" || u.Scheme != "" {
			return
		}
		u.RawQuery = query
		r := route.New(route.Options{BaseDomain: "example.test", DefaultSite: "main"}, &deploys{})
		r.Update(store.Catalog{Version: 1, Published: map[string]deploy.Deploy{"main": d}})
		req := &http.Request{Method: "GET", URL: u, Host: "main.example.test", Header: http.Header{}}
		target, err := r.Route(t.Context(), req.Host, req.Method, u.EscapedPath())
		if err == nil {
			target, err = target.Follow(req, "http")
		}
		if err != nil {
			if !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Invalid) {
				t.Fatalf("%q with %q: %v", path, redirects, err)
			}
			return
		}
		if target.Site != "main" || target.Deploy != mainLive {
			t.Fatalf("%q leads to site %s, deploy %s", path, target.Site, target.Deploy)
		}
		if file := target.File; file != nil && file.Path != "" {
			if _, ok := d.Files[file.Path]; !ok {
				t.Errorf("%q is answered with %q, which the deploy does not have", path, file.Path)
			}
		}
		if target.Redirect != nil {
			staysHere(t, redirects, path, d.Redirects, target.Redirect.Location)
		}
	})
}

// staysHere fails if no rule names another host and a browser would go to one.
func staysHere(t *testing.T, redirects, path string, rules []deploy.Redirect, location string) {
	t.Helper()
	if strings.ContainsFunc(location, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Errorf("%q with %q leads to %q, which cannot stand in a header", path, redirects, location)
	}
	for i := range rules {
		if rule.Elsewhere(rules[i].To) {
			return
		}
	}
	// Browsers read \ as /.
	if slashes := strings.ReplaceAll(location, `\`, "/"); !strings.HasPrefix(slashes, "/") || strings.HasPrefix(slashes, "//") {
		t.Errorf("%q with %q leads to %q, which is another host to a browser", path, redirects, location)
	}
}
