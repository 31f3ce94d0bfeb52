package session

import (
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/access"
	"github.com/nightshift/nightshift/gateway/internal/tries"
)

const token = "the-token-of-a-test-0123456789"

// newGuard makes a guard. Requests that say so in a header are HTTPS.
func newGuard(t *testing.T, token string) *Guard { return newGuardOf(t, token, nil) }

// newGuardOf makes a guard of an installation that has tokens beside the root one.
func newGuardOf(t *testing.T, setting string, tokens access.Tokens) *Guard {
	log, roots := slog.New(slog.NewTextHandler(t.Output(), nil)), access.Roots(setting)
	return New(Config{
		Access: access.New(access.Config{Roots: roots, Tokens: tokens, Logger: log}), Roots: roots, Logger: log,
		ClientIP: func(r *http.Request) string { return r.Header.Get("Test-IP") },
		HTTPS:    func(r *http.Request) bool { return r.Header.Get("Test-Scheme") == "https" },
	})
}

// console is a small control plane: a page behind the guard, and the sign-in.
func console(g *Guard) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(SignInPath, g.SignIn(func(w http.ResponseWriter, _ *http.Request, f Form) {
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, "form next="+f.Next+" problem="+f.Problem)
	}))
	mux.HandleFunc("POST "+SignOutPath, g.SignOut)
	mux.Handle("/", g.Require(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "inside") })))
	return mux
}

// ask sends a request to http://console.example. Headers are pairs.
func ask(h http.Handler, method, target, body string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, "http://console.example"+target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, res *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// signIn signs in and returns the cookie.
func signIn(t *testing.T, h http.Handler, headers ...string) *http.Cookie {
	t.Helper()
	res := ask(h, "POST", SignInPath, url.Values{"token": {token}}.Encode(), headers...)
	if res.StatusCode != http.StatusSeeOther || len(res.Cookies()) != 1 {
		t.Fatalf("signing in = %s %s with %d cookies, want 303 with one", res.Status, text(t, res), len(res.Cookies()))
	}
	return res.Cookies()[0]
}

func TestCookie(t *testing.T) {
	t.Parallel()
	h := console(newGuard(t, token))
	for _, tt := range []struct {
		scheme, name string
		secure       bool
	}{{"http", "nightshift_session", false}, {"https", "__Host-nightshift_session", true}} {
		c := signIn(t, h, "Test-Scheme", tt.scheme)
		if c.Name != tt.name || c.Secure != tt.secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 12*60*60 {
			t.Errorf("over %s the cookie is %s", tt.scheme, c)
		}
		decoded, err := base64.RawURLEncoding.DecodeString(c.Value)
		if err != nil || strings.Contains(c.Value, token) || strings.Contains(string(decoded), token) {
			t.Errorf("the value %q holds the token, or is no base64 (%v)", c.Value, err)
		}
		if again := signIn(t, h, "Test-Scheme", tt.scheme); again.Value == c.Value {
			t.Errorf("two sessions have the value %s", c.Value)
		}
		if res := ask(h, "GET", "/", "", "Cookie", c.Name+"="+c.Value, "Test-Scheme", tt.scheme); text(t, res) != "inside" {
			t.Errorf("over %s the session does not let in: %s", tt.scheme, res.Status)
		}
	}
}

func TestSessionsThatDoNotLetIn(t *testing.T) {
	t.Parallel()
	g := newGuard(t, token)
	h := console(g)
	good := signIn(t, h).Value
	data, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	minted := func(g *Guard, in time.Duration) string {
		value, err := g.mint(access.Root(0), time.Now().Add(in))
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	flipped := func(i int) string {
		changed := append([]byte(nil), data...)
		changed[i] ^= 1
		return base64.RawURLEncoding.EncodeToString(changed)
	}
	tests := map[string]string{
		"none": "", "words": "let-me-in", "the token": token, "a longer expiry": flipped(7), "another nonce": flipped(8),
		"another signature": flipped(len(data) - 1), "cut": good[:len(good)-4], "grown": good + "AAAA", "padded": good + "=",
		"of another token": minted(newGuard(t, "another token"), time.Hour),
		"ended":            minted(g, -time.Second),
		"unsigned":         base64.RawURLEncoding.EncodeToString(append(data[:textSize:textSize], make([]byte, 32)...)),
		"of another ID":    flipped(expirySize + nonceSize),
	}
	for name, value := range tests {
		res := ask(h, "GET", "/deploys?page=2", "", "Cookie", plainCookie+"="+value)
		if where := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || where != "/sign-in?next=%2Fdeploys%3Fpage%3D2" {
			t.Errorf("%s = %s to %q, want 303 to the sign-in", name, res.Status, where)
		}
	}
	if res := ask(h, "GET", "/", "", "Cookie", plainCookie+"="+good); text(t, res) != "inside" {
		t.Errorf("the good one = %s", res.Status)
	}
	// A neighbour on the same host can set a cookie of that name, for a longer path.
	if res := ask(h, "GET", "/", "", "Cookie", plainCookie+"=x; "+plainCookie+"="+good); text(t, res) != "inside" {
		t.Errorf("the good one behind one that a neighbour set = %s", res.Status)
	}
	if res := ask(h, "GET", "/", "", "Cookie", plainCookie+"="+good, "Test-Scheme", "https"); res.StatusCode != http.StatusSeeOther {
		t.Errorf("over HTTPS a cookie that was given out over HTTP = %s, want 303", res.Status)
	}
	other := console(newGuard(t, token))
	if res := ask(other, "GET", "/", "", "Cookie", plainCookie+"="+good); text(t, res) != "inside" {
		t.Errorf("another gateway with the same token = %s", res.Status)
	}
}

// While the root token is changed there are two. A session is as good as the one
// that it was opened with.
func TestRootTokenIsChanged(t *testing.T) {
	t.Parallel()
	before, during, after := newGuard(t, token), newGuard(t, "the-next-token-0123456789, "+token), newGuard(t, "the-next-token-0123456789")
	inside := func(g *Guard, c *http.Cookie) bool {
		return ask(console(g), "GET", "/", "", "Cookie", c.Name+"="+c.Value).StatusCode == http.StatusOK
	}
	old := signIn(t, console(before))
	oldToo := signIn(t, console(during))
	res := ask(console(during), "POST", SignInPath, url.Values{"token": {"the-next-token-0123456789"}}.Encode())
	if len(res.Cookies()) != 1 {
		t.Fatalf("signing in with the next one = %s", res.Status)
	}
	next := res.Cookies()[0]
	for name, c := range map[string]*http.Cookie{"opened before": old, "opened with the old one": oldToo} {
		if !inside(during, c) || inside(after, c) {
			t.Errorf("a session %s lasts: %t while there are two, %t after", name, inside(during, c), inside(after, c))
		}
	}
	if !inside(during, next) || !inside(after, next) {
		t.Error("a session of the next one does not last")
	}
}

func TestSessionEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := console(newGuard(t, token))
		c := signIn(t, h)
		inside := func() bool {
			return ask(h, "GET", "/", "", "Cookie", c.Name+"="+c.Value).StatusCode == http.StatusOK
		}
		time.Sleep(Lifetime - time.Second)
		if !inside() {
			t.Error("a session has ended before its time")
		}
		time.Sleep(time.Second)
		if inside() {
			t.Error("a session is good for longer than its lifetime")
		}
	})
}

func TestSignOut(t *testing.T) {
	t.Parallel()
	h := console(newGuard(t, token))
	res := ask(h, "POST", SignOutPath, "")
	if c := res.Cookies(); res.StatusCode != http.StatusSeeOther || len(c) != 1 || c[0].MaxAge >= 0 || c[0].Value != "" || c[0].Name != plainCookie {
		t.Errorf("signing out = %s with %v, want 303 and an ended cookie", res.Status, c)
	}
	if res := ask(h, "GET", SignOutPath, ""); len(res.Cookies()) != 0 {
		t.Errorf("a link signs out: %s", res.Status)
	}
}

func TestSignInRefuses(t *testing.T) {
	t.Parallel()
	h := console(newGuard(t, token))
	for _, guess := range []string{"", "wrong", token + "x", token[:len(token)-1], strings.ToUpper(token)} {
		res := ask(h, "POST", SignInPath, url.Values{"token": {guess}, "next": {"/workers"}}.Encode())
		if body := text(t, res); res.StatusCode != http.StatusUnauthorized || len(res.Cookies()) != 0 || !strings.Contains(body, "next=/workers problem=That is not the token") {
			t.Errorf("with %q = %s %s", guess, res.Status, body)
		}
	}
	if res := ask(h, "POST", SignInPath, "token="+strings.Repeat("x", maxForm)); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("a huge form = %s, want 401", res.Status)
	}
	if res := ask(h, "PUT", SignInPath, ""); res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("PUT = %s, want 405", res.Status)
	}
}

func TestTriesAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := console(newGuard(t, token))
		try := func(ip, guess string) *http.Response {
			return ask(h, "POST", SignInPath, "token="+guess, "Test-IP", ip)
		}
		for i := range tries.First {
			if res := try("192.0.2.1", "wrong"); res.StatusCode != http.StatusUnauthorized {
				t.Fatalf("try %d = %s", i+1, res.Status)
			}
		}
		res := try("192.0.2.1", token)
		if res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") != "10" || len(res.Cookies()) != 0 {
			t.Errorf("the next try, with the right token = %s after %q, want 429 after 10", res.Status, res.Header.Get("Retry-After"))
		}
		if res := try("192.0.2.2", token); res.StatusCode != http.StatusSeeOther {
			t.Errorf("somebody else = %s", res.Status)
		}
		time.Sleep(tries.Next)
		if res := try("192.0.2.1", token); res.StatusCode != http.StatusSeeOther {
			t.Errorf("later = %s", res.Status)
		}
		if res := try("192.0.2.1", "wrong"); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("after a sign-in tries are counted on: %s", res.Status)
		}
		for i := range tries.First { // addresses of one network
			try("2001:db8::"+string(rune('a'+i%6))+":"+string(rune('1'+i%9)), "wrong")
		}
		if res := try("2001:db8::ffff", token); res.StatusCode != http.StatusTooManyRequests {
			t.Errorf("another address of the same IPv6 network = %s, want 429", res.Status)
		}
	})
}

func TestNextStaysHere(t *testing.T) {
	t.Parallel()
	h := console(newGuard(t, token))
	tests := map[string]string{
		"":                                 "/",
		"/":                                "/",
		"/sites/shop/functions":            "/sites/shop/functions",
		"/invocations?state=dead&q=%2F":    "/invocations?state=dead&q=%2F",
		"//evil.example":                   "/",
		"///evil.example":                  "/",
		"/\\evil.example":                  "/",
		"\\\\evil.example":                 "/",
		"/\t/evil.example":                 "/",
		"/\n/evil.example":                 "/",
		"https://evil.example/":            "/",
		"javascript:alert(1)":              "/",
		"evil.example":                     "/",
		"/%2f%2fevil.example":              "/",
		"/sign-in?next=/":                  "/",
		"/sign-out":                        "/",
		"/" + strings.Repeat("x", maxNext): "/",
		"/%zz":                             "/",
	}
	for next, want := range tests {
		res := ask(h, "POST", SignInPath, url.Values{"token": {token}, "next": {next}}.Encode())
		if got := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || got != want {
			t.Errorf("signing in for %q leads to %q, want %q", next, got, want)
		}
		if res := ask(h, "GET", SignInPath+"?"+url.Values{"next": {next}}.Encode(), ""); !strings.Contains(text(t, res), "next="+want+" ") {
			t.Errorf("the form for %q does not lead to %q", next, want)
		}
	}
	c := signIn(t, h)
	if res := ask(h, "GET", SignInPath+"?next=//evil.example", "", "Cookie", c.Name+"="+c.Value); res.Header.Get("Location") != "/" {
		t.Errorf("who has signed in is led to %q", res.Header.Get("Location"))
	}
}

func TestOtherOrigins(t *testing.T) {
	t.Parallel()
	for _, open := range []bool{false, true} {
		secret := token
		if open {
			secret = ""
		}
		h := console(newGuard(t, secret))
		var cookie []string
		if !open {
			c := signIn(t, h)
			cookie = []string{"Cookie", c.Name + "=" + c.Value}
		}
		tests := []struct {
			name, method string
			headers      []string
			status       int
		}{
			{"our own form", "POST", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://console.example"}, 200},
			{"an old browser's own form", "POST", []string{"Origin", "http://console.example"}, 200},
			{"a program", "POST", nil, 200},
			{"a form elsewhere", "POST", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
			{"a form on a neighbouring name or port", "POST", []string{"Sec-Fetch-Site", "same-site", "Origin", "http://console.example:8888"}, 403},
			{"an old browser's form elsewhere", "POST", []string{"Origin", "http://evil.example"}, 403},
			{"another port, old browser", "POST", []string{"Origin", "http://console.example:8888"}, 403},
			{"a sandboxed form", "POST", []string{"Origin", "null"}, 403},
			{"DELETE elsewhere", "DELETE", []string{"Sec-Fetch-Site", "cross-site"}, 403},
			{"a link elsewhere", "GET", []string{"Sec-Fetch-Site", "cross-site"}, 200},
		}
		for _, tt := range tests {
			if res := ask(h, tt.method, "/", "", append(tt.headers, cookie...)...); res.StatusCode != tt.status {
				t.Errorf("open %v: %s = %s, want %d", open, tt.name, res.Status, tt.status)
			}
		}
	}
	h := console(newGuard(t, token))
	for _, path := range []string{SignInPath, SignOutPath} {
		if res := ask(h, "POST", path, "token="+token, "Sec-Fetch-Site", "cross-site"); res.StatusCode != http.StatusForbidden || len(res.Cookies()) != 0 {
			t.Errorf("POST %s from elsewhere = %s with %v, want 403", path, res.Status, res.Cookies())
		}
	}
}

func TestWhoIsSentToSignIn(t *testing.T) {
	t.Parallel()
	h := console(newGuard(t, token))
	tests := []struct {
		name, method string
		headers      []string
		status       int
		location     string
	}{
		{"a page", "GET", []string{"Sec-Fetch-Mode", "navigate"}, 303, "/sign-in?next=%2Fqueues%2F%3Fq%3D1"},
		{"a script of a page", "GET", []string{"Sec-Fetch-Mode", "cors"}, 401, ""},
		{"a form", "POST", []string{"Referer", "http://console.example/deploys"}, 303, "/sign-in?next=%2Fdeploys"},
		{"a form without a referrer", "POST", nil, 303, "/sign-in"},
		{"a form with a referrer elsewhere", "POST", []string{"Referer", "http://evil.example/deploys"}, 303, "/sign-in"},
		{"a program", "GET", []string{"Authorization", "Bearer " + token, "Sec-Fetch-Mode", "cors"}, 200, ""},
		{"a program with another token", "GET", []string{"Authorization", "Bearer x", "Sec-Fetch-Mode", "cors"}, 401, ""},
	}
	for _, tt := range tests {
		res := ask(h, tt.method, "/queues/?q=1", "", tt.headers...)
		if res.StatusCode != tt.status || res.Header.Get("Location") != tt.location {
			t.Errorf("%s = %s to %q, want %d to %q", tt.name, res.Status, res.Header.Get("Location"), tt.status, tt.location)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	h := console(newGuard(t, ""))
	if res := ask(h, "GET", "/", ""); text(t, res) != "inside" {
		t.Errorf("without a token the page = %s", res.Status)
	}
	if res := ask(h, "GET", SignInPath+"?next=/workers", ""); res.Header.Get("Location") != "/workers" {
		t.Errorf("without a token the form = %s, want a way on", res.Status)
	}
}

func TestHide(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"a=1":                                         "a=1",
		"a=1; nightshift_session=x; b=2":              "a=1; b=2",
		"__Host-nightshift_session=x;a=1":             "a=1",
		"nightshift_session=x":                        "",
		"b=nightshift_session":                        "b=nightshift_session",
		"nightshift_session; my_nightshift_session=1": "my_nightshift_session=1",
	}
	for cookies, want := range tests {
		h := http.Header{"Cookie": {cookies}}
		Hide(h)
		if got := h.Get("Cookie"); got != want {
			t.Errorf("of %q is left %q, want %q", cookies, got, want)
		}
		if _, there := h["Cookie"]; there != (want != "") {
			t.Errorf("of %q is left an empty header", cookies)
		}
	}
}
