package api

import (
	"time"

	"github.com/nightshift/nightshift/shared/token"
)

// Token is a token of the control plane, without its secret.
type Token struct {
	ID     string        `json:"id"` // empty: the root token, which is a setting
	Name   string        `json:"name"`
	Scopes []token.Scope `json:"scopes"`
	Sites  []string      `json:"sites"` // that it is for; empty: all
	// CreatedAt is null for the root token.
	CreatedAt  *time.Time `json:"created_at"`
	CreatedBy  string     `json:"created_by"`   // name of the token that it was made with
	ExpiresAt  *time.Time `json:"expires_at"`   // null: never
	LastUsedAt *time.Time `json:"last_used_at"` // to the minute; null: it was not used
}

// CreateToken is the body of POST /api/v1/tokens.
type CreateToken struct {
	Name   string        `json:"name"`
	Scopes []token.Scope `json:"scopes"`
	Sites  []string      `json:"sites,omitempty"` // by name or ID, also such that are not there yet; none: all
	// ExpiresAt is when it ends; without it, never.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// NewToken is a token that was just made.
type NewToken struct {
	Token
	// Secret is what is shown as a bearer token. It is said here once, and not kept.
	Secret string `json:"secret"`
}

// FromToken translates a token.
func FromToken(t token.Token) Token {
	return Token{
		ID: t.ID, Name: t.Name, Scopes: append([]token.Scope{}, t.Scopes...), Sites: append([]string{}, t.Sites...),
		CreatedAt: instant(t.CreatedAt), CreatedBy: t.CreatedBy, ExpiresAt: instant(t.ExpiresAt), LastUsedAt: instant(t.LastUsedAt),
	}
}
