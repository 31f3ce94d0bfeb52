package manual

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"       // reads docs/openapi.json, and says whether it is OpenAPI
	"github.com/getkin/kin-openapi/openapi3filter" // compares requests and answers with it
	"github.com/getkin/kin-openapi/routers"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/test/harness"
)

// contract is the description of the API, strict where it is open to clients:
// an answer must have no field that is not described.
type contract struct {
	*openapi3.T
	used map[string]bool // operations that an answer was compared for
}

func readContract(t *testing.T) *contract {
	t.Helper()
	document, err := openapi3.NewLoader().LoadFromFile(filepath.Join(harness.Root(), "docs", "openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := document.Validate(t.Context()); err != nil {
		t.Fatalf("docs/openapi.json is no OpenAPI document: %v", err)
	}
	none := false
	for _, schema := range document.Components.Schemas {
		if len(schema.Value.Properties) > 0 {
			schema.Value.AdditionalProperties = openapi3.AdditionalProperties{Has: &none}
		}
	}
	return &contract{document, map[string]bool{}}
}

// check compares a request and its answer with the document.
func (c *contract) check(ctx context.Context, method, path string, request []byte, status int, header http.Header, answer []byte) error {
	plain, query, _ := strings.Cut(path, "?")
	for template, item := range c.Paths.Map() {
		params := match(template, plain)
		operation := item.GetOperation(method)
		if params == nil || operation == nil {
			continue
		}
		u := &url.URL{Path: plain, RawQuery: query}
		req := &http.Request{Method: method, URL: u, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(string(request)))}
		input := &openapi3filter.RequestValidationInput{
			Request: req, PathParams: params, Route: &routers.Route{Spec: c.T, Path: template, PathItem: item, Method: method, Operation: operation},
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
		}
		if status < 400 { // others may be about a request that is wrong
			if err := openapi3filter.ValidateRequest(ctx, input); err != nil {
				return err
			}
		}
		c.used[operation.OperationID] = true
		return openapi3filter.ValidateResponse(ctx, &openapi3filter.ResponseValidationInput{
			RequestValidationInput: input, Status: status, Header: header, Body: io.NopCloser(strings.NewReader(string(answer))), Options: input.Options,
		})
	}
	return unexpected("the path "+method+" "+plain, "not described")
}

// match matches a path with a template; nil if it does not. Words go before parameters.
func match(template, path string) map[string]string {
	names := regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(template, -1)
	pattern := regexp.MustCompile(`\\\{\w+\\\}`).ReplaceAllString(regexp.QuoteMeta(template), `([^/]+)`)
	values := regexp.MustCompile("^" + pattern + "$").FindStringSubmatch(path)
	if values == nil || strings.HasPrefix(template, "/{") && strings.HasPrefix(path, "/sites") {
		return nil
	}
	out := map[string]string{}
	for i, name := range names {
		out[name[1]] = values[i+1]
	}
	return out
}

// Real answers are what docs/openapi.json says, of every GET and of most others.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	c, in := readContract(t), install(t)
	ask := func(method, path string, body any, want int) []byte {
		t.Helper()
		var request []byte
		if body != nil {
			var err error
			request, err = json.Marshal(body)
			in.must(err)
		}
		status, header, answer := in.call(method, path, body)
		if status != want {
			t.Fatalf("%s %s is answered %d, want %d: %s", method, path, status, want, answer)
		}
		if err := c.check(t.Context(), method, path, request, status, header, answer); err != nil {
			t.Errorf("%s %s is not what docs/openapi.json says: %v\n%s", method, path, err, answer)
		}
		return answer
	}
	site := filepath.Join(in.dir, "site")
	for name, text := range map[string]string{
		"netlify.toml":               "[build]\npublish = \"public\"\n[[redirects]]\nfrom = \"/old\"\nto = \"/new\"\nstatus = 302\n",
		"public/index.html":          "<h1>home</h1>",
		"netlify/functions/sync.mjs": "export default async () => new Response('x');\nexport const config = { path: '/x', method: 'POST', rateLimit: { windowLimit: 100, windowSize: 60 } };",
		"netlify/functions/job.mjs":  "export default async (request) => { console.log('working'); if ((await request.text()) === 'fail') throw new Error('on purpose'); return new Response('done'); };\nexport const config = { background: true, retries: 0 };",
		"netlify/functions/tick.mjs": "export default async () => new Response('tick');\nexport const config = { schedule: '* * * * * *', timezone: 'Europe/Berlin' };",
	} {
		path := filepath.Join(site, filepath.FromSlash(name))
		in.must(os.MkdirAll(filepath.Dir(path), 0o755))
		in.must(os.WriteFile(path, []byte(text), 0o644))
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := in.services.Nightshift(t.Context(), args...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	run("deploy", site, "--prod", "--title", "first")
	run("deploy", site, "--branch", "Feature")
	run("deploy", site, "--prod", "--title", "second")

	ask("GET", "/user", nil, 200)
	ask("GET", "/accounts", nil, 200)
	ask("POST", "/sites", api.CreateSite{Name: "other"}, 201)
	ask("POST", "/nightshift/sites", api.CreateSite{Name: "third"}, 201)
	ask("GET", "/sites?name=default", nil, 200)
	ask("GET", "/sites?page=1&per_page=2", nil, 200)
	ask("GET", "/sites/default", nil, 200)
	ask("GET", "/sites/nowhere", nil, 404)
	ask("GET", "/sites/default/builds", nil, 200)
	ask("GET", "/sites/default/functions", nil, 200)
	ask("GET", "/workers", nil, 200)
	ask("GET", "/tokens/self", nil, 200)
	var made api.NewToken
	in.must(json.Unmarshal(ask("POST", "/tokens", map[string]any{"name": "a reader", "scopes": []string{"read"}}, 201), &made))
	ask("GET", "/tokens", nil, 200)
	ask("DELETE", "/tokens/"+made.ID, nil, 204)
	ask("GET", "/secrets/keys", nil, 200)
	ask("POST", "/secrets/reseal", nil, 200)
	ask("GET", "/audit?limit=5", nil, 200)
	var deploys []api.Deploy
	in.must(json.Unmarshal(ask("GET", "/sites/default/deploys?per_page=50", nil, 200), &deploys))
	ask("GET", "/deploys/"+deploys[0].ID, nil, 200)
	ask("GET", "/sites/default/deploys/"+deploys[0].ID, nil, 200)
	ask("POST", "/deploys/"+deploys[0].ID+"/lock", nil, 200)
	ask("PUT", "/sites/default/rollback", nil, 409)
	ask("POST", "/deploys/"+deploys[0].ID+"/unlock", nil, 200)
	ask("PUT", "/sites/default/rollback", nil, 200)
	ask("POST", "/sites/default/deploys/"+deploys[0].ID+"/restore", nil, 200)
	ask("PUT", "/sites/other/unpublish", nil, 200)
	var begun api.Deploy
	in.must(json.Unmarshal(ask("POST", "/sites/other/deploys?title=x", map[string]any{"draft": true}, 201), &begun))
	in.must(json.Unmarshal(ask("PUT", "/sites/other/deploys/"+begun.ID, map[string]any{
		"files": map[string]string{"index.html": strings.Repeat("a", 40)}, "functions": map[string]string{"hello": strings.Repeat("b", 64)},
	}, 200), &begun))
	ask("POST", "/deploys/"+begun.ID+"/cancel", nil, 200)

	env := "/accounts/nightshift/env"
	one := []api.VariableValue{{Context: "all", Value: "x"}}
	ask("POST", env+"?site_id=default", []api.Variable{{Key: "PLAIN", Values: one}, {Key: "HIDDEN", IsSecret: true, Values: []api.VariableValue{{Context: "production", Value: "y"}}}}, 201)
	ask("GET", env+"?site_id=default", nil, 200)
	ask("GET", env+"?site_id=default&context_name=production", nil, 200)
	ask("GET", env+"/HIDDEN?site_id=default", nil, 200)
	ask("PUT", env+"/PLAIN?site_id=default", api.Variable{Key: "PLAIN", Values: one}, 200)
	var variable api.Variable
	in.must(json.Unmarshal(ask("PATCH", env+"/PLAIN?site_id=default", api.SetVariableValue{VariableValue: api.VariableValue{Context: "branch", ContextParameter: "feature", Value: "z"}}, 201), &variable))
	ask("DELETE", env+"/PLAIN/value/"+variable.Values[0].ID+"?site_id=default", nil, 204)
	ask("DELETE", env+"/PLAIN?site_id=default", nil, 204)

	// Invocations of each kind of end.
	call := func(body string) string {
		t.Helper()
		var id string
		in.eventually(func() error { // the gateway may not route by the deploy yet
			res, err := http.Post(in.services.Data[0]+"/.netlify/functions/job", "text/plain", strings.NewReader(body))
			if err != nil {
				return err
			}
			defer res.Body.Close()
			if id = res.Header.Get("X-Nf-Request-Id"); res.StatusCode != http.StatusAccepted {
				return unexpected("the answer", res.Status)
			}
			return nil
		})
		return id
	}
	ends := func(id, state string) {
		t.Helper()
		in.eventually(func() error {
			var inv api.Invocation
			if err := json.Unmarshal(ask("GET", "/invocations/"+id, nil, 200), &inv); err != nil || string(inv.State) != state {
				return joined(err, unexpected("the state of "+id, inv.State))
			}
			return nil
		})
	}
	good, bad := call("go"), call("fail")
	ends(good, "succeeded")
	ends(bad, "dead")
	ask("GET", "/invocations/"+good+"/logs", nil, 200)
	ask("POST", "/invocations/"+good+"/cancel", nil, 409)
	ask("POST", "/invocations/"+good+"/retry", nil, 409)
	ask("POST", "/invocations/"+bad+"/replay", nil, 202)
	ask("POST", "/invocations/"+bad+"/retry", nil, 202)
	ends(bad, "dead")
	ask("POST", "/invocations/"+bad+"/callback/retry", nil, 404)
	ask("POST", "/sites/default/invocations/replay", api.ReplayInvocations{Function: "job", DryRun: true}, 200)
	ask("POST", "/sites/default/invocations/replay", map[string]any{"function": "job", "limit": 1}, 200)
	ask("GET", "/sites/default/invocations?function=job&limit=2", nil, 200)
	ask("GET", "/sites/default/invocations?state=nonsense", nil, 400)
	ask("GET", "/sites/default/callbacks", nil, 200)

	in.eventually(func() error { // a tick fires each second
		var ledger api.Ledger
		if err := json.Unmarshal(ask("GET", "/sites/default/schedules/tick/ledger?limit=5", nil, 200), &ledger); err != nil || len(ledger.Ticks) == 0 {
			return joined(err, unexpected("the ledger", "empty"))
		}
		return nil
	})
	ask("GET", "/sites/default/schedules", nil, 200)
	ask("POST", "/sites/default/schedules/tick/pause", nil, 204)
	ask("GET", "/sites/default/schedules", nil, 200)
	ask("POST", "/sites/default/schedules/tick/resume", nil, 204)
	ask("POST", "/sites/default/schedules/tick/trigger", nil, 202)
	ask("POST", "/sites/default/schedules/tick/backfill", map[string]any{"from": "2020-01-01T00:00:00Z", "to": "2020-01-01T00:00:03Z"}, 200)
	ask("POST", "/sites/default/schedules/job/trigger", nil, 409)

	var unasked []string
	for _, item := range c.Paths.Map() {
		if op := item.Get; op != nil && !c.used[op.OperationID] {
			unasked = append(unasked, op.OperationID)
		}
	}
	if len(unasked) > 0 {
		slices.Sort(unasked)
		t.Errorf("no answer of these was compared: %v", unasked)
	}
}
