package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/longest.lua
	longestBody string

	longestScript = redis.NewScript(longestBody)
)

// longestEffort is how many queued records are looked at for the longest wait.
// Beyond as many that all wait for their time, none is seen.
const longestEffort = 1000

// LongestQueued says for how long the first of the queued invocations of a kind
// has been waiting: since it was accepted, or queued again, or since the time
// before which it must not run. 0: none waits. Attempts that follow a failed one
// are not queued, they are failed until they begin.
func (s *Store) LongestQueued(ctx context.Context, kind function.Kind) (time.Duration, error) {
	wait, _, err := s.longest(ctx, kind, indexKey(kind)+string(invocation.Queued))
	return wait, err
}

// OldestQueued says the same of a site's invocations of both kinds, as the time
// since when the first has been waiting; zero: none waits.
//
// Both cost O(log N) of N records, and O(1,000) if that many wait for their time:
// 10 µs to 1 ms of Redis's time for each kind.
func (s *Store) OldestQueued(ctx context.Context, site string) (time.Time, error) {
	var oldest time.Time
	if err := validNames("looking for the oldest queued invocation", site); err != nil {
		return oldest, err
	}
	for _, kind := range recordKinds() {
		wait, now, err := s.longest(ctx, kind, indexKey(kind)+string(invocation.Queued)+":"+site)
		if err != nil {
			return time.Time{}, err
		}
		if since := now.Add(-wait); wait > 0 && (oldest.IsZero() || since.Before(oldest)) {
			oldest = since
		}
	}
	return oldest, nil
}

// longest is the longest wait in a set of queued records of the index.
func (s *Store) longest(ctx context.Context, kind function.Kind, set string) (wait time.Duration, now time.Time, err error) {
	const doing = "looking for the longest wait"
	ms, err := longestScript.Run(ctx, s.rdb, []string{set, recordKey(kind, "")}, longestEffort, fieldNotBefore, fieldRequeued).Int64Slice()
	if err != nil {
		return 0, time.Time{}, failed(ctx, err, doing)
	}
	if len(ms) != 2 {
		return 0, time.Time{}, unexpected(doing, "a list of another length")
	}
	return time.Duration(ms[0]) * time.Millisecond, fromMillis(ms[1]), nil
}
