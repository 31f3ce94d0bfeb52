package store

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/call_keys.lua
	callKeysBody   string
	callKeysScript = redis.NewScript(callKeysBody)
)

// CallKeys returns the keys that gateways sign calls of workers with, the newest
// first, and the time of Redis. If the newest is older than rotate, there is a
// new one; those older than keep are gone. They stand in Redis as they are: who
// may read them there may also queue whatever a worker is to run.
func (s *Store) CallKeys(ctx context.Context, rotate, keep time.Duration) (keys []dispatch.Key, now time.Time, err error) {
	const doing = "reading the keys of calls"
	list, err := callKeysScript.Run(ctx, s.rdb, []string{callKeysKey()},
		rotate.Milliseconds(), keep.Milliseconds(), rand.Text()[:8], rand.Text()+rand.Text()).StringSlice()
	if err != nil {
		return nil, time.Time{}, failed(ctx, err, doing)
	}
	if len(list)%3 != 1 {
		return nil, time.Time{}, unexpected(doing, fmt.Sprintf("%d values", len(list)))
	}
	ms, err := strconv.ParseInt(list[0], 10, 64)
	if err != nil {
		return nil, time.Time{}, unexpected(doing, list[0])
	}
	for key := range slices.Chunk(list[1:], 3) {
		made, err := strconv.ParseInt(key[1], 10, 64)
		if err != nil {
			return nil, time.Time{}, unexpected(doing, key[1])
		}
		keys = append(keys, dispatch.Key{ID: key[0], Secret: secret.Text(key[2]), MadeAt: fromMillis(made)})
	}
	slices.SortFunc(keys, func(a, b dispatch.Key) int { return b.MadeAt.Compare(a.MadeAt) })
	return keys, fromMillis(ms), nil
}
