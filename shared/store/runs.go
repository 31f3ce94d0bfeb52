package store

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"slices"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/runs.lua
	runsBody string

	runsScript = redis.NewScript(runsBody)
)

// Bounds of the figures of functions.
const (
	defaultRuns = 50
	maxRuns     = 200 // of one function
	runsEffort  = 500 // of all functions of a script: about 5 ms, in which Redis does nothing else
)

const readingRuns = "reading how functions ran"

// Figures tell how a function ran lately.
type Figures struct {
	Runs   int // the invocations that are looked at: all of them succeeded or dead
	Failed int // those of them that are dead
	// P50 and P95 are durations of last attempts, of which 50 and 95 % took that
	// long or less; 0 without runs.
	P50, P95 time.Duration
}

// FailedShare is the part of the runs that failed, 0 to 1; 0 without runs.
func (f Figures) FailedShare() float64 {
	if f.Runs == 0 {
		return 0
	}
	return float64(f.Failed) / float64(f.Runs)
}

// run is one invocation as runs.lua tells of it.
type run struct {
	created int64 // ms
	dead    bool
	took    time.Duration // of the last attempt; negative if there was none
}

// FunctionFigures tells how functions of a site ran lately, by name: of each the
// newest n invocations, 1 to 200, by time of acceptance, that are succeeded or
// dead. 0 is 50; other numbers are brought to the nearest. Cancelled ones say
// nothing about a function and are left out. So are those that are older than
// [Options.Retention]: of their time only the dead ones are kept. Every function
// that is asked for is in the answer, with zeroes if it never ran.
//
// It costs O(F (log N + n)) of F functions and N records, some 10 µs of Redis's
// time for each invocation that it looks at. Each 500 of those are a round trip of
// their own, for each kind, so that Redis is never held up for longer than about
// 5 ms.
func (s *Store) FunctionFigures(ctx context.Context, site string, functions []string, n int) (map[string]Figures, error) {
	if err := validNames(readingRuns, site, functions...); err != nil {
		return nil, err
	}
	n = min(max(cmp.Or(n, defaultRuns), 1), maxRuns)
	all := make(map[string]Figures, len(functions))
	for names := range slices.Chunk(functions, runsEffort/n) {
		runs := make([][]run, len(names))
		for _, kind := range recordKinds() {
			if err := s.runs(ctx, kind, site, names, n, runs); err != nil {
				return nil, err
			}
		}
		for i, name := range names {
			all[name] = figuresOf(runs[i], n)
		}
	}
	return all, nil
}

// runs appends to runs, for each function, those of a kind.
func (s *Store) runs(ctx context.Context, kind function.Kind, site string, functions []string, n int, runs [][]run) error {
	args := []any{site, n, s.opts.Retention.Milliseconds()}
	for _, name := range functions {
		args = append(args, name)
	}
	answer, err := runsScript.Run(ctx, s.rdb, []string{indexKey(kind), recordKey(kind, "")}, args...).Slice()
	if err != nil {
		return failed(ctx, err, readingRuns)
	}
	if len(answer) != len(functions) {
		return unexpected(readingRuns, "a list of another length")
	}
	for i, one := range answer {
		values, _ := one.([]any)
		if len(values)%3 != 0 {
			return unexpected(readingRuns, fmt.Sprint(len(values), " numbers"))
		}
		numbers := make([]int64, len(values))
		for j, value := range values {
			numbers[j], _ = value.(int64)
		}
		for three := range slices.Chunk(numbers, 3) {
			runs[i] = append(runs[i], run{created: three[0], dead: three[1] == 1, took: time.Duration(three[2]) * time.Millisecond})
		}
	}
	return nil
}

// figuresOf sums up the newest n runs.
func figuresOf(runs []run, n int) Figures {
	slices.SortFunc(runs, func(a, b run) int { return cmp.Compare(b.created, a.created) })
	runs = runs[:min(n, len(runs))]
	f := Figures{Runs: len(runs)}
	var took []time.Duration
	for _, r := range runs {
		if r.dead {
			f.Failed++
		}
		if r.took >= 0 {
			took = append(took, r.took)
		}
	}
	slices.Sort(took)
	f.P50, f.P95 = percentile(took, 50), percentile(took, 95)
	return f
}

// percentile is the least of the sorted durations that p % of them do not exceed.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)*p+99)/100-1]
}
