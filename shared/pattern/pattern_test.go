package pattern_test

import (
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/pattern"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		source string
		yes    []string
		no     []string
	}{
		{"/", []string{"/"}, []string{"/a"}},
		{"/lit", []string{"/lit", "/LIT"}, []string{"/lit/x", "/li"}},
		{"/lit/", []string{"/lit"}, []string{"/lit/x"}},
		{"/a:b", []string{"/a:b"}, []string{"/ax"}}, // a colon inside a segment is literal
		{"/items/:id", []string{"/items/42", "/Items/AbC", "/items/x%20y"}, []string{"/items", "/items/42/sub"}},
		{"/files/*", []string{"/files/a", "/files/a/b"}, []string{"/files", "/file"}},
		{"/opt{/:x}?", []string{"/opt", "/opt/z"}, []string{"/opt/z/y"}},
		{"/n/:id(\\d+)", []string{"/n/7"}, []string{"/n/x"}},
	}
	for _, tt := range tests {
		t.Run(tt.source, func(t *testing.T) {
			t.Parallel()
			p, err := pattern.Parse(tt.source)
			if err != nil {
				t.Fatalf("Parse(%q): %v", tt.source, err)
			}
			if p.String() != tt.source {
				t.Errorf("String() = %q, want %q", p.String(), tt.source)
			}
			for _, path := range tt.yes {
				if !p.Match(path) {
					t.Errorf("%q does not match %q", tt.source, path)
				}
			}
			for _, path := range tt.no {
				if p.Match(path) {
					t.Errorf("%q matches %q", tt.source, path)
				}
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"", "a", "/a/:b(", "/{", "/:x/:x"} {
		if _, err := pattern.Parse(source); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "'"+source+"'") {
			t.Errorf("Parse(%q) = %v, want invalid with the path", source, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"/", "/a/:b", "/{", "/*", "/:a(.*)?", "/\\:a", "/[x]", "/é"} {
		f.Add(seed, "/a/b")
	}
	f.Fuzz(func(t *testing.T, source, path string) {
		p, err := pattern.Parse(source)
		if err != nil {
			return
		}
		p.Match(pattern.TrimSlash(path)) // must not panic
	})
}
