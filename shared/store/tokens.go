package store

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/token"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/token_create.lua
	tokenCreateBody string
	//go:embed lua/token_read.lua
	tokenReadBody string
	//go:embed lua/token_used.lua
	tokenUsedBody string
	//go:embed lua/token_revoke.lua
	tokenRevokeBody string

	tokenCreateScript = redis.NewScript(tokenCreateBody)
	tokenReadScript   = redis.NewScript(tokenReadBody)
	tokenUsedScript   = redis.NewScript(tokenUsedBody)
	tokenRevokeScript = redis.NewScript(tokenRevokeBody)
)

const (
	// maxTokens bounds the tokens of an installation.
	maxTokens = 1000
	// tokenGrace is how long a token is listed after it has expired, so that one
	// sees why a program is refused.
	tokenGrace = 30 * 24 * time.Hour
	// tokenUse is how exactly it is known when a token was used last.
	tokenUse = time.Minute
)

// StoredToken is a token as it is kept. Its secret is not: of that there is the
// digest.
type StoredToken struct {
	token.Token
	Digest  string
	Expired bool
	// Stale says that its last use was noted some time ago, or never.
	Stale bool
}

// tokenData is what is kept of a token as JSON.
type tokenData struct {
	Name      string        `json:"name"`
	Scopes    []token.Scope `json:"scopes"`
	Sites     []string      `json:"sites,omitempty"`
	CreatedBy string        `json:"created_by"`
}

// CreateToken makes a token, whose ID is token.ID of its secret and whose digest
// token.Digest. It returns it with the time of its creation. Too many tokens:
// fault.Conflict; one that would have expired already: fault.Invalid.
func (s *Store) CreateToken(ctx context.Context, t token.Token, digest string) (token.Token, error) {
	const doing = "creating a token"
	data, err := json.Marshal(tokenData{t.Name, t.Scopes, t.Sites, t.CreatedBy})
	if err != nil {
		return t, fmt.Errorf("%s: %w", doing, err)
	}
	expires := int64(0)
	if !t.ExpiresAt.IsZero() {
		expires = t.ExpiresAt.UnixMilli()
	}
	word, rest, err := s.runList(ctx, tokenCreateScript, doing, tokenKeys(), t.ID, digest, expires, data, maxTokens, tokenGrace.Milliseconds())
	switch {
	case err != nil:
		return t, err
	case word == "created" && len(rest) == 1:
		t.CreatedAt, err = parseMillis(rest[0])
		return t, err
	case word == "past":
		return t, fault.New(fault.Invalid, "%s: it would expire at %s, which is past", doing, t.ExpiresAt.UTC().Format(time.RFC3339))
	case word == "full":
		return t, fault.New(fault.Conflict, "%s: there are %d, which is all there may be; revoke some first", doing, maxTokens)
	default:
		return t, unexpected(doing, word)
	}
}

// Token reads a token, or fault.NotFound.
func (s *Store) Token(ctx context.Context, id string) (StoredToken, error) {
	const doing = "reading a token"
	if !token.ValidID(id) {
		return StoredToken{}, unknownToken(id)
	}
	list, err := tokenReadScript.Run(ctx, s.rdb, tokenKeys(), id).StringSlice()
	if err != nil {
		return StoredToken{}, failed(ctx, err, doing)
	}
	if len(list) != 3 {
		return StoredToken{}, unexpected(doing, fmt.Sprint(len(list), " values"))
	}
	if list[0] == "" {
		return StoredToken{}, unknownToken(id)
	}
	now, err := parseMillis(list[2])
	if err != nil {
		return StoredToken{}, fmt.Errorf("%s: %w", doing, err)
	}
	t, err := parseToken(id, list[0], list[1])
	t.Expired = !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt)
	t.Stale = now.Sub(t.LastUsedAt) >= tokenUse
	return t, err
}

// NoteTokenUse notes that a token is used now.
func (s *Store) NoteTokenUse(ctx context.Context, id string) error {
	_, err := s.run(ctx, tokenUsedScript, "noting the use of a token", tokenKeys(), id)
	return err
}

// Tokens lists all tokens, the newest first, also those that expired lately.
func (s *Store) Tokens(ctx context.Context) ([]token.Token, error) {
	const doing = "listing the tokens"
	var stored, used *redis.MapStringStringCmd
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		stored, used = p.HGetAll(ctx, tokensKey()), p.HGetAll(ctx, tokenUsesKey())
		return nil
	})
	if err != nil {
		return nil, failed(ctx, err, doing)
	}
	all := make([]token.Token, 0, len(stored.Val()))
	for id, text := range stored.Val() {
		t, err := parseToken(id, text, used.Val()[id])
		if err != nil {
			return nil, err
		}
		all = append(all, t.Token)
	}
	slices.SortFunc(all, func(a, b token.Token) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return all, nil
}

// RevokeToken removes a token, or fault.NotFound. Whoever shows it from now on is
// refused.
func (s *Store) RevokeToken(ctx context.Context, id string) error {
	if !token.ValidID(id) {
		return unknownToken(id)
	}
	if err := s.rdb.HGet(ctx, tokensKey(), id).Err(); errors.Is(err, redis.Nil) {
		return unknownToken(id)
	} else if err != nil {
		return failed(ctx, err, "revoking a token")
	}
	_, err := s.run(ctx, tokenRevokeScript, "revoking a token", tokenKeys(), id)
	return err
}

func tokenKeys() []string { return []string{tokensKey(), tokenUsesKey()} }

func unknownToken(id string) error {
	return fault.New(fault.NotFound, "there is no token %.40q; list them with: nightshift token list", id)
}

// parseToken reads what token_create.lua writes, and when the token was used last.
func parseToken(id, text, used string) (StoredToken, error) {
	parts := strings.SplitN(text, " ", 4)
	if len(parts) != 4 {
		return StoredToken{}, fmt.Errorf("reading the token %s: it has %d parts", id, len(parts))
	}
	var data tokenData
	err := json.Unmarshal([]byte(parts[3]), &data)
	t := StoredToken{Digest: parts[2], Token: token.Token{ID: id, Name: data.Name, Scopes: data.Scopes, Sites: data.Sites, CreatedBy: data.CreatedBy}}
	for into, ms := range map[*time.Time]string{&t.CreatedAt: parts[0], &t.ExpiresAt: parts[1], &t.LastUsedAt: cmp.Or(used, "0")} {
		at, failed := parseMillis(ms)
		*into, err = at, errors.Join(err, failed)
	}
	if err != nil {
		return StoredToken{}, fmt.Errorf("reading the token %s: %w", id, err)
	}
	return t, nil
}

// parseMillis reads an instant; 0 is the zero one.
func parseMillis(text string) (time.Time, error) {
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms == 0 {
		return time.Time{}, err
	}
	return fromMillis(ms), nil
}
