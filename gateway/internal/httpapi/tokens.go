package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/gateway/internal/access"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/token"
)

// Tokens keeps tokens; see package store.
type Tokens interface {
	CreateToken(ctx context.Context, t token.Token, digest string) (token.Token, error)
	Tokens(ctx context.Context) ([]token.Token, error)
	RevokeToken(ctx context.Context, id string) error
}

// listTokens lists the tokens, without their secrets, which nobody has.
func (s *server) listTokens(c echo.Context) error {
	list, err := s.Tokens.Tokens(c.Request().Context())
	if err != nil {
		return err
	}
	out := make([]api.Token, 0, len(list))
	for _, t := range list {
		out = append(out, api.FromToken(t))
	}
	return c.JSON(http.StatusOK, out)
}

// createToken makes a token. Its secret is in this answer and nowhere else.
func (s *server) createToken(c echo.Context) error {
	ctx := c.Request().Context()
	var in api.CreateToken
	if err := readKnown(c, maxOrder, &in); err != nil {
		return err
	}
	text := string(token.New())
	t := token.Token{ID: token.ID(text), Name: in.Name, Scopes: in.Scopes, CreatedBy: access.From(ctx).Name()}
	for _, site := range in.Sites {
		t.Sites = append(t.Sites, deploy.SiteName(site))
	}
	slices.Sort(t.Sites)
	t.Sites = slices.Compact(t.Sites)
	if in.ExpiresAt != nil {
		t.ExpiresAt = *in.ExpiresAt
	}
	if err := t.Check(); err != nil {
		return err
	}
	rec := entryOf(c)
	rec.Details = describeToken(t)
	t, err := s.Tokens.CreateToken(ctx, t, token.Digest(text))
	if err != nil {
		return err
	}
	// There is to be no token that the audit log knows nothing of. Nobody knows
	// the secret of this one yet, so it is good for nothing if it cannot be revoked.
	rec.Status, rec.written = http.StatusCreated, true
	if err := s.Audit.Write(ctx, rec.AuditEntry); err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardLimit)
		defer cancel()
		return errors.Join(err, s.Tokens.RevokeToken(undo, t.ID))
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	return c.JSON(http.StatusCreated, api.NewToken{Token: api.FromToken(t), Secret: text})
}

// ownToken answers with the token that is shown. The root token has no ID.
func (s *server) ownToken(c echo.Context) error {
	who := access.From(c.Request().Context())
	t, ok := who.Token()
	if !ok {
		t = token.Token{Name: who.Name(), Scopes: []token.Scope{token.Admin}}
	}
	return c.JSON(http.StatusOK, api.FromToken(t))
}

// revokeToken lets a token be good for nothing from now on.
func (s *server) revokeToken(c echo.Context) error {
	entryOf(c).Details = c.Param("id")
	if err := s.Tokens.RevokeToken(c.Request().Context(), c.Param("id")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// describeToken says in the audit log what a token is.
func describeToken(t token.Token) string {
	out := fmt.Sprintf("%s %q %v", t.ID, t.Name, t.Scopes)
	if t.Bound() {
		out += fmt.Sprint(" of ", t.Sites)
	}
	return out
}
