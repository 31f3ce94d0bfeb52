package store

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/redis/go-redis/v9"
)

// DeadCallback is a callback that was given up.
type DeadCallback struct {
	Invocation invocation.Invocation // without its result
	DiedAt     time.Time
}

// MaxDeadCallbacks is how many dead callbacks a call lists at most.
const MaxDeadCallbacks = 200

// grave is where a dead callback stands in the list: the later it died, the
// further in front.
type grave struct {
	kind function.Kind
	died int64
	id   string
}

var graveForm = regexp.MustCompile(`^([0-9]{1,15})-([0-7][0-9A-HJKMNP-TV-Z]{25})$`)

// compare orders graves as the list does.
func (g grave) compare(other grave) int {
	return -cmp.Or(cmp.Compare(g.died, other.died), cmp.Compare(g.id, other.id))
}

func (g grave) cursor() string { return strconv.FormatInt(g.died, 10) + "-" + g.id }

// DeadCallbacks lists the dead callbacks of a site, newest first: at most limit,
// 1 to MaxDeadCallbacks; other limits are brought to the nearest. cursor is ""
// for the first page; next is that of the following page, and "" at the end.
// What dies while one pages is in none of the following pages. A callback is
// listed for as long as its invocation's record is kept. A cursor that is none:
// fault.Invalid.
func (s *Store) DeadCallbacks(ctx context.Context, site, cursor string, limit int) (list []DeadCallback, next string, err error) {
	after := grave{died: 1 << 52}
	if cursor != "" {
		parts := graveForm.FindStringSubmatch(cursor)
		if parts == nil {
			return nil, "", fault.New(fault.Invalid, "listing dead callbacks: %.40q is not a cursor of a list; begin without one", cursor)
		}
		after.id = parts[2]
		if after.died, err = strconv.ParseInt(parts[1], 10, 64); err != nil {
			return nil, "", err
		}
	}
	limit = min(max(limit, 1), MaxDeadCallbacks)
	for len(list) < limit {
		graves, err := s.graves(ctx, site, after, limit+1)
		if err != nil {
			return nil, "", err
		}
		if len(graves) == 0 {
			return list, "", nil
		}
		dead, err := s.readDead(ctx, site, graves)
		if err != nil {
			return nil, "", err
		}
		for i, d := range dead {
			after = graves[i]
			if d == nil {
				continue
			}
			if list = append(list, *d); len(list) == limit {
				if i == len(graves)-1 && len(graves) <= limit {
					return list, "", nil
				}
				return list, after.cursor(), nil
			}
		}
	}
	return list, "", nil
}

// graves reads the next graves after one, of both kinds.
func (s *Store) graves(ctx context.Context, site string, after grave, limit int) ([]grave, error) {
	var all []grave
	for _, kind := range recordKinds() {
		// Those that died in the same millisecond as the one before stand among
		// the first, in the order of their IDs, and are read again.
		for offset, found := 0, 0; found < limit; {
			part, err := s.rdb.ZRevRangeByScoreWithScores(ctx, deadCallbacksKey(kind, site), &redis.ZRangeBy{
				Min: "-inf", Max: strconv.FormatInt(after.died, 10), Offset: int64(offset), Count: int64(limit),
			}).Result()
			if err != nil {
				return nil, failed(ctx, err, "listing dead callbacks")
			}
			for _, z := range part {
				id, _ := z.Member.(string)
				if g := (grave{kind, int64(z.Score), id}); after.compare(g) < 0 {
					all, found = append(all, g), found+1
				}
			}
			if len(part) < limit {
				break
			}
			offset += len(part)
		}
	}
	slices.SortFunc(all, grave.compare)
	return all[:min(len(all), limit)], nil
}

// readDead reads what lies in graves; nil where there is nothing any more. The
// grave of an expired record is removed; that of an invocation that was retried
// is left to its next end.
func (s *Store) readDead(ctx context.Context, site string, graves []grave) ([]*DeadCallback, error) {
	const doing = "reading dead callbacks"
	answers := make([]*redis.SliceCmd, len(graves))
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, g := range graves {
			answers[i] = p.HMGet(ctx, recordKey(g.kind, g.id), listFields...)
		}
		return nil
	})
	if err != nil {
		return nil, failed(ctx, err, doing)
	}
	dead := make([]*DeadCallback, len(graves))
	for i, g := range graves {
		r := recordOf(listFields, answers[i].Val())
		switch {
		case r[fieldState] == "":
			if err := s.rdb.ZRem(ctx, deadCallbacksKey(g.kind, site), g.id).Err(); err != nil {
				return nil, failed(ctx, err, doing)
			}
		case r[fieldCallbackState] == string(invocation.CallbackDead):
			inv, err := r.invocation()
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", doing, g.id, err)
			}
			dead[i] = &DeadCallback{Invocation: inv, DiedAt: fromMillis(g.died)}
		}
	}
	return dead, nil
}
