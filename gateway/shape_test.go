package gateway_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/function"
)

var update = flag.Bool("update", false, "write the golden files anew")

// What differs from run to run.
var (
	anyInstant = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[0-9:.]+Z"`)
	anyPort    = regexp.MustCompile(`(localhost|127\.0\.0\.1):\d+`)
)

// golden compares an answer with a file. Deploys have the names that are given.
func golden(t *testing.T, file string, got answer, names map[string]string) {
	t.Helper()
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(got.body), "", "  "); err != nil {
		t.Fatalf("%s: %v in %q", file, err, got.body)
	}
	text := fmt.Sprintf("%d %s\n%s\n", got.status, got.header.Get("Content-Type"), strings.TrimSpace(indented.String()))
	text = anyPort.ReplaceAllString(anyInstant.ReplaceAllString(text, `"TIME"`), "$1:PORT")
	for id, name := range names {
		text = strings.ReplaceAll(text, id, name)
	}
	path := filepath.Join("testdata", file+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s is\n%s\nwant\n%s", file, text, want)
	}
}

// The answers have the shape of Netlify's, so that its clients read them.
func TestShapeOfAnswers(t *testing.T) {
	t.Parallel()
	r := setupRefuser(t)
	zip, digest := code(t, "export default () => new Response('hi')")
	created := r.call("POST", "/nightshift/sites", `{"name":"blog"}`)
	golden(t, "site-new", created, nil)
	announced := r.call("POST", "/sites/blog/deploys?title=hello%20world", `{"draft":false,"branch":"Feature/One","include_upload_url":false,"deploy_source":"cli"}`)
	first := decode[api.Deploy](t, announced.body)
	names := map[string]string{first.ID: "FIRST", r.live.ID: "SHOP"}
	golden(t, "deploy-announced", announced, names)
	golden(t, "deploy-described", r.call("PUT", "/sites/site_blog/deploys/"+first.ID, map[string]any{
		"files":              map[string]string{"index.html": sha1Of([]byte("home")), "netlify.toml": sha1Of([]byte(toml))},
		"functions":          map[string]string{"hello": strings.Repeat("c", 64), "other": strings.Repeat("b", 64), "tick": strings.Repeat("a", 64)},
		"function_schedules": []map[string]string{{"name": "tick", "cron": "@daily"}},
		"functions_config":   map[string]any{"other": map[string]any{"routes": []map[string]any{{"pattern": "/other/:x", "methods": []string{"GET"}}}}},
		"draft":              false,
	}), names)
	golden(t, "deploy-cancelled", r.call("POST", "/deploys/"+first.ID+"/cancel", nil), names)

	r.nextMillisecond()
	own := r.call("POST", "/sites/blog/deploys", api.CreateDeploy{Functions: []function.Function{fn(function.Function{Name: "hello"}, digest)}, Title: "whole"})
	second := decode[api.Deploy](t, own.body)
	if len(second.RequiredFunctions) > 0 {
		r.call("PUT", "/deploys/"+second.ID+"/functions/hello", zip)
	}
	r.nextMillisecond()
	third := decode[api.Deploy](t, r.call("POST", "/sites/blog/deploys", `{"draft":true}`).body)
	r.call("PUT", "/sites/blog/deploys/"+third.ID, map[string]any{"files": map[string]string{"index.html": sha1Of([]byte("home")), "netlify.toml": sha1Of([]byte(toml))}})
	golden(t, "file-uploaded", r.call("PUT", "/deploys/"+third.ID+"/files/index.html", "home"), nil)
	r.call("PUT", "/deploys/"+third.ID+"/files/netlify.toml", toml)
	names[second.ID], names[third.ID] = "SECOND", "THIRD"
	golden(t, "deploy-ready", r.call("GET", "/sites/blog/deploys/"+second.ID, nil), names)
	golden(t, "deploy-draft", r.call("GET", "/deploys/"+third.ID, nil), names)
	golden(t, "deploy-locked", r.call("POST", "/deploys/"+second.ID+"/lock", nil), names)
	golden(t, "deploys", r.call("GET", "/sites/blog/deploys", nil), names)
	golden(t, "site", r.call("GET", "/sites/blog?feature_flags=cli", nil), names)
	golden(t, "sites", r.call("GET", "/sites?filter=all&page=1&per_page=100", nil), names)
	golden(t, "sites-by-id", r.call("GET", "/sites?name=site_blog&filter=all", nil), names)
	golden(t, "accounts", r.call("GET", "/accounts?minimal=true", nil), nil)
	golden(t, "user", r.call("GET", "/user", nil), nil)
	golden(t, "error", r.call("GET", "/sites/nowhere", nil), nil)
}

// nextMillisecond lets Redis's clock go on, by which lists of deploys are sorted.
func (r *refuser) nextMillisecond() {
	r.t.Helper()
	millis := func() int64 {
		now, err := r.redis.Time(r.t.Context()).Result()
		if err != nil {
			r.t.Fatal(err)
		}
		return now.UnixMilli()
	}
	for begun := millis(); millis() == begun; {
	}
}

const toml = "[[redirects]]\nfrom = \"/old\"\nto = \"/new\"\n[[redirects]]\nfrom = \"/older\"\nto = \"/new\"\n[[headers]]\nfor = \"/*\"\n[headers.values]\nX-A = \"a\"\n"

// Clients look for extensions at the root, without a token.
func TestNoExtensions(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for _, path := range []string{"/team/nightshift/integrations/installations/meta/site_shop", "/site/site_shop/integrations/safe"} {
		if got := b.get(b.control(path)); got.status != 200 || strings.TrimSpace(got.body) != "[]" || !strings.HasPrefix(got.header.Get("Content-Type"), "application/json") {
			t.Errorf("GET %s = %d %q %v, want an empty list", path, got.status, got.body, got.header)
		}
	}
}

// The netlify CLI reads a body wherever a type of content is said.
func TestEmptyAnswersHaveNoType(t *testing.T) {
	t.Parallel()
	key := secretKey(t)
	r := &refuser{bundle: setup(t, func(c *gateway.Config) { c.SecretKey = key })}
	r.site("shop")
	got := r.call("POST", "/accounts/nightshift/env?site_id=shop", `[{"key":"A","values":[{"context":"production","value":"1"},{"context":"dev","value":"2"}]}]`)
	if got.status != 201 {
		t.Fatalf("POST env = %d %s", got.status, got.body)
	}
	value := decode[[]api.Variable](t, got.body)[0].Values[0].ID
	for _, path := range []string{"/accounts/nightshift/env/A/value/" + value + "?site_id=shop", "/accounts/nightshift/env/A?site_id=site_shop"} {
		if got := r.call("DELETE", path, nil); got.status != 204 || got.body != "" || got.header["Content-Type"] != nil {
			t.Errorf("DELETE %s = %d %q %v, want 204 with no type", path, got.status, got.body, got.header)
		}
	}
}

// Where the ID of a site is expected its name does, and the other way round.
func TestSitesByNameAndID(t *testing.T) {
	t.Parallel()
	key := secretKey(t)
	r := &refuser{bundle: setup(t, func(c *gateway.Config) { c.SecretKey = key })}
	r.site("shop")
	r.call("POST", "/accounts/nightshift/env?site_id=site_shop", `[{"key":"A","values":[{"context":"all","value":"1"}]}]`)
	var deploys []string
	for _, site := range []string{"shop", "site_shop", "shop"} {
		got := r.call("POST", "/sites/"+site+"/deploys", `{"files":{}}`)
		d := decode[api.Deploy](t, got.body)
		if got.status != 201 || d.State != "ready" || d.SiteID != "site_shop" || d.Site != "shop" {
			t.Fatalf("deploy to %s = %d %s", site, got.status, got.body)
		}
		deploys = append(deploys, d.ID)
	}
	for _, tt := range []struct{ method, path, want string }{
		{"GET", "/sites/shop", `"id":"site_shop","name":"shop"`},
		{"GET", "/sites/site_shop", `"id":"site_shop","name":"shop"`},
		{"GET", "/sites?name=shop", `"id":"site_shop","name":"shop"`},
		{"GET", "/sites?name=site_shop", `"id":"site_shop","name":"site_shop"`}, // see the protocol: the CLI compares
		{"GET", "/sites/shop/deploys", deploys[2]},
		{"GET", "/sites/site_shop/deploys", deploys[2]},
		{"GET", "/sites/site_shop/deploys/" + deploys[0], deploys[0]},
		{"GET", "/sites/site_shop/functions", `[]`},
		{"GET", "/sites/site_shop/builds", `[]`},
		{"PUT", "/sites/shop/rollback", deploys[1]},
		{"PUT", "/sites/site_shop/rollback", deploys[0]},
		{"POST", "/sites/site_shop/deploys/" + deploys[1] + "/restore", deploys[1]},
		{"POST", "/sites/shop/deploys/" + deploys[2] + "/restore", deploys[2]},
		{"GET", "/accounts/nightshift/env?site_id=shop", `"key":"A"`},
		{"GET", "/accounts/nightshift/env/A?site_id=site_shop", `"key":"A"`},
		{"PUT", "/sites/site_shop/unpublish", `"deploy_id":""`},
	} {
		if got := r.call(tt.method, tt.path, nil); got.status != 200 || !strings.Contains(got.body, tt.want) {
			t.Errorf("%s %s = %d %s, want 200 with %s", tt.method, tt.path, got.status, got.body, tt.want)
		}
	}
	for _, name := range []string{"nope", "site_nope", "sho", "site_"} {
		if got := r.call("GET", "/sites?name="+name, nil); got.status != 200 || strings.TrimSpace(got.body) != "[]" {
			t.Errorf("sites called %q = %d %s, want none", name, got.status, got.body)
		}
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	r := &refuser{bundle: setup(t, nil)}
	var want []string
	for i := range 5 {
		r.site(fmt.Sprint("site-", i))
		want = append(want, decode[api.Deploy](t, r.call("POST", "/sites/site-0/deploys", `{"files":{}}`).body).ID)
	}
	list := func(path string) []string {
		t.Helper()
		got := r.call("GET", path, nil)
		if got.status != 200 || !strings.HasPrefix(got.body, "[") { // never null
			t.Fatalf("GET %s = %d %s", path, got.status, got.body)
		}
		ids := []string{}
		for _, one := range decode[[]struct{ ID string }](t, got.body) {
			ids = append(ids, one.ID)
		}
		return ids
	}
	all := list("/sites/site-0/deploys")
	slices.Sort(want)
	if sorted := slices.Sorted(slices.Values(all)); !slices.Equal(sorted, want) {
		t.Fatalf("all deploys: %v, want %v", sorted, want)
	}
	sites := list("/sites")
	if len(sites) != 6 || sites[0] != "site_default" {
		t.Fatalf("all sites: %v, want six with the default one", sites)
	}
	for _, tt := range []struct {
		path string
		all  []string
	}{{"/sites/site-0/deploys", all}, {"/sites", sites}} {
		for page := 1; page <= 4; page++ {
			from, to := min(len(tt.all), (page-1)*2), min(len(tt.all), page*2)
			if got := list(fmt.Sprintf("%s?per_page=2&page=%d", tt.path, page)); !slices.Equal(got, tt.all[from:to]) {
				t.Errorf("page %d of %s: %v, want %v", page, tt.path, got, tt.all[from:to])
			}
		}
		if got := list(tt.path + "?per_page=3"); !slices.Equal(got, tt.all[:3]) {
			t.Errorf("the first page of %s: %v, want %v", tt.path, got, tt.all[:3])
		}
	}
}
