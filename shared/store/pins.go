package store

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// Pinned counts the unfinished invocations of each deploy that has any: they run
// on it, whatever is published by then.
func (s *Store) Pinned(ctx context.Context) (map[string]int64, error) {
	const doing = "reading which deploys have unfinished invocations"
	var answers []*redis.MapStringStringCmd
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, kind := range recordKinds() {
			answers = append(answers, p.HGetAll(ctx, pinsKey(kind)))
		}
		return nil
	})
	if err != nil {
		return nil, failed(ctx, err, doing)
	}
	pinned := map[string]int64{}
	for _, answer := range answers {
		for deploy, text := range answer.Val() {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", doing, err)
			}
			pinned[deploy] += n
		}
	}
	return pinned, nil
}
