package gateway_test

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/store"
)

// control is the URL of a control plane path.
func (b *bundle) control(path string) string { return "http://" + b.gateway.AdminAddr() + path }

func TestControlPlaneNeedsToken(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	routes := []struct{ method, path string }{
		{"POST", "/api/v1/sites/default/deploys"}, {"GET", "/api/v1/sites/default/deploys/x"},
		{"GET", "/api/v1/sites/default/functions"}, {"PUT", "/api/v1/deploys/x/functions/y"},
		{"GET", "/api/v1/workers"}, {"GET", "/api/v1/invocations/x"}, {"GET", "/api/v1/invocations/x/logs"},
		{"POST", "/api/v1/invocations/x/cancel"}, {"GET", "/api/v1/nope"},
	}
	headers := []string{"", "Bearer", "Basic " + token, token, "Bearer wrong", "Bearer " + token + "x"}
	for i, r := range routes {
		if i == 2 { // wrong tokens are few: those of one address are limited
			headers = headers[:4]
		}
		for _, header := range headers {
			req := b.request(r.method, b.control(r.path), nil)
			req.Header.Set("Authorization", header)
			got := b.do(req)
			if e := decode[api.Error](t, got.body); got.status != 401 || e.Kind != "unauthorized" || got.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s %s with %q = %d %s, want 401", r.method, r.path, header, got.status, got.body)
			}
		}
		req := b.request(r.method, b.control(r.path), nil)
		req.Header.Set("Authorization", "Bearer "+token)
		if got := b.do(req); got.status == 401 {
			t.Errorf("%s %s with the token = 401", r.method, r.path)
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if got := b.get(b.control(path)); got.status != 200 {
			t.Errorf("GET %s without a token = %d", path, got.status)
		}
	}
	if got := b.get("/api/v1/workers"); got.status != 404 || strings.HasPrefix(got.body, "{") {
		t.Errorf("the control plane's path on the data plane = %d %q: it is the site's", got.status, got.body)
	}
}

func TestDevChecksHostAndOrigin(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *gateway.Config) { c.Dev, c.Token = true, "" })
	tests := []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"plain", func(*http.Request) {}, 200},
		{"localhost", func(r *http.Request) { r.Host = "localhost:8889" }, 200},
		{"IPv6", func(r *http.Request) { r.Host = "[::1]:8889" }, 200},
		{"own origin", func(r *http.Request) { r.Header.Set("Origin", "http://"+r.URL.Host) }, 200},
		{"rebound name", func(r *http.Request) { r.Host = "evil.example" }, 403},
		{"rebound look-alike", func(r *http.Request) { r.Host = "localhost.evil.example" }, 403},
		{"network address", func(r *http.Request) { r.Host = "192.168.1.2:8889" }, 403},
		{"other origin", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403},
		{"no origin", func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		{"post across sites", func(r *http.Request) { r.Method = "POST"; r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
	}
	for _, tt := range tests {
		req := b.request("GET", b.control("/api/v1/workers"), nil)
		tt.change(req)
		if got := b.do(req); got.status != tt.status {
			t.Errorf("%s = %d %s, want %d", tt.name, got.status, got.body, tt.status)
		}
	}
}

func TestDeployLife(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	ctx := t.Context()
	zipA, digestA := code(t, "a")
	zipB, digestB := code(t, "b")
	b.site("shop")
	in := api.CreateDeploy{Branch: "main", Production: true, Functions: []function.Function{
		fn(function.Function{Name: "one-background", Kind: function.Background}, digestA),
		fn(function.Function{Name: "two", Paths: []string{"/two/:x"}}, digestB),
		fn(function.Function{Name: "tick", Kind: function.Scheduled, Schedule: "0 3 * * *", Timezone: "Europe/Berlin"}, digestA),
	}}
	d, err := b.api.CreateDeploy(ctx, "shop", in)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[0-9a-f]{24}$`).MatchString(d.ID) || d.State != "uploading" || d.Published || len(d.RequiredFunctions) != 2 || d.Branch != "main" {
		t.Fatalf("new deploy = %+v", d)
	}
	host := func(name string) answer {
		req := b.request("POST", "/.netlify/functions/one-background", nil)
		req.Host = name
		return b.do(req)
	}
	if got := host("shop.localhost"); got.status != 404 {
		t.Errorf("before it is complete the site answers %d", got.status)
	}
	if got := host(d.ID + "--shop.localhost"); got.status != 404 {
		t.Errorf("before it is complete the permalink answers %d", got.status)
	}

	if _, err := b.api.UploadFunction(ctx, d.ID, "one-background", bytes.NewReader(zipB)); !fault.Is(err, fault.Invalid) {
		t.Errorf("the wrong code: %v, want invalid", err)
	}
	if _, err := b.api.UploadFunction(ctx, d.ID, "nope", bytes.NewReader(zipA)); !fault.Is(err, fault.NotFound) {
		t.Errorf("code of an unknown function: %v, want not found", err)
	}
	if _, err := b.api.UploadFunction(ctx, strings.Repeat("e", 24), "two", bytes.NewReader(zipA)); !fault.Is(err, fault.NotFound) {
		t.Errorf("code of an unknown deploy: %v, want not found", err)
	}
	half, err := b.api.UploadFunction(ctx, d.ID, "one-background", io.MultiReader(bytes.NewReader(zipA))) // chunked
	if err != nil || half.State != "uploading" || len(half.RequiredFunctions) != 1 || half.RequiredFunctions[0] != digestB {
		t.Fatalf("after the first upload: %+v, %v", half, err)
	}
	if got := host("shop.localhost"); got.status != 404 {
		t.Errorf("half a deploy answers %d", got.status)
	}
	whole, err := b.api.UploadFunction(ctx, d.ID, "two", bytes.NewReader(zipB))
	if err != nil || whole.State != "ready" || !whole.Published || len(whole.RequiredFunctions) != 0 {
		t.Fatalf("after the last upload: %+v, %v", whole, err)
	}
	if got := host("shop.localhost"); got.status != 202 {
		t.Errorf("right after the last upload the site answers %d %s", got.status, got.body)
	}

	again, err := b.api.CreateDeploy(ctx, "shop", api.CreateDeploy{Draft: true, Functions: in.Functions[:1]})
	if err != nil || again.State != "ready" || again.Published {
		t.Errorf("a draft with known code = %+v, %v; want ready at once and not published", again, err)
	}
	if got := host(again.ID + "--shop.localhost"); got.status != 202 {
		t.Errorf("the draft's permalink answers %d", got.status)
	}
	next, err := b.api.CreateDeploy(ctx, "shop", api.CreateDeploy{Functions: in.Functions})
	if err != nil || next.State != "ready" || !next.Published {
		t.Errorf("a deploy with known code = %+v, %v; want published at once", next, err)
	}
	// A lost answer makes a client send its last upload again: nothing changes.
	if late, err := b.api.UploadFunction(ctx, d.ID, "two", bytes.NewReader(zipB)); err != nil || late.Published {
		t.Errorf("an upload of the older deploy, again = %+v, %v; want it to stay unpublished", late, err)
	}
	if got, err := b.api.Deploy(ctx, "shop", next.ID); err != nil || !got.Published || got.ID != next.ID {
		t.Errorf("Deploy = %+v, %v", got, err)
	}
	if _, err := b.api.Deploy(ctx, "default", next.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("Deploy by way of another site: %v, want not found", err)
	}
	checkFunctions(t, b)
}

// checkFunctions looks at the functions that TestDeployLife published.
func checkFunctions(t *testing.T, b *bundle) {
	t.Helper()
	functions, err := b.api.Functions(t.Context(), "shop")
	if err != nil || len(functions) != 3 {
		t.Fatalf("Functions = %+v, %v", functions, err)
	}
	if f := functions[0]; f.Kind != function.Background || len(f.URLs) != 1 || !strings.HasPrefix(f.URLs[0], "http://shop.localhost:") || !strings.HasSuffix(f.URLs[0], "/.netlify/functions/one-background") || f.TimeoutMS != 900_000 {
		t.Errorf("background function = %+v", f)
	}
	if f := functions[1]; len(f.URLs) != 1 || !strings.HasSuffix(f.URLs[0], "/two/:x") {
		t.Errorf("function with a path = %+v", f)
	}
	f := functions[2]
	if len(f.URLs) != 0 || len(f.NextRuns) != 3 || f.Timezone != "Europe/Berlin" {
		t.Fatalf("scheduled function = %+v", f)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range f.NextRuns {
		if run.In(berlin).Hour() != 3 || !run.After(time.Now()) {
			t.Errorf("next run %v is not at 3 in Berlin", run)
		}
	}
	if _, err := b.api.Functions(t.Context(), "empty"); !fault.Is(err, fault.NotFound) {
		t.Errorf("Functions of a site without deploy: %v, want not found", err)
	}
}

func TestCreateDeployRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.site("shop")
	_, digest := code(t, "x")
	tests := []struct {
		name, site string
		f          function.Function
		text       string
	}{
		{"name", "shop", function.Function{Name: "a b"}, "letters, digits"},
		{"kind", "shop", function.Function{Name: "a", Kind: "often"}, "kind"},
		{"cron", "shop", function.Function{Name: "tick", Kind: function.Scheduled, Schedule: "99 * * * *"}, "function tick"},
		{"never", "shop", function.Function{Name: "tick", Kind: function.Scheduled, Schedule: "0 0 31 2 *"}, "function tick"},
		{"zone", "shop", function.Function{Name: "tick", Kind: function.Scheduled, Schedule: "@daily", Timezone: "Mars/Olympus"}, "function tick"},
		{"pattern", "shop", function.Function{Name: "a", Paths: []string{"/a/:b("}}, "URLPattern"},
		{"path", "shop", function.Function{Name: "a", Paths: []string{"a"}}, "start with a '/'"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := b.api.CreateDeploy(t.Context(), tt.site, api.CreateDeploy{Functions: []function.Function{fn(tt.f, digest)}})
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("CreateDeploy = %v, want invalid with %q", err, tt.text)
			}
		})
	}
	if list, err := b.api.Deploys(t.Context(), "shop", 10); err != nil || len(list) != 0 {
		t.Errorf("Deploys = %v, %v; want nothing stored", list, err)
	}
	for _, name := range []string{"No_Site", "none"} {
		_, err := b.api.CreateDeploy(t.Context(), name, api.CreateDeploy{Functions: []function.Function{}})
		if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "nightshift sites create") {
			t.Errorf("CreateDeploy on site %s = %v, want not found and how to make it", name, err)
		}
	}
	for _, body := range []string{"", "nonsense", `{"functions":1}`, `{} {}`} {
		req := b.request("POST", b.control("/api/v1/sites/shop/deploys"), strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+token)
		if got := b.do(req); got.status != 400 || decode[api.Error](t, got.body).Kind != "invalid" {
			t.Errorf("body %q = %d %s, want 400", body, got.status, got.body)
		}
	}
	req := b.request("POST", b.control("/api/v1/sites/shop/deploys"), strings.NewReader(`{"branch":"`+strings.Repeat("x", 8<<20)+`"}`))
	req.Header.Set("Authorization", "Bearer "+token)
	if got := b.do(req); got.status != 413 {
		t.Errorf("a description over its limit = %d %.100s, want 413", got.status, got.body)
	}
}

func TestWorkers(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	if list, err := b.api.Workers(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("Workers = %v, %v; want none", list, err)
	}
	w := store.Worker{ID: "w1", Addr: "127.0.0.1:1", StartedAt: time.Now(), Concurrency: 2, Capacity: 4, Busy: 1, Warm: map[string]int{"d/a": 1, "d/b": 2}, Draining: true}
	if err := b.store.Heartbeat(t.Context(), w, time.Minute); err != nil {
		t.Fatal(err)
	}
	list, err := b.api.Workers(t.Context())
	if err != nil || len(list) != 1 || list[0].Warm != 3 || list[0].Capacity != 4 || !list[0].Draining {
		t.Errorf("Workers = %+v, %v", list, err)
	}
}

func TestWrongToken(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	c, err := client.New(b.control("/api/v1"), "wrong", b.http)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Workers(t.Context()); !fault.Is(err, fault.Unauthorized) || !strings.Contains(err.Error(), "NIGHTSHIFT_TOKEN") {
		t.Errorf("Workers with a wrong token: %v, want unauthorized and what to set", err)
	}
}
