package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/secret"
)

const canary = "canary-4711"

// secretKey makes a key for a gateway.
func secretKey(t *testing.T) secret.Text {
	t.Helper()
	key, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// env calls the API of environment variables as the netlify CLI does.
func (b *bundle) env(method, path, body string) answer {
	b.t.Helper()
	req := b.request(method, b.control("/api/v1/accounts/nightshift/env"+path), strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	return b.do(req)
}

// What the recorded calls of netlify-cli 27.10.2 are answered with.
func TestEnvironmentAsTheNetlifyCLICalls(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *gateway.Config) { c.SecretKey = secretKey(t) })
	b.site("shop")
	id := func(context, branch string) string {
		return environ.Value{Context: context, Parameter: branch}.ID()
	}
	const scopes = `"scopes":["builds","functions","runtime","post_processing"]`
	value := func(context, branch, text string) string {
		parameter := ""
		if branch != "" {
			parameter = `"context_parameter":"` + branch + `",`
		}
		return fmt.Sprintf(`{"id":"%s","context":"%s",%s"value":"%s"}`, id(context, branch), context, parameter, text)
	}
	list := func(values ...string) string { return `"values":[` + strings.Join(values, ",") + `]` }
	for _, step := range []struct {
		name, method, path, body string
		status                   int
		want                     string // the answer, or with "…" in front a part of it
	}{
		{"the account has none", "GET", "", "", 200, `[]`},
		{"a site without any", "GET", "?site_id=shop", "", 200, `[]`},
		{"env:set", "POST", "?site_id=shop", `[{"key":"A",` + scopes + `,"values":[{"context":"all","value":"1"}]}]`, 201,
			`[{"key":"A",` + scopes + `,` + list(value("all", "", "1")) + `,"is_secret":false}]`},
		{"env:set once more by POST", "POST", "?site_id=shop", `[{"key":"A","values":[{"context":"all","value":"1"}]}]`, 409, `…"msg":"site shop has an environment variable A already`},
		{"env:set --context production", "PATCH", "/A?site_id=shop", `{"context":"production","value":"p"}`, 201,
			`{"key":"A",` + scopes + `,` + list(value("production", "", "p"), value("all", "", "1")) + `,"is_secret":false}`},
		{"env:set --context branch:feat/x", "PATCH", "/A?site_id=shop", `{"context":"branch","context_parameter":"feat/x","value":"x"}`, 201,
			"…" + list(value("branch", "feat/x", "x"), value("production", "", "p"), value("all", "", "1"))},
		{"env:get", "GET", "/A?site_id=shop", "", 200, "…" + value("branch", "feat/x", "x")},
		{"env:get of the account", "GET", "/A", "", 404, `…"kind":"not_found"`},
		{"a build in production", "GET", "?site_id=shop&context_name=production", "", 200, "…" + list(value("production", "", "p"))},
		{"a build, the context as a list", "GET", "?site_id=shop&context_name%5B%5D=deploy-preview", "", 200, "…" + list(value("all", "", "1"))},
		{"env:unset --context", "DELETE", "/A/value/" + id("branch", "feat/x") + "?site_id=shop", "", 204, ""},
		{"of what is gone", "DELETE", "/A/value/" + id("branch", "feat/x") + "?site_id=shop", "", 404, `…"kind":"not_found"`},
		{"env:set over it", "PUT", "/A?site_id=shop", `{"key":"A","is_secret":true,"scopes":["functions"],"values":[{"context":"production","value":"` + canary + `"},{"context":"dev","value":"local"}]}`, 200,
			`{"key":"A","scopes":["functions"],` + list(value("production", "", environ.Mask), value("dev", "", "local")) + `,"is_secret":true}`},
		{"a secret is masked", "GET", "?site_id=shop", "", 200, "…" + value("production", "", environ.Mask)},
		{"a build does not get the mask", "GET", "?site_id=shop&context_name=production", "", 200, `[]`},
		{"netlify dev gets what is for it", "GET", "?site_id=shop&context_name=dev", "", 200, "…" + list(value("dev", "", "local"))},
		{"another scope", "GET", "?site_id=shop&scope=post-processing", "", 200, `[]`},
		{"its scope", "GET", "?site_id=shop&scope=functions", "", 200, `…"key":"A"`},
		{"env:set --scope, with what was read", "PUT", "/A?site_id=shop", `{"key":"A","scopes":["runtime"],"values":[{"context":"production","value":"` + environ.Mask + `"}]}`, 200,
			`{"key":"A","scopes":["runtime"],` + list(value("production", "", environ.Mask)) + `,"is_secret":true}`},
		{"a mask without a value behind it", "PATCH", "/A?site_id=shop", `{"context":"all","value":"` + environ.Mask + `"}`, 400, `…"msg":"the value given for A is the mask`},
		{"env:unset", "DELETE", "/A?site_id=shop", "", 204, ""},
		{"env:unset once more", "DELETE", "/A?site_id=shop", "", 404, `…"msg":"site \"shop\" has no environment variable \"A\""`},
		{"change of what is not there", "PUT", "/A?site_id=shop", `{"key":"A","values":[{"context":"all","value":"1"}]}`, 404, `…"kind":"not_found"`},
		{"without a site", "POST", "", `[{"key":"A","values":[{"context":"all","value":"1"}]}]`, 400, `…belong to a site here`},
		{"without a site, PUT", "PUT", "/A", `{"key":"A","values":[{"context":"all","value":"1"}]}`, 400, `…belong to a site here`},
		{"without a site, DELETE", "DELETE", "/A", "", 400, `…belong to a site here`},
		{"no site", "GET", "?site_id=No--site", "", 404, `…there is no site`},
		{"read-only", "POST", "?site_id=shop", `[{"key":"DEPLOY_ID","values":[{"context":"all","value":"` + canary + `"}]}]`, 400, `…DEPLOY_ID is read-only: every deploy gets it from Nightshift`},
		{"no JSON", "POST", "?site_id=shop", `[{"key":"A","values":"` + canary + `"}]`, 400, `…the body is not the JSON that is expected`},
		{"too much", "POST", "?site_id=shop", `[{"key":"A","values":[{"context":"all","value":"` + strings.Repeat("x", 8<<20) + `"}]}]`, 413, `…over the limit`},
		{"nothing of it is left", "GET", "?site_id=shop", "", 200, `[]`},
	} {
		got := b.env(step.method, step.path, step.body)
		part, isPart := strings.CutPrefix(step.want, "…")
		text := strings.TrimSpace(got.body)
		if got.status != step.status || isPart && !strings.Contains(text, part) || !isPart && text != step.want {
			t.Errorf("%s: %s %s = %d %s\nwant %d %s", step.name, step.method, step.path, got.status, text, step.status, step.want)
		}
		if strings.Contains(text, canary) {
			t.Errorf("%s: the answer has the secret: %s", step.name, text)
		}
		if kind := got.header.Get("Content-Type"); got.status == 204 && kind != "" {
			t.Errorf("%s: 204 with Content-Type %q, which the netlify CLI tries to read", step.name, kind)
		}
		if got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control = %q, want no-store", step.name, got.header.Get("Cache-Control"))
		}
	}
	req := b.request("GET", b.control("/api/v1/accounts/other/env?site_id=shop"), nil)
	req.Header.Set("Authorization", "Bearer "+token)
	if got := b.do(req); got.status != 404 || !strings.Contains(got.body, "there is no account") {
		t.Errorf("another account = %d %s, want 404", got.status, got.body)
	}
	req = b.request("GET", b.control("/api/v1/accounts/nightshift/env?site_id=shop"), nil)
	if got := b.do(req); got.status != 401 {
		t.Errorf("without a token = %d, want 401", got.status)
	}
}

func TestEnvironmentClient(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *gateway.Config) { c.SecretKey = secretKey(t) })
	b.site("shop")
	ctx := t.Context()
	v := api.Variable{Key: "A", Values: []api.VariableValue{{Context: environ.All, Value: "1"}}}
	if made, err := b.api.CreateVariables(ctx, "shop", []api.Variable{v}); err != nil || len(made) != 1 || made[0].Values[0].ID == "" {
		t.Fatalf("CreateVariables = %+v, %v", made, err)
	}
	if _, err := b.api.CreateVariables(ctx, "shop", []api.Variable{v}); !fault.Is(err, fault.Conflict) {
		t.Errorf("CreateVariables again = %v, want a conflict", err)
	}
	set, err := b.api.SetVariableValue(ctx, "shop", "A", api.SetVariableValue{VariableValue: api.VariableValue{Context: environ.Branch, ContextParameter: "feat/x", Value: "2"}, IsSecret: true})
	if err != nil || len(set.Values) != 2 || !set.IsSecret || set.Values[0].Value != environ.Mask {
		t.Errorf("SetVariableValue = %+v, %v", set, err)
	}
	if err := b.api.RemoveVariableValue(ctx, "shop", "A", set.Values[0].ID); err != nil {
		t.Errorf("RemoveVariableValue = %v", err)
	}
	if _, err := b.api.ReplaceVariable(ctx, "shop", v); err != nil {
		t.Errorf("ReplaceVariable = %v", err)
	}
	if list, err := b.api.Variables(ctx, "shop"); err != nil || len(list) != 1 || len(list[0].Values) != 1 {
		t.Errorf("Variables = %+v, %v", list, err)
	}
	if err := b.api.RemoveVariable(ctx, "shop", "A"); err != nil {
		t.Errorf("RemoveVariable = %v", err)
	}
	if _, err := b.api.Variable(ctx, "shop", "A"); !fault.Is(err, fault.NotFound) {
		t.Errorf("Variable = %v, want not found", err)
	}
}

func TestEnvironmentNeedsASecretKey(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.site("shop")
	got := b.env("POST", "?site_id=shop", `[{"key":"A","values":[{"context":"all","value":"`+canary+`"}]}]`)
	if got.status != 409 || !strings.Contains(got.body, "NIGHTSHIFT_SECRET_KEY is not set on the gateway; make one with: nightshift secret-key") {
		t.Errorf("without a key = %d %s, want 409 and what to do", got.status, got.body)
	}
	_, err := gateway.New(gateway.Config{
		RedisURL: "redis://127.0.0.1:1", BlobURL: "mem://", Token: token, SecretKey: canary, Logger: slog.New(slog.DiscardHandler),
	})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "key 1 of NIGHTSHIFT_SECRET_KEY") || strings.Contains(err.Error(), canary) {
		t.Errorf("New with a key that is none = %v, want invalid without the key", err)
	}
}

// Values are in no log, no error and no byte of Redis.
func TestValuesAreNowhereToBeFound(t *testing.T) {
	t.Parallel()
	logs := &logged{out: t.Output()}
	key := secretKey(t)
	b := setup(t, func(c *gateway.Config) {
		c.SecretKey, c.Logger = key, slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	b.site("shop")
	body := func(name string) string {
		return `{"key":"` + name + `","is_secret":true,"values":[{"context":"production","value":"` + canary + `"}]}`
	}
	answers := []answer{
		b.env("POST", "?site_id=shop", "["+body("A")+"]"),
		b.env("POST", "?site_id=shop", "["+body("A")+"]"),
		b.env("POST", "?site_id=shop", "["+body("SITE_ID")+"]"),
		b.env("POST", "?site_id=shop", body("B")),
		b.env("PUT", "/A?site_id=shop", body("A")),
		b.env("PUT", "/B?site_id=shop", body("B")),
		b.env("PATCH", "/A?site_id=shop", `{"context":"dev-server","value":"`+canary+`"}`),
		b.env("PATCH", "/A?site_id=shop", `{"context":"`+canary[:4]+`","value":"`+canary+`"}`),
		b.env("GET", "?site_id=shop", ""),
		b.env("GET", "/A?site_id=shop", ""),
	}
	for i, got := range answers {
		if strings.Contains(got.body, canary) {
			t.Errorf("answer %d has the value: %s", i, got.body)
		}
	}
	if got := answers[4]; got.status != http.StatusOK {
		t.Fatalf("the value was not stored: %d %s", got.status, got.body)
	}
	if text := logs.String(); !strings.Contains(text, "environment variables changed") || strings.Contains(text, canary) || strings.Contains(text, string(key)[20:]) {
		t.Errorf("the log does not tell of the change, or has a secret in it:\n%s", text)
	}
	names, err := b.redis.Keys(t.Context(), "*").Result()
	if err != nil || len(names) == 0 {
		t.Fatalf("Redis has the keys %v, %v", names, err)
	}
	for _, name := range names {
		dump, err := b.redis.Dump(t.Context(), name).Result()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(dump, canary) {
			t.Errorf("%s holds the value", name)
		}
		// DUMP compresses; the fields as they are, too.
		for field, value := range b.redis.HGetAll(t.Context(), name).Val() {
			if strings.Contains(field+value, canary) {
				t.Errorf("%s, field %s, holds the value", name, field)
			}
		}
	}
}

// logged keeps what is logged, and shows it.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
	out io.Writer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(p)
	return l.out.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// What a deploy got is what it keeps.
func TestDeploysFreezeTheirEnvironment(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	key := secretKey(t)
	b := setup(t, func(c *gateway.Config) { c.SecretKey = key })
	b.site("shop")
	box, err := secret.Parse(key)
	if err != nil {
		t.Fatal(err)
	}
	b.site("shop")
	frozen := func(in api.CreateDeploy) string {
		t.Helper()
		zip, digest := code(t, "x")
		in.Functions = []function.Function{fn(function.Function{Name: "f"}, digest)}
		d, err := b.api.CreateDeploy(ctx, "shop", in)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.api.UploadFunction(ctx, d.ID, "f", bytes.NewReader(zip)); err != nil {
			t.Fatal(err)
		}
		sealed, err := b.store.DeployEnvironment(ctx, d.ID)
		if err != nil || sealed == nil {
			return "none"
		}
		plain, err := box.Open(sealed)
		if err != nil {
			t.Fatal(err)
		}
		return string(plain)
	}
	if got := frozen(api.CreateDeploy{}); got != "none" {
		t.Errorf("without variables: %s", got)
	}
	value := func(context, text string) api.VariableValue {
		return api.VariableValue{Context: context, Value: secret.Text(text)}
	}
	branch := value(environ.Branch, "of x")
	branch.ContextParameter = "x"
	_, err = b.api.CreateVariables(ctx, "shop", []api.Variable{
		{Key: "A", IsSecret: true, Values: []api.VariableValue{value(environ.Production, "prod"), value(environ.DeployPreview, "preview"), branch}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		in   api.CreateDeploy
		want string
	}{
		"production":     {api.CreateDeploy{}, `{"site":"shop","values":{"A":"prod"},"secrets":["A"]}`},
		"preview":        {api.CreateDeploy{Draft: true}, `{"site":"shop","values":{"A":"preview"},"secrets":["A"]}`},
		"branch":         {api.CreateDeploy{Draft: true, Branch: "x"}, `{"site":"shop","values":{"A":"of x"},"secrets":["A"]}`},
		"another branch": {api.CreateDeploy{Draft: true, Branch: "y"}, `none`},
		"its own":        {api.CreateDeploy{Environment: []api.EnvironmentVariable{{Key: "A", Value: "own"}, {Key: "B", Value: "", Secret: true}}}, `{"site":"shop","values":{"A":"own","B":""},"secrets":["A","B"]}`},
	} {
		if got := frozen(tt.in); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	if _, err := b.api.CreateDeploy(ctx, "shop", api.CreateDeploy{Environment: []api.EnvironmentVariable{{Key: "URL", Value: canary}}}); !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), canary) {
		t.Errorf("a deploy with a read-only variable = %v, want invalid", err)
	}
}
