package store

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/tick.lua
	tickHead string
	//go:embed lua/fire_check.lua
	fireCheckBody string
	//go:embed lua/fire_apply.lua
	fireApplyBody string
	//go:embed lua/skip.lua
	skipBody string
	//go:embed lua/suppress.lua
	suppressBody string

	fireCheck      = tickHead + fireCheckBody
	fireApply      = boundsHead + tickHead + fireApplyBody
	skipScript     = redis.NewScript(redisdb.ClockHead + tickHead + skipBody)
	suppressScript = redis.NewScript(redisdb.ClockHead + tickHead + suppressBody)
)

// Reasons with which Fire's Check stops a script.
const (
	FireAlready    = -1 // the cursor has passed this tick: somebody dealt with it
	FireSuperseded = -2 // a newer term leads: stop being the leader
	FireUnknown    = -3 // the cursor is gone, or not where the caller believes it: read the cursors again
	FireOverlap    = -8 // what the function's schedule fired last is not finished, and overlap is skip
	FirePaused     = -9 // the function's schedule is paused, or was when the tick was due
)

// ledgerLength is how many entries a ledger keeps, about: Redis keeps up to a
// hundred more where that is cheaper.
const ledgerLength = 200

// BeginTerm starts a new term of leadership and returns its number. All writes
// of other terms are refused from then on. When Redis has lost its data, and
// the number with it, every leader is refused until it has begun a term again.
func (s *Store) BeginTerm(ctx context.Context) (int64, error) {
	term, err := s.rdb.Incr(ctx, termKey()).Result()
	return term, failed(ctx, err, "beginning a term")
}

// Firing is one tick that is to make an invocation.
type Firing struct {
	Key            string // of the schedule, see schedule.Key
	Site, Function string
	After          time.Time // where the caller believes the cursor to be
	Tick           time.Time
	// Due is how many ticks the schedule has in (After, Tick] by its own
	// arithmetic. It is counted as it is told; see [TickTotals.Drift].
	Due int
	// CaughtUp: the tick is too late to count as fired.
	CaughtUp bool
	// SkipOverlap refuses the tick while the invocation before is not finished.
	SkipOverlap bool
	Invocation  string // its ID
}

// Fire is the step that moves a schedule's cursor to a tick, enters it into the
// ledger and counts it, in the same script that enqueues the tick's task. Check
// returns one of the reasons above.
func (s *Store) Fire(term int64, f Firing) redisdb.Step {
	outcome, overlap := TickFired, "allow"
	if f.CaughtUp {
		outcome = TickCaughtUp
	}
	if f.SkipOverlap {
		overlap = "skip"
	}
	return redisdb.Step{
		Check: fireCheck, Apply: fireApply,
		Keys: []string{termKey(), cursorsKey(), pausesKey(f.Site), lastFiredKey(), ledgerKey(f.Key), tickTotalsKey()},
		Args: []any{
			term, f.Key, f.Tick.UnixMilli(), f.After.UnixMilli(), f.Function, f.Site + "/" + f.Function, overlap,
			recordKey(function.Scheduled, ""), finals,
			string(outcome), f.Due, f.Invocation, ledgerLength,
		},
	}
}

// finals are the terminal states, for scripts.
var finals = strings.Join([]string{string(invocation.Succeeded), string(invocation.Dead), string(invocation.Cancelled)}, " ")

// Skipping is one or several ticks in a row that are not to fire.
type Skipping struct {
	Key      string    // of the schedule, see schedule.Key
	After    time.Time // where the caller believes the cursor to be
	From, To time.Time // the oldest and the newest of them
	Count    int       // how many they are, 1 or more
	Reason   SkipReason
}

// Skip moves a cursor past ticks that do not fire, enters them into the ledger
// and counts them. A cursor that has passed them: nil. Another term leads:
// ErrSuperseded. No such cursor, or it is elsewhere: fault.NotFound.
func (s *Store) Skip(ctx context.Context, term int64, k Skipping) error {
	const doing = "skipping ticks"
	verdict, err := skipScript.Run(ctx, s.rdb, []string{termKey(), cursorsKey(), ledgerKey(k.Key), tickTotalsKey()},
		term, k.Key, k.To.UnixMilli(), k.After.UnixMilli(), k.From.UnixMilli(), k.Count, string(k.Reason), ledgerLength).Int()
	if err != nil {
		return failed(ctx, err, doing)
	}
	switch verdict {
	case 1, FireAlready:
		return nil
	case FireSuperseded:
		return ErrSuperseded
	case FireUnknown:
		return fault.New(fault.NotFound, "%s: the schedule %q has no cursor at %v", doing, k.Key, k.After)
	default:
		return unexpected(doing, strconv.Itoa(verdict))
	}
}

// Suppress enters into the ledger that a tick was about to fire a second time
// and did not: FireAlready stopped it. Once for each tick, and only as long as no
// later one was dealt with; else it does nothing. Another term leads: ErrSuperseded.
func (s *Store) Suppress(ctx context.Context, term int64, key string, tick time.Time) error {
	const doing = "noting a tick that did not fire again"
	verdict, err := suppressScript.Run(ctx, s.rdb, []string{termKey(), ledgerKey(key), tickTotalsKey()},
		term, tick.UnixMilli(), ledgerLength).Int()
	switch {
	case err != nil:
		return failed(ctx, err, doing)
	case verdict == FireSuperseded:
		return ErrSuperseded
	case verdict != 1:
		return fmt.Errorf("%s: the script answered %d", doing, verdict)
	}
	return nil
}
