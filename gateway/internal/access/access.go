// Package access says who makes a request of the control plane and what they may:
// the one place that compares tokens.
//
// There are tokens of two kinds. The root token is a setting, NIGHTSHIFT_TOKEN: it
// may do all, works without Redis, and is changed by a restart; while it is
// being changed there may be two. All others are made with it, kept in Redis as
// digests, and end when they expire or are revoked: they are read for each
// request, so that is at once, on all gateways. If Redis does not answer, they
// are refused.
//
// What a token may do is its scopes; which sites there are for it is its sites.
// See package token.
package access

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"strings"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/tries"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/token"
)

// Tokens keeps tokens; see package store.
type Tokens interface {
	Token(ctx context.Context, id string) (store.StoredToken, error)
	NoteTokenUse(ctx context.Context, id string) error
}

// Config configures a Guard. All fields but Roots and Refused are
// required.
type Config struct {
	// Roots are the root tokens. None: everybody is let in and may do everything,
	// which only a control plane on loopback may have.
	Roots  []string
	Tokens Tokens
	// Refused is told of tokens that were not right, with the status that they are
	// answered; nil: nobody is.
	Refused func(ctx context.Context, ip string, status int)
	Logger  *slog.Logger
}

// Guard lets in whoever shows a token. It is safe for concurrent use.
type Guard struct {
	cfg   Config
	log   *slog.Logger
	roots [][sha256.Size]byte
	tries *tries.Tries
}

// New makes a guard.
func New(cfg Config) *Guard {
	g := &Guard{cfg: cfg, log: cfg.Logger.With("component", "access"), tries: tries.New()}
	for _, root := range cfg.Roots {
		g.roots = append(g.roots, sha256.Sum256([]byte(root)))
	}
	return g
}

// Roots are the root tokens of a setting, which has them separated by commas.
func Roots(setting string) []string {
	var roots []string
	for root := range strings.SplitSeq(setting, ",") {
		if root = strings.TrimSpace(root); root != "" {
			roots = append(roots, root)
		}
	}
	return roots
}

// Open reports that nobody needs a token.
func (g *Guard) Open() bool { return len(g.roots) == 0 }

// Bearer is who shows a token as programs do, in the header Authorization. See
// Secret for errors.
func (g *Guard) Bearer(ctx context.Context, header, ip string) (Who, error) {
	if g.Open() {
		return Dev(), nil
	}
	scheme, text, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") || strings.TrimSpace(text) == "" {
		return Who{}, errNone
	}
	return g.Secret(ctx, text, ip)
}

var errNone = fault.New(fault.Unauthorized, "this needs a token: Authorization: Bearer <token> (the CLI reads NIGHTSHIFT_TOKEN)")

// Secret is who shows a token. One that is not right is fault.Unauthorized, and
// counts as a failure of the address; from an address that has failed too often,
// fault.Throttled.
//
// Behind one address there may be many. So a token that was made by us is looked
// at in any case: it cannot be guessed, and whoever has it need not wait for
// others to stop guessing. A root token that somebody has made up is not, because
// the limit is what keeps it from being guessed.
func (g *Guard) Secret(ctx context.Context, text, ip string) (Who, error) {
	if g.Open() {
		return Dev(), nil
	}
	text = strings.TrimSpace(text)
	if token.Made(text) {
		if root, ok := g.root(text); ok {
			return Root(root), nil
		}
		return g.stored(ctx, text, ip)
	}
	root := 0
	ok, wait := g.tries.Check(ip, func() (ok bool) { root, ok = g.root(text); return ok })
	if !ok {
		return Who{}, g.refused(ctx, ip, wait)
	}
	return Root(root), nil
}

// root compares with the root tokens, in a time that tells nothing of them:
// digests have one length, and all are compared.
func (g *Guard) root(text string) (index int, ok bool) {
	digest := sha256.Sum256([]byte(text))
	for i := range g.roots {
		if subtle.ConstantTimeCompare(digest[:], g.roots[i][:]) == 1 {
			index, ok = i, true
		}
	}
	return index, ok
}

// stored looks for a token in Redis.
func (g *Guard) stored(ctx context.Context, text, ip string) (Who, error) {
	found, err := g.cfg.Tokens.Token(ctx, token.ID(text))
	switch {
	case fault.Is(err, fault.NotFound),
		err == nil && subtle.ConstantTimeCompare([]byte(found.Digest), []byte(token.Digest(text))) != 1:
		return Who{}, g.refused(ctx, ip, g.tries.Fail(ip))
	case err != nil:
		return Who{}, err
	}
	return g.alive(ctx, found)
}

// Again is who showed the token with an ID before, for sessions.
func (g *Guard) Again(ctx context.Context, id string) (Who, error) {
	found, err := g.cfg.Tokens.Token(ctx, id)
	switch {
	case fault.Is(err, fault.NotFound):
		return Who{}, fault.New(fault.Unauthorized, "the token of this session was revoked; sign in with another one")
	case err != nil:
		return Who{}, err
	}
	return g.alive(ctx, found)
}

// alive refuses a token that has expired, and notes that it is used.
func (g *Guard) alive(ctx context.Context, found store.StoredToken) (Who, error) {
	if found.Expired {
		return Who{}, fault.New(fault.Unauthorized, "the token %s (%s) has expired at %s; make another one with: nightshift token create", found.Name, found.ID, found.ExpiresAt.Format(time.RFC3339))
	}
	if found.Stale {
		if err := g.cfg.Tokens.NoteTokenUse(ctx, found.ID); err != nil { // nobody is refused for that
			g.log.Warn("use of a token not noted", "token", found.ID, "error", err)
		}
	}
	return Who{kind: kindToken, token: found.Token}, nil
}

// refused is the error of a token that is not right.
func (g *Guard) refused(ctx context.Context, ip string, wait time.Duration) error {
	err := fault.New(fault.Unauthorized, "the token is not one of this installation, or was revoked: Authorization: Bearer <token> (the CLI reads NIGHTSHIFT_TOKEN)")
	if wait > 0 {
		err = fault.New(fault.Throttled, "too many wrong tokens came from your address; wait and try again").After(wait)
	} else { // past the limit there may be any number
		g.log.Warn("token refused", "from", ip)
	}
	if g.cfg.Refused != nil {
		g.cfg.Refused(ctx, ip, err.Kind.HTTPStatus())
	}
	return err
}
