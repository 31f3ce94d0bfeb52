package store

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/fire_check.lua
	fireCheck string
	//go:embed lua/fire_apply.lua
	fireApply string
	//go:embed lua/sync_cursors.lua
	syncCursorsBody string

	syncCursorsScript = redis.NewScript(syncCursorsBody)

	// skipScript is the Fire step without a task.
	//
	// Atomic. KEYS and ARGV are the step's; the result is its Check's.
	skipScript = redis.NewScript("local function check(KEYS, ARGV)\n" + fireCheck + "\nend\n" +
		"local function apply(KEYS, ARGV)\n" + fireApply + "\nend\n" +
		"local verdict = check(KEYS, ARGV)\n" +
		"if verdict == 1 then apply(KEYS, ARGV) end\n" +
		"return verdict\n")
)

// Reasons with which Fire's Check stops a script.
const (
	FireAlready    = -1 // the cursor has passed this tick: somebody fired it
	FireSuperseded = -2 // a newer term leads: stop being the leader
	FireUnknown    = -3 // the cursor is gone: the schedule was dropped or changed
)

// BeginTerm starts a new term of leadership and returns its number. All writes
// of other terms are refused from then on. When Redis has lost its data, and
// the number with it, every leader is refused until it has begun a term again.
func (s *Store) BeginTerm(ctx context.Context) (int64, error) {
	term, err := s.rdb.Incr(ctx, termKey()).Result()
	return term, failed(ctx, err, "beginning a term")
}

// Cursors reads all schedule cursors: by schedule key, the last tick that was
// fired or skipped, or the moment at which the schedule was first seen.
func (s *Store) Cursors(ctx context.Context) (map[string]time.Time, error) {
	const doing = "reading the schedule cursors"
	stored, err := s.rdb.HGetAll(ctx, cursorsKey()).Result()
	if err != nil {
		return nil, failed(ctx, err, doing)
	}
	return parseCursors(stored, doing)
}

// SyncCursors makes the set of cursors equal to keys: new ones start at Redis's
// now, others are dropped, those that stay keep their place. It returns the
// resulting cursors, or ErrSuperseded.
func (s *Store) SyncCursors(ctx context.Context, term int64, keys []string) (map[string]time.Time, error) {
	const doing = "adjusting the schedule cursors"
	args := make([]any, 0, len(keys)+1)
	args = append(args, term)
	for _, key := range keys {
		args = append(args, key)
	}
	word, list, err := s.runList(ctx, syncCursorsScript, doing, []string{termKey(), cursorsKey()}, args...)
	if err != nil {
		return nil, err
	}
	switch word {
	case "synced":
		return parseCursors(pairs(list), doing)
	case "superseded":
		return nil, ErrSuperseded
	default:
		return nil, unexpected(doing, word)
	}
}

func parseCursors(stored map[string]string, doing string) (map[string]time.Time, error) {
	cursors := make(map[string]time.Time, len(stored))
	for key, text := range stored {
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
		cursors[key] = fromMillis(ms)
	}
	return cursors, nil
}

// Fire is the step that advances a schedule's cursor to a tick, in the same
// script that enqueues the tick's task. Check returns one of the reasons above.
func (s *Store) Fire(term int64, key string, tick time.Time) redisdb.Step {
	return redisdb.Step{
		Check: fireCheck,
		Apply: fireApply,
		Keys:  []string{termKey(), cursorsKey()},
		Args:  []any{term, key, tick.UnixMilli()},
	}
}

// Skip advances a cursor without firing, with the same checks. A cursor that
// has passed the tick: nil. Another term leads: ErrSuperseded. No such cursor:
// fault.NotFound.
func (s *Store) Skip(ctx context.Context, term int64, key string, tick time.Time) error {
	const doing = "skipping a tick"
	verdict, err := skipScript.Run(ctx, s.rdb, []string{termKey(), cursorsKey()}, term, key, tick.UnixMilli()).Int()
	if err != nil {
		return failed(ctx, err, doing)
	}
	switch verdict {
	case 1, FireAlready:
		return nil
	case FireSuperseded:
		return ErrSuperseded
	case FireUnknown:
		return fault.New(fault.NotFound, "%s: there is no schedule %q", doing, key)
	default:
		return unexpected(doing, strconv.Itoa(verdict))
	}
}
