// Package queue is the seam to asynq, and its only importer. asynq keeps the
// tasks, leases and retries; this package changes what it does badly.
//
// # The life of a task
//
//	Enqueue ──▶ lane ──▶ pending ──▶ active ──▶ gone            Done
//	              ▲         ▲          │ ├────▶ archived        Bury
//	              │         │          │ └────▶ retry ──┐       RetryIn
//	              │         ├── head ──┤ ◀─ HandBack    │
//	              │         └── head ──┘ ◀─ Reaper      │
//	              └─────────────────────────────────────┘ when due
//
// A task is delivered at least once. A worker holds it under a lease of 30 s
// that asynq extends every 5 s; a worker that dies or loses Redis loses the
// lease, and then somebody else gets the task. Deliveries of one task can
// therefore overlap for a moment: whatever a handler writes must be fenced by
// the attempt number of its record.
//
// # What differs from plain asynq
//
//   - [Client] puts a task and what belongs to it (a record, a schedule's
//     cursor) into Redis with one script: both or neither. Concurrent calls
//     share scripts and round trips.
//   - [Server] waits for work instead of polling for it: an idle loop is parked
//     and woken by a blocking command, so pick-up takes about a millisecond and
//     idling costs next to nothing. It takes as many tasks per round trip as it
//     has free slots.
//   - [Settler] ends a delivery in the script that records its end, and shares that
//     script among those that end together.
//   - A failed acknowledgement is repaired. asynq repeats it under a context
//     that has already ended, so a finished task would run again.
//   - A task can be handed back to the head of its queue, uncounted.
//   - [Reaper] returns the tasks of dead workers about 30 s after their death,
//     where asynq takes one to two minutes.
//
// asynq retries nothing by itself here: [Disposition] says what follows a
// delivery. Its retry count is set out of reach.
//
// # Lanes
//
// asynq's pending list is first in, first out: a function that is called 10,000
// times would keep all others waiting. So tasks of one site and function form a
// lane, and a task is released to the pending list only while there is room:
//
//   - for its lane: as many as the function's concurrency. Without one, all that
//     the fleet can run at once, less an eighth, and less one at least;
//   - for its site: as many as the limit says, if there is one;
//   - for the fleet: as many as it can run at once, for all lanes together.
//
// What has no room waits in its lane, first in, first out. Lanes with room take
// turns. The bound: when a task is the first of its lane, and its lane and site
// have room, each other lane releases at most one task before it. On a fleet of
// 2 or more with one lane that floods, that means at once, or after the next task
// that ends. What is released already runs first; it is never more than the
// fleet can run at once.
//
// A released task holds a slot until its delivery is settled, also while its
// worker is dead and the task not yet handed back. So a function's concurrency
// holds over all workers, whatever happens to them. The script that settles a
// delivery frees the slot and releases the next task.
//
// # Suspects
//
// A worker that dies takes all its tasks with it, and an invocation that loses
// three workers is dead. So a task that kills its worker must not meet the same
// ones three times. One whose worker is lost for the first time goes back to the
// head of its queue; for the second time it becomes a suspect: it gives its slot
// back and waits in one lane with all suspects of the queue, of which one at a
// time is released. The task that kills is then alone among those that cannot
// afford another loss, and is dead with its third; the others end in their turn.
//
// The cost: suspects run one after the other, for as long as each takes. Two
// losses of long tasks that are innocent, such as two machines that fail, make
// them wait for each other. A suspect counts for its function's concurrency, so
// that holds; when it waits for that, the suspects behind it do too. It neither
// counts for the limit of its site nor waits for it. It stays a suspect until it
// ends. Each queue has its suspects: one of each may share a worker.
//
// # Bounds
//
// The leader says how large the fleet is and what the limit of a site is, and
// admits delayed tasks and retries whose time has come ([Lanes]). While nobody has for a minute, the capacity is unknown, and bounds
// nothing. Each queue has its lanes and its bounds by itself.
//
// A queue is a priority class and never a site or a function, since each
// dequeue asks all queues in turn. Its name is the kind of function.
package queue

import (
	"time"

	"github.com/nightshift/nightshift/shared/function"
)

// Target is a task's payload: who is to be called. The event itself stands in
// the invocation's record, so asynq's heartbeat never copies it and asynqmon
// shows something readable.
type Target struct {
	Site     string `json:"site"`
	Deploy   string `json:"deploy"`
	Function string `json:"function"`
	// Published says that the call was for what is published, not for this very
	// deploy: a function may ask to run on what is published by then.
	Published bool `json:"published,omitempty"`
}

// Task is one invocation on its way to a worker.
type Task struct {
	ID     string        // the invocation's ID; enqueuing the same ID twice enqueues once
	Queue  function.Kind // Background or Scheduled: each kind is a queue, and a priority class
	Target Target
	// Timeout is the function's own limit, more than 0. asynq's stands 30 s above it.
	Timeout time.Duration
	// NotBefore is when it may run at the earliest, by the clock of Redis; it is
	// looked for once a second ([Lanes]), and each 10 s while nobody leads. Zero, or
	// past: now.
	NotBefore time.Time
	// Concurrency bounds how many tasks of the same site and function are pending
	// or running at once, over all workers. 0: no bound of its own. The task that
	// was enqueued last decides for all of them.
	Concurrency int
}

// lane is what tasks have in common that wait for each other.
func (t *Target) lane() string { return t.Site + "/" + t.Function }

// Delivery is a task that a worker was given.
type Delivery struct {
	ID     string
	Queue  function.Kind
	Target Target
}

// taskType is the type of all our tasks: asynq's own routing is not used.
const taskType = "invoke"
