package gateway_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	kept "github.com/nightshift/nightshift/shared/token"
	"github.com/redis/go-redis/v9"
)

// token makes a token, and returns it with its secret.
func (b *bundle) token(t api.CreateToken) api.NewToken {
	b.t.Helper()
	if t.Name == "" {
		t.Name = "test"
	}
	made, err := b.api.CreateToken(b.t.Context(), t)
	if err != nil {
		b.t.Fatal(err)
	}
	return made
}

// as is a client that shows another token.
func (b *bundle) as(secret string) *client.Client {
	b.t.Helper()
	c, err := client.New(b.control("/api/v1"), secret, b.http)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// sends sends a request to the control plane with a token.
func (b *bundle) sends(secret, method, path, body string) answer {
	b.t.Helper()
	req := b.request(method, b.control(path), strings.NewReader(body))
	if secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	return b.do(req)
}

func TestTokenLife(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	ctx := t.Context()
	expiry := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	made := b.token(api.CreateToken{Name: "CI of the shop", Scopes: []kept.Scope{kept.Deploy}, Sites: []string{"site_shop", "shop"}, ExpiresAt: &expiry})
	if !kept.Made(made.Secret) || made.ID != kept.ID(made.Secret) || made.CreatedBy != "root" || len(made.Sites) != 1 || made.Sites[0] != "shop" || made.CreatedAt == nil || !made.ExpiresAt.Equal(expiry) {
		t.Errorf("made = %+v", made.Token)
	}
	own, err := b.as(made.Secret).OwnToken(ctx)
	if err != nil || own.ID != made.ID || own.Name != "CI of the shop" {
		t.Errorf("its own = %+v, %v", own, err)
	}
	root, err := b.api.OwnToken(ctx)
	if err != nil || root.ID != "" || root.Name != "root" || len(root.Scopes) != 1 || root.Scopes[0] != kept.Admin || root.CreatedAt != nil {
		t.Errorf("that of root = %+v, %v", root, err)
	}
	list := b.sends(token, "GET", "/api/v1/tokens", "")
	if all := decode[[]api.Token](t, list.body); len(all) != 1 || all[0].ID != made.ID || all[0].LastUsedAt == nil {
		t.Errorf("the list = %s", list.body)
	}
	if strings.Contains(list.body, made.Secret) || strings.Contains(list.body, kept.Digest(made.Secret)) {
		t.Errorf("the list tells secrets: %s", list.body)
	}
	if err := b.as(made.Secret).RevokeToken(ctx, made.ID); !fault.Is(err, fault.Forbidden) {
		t.Errorf("a token that may deploy revokes one: %v", err)
	}
	if err := b.api.RevokeToken(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := b.as(made.Secret).OwnToken(ctx); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("a revoked token, at the next request: %v, want unauthorized", err)
	}
	if err := b.api.RevokeToken(ctx, made.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("revoked again: %v, want not found", err)
	}
}

func TestTokensAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for body, want := range map[string]string{
		`{}`:                              "name of a token",
		`{"name":"x"}`:                    "needs a scope",
		`{"name":"x","scopes":[]}`:        "needs a scope",
		`{"name":"x","scopes":["write"]}`: "no scope",
		`{"name":"x","scopes":["admin"],"sites":["shop"]}`:                               "is for all sites",
		`{"name":"x","scopes":["read"],"sites":["No_Site"]}`:                             "name of a site",
		`{"name":"x","scopes":["read"],"expires_at":"2020-01-01T00:00:00Z"}`:             "past",
		`{"name":"x","scopes":["read"],"site":"shop"}`:                                   "expected",
		`{"name":"x","scopes":["read"],"expires_at":"tomorrow"}`:                         "expected",
		`{"name":"` + strings.Repeat("x", 65) + `","scopes":["read"]}`:                   "1 to 64",
		`{"name":"x","scopes":["read"],"sites":["` + strings.Repeat("a", 70<<10) + `"]}`: "",
	} {
		got := b.sends(token, "POST", "/api/v1/tokens", body)
		if got.status != 400 && got.status != 413 || !strings.Contains(got.body, want) {
			t.Errorf("%.80s = %d %s, want %q", body, got.status, got.body, want)
		}
	}
	if all, err := b.api.Tokens(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("Tokens = %v, %v, want none", all, err)
	}
}

func TestTokenExpires(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	expiry := time.Now().Add(2 * time.Second)
	made := b.token(api.CreateToken{Name: "short", Scopes: []kept.Scope{kept.Read}, ExpiresAt: &expiry})
	v := b.visit()
	v.send("/sign-in", url.Values{"token": {made.Secret}})
	v.shows(v.open("/"), 200, "Sites")
	eventually(t, "it has expired", func() bool {
		got := b.sends(made.Secret, "GET", "/api/v1/sites", "")
		return got.status == 401 && strings.Contains(got.body, "the token short") && strings.Contains(got.body, "nightshift token create")
	})
	v.shows(v.open("/"), 200, `name="token"`) // its session has ended too
}

// operations are the calls of the API as its document has them.
func operations(t *testing.T) []operation {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "docs", "openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]struct {
			Scope kept.Scope `json:"x-scope"`
		}
	}
	if err := json.Unmarshal(data, &document); err != nil {
		t.Fatal(err)
	}
	var all []operation
	for path, methods := range document.Paths {
		for method, op := range methods {
			all = append(all, operation{strings.ToUpper(method), path, op.Scope})
		}
	}
	if len(all) < 40 {
		t.Fatalf("the document has %d calls", len(all))
	}
	return all
}

type operation struct {
	method, path string
	scope        kept.Scope
}

// at is the path with its parameters filled in.
func (op operation) at(values map[string]string) string {
	path := regexp.MustCompile(`\{(\w+)\}`).ReplaceAllStringFunc(op.path, func(p string) string {
		name := strings.Trim(p, "{}")
		if name == "id" && strings.Contains(op.path, "invocations/{id}") {
			name = "invocation"
		}
		if name == "account" {
			return api.Account
		}
		return values[name]
	})
	if strings.HasPrefix(op.path, "/accounts/") {
		path += "?site_id=" + values["site"]
	}
	return "/api/v1" + path
}

// Each call is refused exactly to those tokens that have not the scope that the
// document says it needs.
func TestEveryCallNeedsItsScope(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	nothing := map[string]string{"site": "nowhere", "id": strings.Repeat("e", 16), "invocation": "01M806MVKXM72EWXY9R4RTBS7M", "function": "f", "name": "f", "path": "f", "key": "K"}
	for _, scope := range kept.Scopes {
		secret := b.token(api.CreateToken{Scopes: []kept.Scope{scope}}).Secret
		for _, op := range operations(t) {
			if op.scope == "" {
				t.Errorf("%s %s says no scope", op.method, op.path)
			}
			got := b.sends(secret, op.method, op.at(nothing), "{}")
			if refused := got.status == 403; refused == scope.Has(op.scope) {
				t.Errorf("%s %s, which needs %s, with %s = %d %s", op.method, op.path, op.scope, scope, got.status, got.body)
			}
		}
		for path, want := range map[string]int{"/metrics": 200, "/queues/": 200} {
			if got := b.sends(secret, "GET", path, ""); got.status != want {
				t.Errorf("GET %s with %s = %d, want %d", path, scope, got.status, want)
			}
		}
	}
}

// What the console lets somebody do has a button, and what it does not is
// refused when the form is sent all the same.
func TestConsoleByScope(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	b.deploy("default", job)
	id := b.dead(1)[0]
	forms := map[kept.Scope]map[string]string{ // form by page
		kept.Invoke: {"/sites/default/invocations/" + id: "/sites/default/invocations/" + id + "/retry", "/sites/default/dead": "/sites/default/dead/replay"},
		kept.Deploy: {"/sites/default/deploys": "/sites/default/rollback"},
	}
	for _, scope := range kept.Scopes {
		v := b.visit()
		v.send("/sign-in", url.Values{"token": {b.token(api.CreateToken{Scopes: []kept.Scope{scope}}).Secret}})
		for needs, pages := range forms {
			for page, form := range pages {
				p := v.open(page)
				v.shows(p, 200)
				if drawn := strings.Contains(p.body, `"`+form+`"`); drawn != scope.Has(needs) {
					t.Errorf("%s, which needs %s, is drawn for %s: %t", form, needs, scope, drawn)
				}
				if scope.Has(needs) {
					continue
				}
				if got := v.send(form, url.Values{"key": {"0123456789abcdef"}}); got.status != 403 || !strings.Contains(got.body, "needs a token with the scope "+string(needs)) {
					t.Errorf("POST %s with %s = %d %s, want 403", form, scope, got.status, got.text())
				}
			}
		}
	}
	if inv, err := b.api.Invocation(t.Context(), id); err != nil || inv.State != "dead" {
		t.Errorf("the invocation is %s, %v", inv.State, err)
	}
}

// A session ends with its token, and that of the root token does not need Redis.
func TestSessionOfToken(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	made := b.token(api.CreateToken{Scopes: []kept.Scope{kept.Read}})
	root, reader := b.signedIn(), b.visit()
	reader.send("/sign-in", url.Values{"token": {made.Secret}})
	reader.shows(reader.open("/workers"), 200, "Workers", "Sign out")
	if p := reader.open("/queues/"); p.status != 200 || strings.Contains(p.body, `name="token"`) {
		t.Errorf("/queues/ with a session of a token = %d", p.status)
	}
	b.broken.Break(1<<30, redistest.Failed, nil)
	reader.shows(reader.open("/workers"), 503)
	if got := b.sends(made.Secret, "GET", "/api/v1/user", ""); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("a token while Redis is away = %d %s, want 503", got.status, got.body)
	}
	if got := b.sends(token, "GET", "/api/v1/user", ""); got.status != 200 {
		t.Errorf("the root token while Redis is away = %d %s", got.status, got.body)
	}
	if p := root.open("/nowhere"); p.status != 404 { // a page that reads nothing
		t.Errorf("a session of root while Redis is away = %d %s", p.status, p.text())
	}
	b.broken.Break(0, redistest.Failed, nil)
	reader.shows(reader.open("/workers"), 200, "Workers")
	if err := b.api.RevokeToken(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	reader.shows(reader.open("/workers"), 200, `name="token"`)
}

// Wrong tokens are limited by address, on every way in together. A token that we
// made is let in all the same, and one that somebody made up is not.
func TestWrongTokensAreLimited(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *gateway.Config) { c.TrustProxy = "true" })
	made := b.token(api.CreateToken{Scopes: []kept.Scope{kept.Read}})
	from := func(ip, secret string) answer {
		req := b.request("GET", b.control("/api/v1/user"), nil)
		req.Header.Set("Authorization", "Bearer "+secret)
		req.Header.Set("X-Forwarded-For", ip)
		return b.do(req)
	}
	wrong := []string{"wrong", string(kept.New()), made.Secret + "x"}
	limited := answer{}
	for i := range 100 {
		if limited = from("192.0.2.1", wrong[i%len(wrong)]); limited.status != 401 {
			break
		}
	}
	if limited.status != 429 || limited.header.Get("Retry-After") == "" {
		t.Fatalf("many wrong tokens = %d %s, want 429", limited.status, limited.body)
	}
	if got := from("192.0.2.1", token); got.status != 429 {
		t.Errorf("a root token that somebody made up, from there = %d, want 429", got.status)
	}
	if got := from("192.0.2.1", made.Secret); got.status != 200 {
		t.Errorf("a token that we made, from there = %d %s, want 200", got.status, got.body)
	}
	if got := from("192.0.2.2", token); got.status != 200 {
		t.Errorf("the root token from elsewhere = %d", got.status)
	}
	req := b.request("POST", b.control("/sign-in"), strings.NewReader("token="+token))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Forwarded-For", "192.0.2.1")
	if got := b.do(req); got.status != 429 {
		t.Errorf("the sign-in from there = %d, want 429", got.status)
	}
}

// While the root token is changed, both hold.
func TestTwoRootTokens(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *gateway.Config) { c.Token = "the-next-one-0123456789, " + token })
	for secret, want := range map[string]int{"the-next-one-0123456789": 200, token: 200, "the-next-one-0123456789, " + token: 401, "": 401} {
		if got := b.sends(secret, "GET", "/api/v1/tokens", ""); got.status != want {
			t.Errorf("with %q = %d, want %d", secret, got.status, want)
		}
	}
}

// A token that could not be stored is not given out, and one whose making or
// revoking is not known to have succeeded can be asked about.
func TestTokensWhenRedisFails(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	script := func(cmd redis.Cmder) bool { return cmd.Name() == "evalsha" }
	first := b.token(api.CreateToken{Name: "first", Scopes: []kept.Scope{kept.Read}})
	if err := b.api.RevokeToken(t.Context(), first.ID); err != nil { // the scripts are there now
		t.Fatal(err)
	}
	for kind, left := range map[redistest.Fault]int{redistest.Failed: 0, redistest.FailedButDone: 1} {
		b.broken.Break(1, kind, script)
		got := b.sends(token, "POST", "/api/v1/tokens", `{"name":"lost","scopes":["admin"]}`)
		if got.status != http.StatusServiceUnavailable || strings.Contains(got.body, "nst_") {
			t.Errorf("making one = %d %s, want 503", got.status, got.body)
		}
		all, err := b.api.Tokens(t.Context())
		if err != nil || len(all) != left {
			t.Errorf("after it there are %v, %v; want %d", all, err, left)
		}
		for _, lost := range all { // nobody has its secret, and it can be removed
			b.broken.Break(1, kind, script)
			if got := b.sends(token, "DELETE", "/api/v1/tokens/"+lost.ID, ""); got.status != 503 {
				t.Errorf("revoking it = %d, want 503", got.status)
			}
		}
		if all, err := b.api.Tokens(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("after it was revoked there are %v, %v", all, err)
		}
	}
}
