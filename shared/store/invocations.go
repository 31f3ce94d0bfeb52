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
	//go:embed lua/index.lua
	indexHead string
	//go:embed lua/record.lua
	recordBody string
	//go:embed lua/end_check.lua
	endCheck string
	//go:embed lua/end_apply.lua
	endApply string
	//go:embed lua/cancel.lua
	cancelBody string

	recordHead = fmt.Sprintf("local moves, finishedChannel = ' %s ', '%s'\n", moves, finishedChannel()) + recordBody

	cancelScript = redis.NewScript(redisdb.ClockHead + recordHead + cancelBody + recordTail + "return answer\n")
	endScript    = alone(redisdb.Step{Head: recordHead, Check: endCheck, Apply: endApply, Tail: recordTail})
)

// recordTail ends each script that recordHead begins.
const recordTail = "writeRest()\n"

// End is how an attempt ended.
type End struct {
	Outcome invocation.Outcome
	Failure *invocation.Failure // nil if there is nothing to say
	Result  *invocation.Result  // kept if the verdict is succeeded
	Verdict invocation.Verdict
}

// Reasons with which the Checks of [Store.End] and [Store.Lines] stop a script.
// Gone is one of them too.
const (
	Fenced    = -10 // the attempt is not the open, newest one
	Forbidden = -11 // the table of moves does not have this one
)

// End is the step that closes an attempt and moves the invocation to the verdict's
// state. Its Check returns Fenced if the attempt is not the open, newest one, and 0
// if it has ended with the same outcome: that is a repetition. Without a record it
// returns Gone.
//
// Where somebody has asked for a cancellation that the attempt did not see any
// more, and the verdict would let another attempt follow, the invocation is
// cancelled instead; the next Begin then returns ErrFinished.
//
// An ID that cannot be one, or a kind without records: fault.NotFound.
func (s *Store) End(kind function.Kind, id string, attempt int, end End) (redisdb.Step, error) {
	if !validID(id) || !hasRecord(kind) {
		return redisdb.Step{}, UnknownInvocation(id)
	}
	to := end.Verdict.State
	if to == invocation.Running || !invocation.CanMove(invocation.Running, to) || end.Outcome == "" {
		return redisdb.Step{}, fmt.Errorf("outcome %q with state %q is not an end", end.Outcome, to)
	}
	failure, result, err := encodeEnd(end)
	if err != nil {
		return redisdb.Step{}, err
	}
	counts := 0
	if end.Outcome.Counts() {
		counts = 1
	}
	return redisdb.Step{
		Head: recordHead, Check: endCheck, Apply: endApply, Tail: recordTail,
		Keys: s.moveKeys(kind, id),
		Args: []any{
			attempt, string(end.Outcome), string(to), failure, result,
			max(end.Verdict.Delay, 0).Milliseconds(), counts,
			s.retention(to).Milliseconds(), s.opts.Retention.Milliseconds(),
		},
	}, nil
}

// Finish runs the step End by itself. It returns ErrFenced if the attempt is not
// the open, newest one. Doing it twice (a lost reply) is nil the second time.
// Without a record: fault.NotFound.
func (s *Store) Finish(ctx context.Context, kind function.Kind, id string, attempt int, end End) error {
	const doing = "recording the end of an attempt"
	step, err := s.End(kind, id, attempt, end)
	if fault.Is(err, fault.NotFound) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	verdict, err := s.runStep(ctx, endScript, doing, step)
	if err != nil {
		return err
	}
	return ended(verdict, doing, id)
}

// ended says what a verdict on an invocation means to who ran the step alone.
func ended(verdict int, doing, id string) error {
	switch verdict {
	case 0, 1:
		return nil
	case Fenced:
		return ErrFenced
	case Gone:
		return UnknownInvocation(id)
	default:
		return unexpected(doing, strconv.Itoa(verdict))
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
		newToken(), s.opts.Retention.Milliseconds(), cancelChannel(), id)
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
	return s.listen(ctx, cancelChannel(), idlePing, func() {}, fn)
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
// error. ready is called when it listens, and when it does again: it misses some
// while the connection is broken, so callers also read the record from time to time.
func (s *Store) WatchFinished(ctx context.Context, ready func(), fn func(id string)) error {
	return s.listen(ctx, finishedChannel(), idlePing, ready, fn)
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
	return append(s.recordKeys(kind, id), kindKeys(kind)...)
}

// kindKeys are the keys that all moves of records of a kind share.
func kindKeys(kind function.Kind) []string {
	return []string{pinsKey(kind), indexKey(kind), countsKey(kind), callbacksKey(kind)}
}

// unknownInvocation is the fault for an ID without a record. The ID may be
// anything that somebody typed, hence quoted and cut.
// UnknownInvocation is the error for an invocation that is not there, or not for
// whoever asks.
func UnknownInvocation(id string) error {
	return fault.New(fault.NotFound, "there is no invocation %.40q; it may have expired", id)
}

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
