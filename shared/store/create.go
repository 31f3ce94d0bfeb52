package store

import (
	_ "embed"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb"
)

var (
	//go:embed lua/create_check.lua
	createCheck string
	//go:embed lua/create_apply.lua
	createApply string
	//go:embed lua/create_head.lua
	createHead string
	//go:embed lua/create_tail.lua
	createTail string
	//go:embed lua/retry_check.lua
	retryCheck string
	//go:embed lua/retry_apply.lua
	retryApply string
)

// Create is the step that makes a record in state queued, in the same script
// that enqueues its task. Its Check returns 0 when the record is there already.
// Of inv it stores ID, Site, Deploy, Function, Kind, Tick, NotBefore, ReplayOf,
// Awaited, Trace and the URL of Callback; the time of creation is Redis's own.
//
// An ID that is not a ULID, or a kind without records, is a bug of the caller:
// the script then ends with an error that says so, and nothing is stored.
func (s *Store) Create(inv invocation.Invocation, event []byte) redisdb.Step {
	if !validID(inv.ID) || !hasRecord(inv.Kind) {
		return redisdb.Step{Check: "error('an invocation record needs a ULID and the kind background or scheduled')"}
	}
	args := []any{
		inv.ID, inv.Site, inv.Function, inv.Deploy, // in the places where the script takes them
		fieldKind, string(inv.Kind),
		fieldEvent, event,
	}
	if !inv.Tick.IsZero() {
		args = append(args, fieldTick, inv.Tick.UnixMilli())
	}
	if !inv.NotBefore.IsZero() {
		args = append(args, fieldNotBefore, inv.NotBefore.UnixMilli())
	}
	if inv.ReplayOf != "" {
		args = append(args, fieldReplayOf, inv.ReplayOf)
	}
	if inv.Awaited {
		args = append(args, fieldAwaited, 1)
	}
	if inv.Trace != "" {
		args = append(args, fieldTrace, inv.Trace)
	}
	if inv.Callback != nil {
		args = append(args, fieldCallback, inv.Callback.URL, fieldCallbackState, string(invocation.CallbackPending))
	}
	return redisdb.Step{
		Head: createHead, Check: createCheck, Apply: createApply, Tail: createTail, Args: args,
		Keys: []string{recordKey(inv.Kind, inv.ID), pinsKey(inv.Kind), indexKey(inv.Kind), countsKey(inv.Kind)},
	}
}

// Reasons with which Retry's Check stops a script.
const (
	NotDead = -6 // the invocation is in another state than dead
	Gone    = -7 // there is no such invocation; it may have expired
)

// Retry is the step that lets a dead invocation begin anew, in the same script
// that enqueues its task again: it is queued and kept, may fail and crash as
// often as a new one, and a callback is to be told of the next end too. Its
// attempts stay, and their numbers go on. Check returns 0 when the same step has
// done it, or one of the reasons above. Each call makes a step of its own: one
// that is used again is a repetition.
//
// An ID that is not a ULID is Gone, as is a kind without records.
func (s *Store) Retry(kind function.Kind, id string) redisdb.Step {
	if !validID(id) || !hasRecord(kind) {
		return redisdb.Step{Check: "return -7"}
	}
	return redisdb.Step{
		Head: recordHead, Check: retryCheck, Apply: retryApply, Tail: recordTail,
		Keys: s.moveKeys(kind, id),
		Args: []any{newToken(), string(invocation.CallbackPending)},
	}
}
