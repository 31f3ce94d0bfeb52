package route_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/store"
)

// siteWith is a router with one site that has these files and functions.
func siteWith(paths []string, functions ...function.Function) *route.Router {
	d := site("main", mainLive, functions...)
	d.Files = map[string]deploy.File{}
	for i, path := range paths {
		d.Files[path] = deploy.File{Digest: strings.Repeat(fmt.Sprint(i%10), 64), Size: int64(i)}
	}
	r := route.New(route.Options{BaseDomain: "example.test", DefaultSite: "main"}, &deploys{})
	r.Update(store.Catalog{Version: 1, Published: map[string]deploy.Deploy{"main": d}})
	return r
}

// word is a target in one word: the function, the file, or what it is not.
func word(t *testing.T, r *route.Router, method, path string) string {
	t.Helper()
	target, err := r.Route(t.Context(), "x", method, path)
	switch {
	case err != nil:
		return "error " + err.Error()
	case (target.Function == nil) == (target.File == nil):
		return "both or neither"
	case target.Function != nil:
		return "function " + target.Function.Name
	case target.File.Missing:
		return "missing " + target.File.Path
	default:
		return target.File.Path
	}
}

func TestFilePaths(t *testing.T) {
	t.Parallel()
	r := siteWith([]string{
		"index.html", "about.html", "about/team.html", "blog/index.html", "docs.html", "docs/index.html", "a b/ü.txt",
		".well-known/security.txt", "app.js", "100%.txt", "plain", "up/.../x", "only/deep/index.html", "q?.txt",
	})
	tests := []struct{ name, path, want string }{
		{"root", "/", "index.html"},
		{"root by name", "/index.html", "index.html"},
		{"exact", "/app.js", "app.js"},
		{"without extension", "/plain", "plain"},
		{"page", "/about", "about.html"},
		{"page by name", "/about.html", "about.html"},
		{"page with slash", "/about/", "about.html"},
		{"page below", "/about/team", "about/team.html"},
		{"directory", "/blog/", "blog/index.html"},
		{"directory without slash", "/blog", "blog/index.html"},
		{"both, without slash", "/docs", "docs.html"},
		{"both, with slash", "/docs/", "docs/index.html"},
		{"escaped", "/a%20b/%C3%BC.txt", "a b/ü.txt"},
		{"percent", "/100%25.txt", "100%.txt"},
		{"question mark", "/q%3F.txt", "q?.txt"},
		{"well-known", "/.well-known/security.txt", ".well-known/security.txt"},
		{"deep directory", "/only/deep", "only/deep/index.html"},
		{"directory without page", "/only/", "missing "},
		{"case", "/About", "missing "},
		{"escaped slash", "/about%2Fteam", "missing "},
		{"dots", "/blog/../app.js", "missing "},
		{"escaped dots", "/%2e%2e/app.js", "missing "},
		{"two slashes", "//app.js", "missing "},
		{"another host", "//example.com/blog", "missing "},
		{"bad escape", "/%zz", "missing "},
		{"nul", "/app.js%00", "missing "},
		{"backslash", `/blog\`, "missing "},
		{"nothing", "/nothing", "missing "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := word(t, r, "GET", tt.path); got != tt.want {
				t.Errorf("Route(%q) = %q, want %q", tt.path, got, tt.want)
			}
		})
	}
}

func TestFilesAndFunctions(t *testing.T) {
	t.Parallel()
	r := siteWith([]string{"404.html", "plain", "preferred", "pages/index.html", "only-post", ".netlify/functions/hello"},
		function.Function{Name: "hello", Kind: function.Sync},
		function.Function{Name: "plain", Kind: function.Sync, Paths: []string{"/plain"}},
		function.Function{Name: "preferred", Kind: function.Sync, Paths: []string{"/preferred", "/pages", "/other"}, PreferStatic: true},
		function.Function{Name: "post", Kind: function.Sync, Paths: []string{"/only-post"}, Methods: []string{"POST"}},
	)
	tests := []struct{ name, method, path, want string }{
		{"the function wins", "GET", "/plain", "function plain"},
		{"the file wins", "GET", "/preferred", "preferred"},
		{"the file wins for its head", "HEAD", "/preferred", "preferred"},
		{"the file wins for what it cannot answer", "POST", "/preferred", "preferred"},
		{"the directory wins", "GET", "/pages", "pages/index.html"},
		{"no file there", "GET", "/other", "function preferred"},
		{"wrong method", "GET", "/only-post", "only-post"},
		{"right method", "POST", "/only-post", "function post"},
		{"default URL", "GET", "/.netlify/functions/hello", "function hello"},
		{"page for what is missing", "GET", "/nothing", "missing 404.html"},
		{"the page itself", "GET", "/404.html", "404.html"},
		{"default URL of one with paths", "GET", "/.netlify/functions/plain", "missing 404.html"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := word(t, r, tt.method, tt.path); got != tt.want {
				t.Errorf("Route(%s %q) = %q, want %q", tt.method, tt.path, got, tt.want)
			}
		})
	}
}
