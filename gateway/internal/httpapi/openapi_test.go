package httpapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/token"
)

var update = flag.Bool("update", false, "write docs/openapi.json anew")

// root is the root of the repository.
const root = "../../.."

// operation is a route of the control plane's API as docs/openapi.json has it.
type operation struct {
	method, path string
	id           string
	netlify      bool // it is of Netlify's API, and unmodified clients of that use it
	summary      string
	text         string // what there is to know beside the summary
	query        []parameter
	key          bool   // it takes an Idempotency-Key
	body         any    // a value of the type of the request's body; nil: none
	bodyType     string // media type, application/json if empty
	optional     bool   // it may have no body
	answers      map[int]any
	other        []string // media types of the answer beside JSON
	refuses      []fault.Kind
}

type parameter struct {
	name, text string
	of         schema
}

// raw is a body that is bytes.
type raw struct{}

func text(about string) parameter { return parameter{of: schema{"type": "string"}, text: about} }
func whole(least, most int, about string) parameter {
	return parameter{of: schema{"type": "integer", "minimum": least, "maximum": most}, text: about}
}
func instantParameter(about string) parameter {
	return parameter{of: schema{"type": "string", "format": "date-time"}, text: about}
}
func called(name string, p parameter) parameter { p.name = name; return p }

var (
	paged = []parameter{
		called("page", whole(1, 10_000, "Which page, from 1.")),
		called("per_page", whole(1, 100, "How many a page has.")),
	}
	cursored = []parameter{
		called("cursor", text("next_cursor of the page before.")),
		called("limit", whole(1, maxPage, "How many a page has at most; "+strconv.Itoa(defaultPage)+" unless it is said.")),
	}
	siteID = called("site_id", text("The site, by name or ID."))
)

// operations are all there are, by what they are about.
var operations = []operation{
	{method: "GET", path: "/user", id: "getUser", netlify: true, summary: "Whom the token stands for", answers: map[int]any{200: api.User{}}},
	{method: "GET", path: "/accounts", id: "listAccounts", netlify: true, summary: "The one account of the installation", answers: map[int]any{200: []api.Team{}}},

	{method: "GET", path: "/sites", id: "listSites", netlify: true, summary: "List the sites",
		query:   append([]parameter{called("name", text("Only the site of this name, or of this ID, which is then also its name."))}, paged...),
		answers: map[int]any{200: []api.Site{}}, refuses: []fault.Kind{fault.Invalid}},
	{method: "POST", path: "/sites", id: "createSite", netlify: true, summary: "Make a site", body: api.CreateSite{},
		answers: map[int]any{201: api.Site{}}, refuses: []fault.Kind{fault.Invalid, fault.Conflict}},
	{method: "POST", path: "/{account}/sites", id: "createSiteInAccount", netlify: true, summary: "Make a site, as the netlify CLI asks for it", body: api.CreateSite{},
		answers: map[int]any{201: api.Site{}}, refuses: []fault.Kind{fault.Invalid, fault.NotFound, fault.Conflict}},
	{method: "GET", path: "/sites/{site}", id: "getSite", netlify: true, summary: "Show a site", answers: map[int]any{200: api.Site{}}, refuses: []fault.Kind{fault.NotFound}},
	{method: "PUT", path: "/sites/{site}/unpublish", id: "unpublishSite", netlify: true, summary: "Let a site serve nothing",
		text: "Its deploys stay on their permalinks.", answers: map[int]any{200: api.Site{}}, refuses: []fault.Kind{fault.NotFound, fault.Conflict}},
	{method: "PUT", path: "/sites/{site}/rollback", id: "rollbackSite", netlify: true, summary: "Publish what was published before",
		text: "Another rollback goes further back.", answers: map[int]any{200: api.Deploy{}}, refuses: []fault.Kind{fault.NotFound, fault.Conflict}},
	{method: "GET", path: "/sites/{site}/builds", id: "listBuilds", netlify: true, summary: "Always empty: sites are built where they are deployed from", answers: map[int]any{200: []struct{}{}}},
	{method: "GET", path: "/sites/{site}/functions", id: "listFunctions", summary: "List the functions of the published deploy",
		answers: map[int]any{200: []api.Function{}}, refuses: []fault.Kind{fault.NotFound}},

	{method: "GET", path: "/sites/{site}/deploys", id: "listDeploys", netlify: true, summary: "List the deploys of a site, newest first", query: paged,
		answers: map[int]any{200: []api.Deploy{}}, refuses: []fault.Kind{fault.Invalid, fault.NotFound}},
	{method: "POST", path: "/sites/{site}/deploys", id: "createDeploy", netlify: true, summary: "Begin a deploy",
		text: "With functions, files, redirects, headers or environment it is described too, and the answer says what the server lacks of it; without, a PUT describes it. " +
			"Once nothing is lacking it is ready, and published unless it is a draft.",
		query: []parameter{called("title", text("What is in it, for people."))}, body: api.CreateDeploy{},
		answers: map[int]any{201: api.Deploy{}}, refuses: []fault.Kind{fault.Invalid, fault.NotFound, fault.TooLarge}},
	{method: "GET", path: "/sites/{site}/deploys/{id}", id: "getSiteDeploy", netlify: true, summary: "Show a deploy of a site", answers: map[int]any{200: api.Deploy{}}, refuses: []fault.Kind{fault.NotFound}},
	{method: "PUT", path: "/sites/{site}/deploys/{id}", id: "updateDeploy", netlify: true, summary: "Describe a deploy by digests, as clients of Netlify's API do",
		body: netlifyDeploy{}, answers: map[int]any{200: api.Deploy{}}, refuses: []fault.Kind{fault.Invalid, fault.NotFound, fault.Conflict, fault.TooLarge}},
	{method: "POST", path: "/sites/{site}/deploys/{id}/restore", id: "restoreDeploy", netlify: true, summary: "Publish a deploy, however old",
		answers: map[int]any{200: api.Deploy{}}, refuses: []fault.Kind{fault.NotFound, fault.Conflict}},
	{method: "GET", path: "/deploys/{id}", id: "getDeploy", netlify: true, summary: "Show a deploy", answers: map[int]any{200: api.Deploy{}}, refuses: []fault.Kind{fault.NotFound}},
	{method: "POST", path: "/deploys/{id}/lock", id: "lockDeploy", netlify: true, summary: "Keep the site at this deploy, which is published",
		answers: map[int]any{200: api.Deploy{}}, refuses: []fault.Kind{fault.NotFound, fault.Conflict}},
	{method: "POST", path: "/deploys/{id}/unlock", id: "unlockDeploy", netlify: true, summary: "End that", answers: map[int]any{200: api.Deploy{}}, refuses: []fault.Kind{fault.NotFound, fault.Conflict}},
	{method: "POST", path: "/deploys/{id}/cancel", id: "cancelDeploy", netlify: true, summary: "Give a deploy up that is not ready", answers: map[int]any{200: api.Deploy{}}, refuses: []fault.Kind{fault.NotFound, fault.Conflict}},
	{method: "PUT", path: "/deploys/{id}/functions/{name}", id: "uploadFunction", netlify: true, summary: "Send the code of a function, a zip",
		query: []parameter{
			called("invocation_mode", parameter{of: schema{"type": "string", "enum": []string{"background"}}, text: "It is a background function."}),
			called("timeout", whole(1, 900, "Seconds that an attempt may take.")),
		},
		body: raw{}, bodyType: "application/octet-stream", answers: map[int]any{200: api.Deploy{}}, refuses: []fault.Kind{fault.Invalid, fault.NotFound, fault.Conflict}},
	{method: "PUT", path: "/deploys/{id}/files/{path}", id: "uploadFile", netlify: true, summary: "Send a static file",
		text: "The path may have slashes.", body: raw{}, bodyType: "application/octet-stream", answers: map[int]any{200: api.File{}}, refuses: []fault.Kind{fault.Invalid, fault.NotFound, fault.Conflict}},

	{method: "GET", path: "/sites/{site}/invocations", id: "listInvocations", summary: "List the invocations of a site, newest first", text: "Results are left out.",
		query: append([]parameter{
			called("function", text("Only those of this function.")),
			called("state", parameter{of: schema{"$ref": "#/components/schemas/State"}, text: "Only those in this state."}),
			called("deploy", text("Only those of this deploy.")),
			called("from", instantParameter("Only those that were made then or later.")),
			called("to", instantParameter("Only those that were made before.")),
		}, cursored...),
		answers: map[int]any{200: api.InvocationList{}}, refuses: []fault.Kind{fault.Invalid, fault.NotFound}},
	{method: "GET", path: "/invocations/{id}", id: "getInvocation", summary: "Show an invocation", answers: map[int]any{200: api.Invocation{}}, refuses: []fault.Kind{fault.NotFound}},
	{method: "GET", path: "/invocations/{id}/logs", id: "getLog", summary: "Read what an invocation wrote",
		text:  "With Accept: text/plain as text, with text/event-stream as events that go on until the invocation is finished.",
		query: []parameter{called("after", text("cursor of the last line that is known."))}, answers: map[int]any{200: []api.LogLine{}},
		other: []string{"text/plain", "text/event-stream"}, refuses: []fault.Kind{fault.Invalid, fault.NotFound}},
	{method: "POST", path: "/invocations/{id}/cancel", id: "cancelInvocation", summary: "End an invocation, whether it waits or runs",
		text: "200: it is cancelled. 202: it runs, and is being stopped.", answers: map[int]any{200: api.Invocation{}, 202: api.Invocation{}}, refuses: []fault.Kind{fault.NotFound, fault.Conflict}},
	{method: "POST", path: "/invocations/{id}/retry", id: "retryInvocation", summary: "Run a dead invocation again, as itself, on the deploy that it had",
		answers: map[int]any{202: api.Invocation{}}, refuses: []fault.Kind{fault.NotFound, fault.Conflict}},
	{method: "POST", path: "/invocations/{id}/replay", id: "replayInvocation", summary: "Run the request of a finished invocation once more, as another one, on what is published", key: true,
		answers: map[int]any{202: api.Replay{}}, refuses: []fault.Kind{fault.Invalid, fault.NotFound, fault.Conflict}},
	{method: "POST", path: "/sites/{site}/invocations/replay", id: "replayInvocations", summary: "Replay all that a filter lets through, the oldest first", key: true,
		body: api.ReplayInvocations{}, optional: true, answers: map[int]any{200: api.Replays{}}, refuses: []fault.Kind{fault.Invalid, fault.NotFound}},
	{method: "GET", path: "/sites/{site}/callbacks", id: "listDeadCallbacks", summary: "List the callbacks that were given up, newest first", query: cursored,
		answers: map[int]any{200: api.DeadCallbackList{}}, refuses: []fault.Kind{fault.Invalid, fault.NotFound}},
	{method: "POST", path: "/invocations/{id}/callback/retry", id: "retryCallback", summary: "Send a callback again that was given up",
		answers: map[int]any{202: api.Invocation{}}, refuses: []fault.Kind{fault.NotFound, fault.Conflict}},

	{method: "GET", path: "/sites/{site}/schedules", id: "listSchedules", summary: "List the schedules of the published deploy", answers: map[int]any{200: []api.Schedule{}}, refuses: []fault.Kind{fault.NotFound}},
	{method: "POST", path: "/sites/{site}/schedules/{function}/trigger", id: "triggerSchedule", summary: "Run a scheduled function now, beside its schedule", key: true,
		answers: map[int]any{202: api.Accepted{}}, refuses: []fault.Kind{fault.Invalid, fault.NotFound, fault.Conflict}},
	{method: "POST", path: "/sites/{site}/schedules/{function}/backfill", id: "backfillSchedule", summary: "Run a scheduled function once for each tick of a span that is over", key: true,
		body: api.Backfill{}, answers: map[int]any{200: api.Backfilled{}}, refuses: []fault.Kind{fault.Invalid, fault.NotFound, fault.Conflict}},
	{method: "POST", path: "/sites/{site}/schedules/{function}/pause", id: "pauseSchedule", summary: "Let a schedule skip its ticks", answers: map[int]any{204: nil}, refuses: []fault.Kind{fault.NotFound, fault.Conflict}},
	{method: "POST", path: "/sites/{site}/schedules/{function}/resume", id: "resumeSchedule", summary: "End that", answers: map[int]any{204: nil}, refuses: []fault.Kind{fault.NotFound, fault.Conflict}},
	{method: "GET", path: "/sites/{site}/schedules/{function}/ledger", id: "getLedger", summary: "List what became of the ticks of a schedule, newest first", query: cursored,
		answers: map[int]any{200: api.Ledger{}}, refuses: []fault.Kind{fault.Invalid, fault.NotFound, fault.Conflict}},

	{method: "GET", path: "/tokens", id: "listTokens", summary: "List the tokens, newest first", text: "Also those that have expired, for 30 days. Secrets are not kept.", answers: map[int]any{200: []api.Token{}}},
	{method: "POST", path: "/tokens", id: "createToken", summary: "Make a token", text: "Its secret is in this answer and nowhere else.",
		body: api.CreateToken{}, answers: map[int]any{201: api.NewToken{}}, refuses: []fault.Kind{fault.Invalid, fault.Conflict}},
	{method: "GET", path: "/tokens/self", id: "getOwnToken", summary: "Show the token that the call is made with", answers: map[int]any{200: api.Token{}}},
	{method: "GET", path: "/audit", id: "listAudit", summary: "List what was done on the control plane, and what was refused, newest first",
		query: append([]parameter{
			called("site", text("Only what is about this site.")),
			called("actor", text("Only what was done with this token, by name or ID; root is the root token.")),
			called("from", instantParameter("Only what happened then or later.")),
			called("to", instantParameter("Only what happened before.")),
		}, cursored...),
		answers: map[int]any{200: api.AuditList{}}, refuses: []fault.Kind{fault.Invalid}},
	{method: "DELETE", path: "/tokens/{id}", id: "revokeToken", summary: "Revoke a token", text: "It is refused from the next request on.", answers: map[int]any{204: nil}, refuses: []fault.Kind{fault.NotFound}},

	{method: "GET", path: "/workers", id: "listWorkers", summary: "List the workers that are alive", answers: map[int]any{200: []api.Worker{}}},

	{method: "GET", path: "/accounts/{account}/env", id: "listVariables", netlify: true, summary: "List the environment variables of a site", text: "Secrets are masked. Without site_id there are none: variables belong to sites.",
		query: []parameter{siteID,
			called("context_name", text("With this, each has the one value that holds in that context, and secrets are left out.")),
			called("scope", text("Only those with this scope."))},
		answers: map[int]any{200: []api.Variable{}}, refuses: []fault.Kind{fault.NotFound}},
	{method: "POST", path: "/accounts/{account}/env", id: "createVariables", netlify: true, summary: "Make environment variables, all of them or none", query: []parameter{siteID},
		body: []api.Variable{}, answers: map[int]any{201: []api.Variable{}}, refuses: []fault.Kind{fault.Invalid, fault.NotFound, fault.Conflict}},
	{method: "GET", path: "/accounts/{account}/env/{key}", id: "getVariable", netlify: true, summary: "Show an environment variable", query: []parameter{siteID},
		answers: map[int]any{200: api.Variable{}}, refuses: []fault.Kind{fault.NotFound}},
	{method: "PUT", path: "/accounts/{account}/env/{key}", id: "replaceVariable", netlify: true, summary: "Replace an environment variable", query: []parameter{siteID},
		body: api.Variable{}, answers: map[int]any{200: api.Variable{}}, refuses: []fault.Kind{fault.Invalid, fault.NotFound}},
	{method: "PATCH", path: "/accounts/{account}/env/{key}", id: "setVariableValue", netlify: true, summary: "Set the value of an environment variable in one context", query: []parameter{siteID},
		body: api.SetVariableValue{}, answers: map[int]any{201: api.Variable{}}, refuses: []fault.Kind{fault.Invalid, fault.NotFound}},
	{method: "DELETE", path: "/accounts/{account}/env/{key}", id: "removeVariable", netlify: true, summary: "Remove an environment variable", query: []parameter{siteID},
		answers: map[int]any{204: nil}, refuses: []fault.Kind{fault.NotFound}},
	{method: "DELETE", path: "/accounts/{account}/env/{key}/value/{id}", id: "removeVariableValue", netlify: true, summary: "Remove the value of an environment variable in one context", query: []parameter{siteID},
		answers: map[int]any{204: nil}, refuses: []fault.Kind{fault.NotFound}},

	{method: "GET", path: "/secrets/keys", id: "listSecretKeys", summary: "What each key of the gateway has sealed",
		text: "Keys are named by the beginning of a digest. What is sealed are environment variables of sites, and environments of deploys.", answers: map[int]any{200: api.SecretKeys{}}},
	{method: "POST", path: "/secrets/reseal", id: "resealSecrets", summary: "Seal with the first key what was sealed with others",
		text: "It goes on for 10 seconds at most; call it until done is true. It may be called while functions run, variables change and deploys are made.", answers: map[int]any{200: api.SecretKeys{}}, refuses: []fault.Kind{fault.Conflict}},
}

// TestOpenAPI makes docs/openapi.json of the Go types and the table above.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document(t)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "docs", "openapi.json")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("docs/openapi.json is not what the Go types and routes say; `make docs` writes it anew")
	}
}

// Every route of the API stands in the document, and every path of the document
// is a route.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	t.Parallel()
	_, control := New(Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: http.NotFoundHandler()})
	routed := map[string]bool{}
	for _, r := range control.(*echo.Echo).Routes() {
		path, ours := strings.CutPrefix(r.Path, "/api/v1")
		if !ours || !slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}, r.Method) {
			continue // what is routed beside the API, and what is not found
		}
		routed[r.Method+" "+described(path)] = true
	}
	if len(routed) < 10 {
		t.Fatalf("only %d routes are found: %v", len(routed), routed)
	}
	known := map[string]bool{}
	for _, op := range operations {
		known[op.method+" "+op.path] = true
		if !routed[op.method+" "+op.path] {
			t.Errorf("%s %s stands in the document and is not routed", op.method, op.path)
		}
	}
	for route := range routed {
		if !known[route] {
			t.Errorf("%s is routed and not in the document: add it to operations", route)
		}
	}
}

// A call that does not say who may make it, or what it changes, is not routed.
func TestRoutesSayWhoMay(t *testing.T) {
	t.Parallel()
	good := apiCall{"POST", "/x", token.Read, aboutAll, "thing.make", func(echo.Context) error { return nil }}
	for name, change := range map[string]func(*apiCall){
		"none":         func(*apiCall) {},
		"no scope":     func(c *apiCall) { c.scope = "" },
		"no such":      func(c *apiCall) { c.scope = "write" },
		"no subject":   func(c *apiCall) { c.about = 0 },
		"no action":    func(c *apiCall) { c.action = "" },
		"a GET of one": func(c *apiCall) { c.method = "GET" },
	} {
		call := good
		change(&call)
		refused := func() (refused bool) {
			defer func() { refused = recover() != nil }()
			(&server{}).add(echo.New().Group(""), []apiCall{call})
			return false
		}()
		if refused == (name == "none") {
			t.Errorf("%s: refused %t", name, refused)
		}
	}
}

// document is the whole of it.
func document(t *testing.T) any {
	t.Helper()
	schemas := newSchemas(t)
	paths := map[string]map[string]any{}
	for _, op := range operations {
		if paths[op.path] == nil {
			paths[op.path] = map[string]any{}
		}
		paths[op.path][strings.ToLower(op.method)] = op.describe(schemas)
	}
	failure := func(about string) schema {
		return schema{"description": about, "content": schema{"application/json": schema{"schema": schemas.of(api.Error{}, false)}}}
	}
	return struct {
		OpenAPI    string                    `json:"openapi"`
		Info       any                       `json:"info"`
		Servers    any                       `json:"servers"`
		Security   any                       `json:"security"`
		Tags       any                       `json:"tags"`
		Paths      map[string]map[string]any `json:"paths"`
		Components any                       `json:"components"`
	}{
		"3.0.3",
		schema{"title": "Nightshift control plane", "version": "1", "description": "Sites, deploys, functions, invocations, schedules and workers of one installation. " +
			"What is marked with x-netlify is of Netlify's API, as far as its clients use it: they work unmodified. Fields may be added; clients pass over those that they do not know."},
		[]schema{{"url": "http://127.0.0.1:8889/api/v1", "description": "nightshift dev"}},
		[]schema{{"token": []string{}}},
		[]schema{
			{"name": "Nightshift", "description": "Nightshift's own calls."},
			{"name": "Netlify", "description": "Calls of Netlify's API that its command line uses, with fields of ours beside Netlify's."},
		},
		paths,
		schema{
			"securitySchemes": schema{"token": schema{"type": "http", "scheme": "bearer", "description": "NIGHTSHIFT_TOKEN of the gateway, or a token that was made with it. nightshift dev needs none unless one is set."}},
			"schemas":         schemas.components,
			"responses": schema{
				"invalid":      failure("The request is malformed; the message says what is wrong."),
				"unauthorized": failure("No token, or a wrong one."),
				"forbidden":    failure("The token has not the scope that this needs, or is for some sites only."),
				"throttled":    failure("Too many wrong tokens came from the address; Retry-After says when to try again."),
				"not_found":    failure("There is no such thing, or not for the token."),
				"conflict":     failure("The thing is in a state that does not allow this."),
				"too_large":    failure("The body is over its limit."),
				"unavailable":  failure("Redis does not answer; Retry-After says when to try again."),
			},
		},
	}
}

// describe is one operation.
func (op operation) describe(schemas *schemas) any {
	tag := "Nightshift"
	if op.netlify {
		tag = "Netlify"
	}
	out := schema{"operationId": op.id, "summary": op.summary, "tags": []string{tag}}
	if op.netlify {
		out["x-netlify"] = true
	}
	if op.text != "" {
		out["description"] = op.text
	}
	if parameters := op.parameters(); len(parameters) > 0 {
		out["parameters"] = parameters
	}
	if op.body != nil {
		body := schema{"type": "string", "format": "binary"}
		media := "application/json"
		if op.bodyType != "" {
			media = op.bodyType
		} else {
			body = schemas.of(op.body, true)
		}
		out["requestBody"] = schema{"required": !op.optional, "content": schema{media: schema{"schema": body}}}
	}
	if needs := scopeOf(op); needs != "" {
		out["x-scope"] = needs
	}
	answers := schema{}
	for status, value := range op.answers {
		answer := schema{"description": http.StatusText(status)}
		if value != nil {
			content := schema{"application/json": schema{"schema": schemas.of(value, false)}}
			for _, media := range op.other {
				content[media] = schema{"schema": schema{"type": "string"}}
			}
			answer["content"] = content
		}
		answers[strconv.Itoa(status)] = answer
	}
	for _, kind := range append([]fault.Kind{fault.Unauthorized, fault.Forbidden, fault.Throttled, fault.Unavailable}, op.refuses...) {
		answers[strconv.Itoa(kind.HTTPStatus())] = schema{"$ref": "#/components/responses/" + string(kind)}
	}
	out["responses"] = answers
	return out
}

// scopeOf is the scope that a call needs.
func scopeOf(op operation) token.Scope {
	s := &server{}
	for prefix, routes := range map[string][]apiCall{"": s.routes(), "/accounts/:account/env": s.environmentRoutes()} {
		for _, r := range routes {
			if op.method == r.method && op.path == described(prefix+r.path) {
				return r.scope
			}
		}
	}
	return ""
}

// described is a path of Echo's as the document has it.
func described(path string) string {
	path = regexp.MustCompile(`:(\w+)`).ReplaceAllString(path, "{$1}")
	return strings.Replace(path, "*", "{path}", 1)
}

// parameters are those of the path, of the query, and of the header.
func (op operation) parameters() []schema {
	var out []schema
	for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(op.path, -1) {
		p := schema{"name": m[1], "in": "path", "required": true, "schema": schema{"type": "string"}}
		switch m[1] {
		case "site":
			p["description"] = "Name or ID of a site."
		case "account":
			p["description"] = "Always " + api.Account + "."
		}
		out = append(out, p)
	}
	for _, q := range op.query {
		out = append(out, schema{"name": q.name, "in": "query", "description": q.text, "schema": q.of})
	}
	if op.key {
		out = append(out, schema{"name": "Idempotency-Key", "in": "header", "description": "The same request with the same key makes nothing twice.", "schema": schema{"type": "string"}})
	}
	return out
}
