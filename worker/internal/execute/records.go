package execute

import (
	"context"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/store"
)

// Steps make what Records puts together: store.Store.
type Steps interface {
	End(kind function.Kind, id string, attempt int, end store.End) (redisdb.Step, error)
	Lines(src store.LogSource, lines []invocation.LogLine) (redisdb.Step, error)
	Finish(ctx context.Context, kind function.Kind, id string, attempt int, end store.End) error
}

// Settler ends deliveries: queue.Settler.
type Settler interface {
	// Finish keeps queue.Settler.Finish's contract.
	Finish(ctx context.Context, d queue.Delivery, steps ...redisdb.Step) (verdict int, err error)
}

// Records are the ends of attempts in Redis. It is safe for concurrent use.
type Records struct {
	Steps   Steps
	Settler Settler
}

// Finish implements Ends.
func (r Records) Finish(ctx context.Context, d queue.Delivery, attempt int, end store.End, lines []invocation.LogLine) error {
	if disposition(end) != queue.Done() {
		return r.Steps.Finish(ctx, d.Queue, d.ID, attempt, end)
	}
	step, err := r.Steps.End(d.Queue, d.ID, attempt, end)
	if err != nil {
		return err
	}
	steps := []redisdb.Step{step}
	if len(lines) > 0 {
		log, err := r.Steps.Lines(source(d), lines)
		if err != nil {
			return err
		}
		steps = []redisdb.Step{log, step}
	}
	verdict, err := r.Settler.Finish(ctx, d, steps...)
	if err != nil {
		return err
	}
	switch verdict {
	case queue.Queued, queue.Existed:
		return nil
	case store.Fenced:
		return store.ErrFenced
	case store.Gone:
		return store.UnknownInvocation(d.ID)
	default:
		return fault.New(fault.Internal, "recording the end of attempt %d of %s: refused with %d", attempt, d.ID, verdict)
	}
}
