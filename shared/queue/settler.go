package queue

import (
	"context"
	_ "embed"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/script"
	"github.com/redis/go-redis/v9"
)

//go:embed finish.lua
var finishBody string

var finishTemplate = script.NewTemplate(laneHead + finishBody)

// countersAge is how long asynq keeps the counters of a day.
const countersAge = 90 * 24 * time.Hour

// finishGap lets deliveries that end one shortly after the other share a script. It
// is about what a script costs the worker and Redis that ends one alone.
const finishGap = time.Millisecond

// Settler ends deliveries together with what is written about them: the usual
// end of a delivery is one script, which it shares with others that end at the
// same time. A [Server] that knows it does not settle those again. It is safe for
// concurrent use.
type Settler struct {
	batch *script.Batcher
	// finished are the IDs of the tasks that asynq need not settle any more.
	finished sync.Map
}

// NewSettler makes a Settler. The caller keeps rdb, and closes it after the Settler.
func NewSettler(rdb redis.UniversalClient) *Settler {
	return &Settler{batch: script.NewBatcher(script.Config{Redis: rdb, Flights: 1, Gap: finishGap, Timeout: settleTimeout})}
}

// Finish ends a delivery as [Done] together with the steps, atomically. Its handler
// then returns Done, which costs nothing more.
//
// The verdict, if err is nil:
//
//   - [Queued] (1): the steps are applied, and the task is gone.
//   - [Existed] (0): a step said that it was applied before; the task is gone too.
//   - anything else is what the first unwilling step's Check returned: nothing is
//     written, and what becomes of the task is still the handler's to say.
//
// Errors: [fault.Unavailable] if Redis did not do it, or nobody can say whether it
// did; trying again is safe. [fault.Internal] are bugs.
func (s *Settler) Finish(ctx context.Context, d Delivery, steps ...redisdb.Step) (verdict int, err error) {
	template, err := finishTemplate.With(steps)
	if err != nil {
		return 0, err
	}
	now := time.Now().UTC()
	keys, args := script.Operands([]any{d.ID, now.Add(countersAge).Unix()}, steps)
	verdict, err = verdictOf(s.batch.Do(ctx, script.Call{
		Script: template, Shared: laneKeys(d.Queue, queueKey(d.Queue, "processed:"+now.Format(time.DateOnly))), Keys: keys, Args: args,
	}))
	switch {
	case err != nil && script.Broken(err):
		return 0, fault.Wrap(err, fault.Internal, "ending the delivery of task %s", d.ID)
	case err != nil:
		return 0, fault.Wrap(err, fault.Unavailable, "ending the delivery of task %s", d.ID)
	case verdict == Queued || verdict == Existed:
		s.finished.Store(d.ID, struct{}{})
	}
	return verdict, nil
}

// took reports whether a task was finished here, once.
func (s *Settler) took(id any) bool {
	if s == nil {
		return false
	}
	_, finished := s.finished.LoadAndDelete(id)
	return finished
}

// Close waits for the round trips under way, each 5 s at most. There must be no
// Finish after it.
func (s *Settler) Close() { s.batch.Wait() }
