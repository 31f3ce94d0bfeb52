package session

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/access"
	"github.com/nightshift/nightshift/gateway/internal/audit"
	"github.com/nightshift/nightshift/shared/fault"
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
			if _, err := g.session(r); err == nil || g.Open() {
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
	if g.Open() {
		http.Redirect(w, r, form.Next, http.StatusSeeOther)
		return
	}
	who, err := g.cfg.Access.Secret(r.Context(), r.PostFormValue("token"), ip)
	if err != nil {
		form.Status, form.Problem = fault.KindOf(err).HTTPStatus(), problemOf(err)
		if _, wait := fault.Public(err); wait > 0 {
			w.Header().Set("Retry-After", seconds(wait))
		}
		page(w, r, form)
		return
	}
	session, err := g.mint(who, time.Now().Add(Lifetime))
	if err != nil {
		g.log.Error("no session made", "error", err)
		http.Error(w, "No session could be made. The log of the gateway says why.", http.StatusInternalServerError)
		return
	}
	g.note(r, who, "session.open")
	http.SetCookie(w, g.cookie(r, session, Lifetime))
	http.Redirect(w, r, form.Next, http.StatusSeeOther)
}

// problemOf is what the form says about a token that does not let in.
func problemOf(err error) string {
	_, wait := fault.Public(err)
	switch fault.KindOf(err) {
	case fault.Throttled:
		return "Too many tries. Wait " + seconds(wait) + " s and try again."
	case fault.Unauthorized:
		return "That is not the token of this installation, nor one that was made for it and still holds."
	default:
		return "The token cannot be looked up now, because Redis does not answer. Try again in a moment."
	}
}

// SignOut is the handler of POST SignOutPath.
func (g *Guard) SignOut(w http.ResponseWriter, r *http.Request) {
	if !g.own(w, r) {
		return
	}
	if who, err := g.session(r); err == nil {
		g.note(r, who, "session.close")
	}
	w.Header().Set("Cache-Control", "no-store")
	http.SetCookie(w, g.cookie(r, "", -time.Second))
	http.Redirect(w, r, SignInPath, http.StatusSeeOther)
}

// note writes into the audit log who signs in or out.
func (g *Guard) note(r *http.Request, who access.Who, action string) {
	if g.cfg.Audit == nil {
		return
	}
	e := audit.Entry(who, g.cfg.ClientIP(r), action)
	e.Status = http.StatusSeeOther
	_ = g.cfg.Audit.Write(r.Context(), e) // it has been logged
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
