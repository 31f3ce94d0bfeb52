package gateway_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/function"
	kept "github.com/nightshift/nightshift/shared/token"
)

// mark stands in everything that only those may see for whom the site bravo is
// there.
const mark = "markofbravo"

// neighbours are two sites of one installation, each with a deploy, invocations, a
// schedule and variables. Those of bravo carry the mark.
type neighbours struct {
	*bundle
	secret       string // a token that may do all on alpha, and for which there is no bravo
	alpha, bravo map[string]string
}

func setupNeighbours(t *testing.T) *neighbours {
	t.Helper()
	key := secretKey(t)
	b := setup(t, func(c *gateway.Config) { c.SecretKey = key; callbacksOn(c) })
	n := &neighbours{bundle: b, alpha: b.furnish("alpha", "own"), bravo: b.furnish("bravo", mark)}
	n.secret = b.token(api.CreateToken{Name: "alpha", Scopes: []kept.Scope{kept.Read, kept.Invoke, kept.Deploy}, Sites: []string{"alpha"}}).Secret
	return n
}

// furnish makes a site with something of everything, and returns what stands for
// the parameters of paths.
func (b *bundle) furnish(site, word string) map[string]string {
	b.t.Helper()
	d := b.deploy(site, function.Function{Name: word + "-background", Kind: function.Background, Retries: new(int)},
		function.Function{Name: word + "-tick", Kind: function.Scheduled, Schedule: "@daily"})
	if got := b.sends(token, "POST", "/api/v1/accounts/nightshift/env?site_id="+site, `[{"key":"`+word+`_KEY","values":[{"context":"all","value":"`+word+`-value"}]}]`); got.status != 201 {
		b.t.Fatalf("making a variable = %d %s", got.status, got.body)
	}
	req := b.request("POST", "/.netlify/functions/"+word+"-background", strings.NewReader(`{"from":"`+word+`"}`))
	req.Host = site + ".localhost"
	req.Header.Set("Nightshift-Callback", "https://example.com/"+word)
	got := b.do(req)
	if got.status != 202 {
		b.t.Fatalf("calling %s = %d %s", word, got.status, got.body)
	}
	id := idOf(got)
	b.finish(function.Background, id, bad)
	if got := b.sends(token, "POST", "/api/v1/sites/"+site+"/schedules/"+word+"-tick/trigger", ""); got.status != 202 {
		b.t.Fatalf("triggering = %d %s", got.status, got.body)
	}
	return map[string]string{
		"site": site, "id": d.ID, "invocation": id, "function": word + "-tick", "name": word + "-background", "path": word + ".txt", "key": word + "_KEY",
	}
}

// tells reports whether an answer tells anything of bravo beside what was asked with.
func tells(got answer, asked string) bool {
	return strings.Contains(regexp.MustCompile(mark+`[-_.a-z]*`).ReplaceAllStringFunc(got.body+fmt.Sprint(got.header), func(found string) string {
		if strings.Contains(asked, found) {
			return ""
		}
		return found
	}), mark)
}

// state is all that root sees of bravo.
func (n *neighbours) state() string {
	n.t.Helper()
	var all strings.Builder
	for _, path := range []string{"/sites/bravo", "/sites/bravo/deploys", "/sites/bravo/invocations", "/sites/bravo/schedules", "/sites/bravo/callbacks", "/accounts/nightshift/env?site_id=bravo", "/deploys/" + n.bravo["id"]} {
		got := n.sends(token, "GET", "/api/v1"+path, "")
		if got.status != 200 {
			n.t.Fatalf("GET %s = %d %s", path, got.status, got.body)
		}
		all.WriteString(got.body)
	}
	return regexp.MustCompile(`"next_runs":\[[^]]*\]`).ReplaceAllString(all.String(), "")
}

// For a token of one site there is no other, by any call: the answers are those to
// a question about what is not there at all, in the same words, and nothing
// changes.
func TestOtherSitesAreNotThere(t *testing.T) {
	t.Parallel()
	n := setupNeighbours(t)
	before := n.state()
	nothing := map[string]string{
		"site": "bravx", "id": strings.Repeat("e", 24), "invocation": "01M806MVKXM72EWXY9R4RTBS7M",
		"function": n.bravo["function"], "name": n.bravo["name"], "path": n.bravo["path"], "key": n.bravo["key"],
	}
	// What of bravo stands in a path of alpha's.
	mixed := map[string]string{"site": "alpha"}
	for name, value := range n.bravo {
		if name != "site" {
			mixed[name] = value
		}
	}
	found := 0
	for _, op := range operations(t) {
		for what, values := range map[string]map[string]string{"bravo": n.bravo, "bravo's below alpha": mixed} {
			if what != "bravo" && !strings.Contains(op.path, "{site}/") {
				continue
			}
			path := op.at(values)
			got := n.sends(n.secret, op.method, path, "{}")
			if tells(got, path) {
				t.Errorf("%s %s tells of %s: %d %s", op.method, path, what, got.status, got.body)
			}
			without := nothing
			if what != "bravo" {
				without = maps.Clone(nothing)
				without["site"] = "alpha"
			}
			if op.at(without) == path { // it is about nothing of a site, or about names that alpha could have too
				continue
			}
			found++
			absent := n.sends(n.secret, op.method, op.at(without), "{}")
			words := strings.NewReplacer(nothing["site"], n.bravo["site"], nothing["id"], n.bravo["id"], nothing["invocation"], n.bravo["invocation"]).Replace(absent.body)
			if got.status != absent.status || got.body != words || got.status/100 == 2 {
				t.Errorf("%s %s = %d %s; of what is not there %d %s", op.method, path, got.status, got.body, absent.status, words)
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d calls were about something of bravo", found)
	}
	if after := n.state(); after != before {
		t.Errorf("bravo was\n%s\nand is\n%s", before, after)
	}
}

// Lists, pages and figures are without it too.
func TestOtherSitesAreNotListed(t *testing.T) {
	t.Parallel()
	n := setupNeighbours(t)
	for path, want := range map[string]int{
		"/api/v1/sites": 200, "/api/v1/sites?name=bravo": 200, "/api/v1/sites?name=site_bravo": 200,
		"/api/v1/sites/alpha/invocations?deploy=" + n.bravo["id"]: 200, "/api/v1/sites/alpha/invocations?function=" + n.bravo["name"]: 200,
		"/api/v1/workers": 403, "/metrics": 403, "/queues/": 403, "/queues/api/queues": 403, "/api/v1/tokens": 403,
		"/api/v1/accounts/nightshift/env": 200, "/api/v1/user": 200, "/api/v1/accounts": 200, "/api/v1/tokens/self": 200,
	} {
		got := n.sends(n.secret, "GET", path, "")
		if got.status != want || tells(got, path) || strings.Contains(got.body, `"name":"bravo"`) || strings.Contains(got.body, n.bravo["id"]) && !strings.Contains(path, n.bravo["id"]) {
			t.Errorf("GET %s = %d %s, want %d and nothing of bravo", path, got.status, got.body, want)
		}
		if root := n.sends(token, "GET", path, ""); root.status != 200 {
			t.Errorf("GET %s as root = %d", path, root.status)
		}
	}
	if list, err := n.as(n.secret).Sites(t.Context()); err != nil || len(list) != 1 || list[0].Name != "alpha" {
		t.Errorf("the sites are %+v, %v, want alpha", list, err)
	}
	for _, name := range []string{"bravo", "charlie"} { // whether it is there or not
		if got := n.sends(n.secret, "POST", "/api/v1/sites", `{"name":"`+name+`"}`); got.status != 403 {
			t.Errorf("making the site %s = %d %s, want 403", name, got.status, got.body)
		}
	}
}

// The console shows the same.
func TestConsoleOfOneSite(t *testing.T) {
	t.Parallel()
	n := setupNeighbours(t)
	v := n.visit()
	v.send("/sign-in", url.Values{"token": {n.secret}})
	if p := v.open("/"); p.path != "/sites/alpha" || strings.Contains(p.body, "bravo") || strings.Contains(p.body, `href="/workers"`) || strings.Contains(p.body, `href="/queues`) {
		t.Errorf("the first page is %s and shows what is not alpha's: %s", p.path, p.text())
	}
	inv := n.bravo["invocation"]
	gone := map[string]int{"/workers": 403, "/queues/": 403}
	for _, path := range []string{
		"", "/functions", "/invocations", "/invocations/" + inv, "/invocations/" + inv + "/log", "/invocations/" + inv + "/cancel", "/schedules", "/schedules/" + n.bravo["function"],
		"/deploys", "/deploys/" + n.bravo["id"] + "/publish", "/rollback", "/dead", "/dead/replay", "/callbacks",
	} {
		gone["/sites/bravo"+path] = 404
	}
	for _, path := range []string{"/invocations/" + inv, "/invocations/" + inv + "/log", "/invocations/" + inv + "/cancel", "/invocations?id=" + inv, "/deploys/" + n.bravo["id"] + "/publish", "/schedules/" + n.bravo["function"]} {
		gone["/sites/alpha"+path] = 404
	}
	for path, want := range gone {
		if p := v.open(path); p.status != want || tells(p.answer, path) || p.path != path { // nor does it lead to where it is
			t.Errorf("%s leads to %s = %d %s, want %d and nothing of bravo", path, p.path, p.status, p.text(), want)
		}
	}
	before := n.state()
	for _, path := range []string{
		"/invocations/" + inv + "/cancel", "/invocations/" + inv + "/retry", "/invocations/" + inv + "/replay", "/invocations/" + inv + "/callback", "/schedules/" + n.bravo["function"] + "/trigger", "/schedules/" + n.bravo["function"] + "/pause",
		"/schedules/" + n.bravo["function"] + "/resume", "/schedules/" + n.bravo["function"] + "/backfill", "/deploys/" + n.bravo["id"] + "/publish", "/deploys/" + n.bravo["id"] + "/lock", "/deploys/" + n.bravo["id"] + "/unlock", "/rollback", "/dead/replay",
	} {
		form := url.Values{"key": {"0123456789abcdef"}, "from": {n.bravo["id"]}}
		for _, site := range []string{"bravo", "alpha"} {
			if site == "alpha" && !strings.Contains(path, inv) && !strings.Contains(path, n.bravo["id"]) {
				continue
			}
			if p := v.send("/sites/"+site+path, form); p.status != 404 || tells(p.answer, path) {
				t.Errorf("POST /sites/%s%s = %d %s, want 404", site, path, p.status, p.text())
			}
		}
	}
	if after := n.state(); after != before {
		t.Errorf("bravo was\n%s\nand is\n%s", before, after)
	}
}

// With its own site a token does what its scopes say.
func TestOwnSiteIsThere(t *testing.T) {
	t.Parallel()
	n := setupNeighbours(t)
	for _, tt := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/sites/alpha", "", 200}, {"GET", "/sites/site_alpha/deploys", "", 200}, {"GET", "/deploys/" + n.alpha["id"], "", 200},
		{"GET", "/invocations/" + n.alpha["invocation"], "", 200}, {"GET", "/invocations/" + n.alpha["invocation"] + "/logs", "", 200},
		{"POST", "/invocations/" + n.alpha["invocation"] + "/retry", "", 202}, {"POST", "/sites/alpha/schedules/own-tick/pause", "", 204},
		{"GET", "/accounts/nightshift/env?site_id=site_alpha", "", 200}, {"PATCH", "/accounts/nightshift/env/own_KEY?site_id=alpha", `{"context":"dev","value":"x"}`, 201},
		{"POST", "/sites/alpha/deploys", `{"functions":[]}`, 201}, {"POST", "/deploys/" + n.alpha["id"] + "/lock", "", 409},
		{"PUT", "/sites/alpha/rollback", "", 200}, {"POST", "/deploys/" + n.alpha["id"] + "/lock", "", 200},
	} {
		if got := n.sends(n.secret, tt.method, "/api/v1"+tt.path, tt.body); got.status != tt.want {
			t.Errorf("%s %s = %d %s, want %d", tt.method, tt.path, got.status, got.body, tt.want)
		}
	}
	// A token may be for a site that is not there yet, and make it.
	early := n.token(api.CreateToken{Scopes: []kept.Scope{kept.Deploy}, Sites: []string{"delta"}}).Secret
	if got := n.sends(early, "GET", "/api/v1/sites/delta", ""); got.status != 404 {
		t.Errorf("before it is made = %d", got.status)
	}
	if got := n.sends(early, "POST", "/api/v1/nightshift/sites", `{"name":"delta"}`); got.status != 201 {
		t.Errorf("making it = %d %s", got.status, got.body)
	}
	req := n.request("GET", n.control("/sites/alpha/invocations/"+n.alpha["invocation"]+"/log"), nil)
	req.Header.Set("Authorization", "Bearer "+n.secret)
	if res, err := http.DefaultTransport.RoundTrip(req); err != nil || res.StatusCode != 200 {
		t.Errorf("the log of its own = %v, %v", res, err)
	} else {
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
}
