package store

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/index.lua
	indexHead string
	//go:embed lua/record.lua
	recordHead string
	//go:embed lua/begin.lua
	beginBody string
	//go:embed lua/finish.lua
	finishBody string
	//go:embed lua/cancel.lua
	cancelBody string

	beginScript  = redis.NewScript(indexHead + recordHead + beginBody)
	finishScript = redis.NewScript(indexHead + recordHead + finishBody)
	cancelScript = redis.NewScript(indexHead + recordHead + cancelBody)
)

// Begun is an attempt that may run.
type Begun struct {
	Invocation invocation.Invocation // with the new attempt as its last one
	Event      []byte
	Attempt    int
	Failures   int // earlier attempts that count against the retry limit
}

// Begin opens the next attempt. An attempt that was still open is closed as
// worker_lost; after invocation.MaxCrashes of those the invocation is dead
// instead, the last of them says so, and Begin returns ErrFinished, as it does for every terminal state,
// and for a cancelled one. Without a record (expired): fault.NotFound.
//
// It is one round trip. After fault.Unavailable the attempt may be open or not:
// the next Begin closes it.
func (s *Store) Begin(ctx context.Context, kind function.Kind, id, worker string) (Begun, error) {
	const doing = "beginning an attempt"
	if !validID(id) || !hasRecord(kind) {
		return Begun{}, UnknownInvocation(id)
	}
	name, err := json.Marshal(worker)
	if err != nil {
		return Begun{}, fmt.Errorf("%s: %w", doing, err)
	}
	word, list, err := s.runList(ctx, beginScript, doing, s.moveKeys(kind, id),
		moves, finishedChannel(), name, newToken(), invocation.MaxCrashes, workerLost,
		s.opts.Retention.Milliseconds(), s.opts.DeadRetention.Milliseconds())
	if err != nil {
		return Begun{}, err
	}
	switch word {
	case "begun":
	case "finished":
		return Begun{}, ErrFinished
	case "missing":
		return Begun{}, UnknownInvocation(id)
	default:
		return Begun{}, unexpected(doing, word)
	}
	r := record(pairs(list))
	inv, err := r.invocation()
	if err != nil {
		return Begun{}, fmt.Errorf("%s of %s: %w", doing, id, err)
	}
	return Begun{
		Invocation: inv,
		Event:      []byte(r[fieldEvent]),
		Attempt:    int(r.number(fieldAttempt)),
		Failures:   int(r.number(fieldFailures)),
	}, nil
}

// End is how an attempt ended.
type End struct {
	Outcome invocation.Outcome
	Failure *invocation.Failure // nil if there is nothing to say
	Result  *invocation.Result  // kept if the verdict is succeeded
	Verdict invocation.Verdict
}

// Finish closes an attempt and moves the invocation to the verdict's state. It
// returns ErrFenced if the attempt is not the open, newest one. Doing it twice
// (a lost reply) is nil the second time. Without a record: fault.NotFound.
//
// Where somebody has asked for a cancellation that the attempt did not see any
// more, and the verdict would let another attempt follow, the invocation is
// cancelled instead; the next Begin then returns ErrFinished.
func (s *Store) Finish(ctx context.Context, kind function.Kind, id string, attempt int, end End) error {
	const doing = "recording the end of an attempt"
	if !validID(id) || !hasRecord(kind) {
		return UnknownInvocation(id)
	}
	to := end.Verdict.State
	if to == invocation.Running || !invocation.CanMove(invocation.Running, to) || end.Outcome == "" {
		return fmt.Errorf("%s: outcome %q with state %q is not an end", doing, end.Outcome, to)
	}
	failure, result, err := encodeEnd(end)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	counts := 0
	if end.Outcome.Counts() {
		counts = 1
	}
	word, err := s.run(ctx, finishScript, doing, s.moveKeys(kind, id),
		moves, finishedChannel(), attempt, string(end.Outcome), string(to), failure, result,
		max(end.Verdict.Delay, 0).Milliseconds(), counts,
		s.retention(to).Milliseconds(), s.opts.Retention.Milliseconds())
	if err != nil {
		return err
	}
	switch word {
	case "finished":
		return nil
	case "fenced":
		return ErrFenced
	case "missing":
		return UnknownInvocation(id)
	default:
		return unexpected(doing, word)
	}
}

// retention is how long a record is kept that enters a state; 0 is for ever.
func (s *Store) retention(state invocation.State) time.Duration {
	switch {
	case state == invocation.Dead:
		return s.opts.DeadRetention
	case state.Terminal():
		return s.opts.Retention
	default:
		return 0
	}
}

// Cancel asks for an end. Queued and failed invocations become cancelled at
// once; of a running one the worker is told, and the state returned is still
// running. Terminal: fault.Conflict. Unknown: fault.NotFound.
func (s *Store) Cancel(ctx context.Context, id string) (invocation.State, error) {
	const doing = "cancelling an invocation"
	kind, _, err := s.state(ctx, id)
	if err != nil {
		return "", err
	}
	word, rest, err := s.runList(ctx, cancelScript, doing, s.moveKeys(kind, id),
		moves, finishedChannel(), newToken(), s.opts.Retention.Milliseconds(), cancelChannel(), id)
	if err != nil {
		return "", err
	}
	switch {
	case word == "missing":
		return "", UnknownInvocation(id)
	case len(rest) != 1:
		return "", unexpected(doing, word)
	case word == "cancelled" && (rest[0] == string(invocation.Running) || rest[0] == string(invocation.Cancelled)):
		return invocation.State(rest[0]), nil
	case word == "finished", word == "cancelled": // the latter: repeated by the driver, and its attempt was faster
		return "", fault.New(fault.Conflict, "cancelling invocation %s: it is %s already", id, rest[0])
	default:
		return "", unexpected(doing, word)
	}
}

// WatchCancels calls fn with the ID of each running invocation that is to be
// cancelled, one at a time, until ctx ends, and returns the context's error. It
// misses some when the connection breaks, so callers also poll CancelRequested.
func (s *Store) WatchCancels(ctx context.Context, fn func(id string)) error {
	return s.subscribe(ctx, cancelChannel(), nil, fn)
}

// CancelRequested returns those of the invocations that are running and to be cancelled.
func (s *Store) CancelRequested(ctx context.Context, kind function.Kind, ids []string) ([]string, error) {
	if len(ids) == 0 || !hasRecord(kind) {
		return nil, nil
	}
	answers := make([]*redis.SliceCmd, len(ids))
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			answers[i] = p.HMGet(ctx, recordKey(kind, id), fieldState, fieldCancel)
		}
		return nil
	})
	if err != nil {
		return nil, failed(ctx, err, "looking for cancellations")
	}
	var requested []string
	for i, id := range ids {
		state, cancel := answers[i].Val()[0], answers[i].Val()[1]
		if state == string(invocation.Running) && cancel != nil {
			requested = append(requested, id)
		}
	}
	return requested, nil
}

// Invocation reads a record, or fault.NotFound. The event stays where it is.
func (s *Store) Invocation(ctx context.Context, id string) (invocation.Invocation, error) {
	r, err := s.find(ctx, id, publicFields)
	if err != nil {
		return invocation.Invocation{}, err
	}
	inv, err := r.invocation()
	if err != nil {
		return invocation.Invocation{}, fmt.Errorf("reading invocation %s: %w", id, err)
	}
	return inv, nil
}

// Event reads what an invocation was called with, or fault.NotFound.
func (s *Store) Event(ctx context.Context, id string) ([]byte, error) {
	r, err := s.find(ctx, id, []string{fieldState, fieldEvent})
	if err != nil {
		return nil, err
	}
	return []byte(r[fieldEvent]), nil
}

// WatchFinished calls fn with the ID of each invocation that has ended and that
// was made with Awaited, one at a time, until ctx ends, and returns the context's
// error. ready, if not nil, is called once it listens. It misses some when the
// connection breaks, so callers also read the record from time to time.
func (s *Store) WatchFinished(ctx context.Context, ready func(), fn func(id string)) error {
	return s.subscribe(ctx, finishedChannel(), ready, fn)
}

// state reads kind and state of an invocation of which only the ID is known.
func (s *Store) state(ctx context.Context, id string) (function.Kind, invocation.State, error) {
	r, err := s.find(ctx, id, []string{fieldKind, fieldState})
	return function.Kind(r[fieldKind]), invocation.State(r[fieldState]), err
}

// find reads fields of a record of which only the ID is known: from both
// kinds, in one round trip. fields include the state.
func (s *Store) find(ctx context.Context, id string, fields []string) (record, error) {
	if !validID(id) {
		return nil, UnknownInvocation(id)
	}
	var answers []*redis.SliceCmd
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, kind := range recordKinds() {
			answers = append(answers, p.HMGet(ctx, recordKey(kind, id), fields...))
		}
		return nil
	})
	if err != nil {
		return nil, failed(ctx, err, "reading an invocation")
	}
	for _, answer := range answers {
		r := recordOf(fields, answer.Val())
		if r[fieldState] != "" {
			return r, nil
		}
	}
	return nil, UnknownInvocation(id)
}

// recordKeys are the keys that every script on a record is given.
func (s *Store) recordKeys(kind function.Kind, id string) []string {
	return []string{recordKey(kind, id), logKey(kind, id)}
}

// moveKeys are the keys that every script is given that moves a record.
func (s *Store) moveKeys(kind function.Kind, id string) []string {
	return append(s.recordKeys(kind, id), pinsKey(kind), indexKey(kind), countsKey(kind), callbacksKey(kind))
}

// unknownInvocation is the fault for an ID without a record. The ID may be
// anything that somebody typed, hence quoted and cut.
// UnknownInvocation is the error for an invocation that is not there, or not for
// whoever asks.
func UnknownInvocation(id string) error {
	return fault.New(fault.NotFound, "there is no invocation %.40q; it may have expired", id)
}

// workerLost is the failure, as JSON, of the attempt with which an invocation
// has taken down as many workers as it may.
var workerLost = func() string {
	failure, err := json.Marshal(invocation.Failure{
		Type:    "Nightshift.WorkerLost",
		Message: fmt.Sprintf("the worker died while it ran this; given up after %d", invocation.MaxCrashes),
	})
	if err != nil {
		panic(err) // a type of ours that is not JSON
	}
	return string(failure)
}()

// states are all that a record can be in.
var states = []invocation.State{
	invocation.Queued, invocation.Running, invocation.Failed,
	invocation.Succeeded, invocation.Dead, invocation.Cancelled,
}

// moves is the table of allowed moves in the form that the scripts take:
// "from>to", separated by spaces.
var moves = func() string {
	var all []string
	for _, to := range states {
		for _, from := range invocation.From(to) {
			all = append(all, string(from)+">"+string(to))
		}
	}
	return strings.Join(all, " ")
}()
