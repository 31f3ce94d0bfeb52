package deploy_test

import (
	"encoding/json"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/deploy"
)

var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// FuzzBranchLabel: a branch is given a name that can stand in a host name before
// its site, and in no other site's, or none.
func FuzzBranchLabel(f *testing.F) {
	f.Add("feat/Über-cool--x", "shop")
	f.Add(strings.Repeat("a-", 60), "a")
	f.Add("--", "shop")
	f.Fuzz(func(t *testing.T, branch, site string) {
		if !deploy.ValidSite(site) {
			return
		}
		got := deploy.BranchLabel(branch, site)
		if got == "" {
			return
		}
		host := got + "--" + site
		if !label.MatchString(got) || strings.Contains(got, "--") || len(host) > 63 {
			t.Errorf("branch %q of %s is at %q", branch, site, host)
		}
		if again := deploy.BranchLabel(got, site); again != got {
			t.Errorf("branch %q is %q, which is %q", branch, got, again)
		}
	})
}

// FuzzValidate: a deploy that is valid has files that stay below a folder when
// they are written there, and names that differ.
func FuzzValidate(f *testing.F) {
	sum := strings.Repeat("a", 64)
	f.Add([]byte(`{"site":"shop","files":{"a/b.html":{"digest":"` + sum + `","size":3},"../x":{"sha1":"b"}}}`))
	f.Add([]byte(`{"site":"shop","functions":[{"name":"a","artifact":"` + sum + `","runtime":"node","api":1,"entry":"a.js","kind":"sync"}]}`))
	f.Add([]byte(`{"site":"shop","files":{"C:\\x":{},"a\u0000":{},"a//b":{},"/a":{}},"redirects":[{"from":"/a","to":"/b","status":301}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var d deploy.Deploy
		if json.Unmarshal(data, &d) != nil || d.Validate() != nil {
			return
		}
		for name := range d.Files {
			if joined := path.Join("/root", name); joined != "/root/"+name || strings.ContainsAny(name, "\\\x00") {
				t.Errorf("the file %q stands at %q", name, joined)
			}
		}
		seen := map[string]bool{}
		for _, fn := range d.Functions {
			if seen[fn.Name] || strings.ContainsAny(fn.Name, "/\\.%\x00 ") {
				t.Errorf("the function %q is valid", fn.Name)
			}
			seen[fn.Name] = true
		}
	})
}
