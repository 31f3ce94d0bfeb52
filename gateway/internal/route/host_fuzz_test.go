package route_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/store"
)

func before(text, end string) string {
	text, _, _ = strings.Cut(text, end)
	return text
}

// FuzzRoute holds routing to what keeps sites apart: a host names one of two
// sites, what is found is of that site and there, and nobody is sent to a host
// that no rule names.
func FuzzRoute(f *testing.F) {
	rules := []deploy.Redirect{
		{From: "/old/*", To: "/:splat", Status: 301}, {From: "/a/:b/*", To: "/:splat/:b?q=:b", Status: 302},
		{From: "/in/*", To: "/:splat", Status: 200}, {From: "/out/*", To: "https://e.example/:splat", Status: 301, Force: true},
	}
	one := site("shop", shopLive, function.Function{Name: "hello", Kind: function.Sync}, function.Function{Name: "own", Kind: function.Background, Paths: []string{"/own/:id"}})
	two := site("main", mainLive, function.Function{Name: "secret", Kind: function.Sync})
	for _, d := range []*deploy.Deploy{&one, &two} {
		d.Redirects = rules
		d.Files = map[string]deploy.File{"index.html": {Digest: d.Site}, "dir/a b.html": {Digest: d.Site}, "404.html": {Digest: d.Site}}
	}
	old := site("shop", shopOld, function.Function{Name: "old", Kind: function.Sync})
	r := route.New(route.Options{BaseDomain: "example.com", DefaultSite: "main"}, &deploys{all: map[string]deploy.Deploy{shopOld: old}})
	r.Update(store.Catalog{Version: 1, Published: map[string]deploy.Deploy{"shop": one, "main": two}, Branches: map[string]map[string]string{"shop": {"next": shopOld}}})
	for _, host := range []string{"shop.example.com", "SHOP.example.com.:80", shopOld + "--shop.example.com", "next--shop.example.com", "--shop.example.com", "shop--.example.com", "example.com", ".example.com", "[::1]:80", "shop.example.com@main", "a.shop.example.com", ""} {
		for _, path := range []string{"/", "/.netlify/functions/hello", "/.netlify/functions/../secret", "/own/%2e%2e%2fx", "/old//evil.example/", "/old/%5cevil.example", "/old/%2f%2fevil.example", "/a/%0d%0aX:y/z", "/in/.netlify/functions/hello", "/out/x", "/dir/a%20b", "/%00", "/..%2f404"} {
			f.Add(host, "GET", path)
		}
	}
	f.Fuzz(func(t *testing.T, host, method, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(path, "/") {
			return
		}
		request := &http.Request{Method: method, Host: host, URL: u, Header: http.Header{}}
		target, err := r.Route(t.Context(), host, method, u.EscapedPath())
		if err == nil {
			target, err = target.Follow(request, "http")
		}
		if err != nil {
			return
		}
		allowed := map[string]string{"shop": shopLive + " " + shopOld, "main": mainLive}
		if !strings.Contains(allowed[target.Site], target.Deploy) || target.Deploy == "" {
			t.Fatalf("%q is deploy %q of site %q", host, target.Deploy, target.Site)
		}
		named := strings.ToLower(host)
		if target.Site == "shop" && !strings.Contains(named, "shop.example.com") {
			t.Fatalf("%q is the shop", host)
		}
		switch {
		case target.File != nil && target.File.Path != "" && target.File.Digest != target.Site:
			t.Fatalf("a file of %q on %q", target.File.Digest, target.Site)
		case target.Function != nil && (target.Function.Name == "secret") != (target.Site == "main"):
			t.Fatalf("function %q on %q", target.Function.Name, target.Site)
		case target.Redirect != nil:
			location := target.Redirect.Location
			to, err := url.Parse(location)
			if err != nil || strings.ContainsFunc(location, func(c rune) bool { return c <= ' ' || c >= 0x7f }) || strings.Contains(before(location, "?"), `\`) {
				t.Fatalf("%q leads to %q: %v", path, location, err)
			}
			if away := strings.HasPrefix(u.Path, "/out/") || u.Path == "/out"; to.Host != "" && (to.Host != "e.example" || !away) || to.Host == "" && !strings.HasPrefix(location, "/") || strings.HasPrefix(location, "//") {
				t.Fatalf("%q leads to %q", path, location)
			}
		}
	})
}
