package store

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/script"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/begin.lua
	beginBody string

	beginTemplate = script.NewTemplate(recordHead +
		fmt.Sprintf("local maxCrashes, workerLost = %d, [==[%s]==]\n", invocation.MaxCrashes, workerLost) + beginBody)
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
// instead, the last of them says so, and Begin returns ErrFinished, as it does for
// every terminal state, and for a cancelled one. Without a record (expired):
// fault.NotFound.
//
// It is one round trip, which concurrent calls share, each with its own result.
// After fault.Unavailable the attempt may be open or not: the next Begin closes it.
func (s *Store) Begin(ctx context.Context, kind function.Kind, id, worker string) (Begun, error) {
	const doing = "beginning an attempt"
	if !validID(id) || !hasRecord(kind) {
		return Begun{}, UnknownInvocation(id)
	}
	name, err := json.Marshal(worker)
	if err != nil {
		return Begun{}, fmt.Errorf("%s: %w", doing, err)
	}
	begin, err := beginTemplate.With(nil)
	if err != nil {
		return Begun{}, fmt.Errorf("%s: %w", doing, err)
	}
	token, read := newToken(), s.readBegun(ctx, kind, id)
	answer, err := s.begins.Do(ctx, script.Call{
		Script: begin, Shared: kindKeys(kind), Keys: s.recordKeys(kind, id),
		Args: []any{name, token, s.opts.Retention.Milliseconds(), s.opts.DeadRetention.Milliseconds()},
		Then: read,
	})
	if err != nil {
		return Begun{}, failed(ctx, err, doing)
	}
	attempt, err := begun(answer, id)
	if err != nil {
		return Begun{}, err
	}
	if read.Err() == nil && read.Val()[0] != token { // it was read too early, on its way through a cluster; or begun again since
		read = s.readBegun(ctx, kind, id)
		_ = s.rdb.Process(ctx, read)
	}
	values, err := read.Result()
	if err != nil {
		return Begun{}, failed(ctx, err, doing)
	}
	r := begunRecords.Get().(record)
	defer begunRecords.Put(r)
	clear(r)
	r.set(begunFields, values)
	return r.begun(id, attempt)
}

// begunFields are what an attempt is made of: the token that began it, and all of the
// record but what earlier attempts left.
var begunFields = append([]string{fieldBegin, fieldEvent, fieldFailures}, listFields...)

// begunRecords are maps for [Store.Begin]: one with room for a record's fields is some
// 4 KB, half of what the beginning of an attempt would allocate.
var begunRecords = sync.Pool{New: func() any { return make(record, len(begunFields)) }}

// readBegun is the command that reads begunFields.
func (s *Store) readBegun(ctx context.Context, kind function.Kind, id string) *redis.SliceCmd {
	args := append(make([]any, 0, 2+len(begunFields)), "hmget", recordKey(kind, id))
	for _, field := range begunFields {
		args = append(args, field)
	}
	return redis.NewSliceCmd(ctx, args...)
}

// begun translates what the script answered for an invocation: the number of the
// attempt.
func begun(answer any, id string) (attempt int, err error) {
	number, ok := answer.(int64)
	switch {
	case ok:
		return int(number), nil
	case answer == "finished":
		return 0, ErrFinished
	case answer == "missing":
		return 0, UnknownInvocation(id)
	default:
		return 0, unexpected("beginning an attempt", fmt.Sprint(answer))
	}
}

// begun is an attempt of the record that was read after it began. Somebody else may
// have begun a later one meanwhile, who took this worker for lost: then this one is
// fenced, as it would be a moment later.
func (r record) begun(id string, attempt int) (Begun, error) {
	if r[fieldState] == "" {
		return Begun{}, UnknownInvocation(id)
	}
	inv, err := r.invocation()
	if err != nil {
		return Begun{}, fmt.Errorf("beginning an attempt of %s: %w", id, err)
	}
	if n := slices.IndexFunc(inv.Attempts, func(a invocation.Attempt) bool { return a.Number == attempt }); n >= 0 {
		inv.Attempts = inv.Attempts[:n+1]
	}
	return Begun{Invocation: inv, Event: []byte(r[fieldEvent]), Attempt: attempt, Failures: int(r.number(fieldFailures))}, nil
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
