package deploy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/function"
)

func fn(name, digit string) function.Function {
	return function.Function{
		Name: name, Kind: function.Sync, API: function.APIv2, Runtime: "node", Entry: "index.mjs",
		Artifact: strings.Repeat(digit, 64),
	}
}

func TestValidSite(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"default": true, "a": true, "my-site-2": true, strings.Repeat("a", 63): true,
		"": false, "My": false, "a--b": false, "-a": false, "a-": false, "a.b": false, "a_b": false, strings.Repeat("a", 64): false,
	} {
		if got := deploy.ValidSite(name); got != want {
			t.Errorf("ValidSite(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		d    deploy.Deploy
		want string
	}{
		{"valid", deploy.Deploy{Site: "s", Functions: []function.Function{fn("a", "1"), fn("b", "1")}}, ""},
		{"no functions", deploy.Deploy{Site: "s"}, ""},
		{"site", deploy.Deploy{Site: "S"}, "site name"},
		{"function", deploy.Deploy{Site: "s", Functions: []function.Function{{Name: "a b"}}}, "function name"},
		{"twice", deploy.Deploy{Site: "s", Functions: []function.Function{fn("a", "1"), fn("a", "2")}}, "twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := tt.d.Validate()
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Validate() = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestFunctionsAndArtifacts(t *testing.T) {
	t.Parallel()
	d := deploy.Deploy{Functions: []function.Function{fn("a", "2"), fn("b", "1"), fn("c", "2")}}
	if f, ok := d.Function("b"); !ok || f.Name != "b" {
		t.Errorf("Function(b) = %v, %v", f, ok)
	}
	if _, ok := d.Function("B"); ok {
		t.Error("Function(B) is found: names are case sensitive")
	}
	want := []string{strings.Repeat("1", 64), strings.Repeat("2", 64)}
	if got := d.Artifacts(); !slices.Equal(got, want) {
		t.Errorf("Artifacts() = %v, want %v", got, want)
	}
}
