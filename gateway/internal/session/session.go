// Package session lets people use the control plane with a browser: who shows
// the installation's token once is given a cookie, and is let in with it for
// Lifetime.
//
// The cookie is
//
//	base64url( expiry ‖ nonce ‖ HMAC-SHA256(expiry ‖ nonce) )
//
// under a key that is derived from the token. So the token itself never gets
// into a browser's store, nothing has to be kept on the server, every gateway of
// an installation accepts what another one gave out, and a new token ends all
// sessions. Signing out takes the cookie away from the browser; a copy of it
// would be good until its expiry.
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
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"log/slog"
	"net/http"
	"strings"
	"time"
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

// Config configures a Guard. All fields but Token are required.
type Config struct {
	// Token is the installation's. Empty: nobody needs to sign in, which only a
	// control plane on loopback may have.
	Token string
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
	token, key  []byte // what is compared with, and what cookies are signed with
	crossOrigin *http.CrossOriginProtection
	tries       *tries
}

// New makes a guard.
func New(cfg Config) *Guard {
	digest := sha256.Sum256([]byte(cfg.Token))
	key, err := hkdf.Key(sha256.New, []byte(cfg.Token), nil, "sessions of Nightshift's control plane", sha256.Size)
	if err != nil { // the length is a constant that is fine
		panic(err)
	}
	return &Guard{
		cfg: cfg, log: cfg.Logger.With("component", "session"), token: digest[:], key: key,
		crossOrigin: http.NewCrossOriginProtection(), tries: newTries(),
	}
}

// Open reports that nobody needs to sign in.
func (g *Guard) Open() bool { return g.cfg.Token == "" }

// Require lets pass who has a session, or shows the token as a bearer token.
// Others are sent to sign in, if a page was asked for, and get 401 otherwise. A
// request of another origin that could change something gets 403.
func (g *Guard) Require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !g.own(w, r):
		case g.Open(), g.valid(r), g.bearer(r):
			next.ServeHTTP(w, r)
		case isPage(r):
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, signInFor(r), http.StatusSeeOther)
		default:
			w.Header().Set("Cache-Control", "no-store")
			http.Error(w, "this needs a session: sign in at "+SignInPath, http.StatusUnauthorized)
		}
	})
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

// valid reports whether a request carries a session that has not ended.
func (g *Guard) valid(r *http.Request) bool {
	name := plainCookie
	if g.cfg.HTTPS(r) {
		name = secureCookie
	}
	for _, c := range r.CookiesNamed(name) { // one that a neighbour set must not hide ours
		if g.verify(c.Value, time.Now()) {
			return true
		}
	}
	return false
}

// bearer reports whether a request shows the token as programs do.
func (g *Guard) bearer(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer") && g.isToken(token)
}

// isToken compares with the token, in a time that tells nothing of it.
func (g *Guard) isToken(text string) bool {
	digest := sha256.Sum256([]byte(strings.TrimSpace(text)))
	return !g.Open() && subtle.ConstantTimeCompare(digest[:], g.token) == 1
}

// Parts of a session, in bytes.
const (
	expirySize = 8 // seconds since 1970
	nonceSize  = 16
)

// mint makes a session that ends at a time.
func (g *Guard) mint(expiry time.Time) string {
	text := binary.BigEndian.AppendUint64(nil, uint64(expiry.Unix()))
	nonce := make([]byte, nonceSize)
	rand.Read(nonce) // never fails
	text = append(text, nonce...)
	return base64.RawURLEncoding.EncodeToString(append(text, g.mac(text)...))
}

// verify reports whether a session is one of ours and has not ended.
func (g *Guard) verify(session string, now time.Time) bool {
	// Strict: else a changed last character could mean the same bytes.
	data, err := base64.RawURLEncoding.Strict().DecodeString(session)
	if err != nil || len(data) != expirySize+nonceSize+sha256.Size {
		return false
	}
	text, mac := data[:expirySize+nonceSize], data[expirySize+nonceSize:]
	expiry := time.Unix(int64(binary.BigEndian.Uint64(text)), 0)
	return hmac.Equal(mac, g.mac(text)) && now.Before(expiry)
}

func (g *Guard) mac(text []byte) []byte {
	h := hmac.New(sha256.New, g.key)
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
			name = strings.TrimSpace(name) // as whoever reads it does
			if name != plainCookie && name != secureCookie {
				kept = append(kept, strings.TrimSpace(pair))
			}
		}
		lines[i] = strings.Join(kept, "; ")
	}
	if len(lines) == 1 && lines[0] == "" {
		h.Del("Cookie")
	}
}
