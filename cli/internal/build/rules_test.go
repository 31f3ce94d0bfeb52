package build_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/build"
)

// rulesOf lists the rules of a built site, and what there is to say about it.
func rulesOf(t *testing.T, root string, dev bool) (rules, problems []string) {
	t.Helper()
	result, err := build.Build(t.Context(), build.Options{Root: root, Dev: dev})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range result.Redirects {
		rules = append(rules, fmt.Sprintf("%s %s %d", r.From, r.To, r.Status))
	}
	for _, h := range result.Headers {
		rules = append(rules, fmt.Sprintf("%s %v", h.For, h.Values))
	}
	for _, p := range result.Problems {
		kind := "error "
		if p.Warning {
			kind = "warning "
		}
		problems = append(problems, kind+p.Error()+strings.ReplaceAll("\n"+p.Excerpt(), "\n", " "))
	}
	return rules, problems
}

func TestRules(t *testing.T) {
	t.Parallel()
	const publish = "[build]\npublish = \"dist\"\n[dev]\npublish = \"public\"\n"
	tests := map[string]struct {
		files           map[string]string
		dev             bool
		rules, problems []string
	}{
		"none": {map[string]string{"netlify.toml": publish, "dist/index.html": "x"}, false, nil, nil},
		"files before tables": {map[string]string{
			"netlify.toml":    publish + "[[redirects]]\nfrom = \"/c\"\nto = \"/d\"\n[[headers]]\nfor = \"/b\"\nvalues = {B = \"2\"}\n",
			"dist/_redirects": "/a /b 302\n", "dist/_headers": "/a\n  A: 1\n",
		}, false, []string{"/a /b 302", "/c /d 301", "/a map[A:1]", "/b map[B:2]"}, nil},
		"of the directory in dev": {map[string]string{
			"netlify.toml": publish, "dist/_redirects": "/a /dist\n", "public/_redirects": "/a /public\n",
		}, true, []string{"/a /public 301"}, nil},
		"without a directory": {map[string]string{"netlify.toml": "[[redirects]]\nfrom = \"/c\"\nto = \"/d\"\n", "_redirects": "/a /b\n"}, false, []string{"/c /d 301"}, nil},
		"places": {map[string]string{
			"netlify.toml":    publish + "[[redirects]]\nfrom = \"/c\"\nto = \"/d\"\n[[redirects]]\nto = \"/e\"\n",
			"dist/_redirects": "/a /b\r\n\n/api/*\thttps://e.example/:splat 200\r\n/x y\n",
			"dist/_headers":   "/a\n  Content-Length: 1\n  A: 1\n",
		}, false, []string{"/a /b 301", "/api/* https://e.example/:splat 200", "/c /d 301", "/a map[A:1]"}, []string{
			"warning dist/_headers:2:3: the header Content-Length has no effect: it is set by the server alone     2 |   Content-Length: 1       |   ^",
			"warning dist/_redirects:3:1: the redirect from /api/* has no effect: Nightshift fetches nothing from other hosts. Send callers there, with status 302, or fetch it in a function     3 | /api/*\thttps://e.example/:splat 200       | ^",
			`error dist/_redirects:4:4: "y" is neither a parameter, name=value, nor a target, which begins with "/", "http://" or "https://"     4 | /x y       |    ^`,
			"error netlify.toml:8:1: the redirect has no from: write the path that it is about     8 | [[redirects]]       | ^",
		}},
		"places below a base": {map[string]string{
			"netlify.toml": "[build]\nbase = \"site\"\npublish = \"out\"\n", "site/netlify.toml": "[build]\npublish = \"out\"\nredirects = 1\n",
			"site/out/_redirects": "/a\n",
		}, false, nil, []string{
			"warning site/netlify.toml:3:1: build.redirects has no effect: Nightshift bundles the functions and runs no build     3 | redirects = 1       | ^",
			"error site/out/_redirects:1:1: it is not said where the redirect from /a leads: write a path, or a URL, behind it     1 | /a       | ^",
		}},
		"not tables":      {map[string]string{"netlify.toml": "redirects = 1\n"}, false, nil, []string{"error netlify.toml:1:1: redirects must be tables: write [[redirects]] above each     1 | redirects = 1       | ^"}},
		"too many":        {map[string]string{"netlify.toml": publish, "dist/_headers": strings.Repeat("/a\n A: 1\n", 1001)}, false, slices.Repeat([]string{"/a map[A:1]"}, 1001), []string{"error 1001 rules for headers are too many; 1000 are allowed "}},
		"too large":       {map[string]string{"netlify.toml": publish, "dist/_redirects": strings.Repeat("# nothing\n", 300_000)}, false, nil, []string{"error dist/_redirects: has 2929 KiB; 2048 KiB of rules are allowed "}},
		"a directory":     {map[string]string{"netlify.toml": publish, "dist/_redirects/x": "x"}, false, nil, nil},
		"outside of site": {map[string]string{"netlify.toml": "[build]\npublish = \"..\"\n"}, false, nil, []string{"error netlify.toml:2:1: the directory PARENT is outside of the site; publish one inside of ROOT     2 | publish = \"..\"       | ^"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, base := range []string{"", "site/"} {
				tt.files[base+"netlify/functions/f.mjs"] = "export default () => new Response('x')"
			}
			root := site(t, tt.files)
			real, err := filepath.EvalSymlinks(root)
			if err != nil {
				t.Fatal(err)
			}
			if name == "outside of site" {
				if err := os.WriteFile(filepath.Join(root, "..", "_redirects"), []byte("/a /secret\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			rules, problems := rulesOf(t, root, tt.dev)
			for i := range problems {
				problems[i] = strings.ReplaceAll(strings.ReplaceAll(problems[i], real, "ROOT"), filepath.Dir(real), "PARENT")
			}
			if !slices.Equal(rules, tt.rules) || !slices.Equal(problems, tt.problems) {
				t.Errorf("rules %.300q, want %.300q\nproblems\n got %q\nwant %q", rules, tt.rules, problems, tt.problems)
			}
		})
	}
}
