package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/token"
)

func newStoredToken(name string) StoredToken {
	text := string(token.New())
	return StoredToken{Digest: token.Digest(text), Token: token.Token{ID: token.ID(text), Name: name, Scopes: []token.Scope{token.Read}, CreatedBy: "root"}}
}

// token makes a token that must be made.
func (b *backend) token(t testing.TB, name string) StoredToken {
	t.Helper()
	made := newStoredToken(name)
	var err error
	if made.Token, err = b.CreateToken(t.Context(), made.Token, made.Digest); err != nil {
		t.Fatalf("CreateToken = %v", err)
	}
	return made
}

func TestTokens(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		ctx := t.Context()
		if all, err := b.Tokens(ctx); err != nil || len(all) != 0 {
			t.Errorf("Tokens = %v, %v, want none", all, err)
		}
		text := string(token.New())
		expiry := time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
		in := token.Token{ID: token.ID(text), Name: "CI, of the shop", Scopes: []token.Scope{token.Deploy, token.Invoke}, Sites: []string{"a", "b"}, ExpiresAt: expiry, CreatedBy: "root"}
		made, err := b.CreateToken(ctx, in, token.Digest(text))
		if err != nil || made.CreatedAt.IsZero() {
			t.Fatalf("CreateToken = %+v, %v", made, err)
		}
		in.CreatedAt = made.CreatedAt
		got, err := b.Token(ctx, in.ID)
		if diff := cmp.Diff(StoredToken{Token: in, Digest: token.Digest(text), Stale: true}, got); diff != "" || err != nil {
			t.Errorf("Token = %v\n%s", err, diff)
		}
		if err := b.NoteTokenUse(ctx, in.ID); err != nil {
			t.Errorf("NoteTokenUse = %v", err)
		}
		got, err = b.Token(ctx, in.ID)
		if err != nil || got.Stale || got.LastUsedAt.Before(in.CreatedAt) {
			t.Errorf("Token after its use = %+v, %v", got, err)
		}
		second := b.token(t, "second")
		all, err := b.Tokens(ctx)
		if err != nil || len(all) != 2 || !all[0].CreatedAt.After(all[1].CreatedAt) && all[0].ID > all[1].ID {
			t.Errorf("Tokens = %v, %v, want two, the newest first", all, err)
		}
		if err := b.RevokeToken(ctx, in.ID); err != nil {
			t.Errorf("RevokeToken = %v", err)
		}
		for _, id := range []string{in.ID, "nonsense", "", strings.Repeat("0", 16)} {
			if _, err := b.Token(ctx, id); !isNotFound(err) {
				t.Errorf("Token(%q) = %v, want not found", id, err)
			}
			if err := b.RevokeToken(ctx, id); !isNotFound(err) {
				t.Errorf("RevokeToken(%q) = %v, want not found", id, err)
			}
		}
		if err := b.NoteTokenUse(ctx, in.ID); err != nil || b.rdb.Exists(ctx, tokenUsesKey()).Val() != 0 {
			t.Errorf("NoteTokenUse of one that was revoked = %v, and leaves something behind", err)
		}
		if _, err := b.Token(ctx, second.ID); err != nil {
			t.Errorf("the other token = %v", err)
		}
	})
}

// Whoever reads Redis, or a copy of its data, cannot use what is there.
func TestSecretsOfTokensAreNotStored(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		text := string(token.New())
		if _, err := b.CreateToken(t.Context(), token.Token{ID: token.ID(text), Name: "ci", Scopes: []token.Scope{token.Read}}, token.Digest(text)); err != nil {
			t.Fatal(err)
		}
		for _, key := range b.rdb.Keys(t.Context(), "*").Val() {
			stored := fmt.Sprint(key, b.rdb.HGetAll(t.Context(), key).Val())
			if strings.Contains(stored, text[len("nst_"):]) {
				t.Errorf("%s has the secret: %s", key, stored)
			}
		}
	})
}

func TestTokensExpire(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		past := newStoredToken("past")
		past.ExpiresAt = time.Now().Add(-time.Hour)
		if _, err := b.CreateToken(t.Context(), past.Token, past.Digest); !fault.Is(err, fault.Invalid) {
			t.Errorf("CreateToken of one that has expired = %v, want invalid", err)
		}
		soon := newStoredToken("soon")
		soon.ExpiresAt = time.Now().Add(300 * time.Millisecond)
		if _, err := b.CreateToken(t.Context(), soon.Token, soon.Digest); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it has expired", func() bool {
			got, err := b.Token(t.Context(), soon.ID)
			return err == nil && got.Expired
		})
		// It is listed for a while, and then removed by the next that is made.
		b.token(t, "next")
		if all, err := b.Tokens(t.Context()); err != nil || len(all) != 2 {
			t.Errorf("Tokens = %v, %v, want two", all, err)
		}
		long := time.Now().Add(-tokenGrace - time.Hour).UnixMilli()
		if err := b.rdb.HSet(t.Context(), tokensKey(), soon.ID, fmt.Sprintf(`1 %d %s {"name":"soon"}`, long, soon.Digest)).Err(); err != nil {
			t.Fatal(err)
		}
		b.token(t, "after")
		if _, err := b.Token(t.Context(), soon.ID); !isNotFound(err) {
			t.Errorf("a token that expired long ago = %v, want not found", err)
		}
	})
}

func TestTokensAreBounded(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		made := b.token(t, "first")
		for i := range maxTokens - 1 {
			if err := b.rdb.HSet(t.Context(), tokensKey(), fmt.Sprintf("%016x", i), `1 0 ab {"name":"x"}`).Err(); err != nil {
				t.Fatal(err)
			}
		}
		next := newStoredToken("next")
		if _, err := b.CreateToken(t.Context(), next.Token, next.Digest); !isConflict(err) {
			t.Errorf("one too many = %v, want conflict", err)
		}
		if _, err := b.CreateToken(t.Context(), made.Token, made.Digest); err != nil {
			t.Errorf("the first one again = %v", err)
		}
		other := made
		other.Digest = next.Digest
		if _, err := b.CreateToken(t.Context(), other.Token, other.Digest); err == nil {
			t.Error("another token takes the place of one")
		}
	})
}
