package gateway_test

import (
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/schedule"
	"github.com/nightshift/nightshift/shared/store"
)

// visitor is somebody with a browser in front of the console.
type visitor struct {
	*bundle
	client *http.Client
}

// text is what stands on the page, without what stands on all.
func (p page) text() string {
	_, body, _ := strings.Cut(p.body, "<main")
	return regexp.MustCompile(`\s+`).ReplaceAllString(body, " ")
}

// visit opens the console without a session.
func (b *bundle) visit() *visitor {
	b.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return &visitor{b, &http.Client{Transport: b.http.Transport, Jar: jar}}
}

// signedIn opens the console and signs in.
func (b *bundle) signedIn() *visitor {
	b.t.Helper()
	v := b.visit()
	v.send("/sign-in", url.Values{"token": {token}})
	return v
}

// page is a page that a visitor has come to, redirects followed.
type page struct {
	answer
	path string // with its query
}

func (v *visitor) do(req *http.Request) page {
	v.t.Helper()
	bundle := *v.bundle
	bundle.http = v.client
	req.Header.Set("Sec-Fetch-Mode", "navigate")
	last := req
	v.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error { last = r; return nil }
	return page{bundle.do(req), last.URL.RequestURI()}
}

// open loads a page.
func (v *visitor) open(path string) page {
	v.t.Helper()
	return v.do(v.request("GET", v.control(path), nil))
}

// send posts a form as one of the console's own pages does.
func (v *visitor) send(path string, fields url.Values, from ...string) page {
	v.t.Helper()
	req := v.request("POST", v.control(path), strings.NewReader(fields.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, page := range from {
		req.Header.Set("Referer", v.control(page))
	}
	return v.do(req)
}

var (
	formTag  = regexp.MustCompile(`(?s)<form[^>]*method="post"[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	inputTag = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// press sends the form of a page that goes to a path, with its hidden fields.
func (v *visitor) press(p page, action string, more ...string) page {
	v.t.Helper()
	for _, form := range formTag.FindAllStringSubmatch(p.body, -1) {
		if path, _, _ := strings.Cut(html.UnescapeString(form[1]), "#"); path != action {
			continue
		}
		fields := url.Values{}
		for _, input := range inputTag.FindAllStringSubmatch(form[2], -1) {
			fields.Set(html.UnescapeString(input[1]), html.UnescapeString(input[2]))
		}
		for i := 0; i < len(more); i += 2 {
			fields.Set(more[i], more[i+1])
		}
		return v.send(action, fields, p.path)
	}
	v.t.Fatalf("the page %s has no form to %s:\n%s", p.path, action, p.body)
	return page{}
}

// shows fails unless a page has a status and holds all texts.
func (v *visitor) shows(p page, status int, texts ...string) {
	v.t.Helper()
	if p.status != status {
		v.t.Errorf("%s = %d, want %d\n%s", p.path, p.status, status, p.text())
	}
	body := html.UnescapeString(p.body)
	for _, text := range texts {
		if !strings.Contains(body, text) {
			v.t.Errorf("%s does not show %q:\n%s", p.path, text, p.text())
		}
	}
}

func TestConsoleNeedsSession(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("shop", job)
	v := b.visit()
	for _, path := range []string{"/", "/sites/shop", "/sites/shop/invocations?state=dead", "/workers", "/sites/nope", "/nowhere"} {
		p := v.open(path)
		v.shows(p, 200, "Sign in", `name="token"`)
		if want := "/sign-in?" + (url.Values{"next": {path}}).Encode(); path != "/" && p.path != want {
			t.Errorf("%s without a session leads to %s, want %s", path, p.path, want)
		}
		if strings.Contains(p.body, "/sites/shop/functions") {
			t.Errorf("%s tells what there is to somebody who has not signed in", path)
		}
	}
	if got := b.get(b.control("/sites/shop/invocations/01M806MVKXM72EWXY9R4RTBS7M/log")); !strings.Contains(got.body, `name="token"`) {
		t.Errorf("a log without a session = %d %s", got.status, got.body)
	}
	v.shows(v.send("/sites/shop/rollback", nil), 200, `name="token"`)
	v.shows(v.send("/sign-in", url.Values{"token": {"wrong"}, "next": {"/workers"}}), 401, "That is not the token of this installation", `value="/workers"`)
	p := v.send("/sign-in", url.Values{"token": {token}, "next": {"/sites/shop/invocations?state=dead"}})
	v.shows(p, 200, "Invocations")
	if p.path != "/sites/shop/invocations?state=dead" {
		t.Errorf("the sign-in leads to %s", p.path)
	}
	v.press(p, "/sign-out")
	v.shows(v.open("/sites/shop"), 200, `name="token"`)
}

func TestConsoleInDev(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *gateway.Config) { c.Dev, c.Token = true, "" })
	v := b.visit()
	if _, err := b.api.Sites(t.Context()); err != nil { // makes the default one
		t.Fatal(err)
	}
	p := v.open("/")
	v.shows(p, 200, "Overview")
	if strings.Contains(p.body, "Sign out") {
		t.Error("there is a way out where nobody signed in")
	}
	req := b.request("GET", b.control("/"), nil)
	req.Host = "evil.example"
	if got := b.do(req); got.status != 403 {
		t.Errorf("by another name = %d", got.status)
	}
}

func TestConsoleIsOneOrigin(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("shop", job)
	b.deploy("shop", job)
	v := b.signedIn()
	req := b.request("POST", b.control("/sites/shop/rollback"), nil)
	req.Header.Set("Sec-Fetch-Site", "same-site") // a function's page on another port
	if got := v.do(req); got.status != 403 {
		t.Errorf("a form of another origin = %d", got.status)
	}
	p := v.open("/sites/shop")
	policy := p.header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy %q lacks %s", policy, part)
		}
	}
	if p.header.Get("X-Content-Type-Options") != "nosniff" || p.header.Get("Cache-Control") != "no-store" || p.header.Get("Referrer-Policy") != "same-origin" {
		t.Errorf("headers = %v", p.header)
	}
	for _, inline := range []string{" style=", " onclick=", "<script>", "<style"} {
		if strings.Contains(p.body, inline) {
			t.Errorf("the page has %q, which its policy forbids", inline)
		}
	}
	for _, asset := range regexp.MustCompile(`/assets/[^"]+`).FindAllString(p.body, -1) {
		got := b.get(b.control(asset))
		if got.status != 200 || !strings.Contains(got.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s = %d with %v", asset, got.status, got.header)
		}
	}
	if got := b.get(b.control("/assets/nope.css")); got.status != 404 {
		t.Errorf("an asset that is not there = %d", got.status)
	}
}

func TestConsoleLeavesTheAPI(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	v := b.signedIn()
	for _, path := range []string{"/api/v1/workers", "/api/v1/nope", "/metrics"} {
		if got := v.open(path); got.status != 401 {
			t.Errorf("%s with a session and no token = %d: only the console takes sessions", path, got.status)
		}
	}
	for _, path := range []string{"/api/v2/sites", "/team/x", "/site/x/y"} {
		got := b.get(b.control(path))
		if e := decode[api.Error](t, got.body); got.status != 404 || e.Kind != "not_found" {
			t.Errorf("%s = %d %s, want 404 as programs read it", path, got.status, got.body)
		}
	}
	if got := b.get(b.control("/healthz")); got.status != 200 {
		t.Errorf("/healthz = %d", got.status)
	}
	v.shows(v.open("/nowhere/at/all"), 404, "Not found", "There is no page at /nowhere/at/all", "All sites")
	v.shows(v.open("/sites/nope/deploys"), 404, "Not found")
	v.shows(v.open("/sites/NO%22%3E<i>"), 404, "Not found")
}

func TestConsoleHidesItsCookies(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	id := idOf(b.ask("Cookie: a=1; nightshift_session=secret; b=2"))
	raw, err := b.store.Event(t.Context(), id)
	if err != nil || strings.Contains(string(raw), "secret") || !strings.Contains(string(raw), "a=1; b=2") {
		t.Errorf("the function is given %s, %v", raw, err)
	}
}

func TestConsoleOverview(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	v := b.signedIn()
	b.deploy("default", job, ticker)
	v.shows(v.open("/sites/default"), 200, "None that is kept", "nothing runs", "0 accepted")
	b.dead(2)
	b.finish(function.Background, idOf(b.ask()), good)
	b.ask()
	if err := b.store.Heartbeat(t.Context(), store.Worker{ID: "w1", Addr: "192.0.2.1:1", Capacity: 16, Busy: 3, Concurrency: 8}, time.Minute); err != nil {
		t.Fatal(err)
	}
	p := v.open("/")
	v.shows(p, 200, "4 accepted", "1 succeeded", "2 failed or dead", "3 of 16 processes busy", "job-background", "oldest", "/sites/default/schedules/tick")
	if p.path != "/sites/default" {
		t.Errorf("an installation with one site opens at %s", p.path)
	}
	b.deploy("shop", job)
	v.shows(v.open("/"), 200, "/sites/default", "/sites/shop", "Sites")
	v.shows(v.open("/sites/shop"), 200, "0 accepted", `href="/sites/default"`)
	v.shows(v.open("/workers"), 200, "192.0.2.1:1", "3 of 16")
}

func TestConsoleFunctions(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	v := b.signedIn()
	v.shows(v.open("/sites/default/functions"), 200, "Nothing is published")
	b.deploy("default", job, ticker, function.Function{Name: "page", Paths: []string{"/hello/:name"}})
	b.dead(1)
	for range 3 {
		b.finish(function.Background, idOf(b.ask()), good)
	}
	v.shows(v.open("/sites/default/functions"), 200, "/hello/:name", "* * * * *", "Europe/Berlin", "25.0%", `data-label="Runs" class="n">4<`, "/.netlify/functions/job-background")
}

func TestConsoleInvocations(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	d := b.deploy("default", job, ticker)
	v := b.signedIn()
	v.shows(v.open("/sites/default/invocations"), 200, "No invocation here")
	dead := b.dead(2)
	queued := idOf(b.ask())
	v.shows(v.open("/sites/default/invocations"), 200, dead[0], dead[1], queued, `All <span class="count">3<`)
	p := v.open("/sites/default/invocations?state=dead&function=job-background&deploy=" + d.ID + "&from=2020-01-31T08:00&to=2099-01-31T08:00")
	v.shows(p, 200, dead[0], dead[1], `value="2020-01-31T08:00"`)
	if strings.Contains(p.body, queued) {
		t.Error("the filter lets a queued one through")
	}
	for query, text := range map[string]string{
		"from=yesterday":                         "From is \"yesterday\"",
		"state=lost":                             "there is no state",
		"cursor=x":                               "is not a cursor",
		"from=2030-01-01T00:00&to=2020-01-01T00": "To is",
		"from=2030-01-01&to=2020-01-01":          "From must be before to",
	} {
		v.shows(v.open("/sites/default/invocations?"+query), 400, text)
	}
	v.shows(v.open("/sites/default/invocations?id=01M806MVKXM72EWXY9R4RTBS7M"), 404, "01M806MVKXM72EWXY9R4RTBS7M")
	if p := v.open("/sites/default/invocations?id=+" + strings.ToLower(queued) + "+"); p.path != "/sites/default/invocations/"+queued {
		t.Errorf("the search leads to %s", p.path)
	}
	v.shows(v.open("/sites/default/invocations?function=%3Cscript%3Ealert(1)"), 200, "No invocation here")
}

func TestConsolePages(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	var made []string
	for range 120 { // three pages
		made = append(made, idOf(b.ask()))
	}
	v := b.signedIn()
	var seen []string
	listed := regexp.MustCompile(`invocations/([0-9A-Z]{26})"`)
	link := func(p page, rel string) string {
		found := regexp.MustCompile(`href="([^"]*)" rel="` + rel + `"`).FindStringSubmatch(p.body)
		if found == nil {
			return ""
		}
		return html.UnescapeString(found[1])
	}
	var trail []string
	path := "/sites/default/invocations?function=job-background"
	for path != "" && len(trail) < 10 {
		p := v.open(path)
		trail = append(trail, path)
		for _, m := range listed.FindAllStringSubmatch(p.body, -1) {
			seen = append(seen, m[1])
		}
		path = link(p, "next")
	}
	slices.Sort(seen)
	slices.Sort(made)
	if !slices.Equal(seen, made) || len(trail) != 3 {
		t.Errorf("%d pages list %d invocations, want 3 with each of the %d once", len(trail), len(seen), len(made))
	}
	if newer := link(v.open(trail[2]), "prev"); newer != trail[1] {
		t.Errorf("newer than the third page is %s, want %s", newer, trail[1])
	}
	if newer := link(v.open(trail[1]), "prev"); newer != trail[0] {
		t.Errorf("newer than the second page is %s, want %s", newer, trail[0])
	}
}

func TestConsoleInvocation(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	v := b.signedIn()
	req := b.request("POST", "/.netlify/functions/job-background?x=1", strings.NewReader(`{"to":"<b>a@example.com</b>"}`))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer of-the-caller")
	id := idOf(b.do(req))
	path := "/sites/default/invocations/" + id
	p := v.open(path)
	v.shows(p, 200, "None has begun yet", "queued", "?x=1", `"to": "<b>a@example.com</b>"`, "(hidden, 20 characters)", "Load the page again", path+"/cancel")
	if strings.Contains(p.body, "<b>a@") || strings.Contains(p.body, "of-the-caller") {
		t.Error("the page has what must be escaped, or hidden")
	}
	if strings.Contains(p.body, path+"/retry") || strings.Contains(p.body, path+"/replay") {
		t.Error("one that is queued can be retried or replayed")
	}
	begun, err := b.store.Begin(t.Context(), function.Background, id, "worker-7")
	if err != nil {
		t.Fatal(err)
	}
	src := store.LogSource{Site: "default", Deploy: begun.Invocation.Deploy, Function: job.Name, Kind: function.Background, Invocation: id}
	lines := []invocation.LogLine{{Time: time.Now(), Attempt: 1, Stream: "stdout", Text: "hello <world>"}, {Time: time.Now(), Attempt: 1, Stream: "stderr", Text: "oh no"}}
	if err := b.store.AppendLog(t.Context(), src, lines); err != nil {
		t.Fatal(err)
	}
	v.shows(v.open(path), 200, "running", "worker-7", "hello <world>", `class="stderr"`, "data-log=")
	if got := v.open(path + "/log"); got.status != 200 || !strings.Contains(got.body, "oh no") || !strings.HasPrefix(got.header.Get("Content-Type"), "text/plain") {
		t.Errorf("the log = %d %v %s", got.status, got.header, got.body)
	}
	end := store.End{Outcome: invocation.Error, Failure: &invocation.Failure{Type: "TypeError", Message: "x is not a function", Stack: "at handler (index.mjs:3)"}, Verdict: invocation.Verdict{State: invocation.Dead}}
	if err := b.store.Finish(t.Context(), function.Background, id, 1, end); err != nil {
		t.Fatal(err)
	}
	v.shows(v.open(path), 200, "dead", "TypeError", "x is not a function", "at handler", path+"/retry", path+"/replay", "1 · error")
	v.shows(v.open("/sites/other/invocations/"+id), 404, "has no invocation")
	v.shows(v.open("/sites/default/invocations/nonsense"), 404, "Not found")
}

func TestConsoleFollowsLog(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	v := b.signedIn()
	id := idOf(b.ask())
	begun, err := b.store.Begin(t.Context(), function.Background, id, "w1")
	if err != nil {
		t.Fatal(err)
	}
	src := store.LogSource{Site: "default", Deploy: begun.Invocation.Deploy, Function: job.Name, Kind: function.Background, Invocation: id}
	for _, text := range []string{"before", "after"} {
		if err := b.store.AppendLog(t.Context(), src, []invocation.LogLine{{Time: time.Now(), Attempt: 1, Stream: "stdout", Text: text}}); err != nil {
			t.Fatal(err)
		}
	}
	lines, err := b.store.Log(t.Context(), id, "", 1)
	if err != nil || len(lines) != 1 {
		t.Fatal(lines, err)
	}
	if err := b.store.Finish(t.Context(), function.Background, id, 1, store.End{Outcome: invocation.OK, Verdict: invocation.Verdict{State: invocation.Succeeded}}); err != nil {
		t.Fatal(err)
	}
	req := b.request("GET", b.control("/sites/default/invocations/"+id+"/log?after="+lines[0].Cursor), nil)
	req.Header.Set("Accept", "text/event-stream")
	got := v.do(req)
	if got.status != 200 || strings.Contains(got.body, "before") || !strings.Contains(got.body, `"text":"after"`) || !strings.Contains(got.body, "event: end\ndata: {\"state\":\"succeeded\"}") {
		t.Errorf("the stream after the first line = %d %s", got.status, got.body)
	}
}

func TestConsoleCancel(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	v := b.signedIn()
	id := idOf(b.ask())
	path := "/sites/default/invocations/" + id
	ask := v.open(path + "/cancel")
	v.shows(ask, 200, "Cancel this invocation?", id)
	if inv, err := b.api.Invocation(t.Context(), id); err != nil || inv.State != invocation.Queued {
		t.Fatalf("asking has changed it: %v, %v", inv.State, err)
	}
	v.shows(v.press(ask, path+"/cancel"), 200, "Cancelled.", "cancelled")
	if inv, err := b.api.Invocation(t.Context(), id); err != nil || inv.State != invocation.Cancelled {
		t.Errorf("it is %v, %v", inv.State, err)
	}
	v.shows(v.open(path+"/cancel"), 409, "cancelled already")
	v.shows(v.press(ask, path+"/cancel"), 409, "Not possible now", "Back")
}

func TestConsoleRetryAndReplay(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	v := b.signedIn()
	ids := b.dead(1)
	path := "/sites/default/invocations/" + ids[0]
	dead := v.open(path)
	first := v.press(dead, path+"/replay")
	v.shows(first, 200, "This is the replay of "+ids[0], "Replay of")
	again := v.press(dead, path+"/replay") // pressed twice
	if first.path != again.path {
		t.Errorf("a form that is sent twice makes %s and %s", first.path, again.path)
	}
	list, err := b.api.Invocations(t.Context(), "default", client.InvocationQuery{})
	if err != nil || len(list.Invocations) != 2 || list.Invocations[0].ReplayOf != ids[0] {
		t.Errorf("invocations = %+v, %v", list.Invocations, err)
	}
	v.shows(v.open(first.path), 200, "queued")
	if p := v.open(first.path); strings.Contains(p.body, "This is the replay of") {
		t.Error("what a form has done is said again when the page is loaded again")
	}
	v.shows(v.press(dead, path+"/retry"), 200, "Queued again")
	v.shows(v.press(dead, path+"/retry"), 409, "it is queued")
	v.shows(v.send(path+"/replay", nil), 400, "load the page again")
}

func TestConsoleReplaysTheDead(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	v := b.signedIn()
	v.shows(v.open("/sites/default/dead"), 200, "None is dead")
	v.shows(v.open("/sites/default/dead/replay"), 200, "nothing to replay")
	ids := b.dead(3)
	slices.Sort(ids) // those of one millisecond stand in this order
	v.shows(v.open("/sites/default/dead"), 200, ids[0], ids[2], "Replay all that match")
	ask := v.open("/sites/default/dead/replay?function=job-background")
	v.shows(ask, 200, "Replay 3 dead invocations?", "Oldest", "Newest")
	later := b.dead(1)[0] // dies while somebody looks at the number
	v.shows(v.press(ask, "/sites/default/dead/replay"), 200, "3 invocations are replayed.")
	v.press(ask, "/sites/default/dead/replay")
	list, err := b.api.Invocations(t.Context(), "default", client.InvocationQuery{State: invocation.Queued})
	if err != nil || len(list.Invocations) != 3 {
		t.Fatalf("replays = %+v, %v; want 3", list.Invocations, err)
	}
	var of []string
	for _, inv := range list.Invocations {
		of = append(of, inv.ReplayOf)
	}
	slices.Sort(of)
	if !slices.Equal(of, ids) || slices.Contains(of, later) {
		t.Errorf("replays of %v, want of %v", of, ids)
	}
}

func TestConsoleDeploys(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	v := b.signedIn()
	v.shows(v.open("/sites/default/deploys"), 200, "No deploys")
	one := b.deploy("default", job)
	v.shows(v.open("/sites/default/rollback"), 409, "Nothing was published")
	two := b.deploy("default", job, ticker)
	v.shows(v.open("/sites/default/deploys"), 200, one.ID, two.ID, "Roll back", two.Links.Permalink, "published")
	ask := v.open("/sites/default/rollback")
	v.shows(ask, 200, "Roll back default?", one.ID, two.ID)
	published := func() string {
		site, err := b.store.Site(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		return site.Published
	}
	if published() != two.ID {
		t.Fatal("asking has rolled back")
	}
	v.shows(v.press(ask, "/sites/default/rollback"), 200, "Rolled back: "+one.ID+" is published.")
	if published() != one.ID {
		t.Errorf("published is %s, want %s", published(), one.ID)
	}
	v.shows(v.press(ask, "/sites/default/rollback"), 409, "Something else was published")
	ask = v.open("/sites/default/deploys/" + two.ID + "/publish")
	v.shows(v.press(ask, "/sites/default/deploys/"+two.ID+"/publish"), 200, "Published: callers get "+two.ID)
	if published() != two.ID {
		t.Errorf("published is %s, want %s", published(), two.ID)
	}
	locked := v.press(v.open("/sites/default/deploys"), "/sites/default/deploys/"+two.ID+"/lock")
	v.shows(locked, 200, "Locked:", "Unlock")
	if strings.Contains(locked.body, "/rollback") || strings.Contains(locked.body, one.ID+"/publish") {
		t.Error("a locked site can be moved")
	}
	v.shows(v.open("/sites/default/rollback"), 409, "locked")
	v.shows(v.press(locked, "/sites/default/deploys/"+two.ID+"/unlock"), 200, "Unlocked:")
	v.shows(v.open("/sites/other/deploys/"+two.ID+"/publish"), 404, "has no deploy")
	v.shows(v.open("/sites/default/deploys?page=0"), 400, "it must be 1 to")
}

func TestConsoleSchedules(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	v := b.signedIn()
	ctx := t.Context()
	b.deploy("default", job)
	v.shows(v.open("/sites/default/schedules"), 200, "No schedules")
	b.deploy("default", job, ticker)
	path := "/sites/default/schedules/tick"
	s, err := schedule.ParseFor("default", ticker.Name, ticker.Schedule, ticker.Timezone)
	if err != nil {
		t.Fatal(err)
	}
	term, err := b.store.BeginTerm(ctx)
	if err != nil {
		t.Fatal(err)
	}
	key := schedule.Key("default", "tick", s)
	at, err := b.store.MoveCursors(ctx, term, []string{key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := s.Next(at[key])
	last, _ := s.Next(first)
	if err := b.store.Skip(ctx, term, store.Skipping{Key: key, After: at[key], From: first, To: last, Count: 2, Reason: store.SkipMissed}); err != nil {
		t.Fatal(err)
	}
	v.shows(v.open("/sites/default/schedules"), 200, "tick", "* * * * *", "Europe/Berlin", "skipped")
	p := v.open(path)
	v.shows(p, 200, "Next 10 fire times", "Europe/Berlin", "missed", "2 ticks", "and 1 before")
	if n := strings.Count(p.body, `data-label="From now"`); n != 10 {
		t.Errorf("%d fire times, want 10", n)
	}
	v.shows(v.press(p, path+"/pause"), 200, "Paused.", "paused", "by 127.0.0.1")
	if list, err := b.api.Schedules(ctx, "default"); err != nil || list[0].PausedSince == nil {
		t.Errorf("schedules = %+v, %v", list, err)
	}
	v.shows(v.press(v.open(path), path+"/resume"), 200, "Resumed.")
	made := v.press(p, path+"/trigger")
	v.shows(made, 200, "Triggered.", "scheduled")
	if again := v.press(p, path+"/trigger"); again.path != made.path {
		t.Errorf("pressed twice it makes %s and %s", made.path, again.path)
	}
	v.shows(v.press(p, path+"/backfill", "from", "2026-01-01T00:00", "to", "2026-01-01T00:03"), 200, "3 invocations were made.")
	v.shows(v.press(p, path+"/backfill", "from", "2026-01-01T00:00", "to", "2020-01-01T00:03"), 400, "from must be before to", `value="2026-01-01T00:00"`)
	v.shows(v.press(p, path+"/backfill", "from", "2026-01-01T00:00"), 400, "Both ends")
	v.shows(v.press(p, path+"/backfill", "from", "soon", "to", "later"), 400, `From is "soon"`)
	list, err := b.api.Invocations(ctx, "default", client.InvocationQuery{Function: "tick"})
	if err != nil || len(list.Invocations) != 4 {
		t.Errorf("%d invocations, %v; want 4", len(list.Invocations), err)
	}
	v.shows(v.open("/sites/default/schedules/job-background"), 409, "has no schedule")
	v.shows(v.open("/sites/default/schedules/nope"), 404, "has no function")
}

func TestConsoleCallbacks(t *testing.T) {
	t.Parallel()
	b := setup(t, callbacksOn)
	b.deploy("default", job)
	v := b.signedIn()
	v.shows(v.open("/sites/default/callbacks"), 200, "None was given up")
	id := b.deadCallbacks(1)[0]
	p := v.open("/sites/default/callbacks")
	v.shows(p, 200, id, callbackURL, gone)
	v.shows(v.press(p, "/sites/default/invocations/"+id+"/callback"), 200, "The callback is made again now")
	if inv, err := b.api.Invocation(t.Context(), id); err != nil || inv.Callback == nil || inv.Callback.State != invocation.CallbackPending {
		t.Errorf("callback = %+v, %v", inv.Callback, err)
	}
	v.shows(v.press(p, "/sites/default/invocations/"+id+"/callback"), 409, "Not possible now")
}

func TestConsoleWithoutRedis(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	v := b.signedIn()
	b.server.Stop()
	p := v.open("/sites/default")
	v.shows(p, 503, "Not available now", "Nothing is lost")
	if p.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("the error is %s", p.header.Get("Content-Type"))
	}
}
