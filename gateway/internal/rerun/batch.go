package rerun

import (
	"context"
	"slices"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
)

// MaxBatch is how many invocations one request replays at most.
const MaxBatch = 1000

// page is how many are read at once.
const page = 200

// Batch says which invocations of a site are replayed.
type Batch struct {
	// Filter must have a terminal state.
	Filter store.Filter
	Cursor string // where to go on; "" is the newest
	Limit  int    // 1 to MaxBatch
	// DryRun makes nothing.
	DryRun bool
	// Key lets requests with the same key make each replay once.
	Key string
}

// Report is what became of a batch. In lists, the oldest stands first.
type Report struct {
	Matched  []string // the invocations that the filter let through
	Made     []Made
	Refused  []Refused
	Next     string // goes on with older ones; empty at the end
	LeftOver int    // of Matched, that the request did not come to
}

// Refused is an invocation that could not be replayed, and why.
type Refused struct {
	ID  string
	Why error
}

// ReplayAll replays what a filter lets through: of the newest that there are
// behind the cursor, the oldest first. One that nothing can run is refused, and
// the others go on.
//
// A failure that would hit the rest too (no room, no Redis) ends it: the report
// says how far it came, beside the error.
func (s *Service) ReplayAll(ctx context.Context, b Batch) (Report, error) {
	if !b.Filter.State.Terminal() {
		return Report{}, fault.New(fault.Invalid, "replaying invocations: the state must be %s, %s or %s, not %.40q: others are not finished", invocation.Succeeded, invocation.Dead, invocation.Cancelled, b.Filter.State)
	}
	if b.Limit < 1 || b.Limit > MaxBatch {
		return Report{}, fault.New(fault.Invalid, "replaying invocations: the limit is %d; it must be 1 to %d", b.Limit, MaxBatch)
	}
	var report Report
	var found []invocation.Invocation
	for report.Next = b.Cursor; len(found) < b.Limit; {
		list, next, err := s.Store.Invocations(ctx, b.Filter, report.Next, min(page, b.Limit-len(found)))
		if err != nil {
			return Report{}, err
		}
		found, report.Next = append(found, list...), next
		if next == "" {
			break
		}
	}
	slices.Reverse(found)
	for _, inv := range found {
		report.Matched = append(report.Matched, inv.ID)
	}
	if b.DryRun {
		return report, nil
	}
	known := s.newDeploys()
	for i, inv := range found {
		made, err := s.replay(ctx, inv, b.Key, known)
		switch {
		case err == nil:
			report.Made = append(report.Made, made)
		case fault.Is(err, fault.Conflict), fault.Is(err, fault.NotFound): // expired meanwhile
			report.Refused = append(report.Refused, Refused{inv.ID, err})
		default:
			report.LeftOver = len(found) - i
			return report, err
		}
	}
	return report, nil
}
