package rule_test

import (
	"maps"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/rule"
)

// TestMatch: all but the rows named "ours" are what the matcher of the netlify
// CLI 27.10.2 (netlify-redirector 0.5.0) answers, for a target with each name.
func TestMatch(t *testing.T) {
	t.Parallel()
	no := map[string]string{"": "no match"}
	tests := []struct {
		name, pattern, path string
		want                map[string]string
	}{
		{"literal", "/a", "/a", nil},
		{"literal, slash in the path", "/a", "/a/", nil},
		{"literal, slash in the pattern", "/a/", "/a", nil},
		{"literal, case", "/a", "/A", no},
		{"literal, more", "/a", "/a/x", no},
		{"literal, two slashes", "/a", "//a", no},
		{"root", "/", "/", nil},
		{"root, slash in the path", "/", "//", nil},
		{"root, two more slashes", "/", "///", no},
		{"root, more", "/", "/x", no},
		{"without first slash", "a", "/a", nil},
		{"splat of nothing", "/a/*", "/a", map[string]string{"splat": ""}},
		{"splat of a slash", "/a/*", "/a/", map[string]string{"splat": ""}},
		{"splat", "/a/*", "/a/x", map[string]string{"splat": "x"}},
		{"splat of several", "/a/*", "/a/x/y", map[string]string{"splat": "x/y"}},
		{"splat with slash at the end", "/a/*", "/a/x/", map[string]string{"splat": "x/"}},
		{"splat with two slashes", "/a/*", "/a//x", map[string]string{"splat": "/x"}},
		{"splat, longer name", "/a/*", "/ab", no},
		{"splat, case", "/a/*", "/A/x", no},
		{"everything", "/*", "/", map[string]string{"splat": ""}},
		{"everything, deep", "/*", "/x/y/", map[string]string{"splat": "x/y/"}},
		{"star alone", "*", "/x", map[string]string{"splat": "x"}},
		{"placeholders", "/n/:y/:m", "/n/1/2", map[string]string{"y": "1", "m": "2"}},
		{"placeholders, slash at the end", "/n/:y/:m", "/n/1/2/", map[string]string{"y": "1", "m": "2"}},
		{"placeholder missing", "/n/:y/:m", "/n/1", no},
		{"placeholder empty", "/n/:y/:m", "/n//2", no},
		{"placeholders, more", "/n/:y/:m", "/n/1/2/3", no},
		{"one name twice", "/s/:a/:a", "/s/1/2", map[string]string{"a": "1"}},
		{"colon inside a part", "/n/x:y", "/n/x:y", nil},
		{"colon inside is no placeholder", "/n/x:y", "/n/x1", no},
		{"placeholder and splat", "/x/:id/*", "/x/1/2/3", map[string]string{"id": "1", "splat": "2/3"}},
		{"star in the middle", "/n/*/z", "/n/1/z", map[string]string{"splat": "1"}},
		{"star in the middle, several", "/n/*/z", "/n/1/2/z", map[string]string{"splat": "1/2"}},
		{"star in the middle, nothing", "/n/*/z", "/n/z", map[string]string{"splat": ""}},
		{"star in the middle, two slashes", "/n/*/z", "/n//z", map[string]string{"splat": ""}},
		{"star in the middle, end twice", "/n/*/z", "/n/1/z/z", map[string]string{"splat": "1/z"}},
		{"star in the middle, no end", "/n/*/z", "/n/1", no},
		{"two stars", "/n/*/z/*", "/n/1/z/2", map[string]string{"splat": "1"}},
		{"two stars, nothing", "/n/*/z/*", "/n/z", map[string]string{"splat": ""}},
		{"star behind text", "/n/a*", "/n/a1/2", map[string]string{"splat": "1/2"}},
		{"star behind text, nothing", "/n/a*", "/n/a", map[string]string{"splat": ""}},
		{"letters as they are", "/ü", "/%C3%BC", nil},

		{"ours: star before an extension", "/*.js", "/a/b.js", map[string]string{"splat": "a/b"}},
		{"ours: star before another extension", "/*.js", "/a/b.css", no},
		{"ours: two stars in one part", "/*-v*.js", "/a-b-v1.js", map[string]string{"splat": "a-b"}},
		{"ours: the first star has another go", "/*a/*/b", "/ax/a/q/b", map[string]string{"splat": "ax/"}},
		{"ours: letters escaped", "/%C3%BC", "/%C3%BC", nil},
		{"ours: escaped without need", "/%61", "/a", nil},
		{"ours: small hex digits", "/ü", "/%c3%bc", nil},
		{"ours: a space", "/a b", "/a%20b", nil},
		{"ours: percent sign", "/100%", "/100%25", nil},
		{"ours: escaped slash is no slash", "/a/b", "/a%2Fb", no},
		{"ours: escaped slash is caught as one part", "/a/:x", "/a/b%2fc", map[string]string{"x": "b%2Fc"}},
		{"ours: dots are not resolved", "/a", "/b/../a", no},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := rule.Parse(tt.pattern)
			if err != nil {
				t.Fatal(err)
			}
			path, ok := rule.Canonical(tt.path)
			if !ok {
				t.Fatalf("Canonical(%q) has no answer", tt.path)
			}
			got, ok := p.Match(path)
			if !ok {
				got = no
			}
			if !maps.Equal(got, tt.want) {
				t.Errorf("%q.Match(%q) = %v, want %v", tt.pattern, path, got, tt.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"", "/a?x=1", "/a#b", strings.Repeat("/:x", 17), strings.Repeat("/*", 17)} {
		if _, err := rule.Parse(source); !fault.Is(err, fault.Invalid) {
			t.Errorf("Parse(%.20q) = %v, want invalid", source, err)
		}
	}
	for _, source := range []string{"", "a", "ftp://a/", "https://", "https:///a", "http://a b/"} {
		if _, err := rule.ParseTarget(source, nil); !fault.Is(err, fault.Invalid) {
			t.Errorf("ParseTarget(%q) = %v, want invalid", source, err)
		}
	}
}

func TestLiteral(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{"/": "/", "/a/": "/a", "/a b": "/a%20b", "/*": "", "/:x": "", "/a*": ""} {
		p, err := rule.Parse(source)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := p.Literal(); got != want || ok != (want != "") {
			t.Errorf("%q.Literal() = %q, %v, want %q", source, got, ok, want)
		}
	}
}

func TestTarget(t *testing.T) {
	t.Parallel()
	caught := map[string]string{"splat": "x/y", "id": "a%20b", "idea": "i", "year": "2026", "evil": "/evil.example", "q": "a%26b%2Bc%2Fd"}
	tests := []struct{ name, target, query, want string }{
		{"path", "/b", "", "/b"},
		{"query goes along", "/b", "q=1&r=%20", "/b?q=1&r=%20"},
		{"query of its own", "/b?x=1", "q=1", "/b?x=1"},
		{"no query of its own", "/b?", "q=1", "/b"},
		{"splat", "/b/:splat", "", "/b/x/y"},
		{"names next to each other", "/b/:year-:id.html", "", "/b/2026-a%20b.html"},
		{"the longest name", "/:idea/:idx", "", "/i/a%20bx"},
		{"unknown name", "/b/:nothing", "", "/b/:nothing"},
		{"in the query", "/b?id=:id&q=:q&s=:splat", "z=1", "/b?id=a+b&q=a%26b%2Bc%2Fd&s=x%2Fy"},
		{"fragment", "/b#part", "q=1", "/b?q=1#part"},
		{"elsewhere", "https://e.example/:splat", "q=1", "https://e.example/x/y?q=1"},
		{"elsewhere, no path", "https://e.example", "q=1", "https://e.example?q=1"},
		{"elsewhere, port", "https://e.example:8443/:id", "", "https://e.example:8443/a%20b"},
		{"elsewhere, by name", "https://:year.e.example/", "", "https://2026.e.example/"},
		{"letters", "/ü b/%C3%BC?q=ü", "", "/%C3%BC%20b/%C3%BC?q=%C3%BC"},
		{"no other host by what was caught", "/:evil", "", "/evil.example"},
		{"nor by what was written", "//evil.example", "", "/evil.example"},
		{"backslash", `/\evil.example`, "", "/%5Cevil.example"},
		{"line break", "/a\r\nX: y", "", "/a%0D%0AX:%20y"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target, err := rule.ParseTarget(tt.target, []string{"splat", "id", "idea", "year", "evil", "q"})
			if err != nil {
				t.Fatal(err)
			}
			place := target.Fill(caught)
			if got := place.URL(tt.query); got != tt.want {
				t.Errorf("%q with %q = %q, want %q", tt.target, tt.query, got, tt.want)
			}
		})
	}
}

// FuzzMatch: patterns match what a regular expression made of them matches, and
// what was caught leads to the same site, whatever the request was.
func FuzzMatch(f *testing.F) {
	for _, pattern := range []string{"/", "/a", "/a/*", "/:x/b", "/n/*/z", "/*.js", "*", "/*a/*/b", "/*/*/*", "/a*b*c", "/:x/*/:y"} {
		f.Add(pattern, "/a/b", "/:splat")
		f.Add(pattern, "/n/1/z.js", "/x?y=:x")
		f.Add(pattern, "//evil.example/%2f..%5c", "/:splat/:x")
	}
	f.Fuzz(func(t *testing.T, source, escaped, to string) {
		if len(source) > 200 || len(escaped) > 200 {
			return
		}
		p, err := rule.Parse(source)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("Parse(%q) = %v, want an invalid fault", source, err)
			}
			return
		}
		path, ok := rule.Canonical(escaped)
		if !ok {
			return
		}
		if again, ok := rule.Canonical(path); !ok || again != path {
			t.Fatalf("Canonical(%q) = %q, and of that %q, %v", escaped, path, again, ok)
		}
		caught, matched := p.Match(path)
		if want := expression(t, source).MatchString(path); matched != want {
			t.Fatalf("%q.Match(%q) = %v, want %v", source, path, matched, want)
		}
		if literal, ok := p.Literal(); ok && matched != (rule.TrimSlash(path) == literal) {
			t.Fatalf("%q.Match(%q) = %v, but its literal is %q", source, path, matched, literal)
		}
		target, err := rule.ParseTarget(to, p.Names())
		if err != nil || !matched || target.Elsewhere() {
			return
		}
		place := target.Fill(caught).URL("")
		u, err := url.Parse(place)
		if err != nil && !strings.Contains(to, "%") { // bad escapes in the target are the author's
			t.Fatalf("%q leads %q to %q, which is no URL: %v", to, path, place, err)
		}
		if err == nil && (u.Host != "" || u.Scheme != "") || strings.ContainsAny(place, "\\\r\n \x00") {
			t.Fatalf("%q leads %q to %q, which is somewhere else", to, path, place)
		}
	})
}

// expression is the pattern as a regular expression, made without the package.
func expression(t *testing.T, source string) *regexp.Regexp {
	t.Helper()
	source = strings.TrimPrefix(source, "/")
	end := ""
	if !strings.HasSuffix(source, "*") {
		source, end = strings.TrimSuffix(source, "/"), "/?"
	}
	var out strings.Builder
	for segment := range strings.SplitSeq(source, "/") {
		switch {
		case segment == "*":
			out.WriteString("(?:/.*)?")
		case len(segment) > 1 && segment[0] == ':':
			out.WriteString("/[^/]+")
		default:
			out.WriteString("/")
			for i, text := range strings.Split(segment, "*") {
				if i > 0 {
					out.WriteString(".*")
				}
				path, ok := rule.Canonical(text)
				if !ok {
					path = url.PathEscape(text)
				}
				out.WriteString(regexp.QuoteMeta(path))
			}
		}
	}
	return regexp.MustCompile(`\A(?s:` + out.String() + end + `)\z`)
}

func BenchmarkMatch(b *testing.B) {
	for _, source := range []string{"/docs/page", "/docs/*", "/:a/:b", "/*.js"} {
		b.Run(source, func(b *testing.B) {
			p, err := rule.Parse(source)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				p.Match("/docs/page")
			}
		})
	}
}
