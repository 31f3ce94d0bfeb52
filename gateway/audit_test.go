package gateway_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	kept "github.com/nightshift/nightshift/shared/token"
	"github.com/redis/go-redis/v9"
)

// audited is the audit log, oldest first.
func (b *bundle) audited(query string) []api.AuditEntry {
	b.t.Helper()
	return b.auditedBy(token, query)
}

func (b *bundle) auditedBy(secret, query string) []api.AuditEntry {
	b.t.Helper()
	var all []api.AuditEntry
	cursor := ""
	for {
		got := b.sends(secret, "GET", "/api/v1/audit?limit=200&cursor="+cursor+query, "")
		if got.status != 200 {
			b.t.Fatalf("the audit log = %d %s", got.status, got.body)
		}
		page := decode[api.AuditList](b.t, got.body)
		all = append(all, page.Entries...)
		if cursor = page.NextCursor; cursor == "" {
			slices.Reverse(all)
			return all
		}
	}
}

// Every call that changes something writes one entry, whatever comes of it, and no
// other call does.
func TestEveryChangeIsAudited(t *testing.T) {
	t.Parallel()
	n := setupNeighbours(t)
	nothing := map[string]string{"site": "nowhere", "id": strings.Repeat("e", 24), "invocation": "01M806MVKXM72EWXY9R4RTBS7M", "function": "f", "name": "f", "path": "f", "key": "K"}
	changing := 0
	for _, op := range operations(t) {
		upload := strings.Contains(op.path, "/functions/{name}") || strings.Contains(op.path, "/files/{path}")
		for what, values := range map[string]map[string]string{"alpha": n.alpha, "nothing": nothing} {
			before := len(n.audited(""))
			path := op.at(values)
			got := n.sends(token, op.method, path, "{}")
			entries := n.audited("")[before:]
			if op.method == "GET" || upload { // an upload is part of the deploy that has an entry
				if len(entries) != 0 {
					t.Errorf("%s %s wrote %+v", op.method, path, entries)
				}
				continue
			}
			changing++
			if len(entries) != 1 {
				t.Errorf("%s %s = %d wrote %d entries, want one: %+v", op.method, path, got.status, len(entries), entries)
				continue
			}
			e := entries[0]
			if e.Actor != "root" || e.From != "127.0.0.1" || e.Status != got.status || !regexp.MustCompile(`^[a-z]+\.[a-z_]+$`).MatchString(e.Action) {
				t.Errorf("%s %s = %d wrote %+v", op.method, path, got.status, e)
			}
			if what == "alpha" && (strings.Contains(op.path, "{site}") || strings.Contains(op.path, "deploys/{id}") || strings.Contains(op.path, "invocations/{id}") || strings.Contains(path, "site_id")) && e.Site != "alpha" {
				t.Errorf("%s %s does not say of which site it is: %+v", op.method, path, e)
			}
		}
	}
	if changing < 40 {
		t.Errorf("only %d calls changed something", changing)
	}
}

// Forms of the console write the same.
func TestConsoleIsAudited(t *testing.T) {
	t.Parallel()
	n := setupNeighbours(t)
	made := n.token(api.CreateToken{Name: "on call", Scopes: []kept.Scope{kept.Invoke, kept.Deploy}})
	v := n.visit()
	v.send("/sign-in", url.Values{"token": {"wrong"}})
	v.send("/sign-in", url.Values{"token": {made.Secret}})
	id, deploy := n.alpha["invocation"], n.alpha["id"]
	forms := map[string]string{
		"invocations/" + id + "/retry": "invocation.retry", "invocations/" + id + "/cancel": "invocation.cancel", "invocations/" + id + "/replay": "invocation.replay", "invocations/" + id + "/callback": "callback.retry",
		"schedules/own-tick/trigger": "schedule.trigger", "schedules/own-tick/pause": "schedule.pause", "schedules/own-tick/resume": "schedule.resume", "schedules/own-tick/backfill": "schedule.backfill",
		"deploys/" + deploy + "/publish": "deploy.publish", "deploys/" + deploy + "/lock": "deploy.lock", "deploys/" + deploy + "/unlock": "deploy.unlock", "rollback": "site.rollback", "dead/replay": "invocation.replay_all",
	}
	for path, action := range forms {
		before := len(n.audited(""))
		v.client.CheckRedirect = nil
		p := v.send("/sites/alpha/"+path, url.Values{"key": {"0123456789abcdef"}})
		entries := n.audited("")[before:]
		if len(entries) != 1 || entries[0].Action != action || entries[0].Actor != "on call" || entries[0].Token != made.ID || entries[0].Site != "alpha" {
			t.Errorf("POST %s = %d wrote %+v, want one %s", path, p.status, entries, action)
		}
	}
	p := v.open("/sites/alpha")
	v.press(p, "/sign-out")
	var story []string
	for _, e := range n.audited("") {
		if strings.HasPrefix(e.Action, "session") || strings.HasPrefix(e.Action, "token") {
			story = append(story, fmt.Sprintf("%s %s %d", e.Actor, e.Action, e.Status))
		}
	}
	want := []string{"root token.create 201", "root token.create 201", " token.refused 401", "on call session.open 303", "on call session.close 303"}
	if !slices.Equal(story, want) {
		t.Errorf("what is told of tokens and sessions is %q, want %q", story, want)
	}
	v.shows(v.open("/audit"), 200, `name="token"`) // signed out
	v.send("/sign-in", url.Values{"token": {made.Secret}})
	v.shows(v.open("/audit"), 403, "scope admin")
	root := n.signedIn()
	root.shows(root.open("/"), 200, `href="/audit"`)
	root.shows(root.open("/audit"), 200, "schedule.pause", "on call", "token.refused")
	if p := root.open("/audit?actor=root&site=alpha"); strings.Contains(p.text(), "schedule.pause") || !strings.Contains(p.text(), "deploy.create") {
		t.Errorf("what root did on alpha = %s", p.text())
	}
}

// What is in the log, and what is not.
func TestAuditEntries(t *testing.T) {
	t.Parallel()
	n := setupNeighbours(t)
	secret := n.token(api.CreateToken{Name: "ci", Scopes: []kept.Scope{kept.Deploy}, Sites: []string{"alpha"}}).Secret
	n.sends(secret, "PATCH", "/api/v1/accounts/nightshift/env/own_KEY?site_id=alpha", `{"context":"dev","value":"value-of-a-variable"}`)
	n.sends(secret, "POST", "/api/v1/sites/alpha/schedules/own-tick/pause", "")
	n.sends(secret, "POST", "/api/v1/deploys/"+n.bravo["id"]+"/lock", "")
	req := n.request("POST", n.control("/api/v1/sites/alpha/deploys?title=hello"), strings.NewReader(`{"draft":true,"functions":[]}`))
	req.Header.Set("Authorization", "Bearer "+secret)
	req.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	made := decode[api.Deploy](t, n.do(req).body)
	got := n.audited("&actor=ci")
	if len(got) != 4 {
		t.Fatalf("entries = %+v, want four", got)
	}
	if e := got[0]; e.Action != "variable.set" || e.Details != "own_KEY" || e.Site != "alpha" || e.Status != 201 {
		t.Errorf("a variable = %+v", e)
	}
	if e := got[1]; e.Action != "schedule.pause" || e.Function != "own-tick" || e.Status != 403 {
		t.Errorf("without the scope = %+v", e)
	}
	if e := got[2]; e.Action != "deploy.lock" || e.Deploy != n.bravo["id"] || e.Status != 404 {
		t.Errorf("of another site = %+v", e)
	}
	if e := got[3]; e.Action != "deploy.create" || e.Deploy != made.ID || e.Details != "hello" || e.Trace != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("a deploy = %+v", e)
	}
	all := n.sends(token, "GET", "/api/v1/audit?limit=200", "").body
	for _, hidden := range []string{"value-of-a-variable", secret, mark + "-value", kept.Digest(secret), token} {
		if strings.Contains(all, hidden) {
			t.Errorf("the audit log tells %q: %s", hidden, all)
		}
	}
	for _, query := range []string{"?limit=0", "?limit=201", "?cursor=x", "?since=now", "?from=now"} {
		if got := n.sends(token, "GET", "/api/v1/audit"+query, ""); got.status != 400 {
			t.Errorf("GET /audit%s = %d, want 400", query, got.status)
		}
	}
}

// A flood of wrong tokens does not fill the log, and what it left out is counted.
func TestRefusalsAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.site("shop")
	// The root token of the test is one that somebody made up, and has to wait then.
	admin := b.token(api.CreateToken{Name: "admin", Scopes: []kept.Scope{kept.Admin}}).Secret
	made := b.token(api.CreateToken{Scopes: []kept.Scope{kept.Read}})
	for range 300 {
		b.sends("wrong", "GET", "/api/v1/user", "")
	}
	if got := b.auditedBy(admin, ""); len(got) < 20 || len(got) > 200 || got[0].Action != "site.create" {
		t.Errorf("after 300 wrong tokens there are %d entries, the oldest %+v", len(got), got[0])
	}
	b.sends(made.Secret, "POST", "/api/v1/sites", `{"name":"x"}`) // who is known is not hidden by who is not
	if got := b.auditedBy(admin, "&actor=test"); len(got) != 1 || got[0].Status != 403 {
		t.Errorf("what a known one was refused = %+v", got)
	}
}

// lines collects a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// If Redis does not take an entry, what was done stays, the log of the gateway has
// it, and it is counted. A token that could not be written down is not given out.
func TestAuditThatIsNotStored(t *testing.T) {
	t.Parallel()
	log := &lines{}
	b := setup(t, func(c *gateway.Config) { c.Logger = slog.New(slog.NewJSONHandler(log, nil)) })
	b.site("first") // the scripts are there now
	isEntry := func(cmd redis.Cmder) bool {
		return cmd.Name() == "evalsha" && slices.Contains(cmd.Args(), any("nightshift:{access}:audit"))
	}
	b.broken.Break(1, redistest.Failed, isEntry)
	if got := b.sends(token, "POST", "/api/v1/sites", `{"name":"second"}`); got.status != 201 {
		t.Errorf("making a site = %d %s", got.status, got.body)
	}
	if !regexp.MustCompile(`"level":"ERROR","msg":"audit entry not stored".*"action":"site.create".*"actor":"root".*"site":"second"`).MatchString(log.String()) {
		t.Errorf("the log has no line of it: %s", log)
	}
	if got := b.sends(token, "GET", "/metrics", ""); !strings.Contains(got.body, "nightshift_gateway_audit_failures_total 1\n") {
		t.Errorf("it is not counted")
	}
	b.broken.Break(1, redistest.Failed, isEntry)
	if got := b.sends(token, "POST", "/api/v1/tokens", `{"name":"x","scopes":["admin"]}`); got.status != http.StatusServiceUnavailable || strings.Contains(got.body, "nst_") {
		t.Errorf("making a token = %d %s, want 503", got.status, got.body)
	}
	if all, err := b.api.Tokens(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("there are tokens that the audit log knows nothing of: %v, %v", all, err)
	}
}
