package session

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Form is what the page with the form has to show. It posts "token" and "next"
// to SignInPath.
type Form struct {
	Status  int    // of the answer
	Next    string // the path that was asked for
	Problem string // why the last try did not succeed; empty at the first one
}

// maxForm bounds the body of a sign-in, in bytes.
const maxForm = 16 << 10

// SignIn is the handler of SignInPath. page shows the form. With a right token
// it leads on to ?next=, if that is a path of ours.
func (g *Guard) SignIn(page func(http.ResponseWriter, *http.Request, Form)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			next := safeNext(r.URL.Query().Get("next"))
			if g.Open() || g.valid(r) {
				http.Redirect(w, r, next, http.StatusSeeOther)
				return
			}
			page(w, r, Form{Status: http.StatusOK, Next: next})
		case http.MethodPost:
			g.signIn(w, r, page)
		default:
			w.Header().Set("Allow", "GET, HEAD, POST")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		}
	})
}

func (g *Guard) signIn(w http.ResponseWriter, r *http.Request, page func(http.ResponseWriter, *http.Request, Form)) {
	if !g.own(w, r) {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	form, ip := Form{Next: safeNext(r.PostFormValue("next"))}, g.cfg.ClientIP(r)
	// Counted before it is compared: whoever is over the limit learns nothing,
	// also not that a guess was right.
	if wait := g.tries.wait(ip); wait > 0 {
		g.log.Warn("sign-in put off after too many tries", "from", ip)
		seconds := int((wait + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		form.Status, form.Problem = http.StatusTooManyRequests, "Too many tries. Wait "+strconv.Itoa(seconds)+" s and try again."
		page(w, r, form)
		return
	}
	if !g.isToken(r.PostFormValue("token")) && !g.Open() {
		g.log.Warn("sign-in refused", "from", ip)
		form.Status, form.Problem = http.StatusUnauthorized, "That is not the token of this installation. It is what the gateway was started with as NIGHTSHIFT_TOKEN."
		page(w, r, form)
		return
	}
	g.tries.forget(ip)
	g.log.Info("signed in", "from", ip)
	http.SetCookie(w, g.cookie(r, g.mint(time.Now().Add(Lifetime)), Lifetime))
	http.Redirect(w, r, form.Next, http.StatusSeeOther)
}

// SignOut is the handler of POST SignOutPath.
func (g *Guard) SignOut(w http.ResponseWriter, r *http.Request) {
	if !g.own(w, r) {
		return
	}
	g.log.Info("signed out", "from", g.cfg.ClientIP(r))
	w.Header().Set("Cache-Control", "no-store")
	http.SetCookie(w, g.cookie(r, "", -time.Second))
	http.Redirect(w, r, SignInPath, http.StatusSeeOther)
}

// signInFor is where somebody signs in who asked for something, and comes back
// from to it; to the page of a form, if it was to change something.
func signInFor(r *http.Request) string {
	next := r.URL.RequestURI()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		next = "/"
		if from, err := url.Parse(r.Referer()); err == nil && from.Host == r.Host {
			next = from.RequestURI()
		}
	}
	if next = safeNext(next); next == "/" {
		return SignInPath
	}
	return SignInPath + "?" + url.Values{"next": {next}}.Encode()
}

// maxNext bounds the path that a sign-in leads to, in bytes.
const maxNext = 2048

// safeNext is a path of ours, or "/" for what browsers could take for another
// host or scheme. Browsers drop tabs and line ends, and read \ as /.
func safeNext(next string) string {
	if len(next) > maxNext || !strings.HasPrefix(next, "/") || strings.ContainsAny(next, "\\") || strings.ContainsFunc(next, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return "/"
	}
	u, err := url.Parse(next)
	if err != nil || u.Host != "" || u.Scheme != "" || strings.HasPrefix(next, "//") || strings.HasPrefix(u.Path, "//") {
		return "/"
	}
	if u.Path == SignInPath || u.Path == SignOutPath { // would lead round and round
		return "/"
	}
	return next
}
