package command_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/cli/internal/command"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/token"
)

// controlled is an installation with one dead invocation, a schedule and a dead
// callback, which notes what it was asked.
type controlled struct {
	*httptest.Server
	mu    sync.Mutex // some commands ask several things at once
	asked []string   // method, path and query, key if there is one, body
}

func newControlled(t *testing.T) *controlled {
	t.Helper()
	c := &controlled{}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	dead := api.Invocation{ID: "DEAD", Function: "job", State: invocation.Dead, CreatedAt: at, Attempts: []api.Attempt{
		{Number: 1, Outcome: invocation.Error, Error: &invocation.Failure{Type: "Error", Message: "no \x1b[2Jstock"}}},
		Callback: &api.Callback{URL: "https://example.com/done", State: invocation.CallbackDead, Error: "answered 500"}}
	mux := http.NewServeMux()
	answer := func(pattern string, status int, body any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			var sent bytes.Buffer
			_, _ = sent.ReadFrom(r.Body)
			key := ""
			if r.Header.Get("Idempotency-Key") != "" {
				key = " with a key"
			}
			c.mu.Lock()
			c.asked = append(c.asked, strings.TrimSpace(r.Method+" "+strings.TrimPrefix(r.URL.RequestURI(), "/api/v1")+key+" "+sent.String()))
			c.mu.Unlock()
			w.WriteHeader(status)
			if body != nil {
				_ = json.NewEncoder(w).Encode(body)
			}
		})
	}
	conflict := api.Error{Code: 409, Kind: "conflict", Message: "it is queued"}
	answer("GET /api/v1/sites/default/invocations", 200, api.InvocationList{Invocations: []api.Invocation{dead}})
	answer("GET /api/v1/sites/empty/invocations", 200, api.InvocationList{})
	answer("GET /api/v1/invocations/DEAD", 200, dead)
	answer("GET /api/v1/invocations/DEAD/logs", 200, []api.LogLine{{Cursor: "1", Time: at, Attempt: 1, Stream: "stdout", Text: "out of stock"}})
	answer("GET /api/v1/sites/empty/functions", 200, []api.Function{{Name: "job", Kind: "background"}, {Name: "tick", Kind: "scheduled"}})
	answer("POST /api/v1/invocations/DEAD/retry", 202, api.Invocation{ID: "DEAD", State: invocation.Queued})
	answer("POST /api/v1/invocations/QUEUED/retry", 409, conflict)
	answer("POST /api/v1/invocations/DEAD/replay", 202, api.Replay{Accepted: api.Accepted{ID: "NEW"}, ReplayOf: "DEAD"})
	answer("POST /api/v1/sites/default/invocations/replay", 200, api.Replays{
		Matched: []string{"A", "DEAD"}, Replays: []api.Replay{{Accepted: api.Accepted{ID: "NEW"}, ReplayOf: "DEAD"}}, Refusals: []api.Refusal{{ID: "A", Message: "A: its deploy is gone"}}})
	answer("GET /api/v1/sites/default/schedules", 200, []api.Schedule{
		{Function: "tick", Schedule: "@daily", Timezone: "Europe/Berlin", PausedSince: &at, Recent: []api.Tick{{Tick: at, Count: 1, Outcome: "skipped", Reason: "paused"}}}})
	answer("POST /api/v1/sites/default/schedules/tick/trigger", 202, api.Accepted{ID: "NEW"})
	answer("POST /api/v1/sites/default/schedules/tick/pause", 204, nil)
	answer("POST /api/v1/sites/default/schedules/tick/resume", 204, nil)
	answer("POST /api/v1/sites/default/schedules/tick/backfill", 200, api.Backfilled{Invocations: []api.TickMade{{Accepted: api.Accepted{ID: "NEW", Existed: true}, Tick: at}}, NextFrom: &at})
	answer("GET /api/v1/sites/default/schedules/tick/ledger", 200, api.Ledger{Ticks: []api.Tick{{Tick: at, From: &at, Count: 3, Outcome: "skipped", Reason: "missed", LatenessMS: 7}}})
	answer("GET /api/v1/sites/default/callbacks", 200, api.DeadCallbackList{Callbacks: []api.DeadCallback{{DiedAt: at, Invocation: dead}}})
	answer("GET /api/v1/sites/empty/callbacks", 200, api.DeadCallbackList{})
	answer("POST /api/v1/invocations/DEAD/callback/retry", 202, dead)
	made := api.Token{ID: "0123456789abcdef", Name: "CI \x1b[2J", Scopes: []token.Scope{token.Deploy}, Sites: []string{"shop"}, CreatedAt: &at, ExpiresAt: &at, CreatedBy: "root"}
	answer("GET /api/v1/tokens", 200, []api.Token{made})
	answer("POST /api/v1/tokens", 201, api.NewToken{Token: made, Secret: "nst_secret"})
	answer("DELETE /api/v1/tokens/0123456789abcdef", 204, nil)
	answer("DELETE /api/v1/tokens/nope", 404, api.Error{Code: 404, Kind: "not_found", Message: "there is no token"})
	answer("GET /api/v1/audit", 200, api.AuditList{Entries: []api.AuditEntry{{At: at, Actor: "CI", Action: "deploy.publish", Site: "shop", Deploy: "d1", Status: 200}, {At: at, Action: "token.refused", Status: 401, Missed: 3}}})
	c.Server = httptest.NewServer(mux)
	t.Cleanup(c.Close)
	return c
}

func TestControl(t *testing.T) {
	t.Parallel()
	tests := []struct {
		args   string
		exit   int
		asked  string // the last request; "" is none
		stdout string
		stderr string
	}{
		{"invocations --function job --state dead --deploy d --limit 3", 0, "GET /sites/default/invocations?deploy=d&function=job&limit=3&state=dead", "DEAD", ""},
		{"invocations", 0, "GET /sites/default/invocations?limit=50", "error: no [2Jstock", ""},
		{"invocations --json", 0, "GET /sites/default/invocations?limit=50", `"id": "DEAD"`, ""},
		{"invocations --site empty", 0, "GET /sites/empty/invocations?limit=50", "", "has no such invocations"},
		{"invocations --site empty --json", 0, "GET /sites/empty/invocations?limit=50", `"invocations": []`, ""},
		{"invocations --limit 0", 2, "", "", "--limit is 0"},
		{"invocations x", 2, "", "", "does not take \"x\""},
		{"invocations show DEAD", 0, "GET /invocations/DEAD", "Error: no [2Jstock", "nightshift retry DEAD"},
		{"invocations show", 2, "", "", "needs the ID"},
		{"invocations --function jbo --site empty", 0, "GET /sites/empty/functions", "", `no such invocations, and no function "jbo": did you mean job? It has job, tick`},
		{"logs job", 0, "GET /invocations/DEAD/logs", "2026-01-02T03:04:05.000Z job DEAD  out of stock", ""},
		{"logs --json", 0, "GET /invocations/DEAD/logs", `{"invocation":"DEAD","function":"job","cursor":"1",`, ""},
		{"logs job --site empty", 0, "GET /sites/empty/functions", "", "job has not run yet"},
		{"logs jbo --site empty", 1, "GET /sites/empty/functions", "", `no invocations of jbo, and no function "jbo": did you mean job?`},
		{"retry", 2, "", "", "needs the ID"},
		{"retry DEAD", 0, "POST /invocations/DEAD/retry", "DEAD is queued again", ""},
		{"retry DEAD QUEUED", 3, "POST /invocations/QUEUED/retry", "DEAD is queued again", "it is queued (1 of 2 were retried before)"},
		{"retry QUEUED --json", 3, "POST /invocations/QUEUED/retry", `"kind": "conflict"`, "it is queued"},
		{"replay", 2, "", "", "needs IDs of invocations, or --function"},
		{"replay DEAD --function job", 2, "", "", "not both"},
		{"replay DEAD --dry-run", 2, "", "", "--dry-run"},
		{"replay --function job --from yesterday", 2, "", "", "--from is \"yesterday\""},
		{"replay --function job --limit 0", 2, "", "", "--limit is 0"},
		{"replay DEAD", 0, "POST /invocations/DEAD/replay with a key", "NEW replays DEAD", ""},
		{"replay --function job --to 2026-01-01T00:00:00Z", 1, `POST /sites/default/invocations/replay with a key {"function":"job","state":"dead","to":"2026-01-01T00:00:00Z","limit":1000}`, "NEW replays DEAD", "not replayed: A: its deploy is gone"},
		{"replay --function job --dry-run", 0, `POST /sites/default/invocations/replay with a key {"function":"job","state":"dead","limit":1000,"dry_run":true}`, "A\nDEAD\n", "2 invocations would be replayed"},
		{"schedules", 0, "GET /sites/default/schedules", "skipped (paused)", ""},
		{"schedules --json", 0, "GET /sites/default/schedules", `"function": "tick"`, ""},
		{"schedules trigger tick", 0, "POST /sites/default/schedules/tick/trigger with a key", "NEW", ""},
		{"schedules trigger", 2, "", "", "needs the NAME"},
		{"schedules trigger nope", 1, "", "", "404"},
		{"schedules pause tick", 0, "POST /sites/default/schedules/tick/pause", "tick is paused", ""},
		{"schedules resume tick", 0, "POST /sites/default/schedules/tick/resume", "fires its next tick", ""},
		{"schedules backfill tick", 2, "", "", "needs --from"},
		{"schedules backfill tick --from then", 2, "", "", "--from is \"then\""},
		{"schedules backfill tick --from 2026-01-01T00:00:00Z --to 2026-01-02T00:00:00Z --limit 5 --key k", 0,
			`POST /sites/default/schedules/tick/backfill with a key {"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z","limit":5}`, "2026-01-02T03:04:05Z  NEW  was made before", "go on with --from 2026-01-02T03:04:05Z"},
		{"schedules ledger tick --limit 7", 0, "GET /sites/default/schedules/tick/ledger?limit=7", "3 ticks since", ""},
		{"schedules tick", 2, "", "", "does not take \"tick\""},
		{"callbacks", 0, "GET /sites/default/callbacks?limit=200", "answered 500", ""},
		{"callbacks --site empty", 0, "GET /sites/empty/callbacks?limit=200", "", "site empty has no dead callbacks"},
		{"callbacks --site empty --json", 0, "GET /sites/empty/callbacks?limit=200", `"callbacks": []`, ""},
		{"callbacks retry", 2, "", "", "needs the ID"},
		{"callbacks retry DEAD --json", 0, "POST /invocations/DEAD/callback/retry", `"id": "DEAD"`, ""},
		{"schedules pause tick --json", 0, "GET /sites/default/schedules", `"paused_since": "2026-01-02T03:04:05Z"`, ""},
		{"schedules resume tick --json", 0, "GET /sites/default/schedules", `"function": "tick"`, ""},
		{"token", 0, "GET /tokens", "deploy  shop   expired", ""},
		{"token list --json", 0, "GET /tokens", `"created_by": "root"`, ""},
		{"token create --name ci --scope deploy,read --site shop --site blog --expires 2030-01-31T08:00:00Z", 0, `POST /tokens {"name":"ci","scopes":["deploy","read"],"sites":["shop","blog"],"expires_at":"2030-01-31T08:00:00Z"}`, "nst_secret\n", "ends 2026-01-02T03:04:05Z; this is its secret"},
		{"token create --name ci --scope admin --expires never --json", 0, `POST /tokens {"name":"ci","scopes":["admin"]}`, `"secret": "nst_secret"`, ""},
		{"token create --scope read", 2, "", "", "the name of a token"},
		{"token create --name ci", 2, "", "", "needs a scope"},
		{"token create --name ci --scope write", 2, "", "", "no scope \"write\""},
		{"token create --name ci --scope read --expires soon", 2, "", "", "--expires is \"soon\""},
		{"token create --name ci --scope read --expires 0d", 2, "", "", "--expires is \"0d\""},
		{"token revoke", 2, "", "", "needs the ID"},
		{"token revoke 0123456789abcdef", 0, "DELETE /tokens/0123456789abcdef", "0123456789abcdef is revoked", ""},
		{"token revoke 0123456789abcdef --json", 0, "DELETE /tokens/0123456789abcdef", `"revoked": [`, ""},
		{"token revoke nope", 1, "DELETE /tokens/nope", "", "there is no token"},
		{"audit --site shop --actor CI --since 2026-01-01T00:00:00Z --limit 5", 0, "GET /audit?actor=CI&from=2026-01-01T00%3A00%3A00Z&limit=5&site=shop", "CI       deploy.publish  200           shop d1", ""},
		{"audit", 0, "GET /audit?limit=50", "(3 before it were left out)", ""},
		{"audit --json", 0, "GET /audit?limit=50", `"action": "token.refused"`, ""},
		{"audit --since then", 2, "", "", "--since is \"then\""},
		{"audit --limit 0", 2, "", "", "--limit is 0"},
		{"callbacks retry DEAD", 0, "POST /invocations/DEAD/callback/retry", "the callback of DEAD is due", ""},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			c := newControlled(t)
			var stdout, stderr bytes.Buffer
			exit := command.Run(t.Context(), strings.Fields(tt.args), command.World{
				Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Version: "v1",
				Getenv: func(key string) string { return map[string]string{"NIGHTSHIFT_API_URL": c.URL + "/api/v1"}[key] },
			})
			if exit != tt.exit || !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("exit %d, want %d\n%s\n%s\nwant %q and %q", exit, tt.exit, &stdout, &stderr, tt.stdout, tt.stderr)
			}
			asked := ""
			if len(c.asked) > 0 {
				asked = c.asked[len(c.asked)-1]
			}
			if asked != tt.asked {
				t.Errorf("it asked %q, want %q", asked, tt.asked)
			}
			if strings.Contains(stdout.String(), "\x1b[2J") {
				t.Errorf("control characters of others reach the terminal: %q", &stdout)
			}
		})
	}
}

// Everything is listed, however many pages that is.
func TestCallbacksByPage(t *testing.T) {
	t.Parallel()
	const pages = 3
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("cursor"))
		page := api.DeadCallbackList{Callbacks: []api.DeadCallback{{Invocation: api.Invocation{ID: fmt.Sprintf("DEAD%d", len(asked))}}}}
		if len(asked) < pages {
			page.NextCursor = fmt.Sprintf("after-%d", len(asked))
		}
		_ = json.NewEncoder(w).Encode(page)
	}))
	defer server.Close()
	for _, args := range []string{"callbacks", "callbacks --json"} {
		asked = nil
		var stdout, stderr bytes.Buffer
		exit := command.Run(t.Context(), strings.Fields(args), command.World{
			Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Version: "v1",
			Getenv: func(key string) string { return map[string]string{"NIGHTSHIFT_API_URL": server.URL}[key] },
		})
		if got := strings.Join(asked, " "); exit != 0 || got != " after-1 after-2" {
			t.Errorf("%s: exit %d, asked for the pages %q\n%s", args, exit, got, &stderr)
		}
		for _, id := range []string{"DEAD1", "DEAD2", "DEAD3"} {
			if !strings.Contains(stdout.String(), id) {
				t.Errorf("%s: %s is not listed in\n%s", args, id, &stdout)
			}
		}
		if strings.Contains(stdout.String(), "after-") {
			t.Errorf("%s: the list has a cursor, and is whole", args)
		}
	}
}
