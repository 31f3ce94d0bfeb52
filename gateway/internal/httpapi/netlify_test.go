package httpapi

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/gateway/internal/release"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
)

// FuzzNetlifyDeploy: whatever a client of Netlify's API describes is refused as
// invalid, or is a deploy that is valid once its uploads have told the rest.
func FuzzNetlifyDeploy(f *testing.F) {
	digest, sum := strings.Repeat("a", 64), strings.Repeat("b", 40)
	for _, seed := range []string{
		`{}`, `null`, `{"files":null,"functions":null,"functions_config":{"a":null}}`,
		`{"files":{"index.html":"` + sum + `","netlify.toml":"` + sum + `","../x":"` + sum + `"},"draft":false,"async":true}`,
		`{"functions":{"hello":"` + digest + `","tick":"` + digest + `"},"function_schedules":[{"name":"tick","cron":"@daily"},{"name":"nope","cron":"x"}]}`,
		`{"functions":{"a":"` + digest + `"},"functions_config":{"a":{"routes":[{"pattern":"/a/:b","methods":["GET"],"prefer_static":true,"expression":"^/a$"}],"excluded_routes":[{"pattern":"/a/x"}]}}}`,
		`{"functions":{"a":"` + digest + `"},"functions_config":{"a":{"traffic_rules":{"action":{"type":"rewrite","config":{"to":"/slow","rate_limit_config":{"window_size":60,"window_limit":5},"aggregate":{"keys":[{"type":"ip"},{"type":"domain"}]}}}}}}}`,
		`{"functions":{"a":"` + digest + `"},"functions_config":{"a":{"traffic_rules":{"action":{"config":{"rate_limit_config":{"window_size":18446744073709552,"window_limit":1}}}}}}}`,
		`{"edge_functions":{"manifest.json":"x"}}`,
		`{"environment":[{"key":"A","value":"1","is_secret":true,"scopes":["functions"]}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var in netlifyDeploy
		if json.Unmarshal(body, &in) != nil {
			return
		}
		description, err := in.description()
		if err == nil {
			err = description.Check()
		}
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%q is refused as %v, want invalid", body, err)
			}
			return
		}
		checkDescription(t, body, &in, description)
	})
}

// checkDescription looks at what has passed the check.
func checkDescription(t *testing.T, body []byte, in *netlifyDeploy, description release.Description) {
	t.Helper()
	d := deploy.Deploy{Site: "site", Files: description.Files}
	for _, f := range description.Functions {
		f.Runtime, f.API, f.Entry, f.Kind = "node", function.APIv1, f.Name+".js", function.Sync
		if f.Schedule != "" {
			f.Kind = function.Scheduled
		}
		d.Functions = append(d.Functions, f)
		if f.RateLimit != nil && f.RateLimit.WindowMS != 1000*in.Config[f.Name].Traffic.Action.Config.Limit.Size {
			t.Errorf("%q: function %s has a window of %d ms", body, f.Name, f.RateLimit.WindowMS)
		}
	}
	if err := d.Validate(); err != nil {
		t.Errorf("%q passes the check and is not valid: %v", body, err)
	}
	if len(d.Functions) != len(in.Functions) || len(d.Files) != len(in.Files) {
		t.Errorf("%q has %d functions and %d files; described are %d and %d", body, len(in.Functions), len(in.Files), len(d.Functions), len(d.Files))
	}
	for path := range d.Files {
		if path == "" || path[0] == '/' || strings.Contains(path, `\`) || strings.Contains("/"+path+"/", "/../") {
			t.Errorf("%q: the file %q passes the check", body, path)
		}
	}
}
