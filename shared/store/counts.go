package store

import (
	"context"
	_ "embed"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/counts.lua
	countsBody string

	countsScript = redis.NewScript(countsBody)
)

// Counts says what became of everything that was ever accepted. Finished records
// expire, but stay counted.
type Counts struct {
	Accepted                   int64 // records made
	Queued, Running, Failed    int64 // records that are in the state now
	Succeeded, Dead, Cancelled int64 // records that ended so; a retry takes a dead one out again
}

// Drift is what was accepted and is neither there nor has it ended: 0, or an
// invocation is lost or was counted twice.
func (c Counts) Drift() int64 {
	return c.Accepted - c.Queued - c.Running - c.Failed - c.Succeeded - c.Dead - c.Cancelled
}

// Counts sums what is counted of all kinds. Of each kind it is what holds at one moment.
func (s *Store) Counts(ctx context.Context) (Counts, error) {
	byKind, err := s.CountsByKind(ctx)
	var sum Counts
	for _, c := range byKind {
		sum.Accepted += c.Accepted
		sum.Queued += c.Queued
		sum.Running += c.Running
		sum.Failed += c.Failed
		sum.Succeeded += c.Succeeded
		sum.Dead += c.Dead
		sum.Cancelled += c.Cancelled
	}
	return sum, err
}

// CountsByKind reads what is counted of each kind that has records.
func (s *Store) CountsByKind(ctx context.Context) (map[function.Kind]Counts, error) {
	const doing = "counting invocations"
	counts := map[function.Kind]Counts{}
	for _, kind := range recordKinds() {
		n, err := countsScript.Run(ctx, s.rdb, []string{indexKey(kind), countsKey(kind)}).Int64Slice()
		if err != nil {
			return nil, failed(ctx, err, doing)
		}
		if len(n) != 7 {
			return nil, unexpected(doing, "a list of another length")
		}
		counts[kind] = Counts{Accepted: n[0], Queued: n[1], Running: n[2], Failed: n[3], Succeeded: n[4], Dead: n[5], Cancelled: n[6]}
	}
	return counts, nil
}
