package deploy_test

import (
	"slices"
	"strconv"
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
		"default": true, "a": true, "my-site-2": true, strings.Repeat("a", 37): true,
		"": false, "My": false, "a--b": false, "-a": false, "a-": false, "a.b": false, "a_b": false, strings.Repeat("a", 38): false,
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
		{"files", files("index.html", "a/b c/ü.txt", ".well-known/x"), ""},
		{"file above", files("../x"), "must be relative"},
		{"file at the root", files("/x"), "must be relative"},
		{"file with an empty part", files("a//x"), "must be relative"},
		{"file in itself", files("a/./x"), "must be relative"},
		{"file without a name", files(""), "must be relative"},
		{"file with a backslash", files(`a\x`), "must be relative"},
		{"file that is no text", files("a\xff"), "must be relative"},
		{"file with a long path", files(strings.Repeat("a", 1025)), "1024 bytes"},
		{"file with a bad digest", deploy.Deploy{Site: "s", Files: map[string]deploy.File{"x": {Digest: "abc"}}}, "SHA-256"},
		{"negative file", deploy.Deploy{Site: "s", Files: map[string]deploy.File{"x": {Digest: strings.Repeat("a", 64), Size: -1}}}, "250 MiB"},
		{"large file", deploy.Deploy{Site: "s", Files: map[string]deploy.File{"x": {Digest: strings.Repeat("a", 64), Size: 250<<20 + 1}}}, "250 MiB"},
		{"large files", largeFiles(9, 250<<20), "2048 MiB"},
		{"many files", largeFiles(20_001, 0), "too many"},
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

func files(paths ...string) deploy.Deploy {
	d := deploy.Deploy{Site: "s", Files: map[string]deploy.File{}}
	for _, p := range paths {
		d.Files[p] = deploy.File{Digest: strings.Repeat("a", 64), Size: 1}
	}
	return d
}

func largeFiles(n int, size int64) deploy.Deploy {
	d := deploy.Deploy{Site: "s", Files: map[string]deploy.File{}}
	for i := range n {
		d.Files[strconv.Itoa(i)] = deploy.File{Digest: strings.Repeat("a", 64), Size: size}
	}
	return d
}

func TestFileDigests(t *testing.T) {
	t.Parallel()
	d := deploy.Deploy{Files: map[string]deploy.File{"a": {Digest: "2"}, "b": {Digest: "1"}, "c": {Digest: "2"}}}
	if got, want := d.FileDigests(), []string{"1", "2"}; !slices.Equal(got, want) {
		t.Errorf("FileDigests() = %v, want %v", got, want)
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
