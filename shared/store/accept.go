package store

import (
	"context"
	_ "embed"
	"errors"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/once_check.lua
	onceCheck string
	//go:embed lua/once_apply.lua
	onceApply string
	//go:embed lua/room_check.lua
	roomCheck string
)

// Reasons with which a call is not accepted.
const (
	Duplicate = -4 // Once: an earlier call had the same idempotency key
	Full      = -5 // Room: as many invocations wait as may
)

// Once is the step that lets only the first of all calls of a function be
// accepted that have the same idempotency key, and remembers its ID for ttl, 1 ms
// or more. Its Check returns Duplicate for another ID than the remembered one,
// which [Store.OnceID] tells, and 0 for the same: that is a repetition. It
// stands before the other steps.
func (s *Store) Once(kind function.Kind, site, function, key, id string, ttl time.Duration) redisdb.Step {
	return redisdb.Step{
		Check: onceCheck, Apply: onceApply,
		Keys: []string{onceKey(kind, site, function, key)},
		Args: []any{id, max(ttl.Milliseconds(), 1)},
	}
}

// OnceID reads the ID of the invocation that was made under an idempotency key;
// "" if there is none, or none any more.
func (s *Store) OnceID(ctx context.Context, kind function.Kind, site, function, key string) (string, error) {
	id, err := s.rdb.Get(ctx, onceKey(kind, site, function, key)).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	return id, failed(ctx, err, "reading whose an idempotency key is")
}

// Room is the step that accepts a call only while fewer than limit invocations
// of the site and kind are queued. Its Check returns Full otherwise. It stands
// after Create, so that the repetition of a call that took the last place is
// known as one.
func (s *Store) Room(kind function.Kind, site string, limit int) redisdb.Step {
	return redisdb.Step{Head: createHead, Check: roomCheck, Tail: createTail, Keys: []string{indexKey(kind)}, Args: []any{site, limit}}
}
