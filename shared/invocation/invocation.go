// Package invocation is the life of one call of a function: its states, its
// attempts, its result, and the decision what follows a failed attempt.
//
//	                 ┌────────── retry is due ──────────┐
//	                 ▼                                  │
//	queued ──▶ running ──▶ succeeded                  failed
//	   │         │ │ └───────── attempt failed ──────────▲
//	   │         │ └──▶ dead (no attempt left)           │
//	   └─────────┴────▶ cancelled ◀──────────────────────┘
//
// running → running is one worker taking over from another that died, and
// running → queued is a draining worker handing the work back uncounted.
// succeeded, dead and cancelled are terminal: nothing leaves them by itself. The
// one way out is dead → queued, when somebody asks for a retry; an invocation
// that is retried gets its attempts anew. Whoever stores an invocation
// moves it along [CanMove] only, and lets only the newest attempt do so: the
// attempt number is the fencing token.
package invocation

import (
	"slices"
	"time"

	"github.com/nightshift/nightshift/shared/function"
)

// State is where an invocation stands.
type State string

// The closed list of states.
const (
	Queued    State = "queued"    // accepted, no attempt is running
	Running   State = "running"   // an attempt is running
	Failed    State = "failed"    // the last attempt failed; the next one starts at NextAttemptAt
	Succeeded State = "succeeded" // the function returned, whatever status code it returned
	Dead      State = "dead"      // the last allowed attempt failed
	Cancelled State = "cancelled" // somebody cancelled it
)

// transitions is the one table of allowed moves.
var transitions = map[State][]State{
	Queued:  {Running, Cancelled, Dead},
	Running: {Running, Queued, Succeeded, Failed, Dead, Cancelled},
	Failed:  {Running, Cancelled, Dead},
	Dead:    {Queued},
}

// CanMove reports whether an invocation may go from one state to another.
func CanMove(from, to State) bool { return slices.Contains(transitions[from], to) }

// From lists the states from which an invocation may go to the given one. The
// store hands the list to its scripts, so that the table stands only here.
func From(to State) []State {
	var from []State
	for _, s := range []State{Queued, Running, Failed, Succeeded, Dead, Cancelled} {
		if CanMove(s, to) {
			from = append(from, s)
		}
	}
	return from
}

// Terminal reports whether nothing follows the state by itself.
func (s State) Terminal() bool { return s == Succeeded || s == Dead || s == Cancelled }

// Outcome is how an attempt ended. It drives retry, metrics and the console alike.
type Outcome string

// The closed list of outcomes.
const (
	OK          Outcome = "succeeded"
	Error       Outcome = "error"         // the function threw or rejected
	TimedOut    Outcome = "timeout"       // killed at its time limit
	Crashed     Outcome = "crash"         // its process ended: exit, signal
	OutOfMemory Outcome = "out_of_memory" // its process ran out of memory
	InitError   Outcome = "init_error"    // the code could not be loaded
	BadResponse Outcome = "bad_response"  // it returned something that is not a response
	Aborted     Outcome = "cancelled"     // killed because somebody cancelled the invocation
	WorkerLost  Outcome = "worker_lost"   // the worker disappeared; another one took over
	Drained     Outcome = "drained"       // the worker shut down and handed the work back
)

// Counts reports whether an attempt with this outcome uses up a retry. A
// worker that was lost or drained is not the function's failure.
func (o Outcome) Counts() bool {
	switch o {
	case OK, Aborted, WorkerLost, Drained:
		return false
	default:
		return true
	}
}

// MaxCrashes is how many workers one invocation may take down with it before
// it is given up: such code is poison.
const MaxCrashes = 3

// Invocation is one call of a function, as its record keeps it.
type Invocation struct {
	ID        string        // ULID; on the data plane, knowing it is the permission to look
	Site      string        //
	Deploy    string        // the deploy that accepted the call and runs it
	Function  string        //
	Kind      function.Kind //
	State     State
	CreatedAt time.Time
	// StartedAt is the start of the first attempt; zero while queued.
	StartedAt time.Time
	// FinishedAt is zero until the state is terminal.
	FinishedAt time.Time
	// NextAttemptAt is set in state Failed.
	NextAttemptAt time.Time
	// Tick is the due time that a scheduled invocation stands for, else zero.
	Tick     time.Time
	Attempts []Attempt
	// Result is what the function returned; nil unless Succeeded.
	Result *Result

	// NotBefore is when the first attempt may start; zero is at once.
	NotBefore time.Time
	// ReplayOf is the invocation whose event this one repeats, or empty.
	ReplayOf string
	// Callback is who is told of the end, or nil.
	Callback *Callback
	// Awaited says that somebody waits for the end, when the record is made.
	Awaited bool
	// Trace is where it stands in a trace, for all its attempts, as package
	// telemetry writes it; empty if it stands in none.
	Trace string
}

// Callback is a URL that the end of an invocation is posted to.
type Callback struct {
	URL      string
	State    CallbackState
	Attempts int    // requests made so far
	Error    string // what the last one met; empty if it was taken
}

// CallbackState is where a callback stands.
type CallbackState string

// The closed list of states of a callback.
const (
	CallbackPending   CallbackState = "pending"   // the invocation is not finished, or not yet told
	CallbackDelivered CallbackState = "delivered" // the receiver answered 2xx
	CallbackDead      CallbackState = "dead"      // given up; it can be sent again by hand
)

// Attempt is one try to run an invocation.
type Attempt struct {
	Number     int // from 1
	Worker     string
	StartedAt  time.Time
	FinishedAt time.Time // zero while it runs
	Outcome    Outcome   // empty while it runs
	Error      *Failure  // nil if it succeeded
}

// Failure is what went wrong in an attempt, in the function's own words.
type Failure struct {
	Type    string `json:"type"`            // for example "TypeError", "Runtime.ExitError"
	Message string `json:"message"`         // one or a few lines
	Stack   string `json:"stack,omitempty"` // the function's own stack, never ours
}

// Result is a function's response as far as the record keeps it.
type Result struct {
	Status  int                 `json:"status"`
	Headers map[string][]string `json:"headers,omitempty"` // names in lower case
	Body    string              `json:"body,omitempty"`
	// Base64 says that Body is base64 of the bytes, because they are not UTF-8.
	Base64 bool `json:"base64,omitempty"`
	// Truncated says that the body was longer than the record keeps.
	Truncated bool `json:"truncated,omitempty"`
}

// LogLine is one line that an attempt wrote.
type LogLine struct {
	// Cursor is the line's place in its invocation's log; opaque, ordered.
	Cursor  string    `json:"cursor,omitempty"`
	Time    time.Time `json:"time"`
	Attempt int       `json:"attempt"`
	Stream  string    `json:"stream"` // "stdout", "stderr" or "system"
	Text    string    `json:"text"`   // without the line end
}

// Verdict is what follows an attempt.
type Verdict struct {
	State State
	Delay time.Duration // with Failed: until the next attempt
}

// Decide says what follows an attempt of f that ended with an outcome, when
// failures attempts, this one included, count against the retry limit.
func Decide(f *function.Function, outcome Outcome, failures int) Verdict {
	switch outcome {
	case OK:
		return Verdict{State: Succeeded}
	case Aborted:
		return Verdict{State: Cancelled}
	case Drained, WorkerLost:
		return Verdict{State: Queued}
	}
	if delay, again := f.RetryDelay(failures); again {
		return Verdict{State: Failed, Delay: delay}
	}
	return Verdict{State: Dead}
}
