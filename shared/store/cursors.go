package store

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nightshift/nightshift/shared/schedule"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/sync_cursors.lua
	syncCursorsBody string

	syncCursorsScript = redis.NewScript(syncCursorsBody)
)

// cursorChunk is how many cursors one command reads or moves: Redis serves
// nobody else while it does, about a millisecond for these.
const cursorChunk = 500

// Cursors reads all schedule cursors: by schedule key, the last tick that was
// dealt with, or the moment at which the schedule was first seen.
func (s *Store) Cursors(ctx context.Context) (map[string]time.Time, error) {
	const doing = "reading the schedule cursors"
	cursors := map[string]time.Time{}
	for scan := uint64(0); ; {
		list, next, err := s.rdb.HScan(ctx, cursorsKey(), scan, "", cursorChunk).Result()
		if err != nil {
			return nil, failed(ctx, err, doing)
		}
		for key, text := range pairs(list) {
			if cursors[key], err = parseCursor(text, doing); err != nil {
				return nil, err
			}
		}
		if scan = next; scan == 0 {
			return cursors, nil
		}
	}
}

func parseCursor(text, doing string) (time.Time, error) {
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", doing, err)
	}
	return fromMillis(ms), nil
}

// SyncCursors makes the set of cursors equal to keys: new ones start at Redis's
// now, others are dropped, those that stay keep their place. It returns the
// resulting cursors, or ErrSuperseded.
//
// It works in chunks. One that ends in an error may have done a part; the next
// one does the rest. Meanwhile no other term fires, and the caller must not.
func (s *Store) SyncCursors(ctx context.Context, term int64, keys []string) (map[string]time.Time, error) {
	stored, err := s.Cursors(ctx)
	if err != nil {
		return nil, err
	}
	cursors := make(map[string]time.Time, len(keys))
	owners := make(map[string]bool, len(keys))
	var add, drop []string
	for _, key := range keys {
		owners[schedule.Owner(key)] = true
		if at, ok := stored[key]; ok {
			cursors[key] = at
		} else {
			add = append(add, key)
		}
	}
	for key := range stored {
		if _, stays := cursors[key]; !stays {
			drop = append(drop, key)
		}
	}
	added, err := s.moveCursors(ctx, term, add, drop, owners)
	if err != nil {
		return nil, err
	}
	for key, at := range added {
		cursors[key] = at
	}
	return cursors, nil
}

// MoveCursors drops some cursors and adds others, and returns those that it
// added, or ErrSuperseded. New ones start at Redis's now; one that is there keeps
// its place. It is what SyncCursors does, for a caller that knows what changed.
func (s *Store) MoveCursors(ctx context.Context, term int64, add, drop []string) (map[string]time.Time, error) {
	owners := make(map[string]bool, len(add))
	for _, key := range add {
		owners[schedule.Owner(key)] = true
	}
	return s.moveCursors(ctx, term, add, drop, owners)
}

// moveCursors forgets what fired last of functions that are not among owners.
// Without anything to do it still asks whether the term leads: what was read
// before that was read while it led.
func (s *Store) moveCursors(ctx context.Context, term int64, add, drop []string, owners map[string]bool) (map[string]time.Time, error) {
	const doing = "adjusting the schedule cursors"
	cursors := make(map[string]time.Time, len(add))
	for first := true; first || len(add)+len(drop) > 0; first = false {
		dropped := drop[:min(len(drop), cursorChunk)]
		added := add[:min(len(add), cursorChunk-len(dropped))]
		drop, add = drop[len(dropped):], add[len(added):]
		var forgotten []string
		for _, key := range dropped {
			if owner := schedule.Owner(key); !owners[owner] {
				forgotten = append(forgotten, owner)
			}
		}
		args := []any{term, ledgerKey(""), s.opts.Retention.Milliseconds(), len(dropped), len(forgotten)}
		for _, text := range slices.Concat(dropped, forgotten, added) {
			args = append(args, text)
		}
		word, list, err := s.runList(ctx, syncCursorsScript, doing, []string{termKey(), cursorsKey(), lastFiredKey()}, args...)
		switch {
		case err != nil:
			return nil, err
		case word == "superseded":
			return nil, ErrSuperseded
		case word != "synced" || len(list) != len(added):
			return nil, unexpected(doing, word)
		}
		for i, key := range added {
			if cursors[key], err = parseCursor(list[i], doing); err != nil {
				return nil, err
			}
		}
	}
	return cursors, nil
}
