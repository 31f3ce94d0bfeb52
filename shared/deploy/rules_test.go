package deploy_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/deploy"
)

func TestValidateRules(t *testing.T) {
	t.Parallel()
	redirect := func(change func(*deploy.Redirect)) deploy.Deploy {
		r := deploy.Redirect{From: "/a/:b/*", To: "/c/:b/:splat", Status: 301}
		change(&r)
		return deploy.Deploy{Site: "s", Redirects: []deploy.Redirect{r}}
	}
	header := func(path, name, value string) deploy.Deploy {
		return deploy.Deploy{Site: "s", Headers: []deploy.HeaderRule{{For: path, Values: map[string]string{name: value}}}}
	}
	many := make([]string, 65)
	tests := []struct {
		name   string
		deploy deploy.Deploy
		want   string // part of the error; empty: none
	}{
		{"redirect", redirect(func(r *deploy.Redirect) {}), ""},
		{"redirect of a host", redirect(func(r *deploy.Redirect) { r.From = "https://a.example/*" }), ""},
		{"redirect elsewhere", redirect(func(r *deploy.Redirect) { r.To = "https://a.example/:splat" }), ""},
		{"redirect with all there is", redirect(func(r *deploy.Redirect) {
			r.Force, r.Query, r.Conditions = true, map[string]string{"id": ":id"}, &deploy.Conditions{Language: []string{"de"}, Role: []string{"admin"}}
		}), ""},
		{"page for what is gone", redirect(func(r *deploy.Redirect) { r.Status = 410 }), ""},
		{"no path", redirect(func(r *deploy.Redirect) { r.From = "" }), `redirect : "" is no path`},
		{"a query in the path", redirect(func(r *deploy.Redirect) { r.From = "/a?b" }), "is no path"},
		{"no host", redirect(func(r *deploy.Redirect) { r.From = "https:///a" }), "has no host"},
		{"no target", redirect(func(r *deploy.Redirect) { r.To = "" }), "where it leads"},
		{"target without slash", redirect(func(r *deploy.Redirect) { r.To = "c" }), `must start with "/"`},
		{"status", redirect(func(r *deploy.Redirect) { r.Status = 304 }), "304 is not a status for it"},
		{"no status", redirect(func(r *deploy.Redirect) { r.Status = 0 }), "0 is not a status for it"},
		{"line break", redirect(func(r *deploy.Redirect) { r.To = "/a\r\nX: y" }), "control characters"},
		{"long", redirect(func(r *deploy.Redirect) { r.To = "/" + strings.Repeat("a", 2048) }), "2048 bytes are allowed"},
		{"many values", redirect(func(r *deploy.Redirect) { r.Conditions = &deploy.Conditions{Country: many} }), "65 values of a condition"},
		{"many redirects", deploy.Deploy{Site: "s", Redirects: make([]deploy.Redirect, 10_001)}, "10001 redirects are too many; 10000"},

		{"header", header("/*", "X-Frame-Options", "DENY"), ""},
		{"cache", header("/assets/*", "cache-control", "public, max-age=31536000, immutable"), ""},
		{"header without path", header("", "A", "b"), "is no path"},
		{"name", header("/", "A b", "c"), `"A b" is not the name of a header`},
		{"empty name", header("/", "", "c"), `"" is not the name of a header`},
		{"line break in a value", header("/", "A", "b\r\nX: y"), "the value of A"},
		{"reserved", header("/", "content-length", "1"), "content-length is set by the server alone"},
		{"of one connection", header("/", "Transfer-Encoding", "chunked"), "set by the server alone"},
		{"password", header("/", "basic-auth", "a:b"), "Basic-Auth is not supported"},
		{"many headers", deploy.Deploy{Site: "s", Headers: make([]deploy.HeaderRule, 1001)}, "1001 rules for headers are too many"},
		{"too much text", deploy.Deploy{Site: "s", Headers: large()}, "2 MiB are allowed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := tt.deploy.Validate()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Validate() = %v, want %q", err, tt.want)
			}
		})
	}
}

func large() []deploy.HeaderRule {
	rules := make([]deploy.HeaderRule, 300)
	for i := range rules {
		rules[i] = deploy.HeaderRule{For: "/*", Values: map[string]string{"A": strings.Repeat("a", 8<<10)}}
	}
	return rules
}

// TestRulesAsJSON: rules come back from the store as they were.
func TestRulesAsJSON(t *testing.T) {
	t.Parallel()
	d := deploy.Deploy{
		Redirects: []deploy.Redirect{{From: "/a", To: "/b", Status: 302, Force: true, Query: map[string]string{"a": ":a"}, Conditions: &deploy.Conditions{Cookie: []string{"c"}}}, {From: "/*", To: "/", Status: 200}},
		Headers:   []deploy.HeaderRule{{For: "/*", Values: map[string]string{"A": "b"}}},
	}
	data, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var back deploy.Deploy
	if err := json.Unmarshal(data, &back); err != nil || !reflect.DeepEqual(back.Redirects, d.Redirects) || !reflect.DeepEqual(back.Headers, d.Headers) {
		t.Errorf("back from %s: %+v, %v", data, back, err)
	}
}
