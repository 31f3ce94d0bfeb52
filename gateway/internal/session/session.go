// Package session lets people use the control plane with a browser: who shows
// a token once is given a cookie, and is let in with it for Lifetime.
//
// The cookie is
//
//	base64url( expiry ‖ nonce ‖ token ID ‖ HMAC-SHA256(expiry ‖ nonce ‖ token ID) )
//
// under a key that is derived from the root token. So no token ever gets into a
// browser's store, nothing has to be kept on the server, every gateway of an
// installation accepts what another one gave out, and a new root token ends all
// sessions. The session of another token is looked at together with it: one that
// was revoked, or has expired, lets nobody in at the next request. Signing out
// takes the cookie away from the browser; a copy of it would be good until its
// expiry.
//
// Browsers send cookies along with whatever pages of other origins make them
// send. Guard.Require therefore lets a request that may change something pass
// only if it comes from the control plane's own pages, by Sec-Fetch-Site or
// Origin; a function's page on another port of the same host is another origin
// too, although its cookies are the same.
package session

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/access"
	"github.com/nightshift/nightshift/gateway/internal/audit"
	"github.com/nightshift/nightshift/shared/fault"
)

const (
	// Lifetime is how long a session lasts. It is not prolonged by use.
	Lifetime = 12 * time.Hour
	// SignInPath is where people sign in, and SignOutPath where they sign out.
	SignInPath, SignOutPath = "/sign-in", "/sign-out"
)

// Names of the cookie. Browsers take one that begins with __Host- over HTTPS only,
// and only from this very host: a site on a neighbouring name cannot set it.
const (
	plainCookie  = "nightshift_session"
	secureCookie = "__Host-nightshift_session"
)

// Config configures a Guard. All fields but Roots and Audit are
// required.
type Config struct {
	// Access knows who shows a token, and Roots are the root tokens, of which keys
	// are made. None: nobody needs to sign in.
	Access *access.Guard
	Roots  []string
	// Audit is told who signs in and out; nil: nobody is.
	Audit *audit.Log
	// ClientIP is the address of the caller, and HTTPS whether the browser speaks
	// HTTPS, be it to a proxy before us.
	ClientIP func(*http.Request) string
	HTTPS    func(*http.Request) bool
	Logger   *slog.Logger
}

// Guard gives out sessions and lets those in who have one. It is safe for
// concurrent use.
type Guard struct {
	cfg         Config
	log         *slog.Logger
	keys        [][]byte // what cookies are signed with, one for each root token
	crossOrigin *http.CrossOriginProtection
}

// New makes a guard.
func New(cfg Config) *Guard {
	g := &Guard{cfg: cfg, log: cfg.Logger.With("component", "session"), crossOrigin: http.NewCrossOriginProtection()}
	for _, root := range cfg.Roots {
		key, err := hkdf.Key(sha256.New, []byte(root), nil, "sessions of Nightshift's control plane", sha256.Size)
		if err != nil { // the length is a constant that is fine
			panic(err)
		}
		g.keys = append(g.keys, key)
	}
	return g
}

// Open reports that nobody needs to sign in.
func (g *Guard) Open() bool { return g.cfg.Access.Open() }

// Require lets pass who has a session, or shows a token as a bearer token; what
// follows finds them with access.From. Others are sent to sign in, if a page was
// asked for, and get 401 otherwise. A request of another origin that could change
// something gets 403.
func (g *Guard) Require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.own(w, r) {
			return
		}
		who, err := g.who(r)
		if err == nil {
			next.ServeHTTP(w, r.WithContext(access.With(r.Context(), who)))
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		if kind := fault.KindOf(err); kind != fault.Unauthorized {
			message, wait := fault.Public(err)
			w.Header().Set("Retry-After", seconds(wait))
			http.Error(w, message, kind.HTTPStatus())
			return
		}
		if isPage(r) {
			http.Redirect(w, r, signInFor(r), http.StatusSeeOther)
			return
		}
		http.Error(w, "this needs a session: sign in at "+SignInPath, http.StatusUnauthorized)
	})
}

// seconds is a time as Retry-After has it.
func seconds(d time.Duration) string { return strconv.Itoa(int((d + time.Second - 1) / time.Second)) }

// who is who makes a request: by a session that has not ended, or else by a
// token as programs show it.
func (g *Guard) who(r *http.Request) (access.Who, error) {
	if who, err := g.session(r); err == nil || !fault.Is(err, fault.Unauthorized) {
		return who, err
	}
	return g.cfg.Access.Bearer(r.Context(), r.Header.Get("Authorization"), g.cfg.ClientIP(r))
}

// own reports whether a request may be one of our own pages, or answers it.
func (g *Guard) own(w http.ResponseWriter, r *http.Request) bool {
	if err := g.crossOrigin.Check(r); err != nil {
		g.log.Warn("request of another origin refused", "method", r.Method, "path", r.URL.Path, "origin", r.Header.Get("Origin"), "from", g.cfg.ClientIP(r))
		http.Error(w, "Pages of other origins may not use the control plane. Open it by its own address and try again; a proxy before it must keep the Host header.", http.StatusForbidden)
		return false
	}
	return true
}

// isPage reports whether somebody looks at what comes back: browsers say so, and
// who does not say is taken for a person.
func isPage(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	return mode == "" || mode == "navigate"
}

var errNoSession = fault.New(fault.Unauthorized, "there is no session, or it has ended")

// session is who has the session that a request carries.
func (g *Guard) session(r *http.Request) (access.Who, error) {
	name := plainCookie
	if g.cfg.HTTPS(r) {
		name = secureCookie
	}
	for _, c := range r.CookiesNamed(name) { // one that a neighbour set must not hide ours
		root, id, ok := g.verify(c.Value, time.Now())
		if !ok {
			continue
		}
		if id == rootID {
			return access.Root(root), nil
		}
		if who, err := g.cfg.Access.Again(r.Context(), id); !fault.Is(err, fault.Unauthorized) {
			return who, err
		}
	}
	return access.Who{}, errNoSession
}

// Parts of a session, in bytes.
const (
	expirySize = 8 // seconds since 1970
	nonceSize  = 16
	idSize     = 8
	textSize   = expirySize + nonceSize + idSize
)

// rootID stands for the root token, which has no ID.
const rootID = "0000000000000000"

// mint makes a session of somebody that ends at a time. That of a root token is
// signed with its own key, so that it ends together with it.
func (g *Guard) mint(who access.Who, expiry time.Time) (string, error) {
	id := rootID
	key, isRoot := who.RootIndex()
	if t, ok := who.Token(); ok {
		id = t.ID
	} else if !isRoot {
		return "", fault.New(fault.Internal, "%s needs no session", who.Name())
	}
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != idSize {
		return "", fault.Wrap(err, fault.Internal, "the token ID %q cannot stand in a session", id)
	}
	text := binary.BigEndian.AppendUint64(nil, uint64(expiry.Unix()))
	nonce := make([]byte, nonceSize)
	rand.Read(nonce) // never fails
	text = append(append(text, nonce...), raw...)
	return base64.RawURLEncoding.EncodeToString(append(text, mac(g.keys[key], text)...)), nil
}

// verify reports whether a session is one of ours and has not ended; with the
// root token whose key signed it, and the ID of its token.
func (g *Guard) verify(session string, now time.Time) (root int, id string, ok bool) {
	// Strict: else a changed last character could mean the same bytes.
	data, err := base64.RawURLEncoding.Strict().DecodeString(session)
	if err != nil || len(data) != textSize+sha256.Size {
		return 0, "", false
	}
	text, sum := data[:textSize], data[textSize:]
	for i, key := range g.keys {
		if !hmac.Equal(sum, mac(key, text)) {
			continue
		}
		expiry := time.Unix(int64(binary.BigEndian.Uint64(text)), 0)
		return i, hex.EncodeToString(text[expirySize+nonceSize:]), now.Before(expiry)
	}
	return 0, "", false
}

func mac(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)
}

// cookie makes the cookie of a session; an empty one takes it away.
func (g *Guard) cookie(r *http.Request, session string, age time.Duration) *http.Cookie {
	c := &http.Cookie{
		Name: plainCookie, Value: session, Path: "/", MaxAge: int(age / time.Second),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, // Lax: a link in a mail or a chat leads in
	}
	if g.cfg.HTTPS(r) {
		c.Name, c.Secure = secureCookie, true
	}
	return c
}

// Hide takes sessions out of the cookies of a request that is for somebody else:
// browsers send a host's cookies to all of its ports, so functions on the data
// plane would be given those of the control plane.
func Hide(h http.Header) {
	lines := h["Cookie"]
	for i, line := range lines {
		if !strings.Contains(line, plainCookie) {
			continue
		}
		var kept []string
		for pair := range strings.SplitSeq(line, ";") {
			name, _, _ := strings.Cut(pair, "=")
			name = textproto.TrimString(name) // as whoever reads it does
			if name != plainCookie && name != secureCookie {
				kept = append(kept, textproto.TrimString(pair))
			}
		}
		lines[i] = strings.Join(kept, "; ")
	}
	if len(lines) == 1 && lines[0] == "" {
		h.Del("Cookie")
	}
}
