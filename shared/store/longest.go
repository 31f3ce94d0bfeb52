package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/longest.lua
	longestBody string

	longestScript = redis.NewScript(longestBody)
)

// longestEffort is how many queued records LongestQueued looks at. Beyond as many
// that all wait for their time, it sees none.
const longestEffort = 1000

// LongestQueued says for how long the first of the queued invocations of a kind
// has been waiting: since it was accepted, or queued again, or since the time
// before which it must not run. 0: none waits. Attempts that follow a failed one
// are not queued, they are failed until they begin.
func (s *Store) LongestQueued(ctx context.Context, kind function.Kind) (time.Duration, error) {
	ms, err := longestScript.Run(ctx, s.rdb, []string{indexKey(kind), recordKey(kind, "")},
		longestEffort, fieldNotBefore, fieldRequeued).Int64()
	if err != nil {
		return 0, failed(ctx, err, "looking for the longest wait")
	}
	return time.Duration(ms) * time.Millisecond, nil
}
