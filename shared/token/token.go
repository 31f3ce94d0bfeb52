// Package token is what callers of the control plane are let in with: what a
// token looks like, and what whoever shows it may do.
//
// A token is 32 random bytes with a prefix that tells what it is and a checksum:
//
//	nst_ base32( random ‖ CRC-32 )
//
// So programs that look for secrets in source find one by its form
// (nst_[a-z2-7]{58}), and one that is mistyped or cut off is refused before
// anybody looks for it. Only its digest is kept.
package token

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/secret"
)

// Scope is something that a token lets do. Scopes are a set and no ladder: who
// may deploy need not be let trigger or cancel anything. Each has Read in it,
// and Admin has all.
type Scope string

// The closed list of scopes.
const (
	Read   Scope = "read"   // look at everything but values of environment variables, tokens and the audit log
	Invoke Scope = "invoke" // trigger, retry, replay, cancel, backfill, pause and resume
	Deploy Scope = "deploy" // deploy, publish, roll back and lock, and environment variables with their values
	Admin  Scope = "admin"  // everything, with tokens and the audit log
)

// Scopes are all there are.
var Scopes = []Scope{Read, Invoke, Deploy, Admin}

// Has reports whether a scope lets do what another one does.
func (s Scope) Has(other Scope) bool { return s == other || s == Admin || other == Read }

// Token is what is known of a token beside its secret.
type Token struct {
	ID     string
	Name   string
	Scopes []Scope
	// Sites are those that it is for; for it there are no others. Empty: all.
	Sites      []string
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time // to the minute; zero: it was not used
	CreatedBy  string    // name of who made it
}

// May reports whether it lets do what a scope does.
func (t Token) May(scope Scope) bool {
	return slices.ContainsFunc(t.Scopes, func(s Scope) bool { return s.Has(scope) })
}

// Bound reports whether it is for some sites only.
func (t Token) Bound() bool { return len(t.Sites) > 0 }

// Sees reports whether a site is there for it.
func (t Token) Sees(site string) bool { return !t.Bound() || slices.Contains(t.Sites, site) }

// Limits.
const (
	maxName  = 64 // characters
	maxSites = 100
)

// Check says what is wrong with a token that somebody wants to have, as
// fault.Invalid, or nil.
func (t Token) Check() error {
	invalid := func(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }
	switch {
	case t.Name == "" || len([]rune(t.Name)) > maxName || strings.ContainsFunc(t.Name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return invalid("the name of a token is 1 to %d printable characters, so that one knows later what it is for", maxName)
	case len(t.Scopes) == 0:
		return invalid("a token needs a scope: read, invoke, deploy or admin")
	case len(t.Sites) > maxSites:
		return invalid("a token is for %d sites at most, or for all", maxSites)
	}
	for _, s := range t.Scopes {
		if !slices.Contains(Scopes, s) {
			return invalid("there is no scope %.40q; scopes are read, invoke, deploy and admin", s)
		}
	}
	for _, site := range t.Sites {
		if !deploy.ValidSite(site) {
			return invalid("%.80q cannot be the name of a site", site)
		}
	}
	if t.Bound() && t.May(Admin) { // it could make itself one that is not
		return invalid("a token with the scope admin is for all sites; leave the sites out, or take another scope")
	}
	return nil
}

const (
	prefix     = "nst_"
	randomSize = 32
	// idSize is how much of the digest names a token, in characters.
	idSize = 16
)

// encoding has no characters that a double click stops at.
var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// New makes the secret of a token.
func New() secret.Text {
	random := make([]byte, randomSize)
	rand.Read(random) // never fails
	return encode(random)
}

func encode(random []byte) secret.Text {
	sum := crc32.ChecksumIEEE(append([]byte(prefix), random...))
	return secret.Text(prefix + encoding.EncodeToString(binary.BigEndian.AppendUint32(bytes.Clone(random), sum)))
}

// Made reports whether a text is one that New could have made, by its form and
// its checksum. Such a text cannot be guessed.
func Made(text string) bool {
	body, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return false
	}
	data, err := encoding.DecodeString(body)
	// Made again, because several texts decode to the same bytes.
	return err == nil && len(data) == randomSize+crc32.Size && string(encode(data[:randomSize])) == text
}

// Digest is what is kept of a secret. One round of SHA-256 is right for it: slow
// hashes make up for secrets that can be guessed, and nobody guesses 256 random bits.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// ID names the token with a secret, and tells nothing of the secret.
func ID(text string) string { return Digest(text)[:idSize] }

// ValidID reports whether a text can be the ID of a token.
func ValidID(id string) bool {
	return len(id) == idSize && !strings.ContainsFunc(id, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) })
}
