package store

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/callback.lua
	callbackHead string
	//go:embed lua/callback_claim.lua
	callbackClaimBody string
	//go:embed lua/callback_settle.lua
	callbackSettleBody string
	//go:embed lua/callback_retry.lua
	callbackRetryBody string

	callbackClaimScript  = redis.NewScript(callbackHead + callbackClaimBody)
	callbackSettleScript = redis.NewScript(callbackHead + callbackSettleBody)
	callbackRetryScript  = redis.NewScript(callbackHead + callbackRetryBody)
)

// The script that ends an invocation with a callback puts it into the outbox,
// so that no end is untold. Who wants to make the callback claims it for a
// lease; whoever dies with a claim leaves it to the next one. A callback is
// therefore made at least once.

const (
	// untoldFor is how long a record is kept at least after each thing that
	// happened to its undelivered callback: longer than any pause between two
	// requests, by far.
	untoldFor = 24 * time.Hour
	// toldFor is how long it is kept at least once the callback is delivered.
	toldFor = time.Minute
	// maxCallbackError bounds what is kept of what a request met, in bytes.
	maxCallbackError = 500
)

// CallbackClaim is one request that somebody may make now.
type CallbackClaim struct {
	Kind function.Kind
	ID   string // the invocation's
	// Request is its number, and Try its number since the last retry by hand,
	// both from 1.
	Request int
	Try     int
	// End is when the invocation finished. An invocation that has finished at
	// another time was retried since.
	End time.Time
	// At is when it was claimed, by Redis's clock.
	At   time.Time
	Site string
}

// CallbackRoom is how many callbacks somebody has room for.
type CallbackRoom struct {
	Total int
	// Sites says of some sites how many of each there is room for. Callbacks that
	// are due and find none are put off, so that those of others come forward.
	Sites map[string]int
}

// putOff is how long callbacks of a site without room are put off.
const putOff = 5 * time.Second

// ClaimCallbacks claims callbacks that are due, as many as there is room for,
// oldest first. Nobody else is given them before the lease has passed, or the
// claim is settled. behind says that callbacks were put off, behind which others
// may be due. It may return some and an error.
func (s *Store) ClaimCallbacks(ctx context.Context, room CallbackRoom, lease time.Duration) (claims []CallbackClaim, behind bool, err error) {
	left := CallbackRoom{Total: room.Total, Sites: maps.Clone(room.Sites)}
	for _, kind := range recordKinds() {
		if left.Total <= 0 {
			break
		}
		more, over, err := s.claimCallbacks(ctx, kind, left, lease)
		claims, behind = append(claims, more...), behind || over
		if err != nil {
			return claims, behind, err
		}
		left.Total -= len(more)
		for _, c := range more {
			if _, limited := left.Sites[c.Site]; limited {
				left.Sites[c.Site]--
			}
		}
	}
	return claims, behind, nil
}

func (s *Store) claimCallbacks(ctx context.Context, kind function.Kind, room CallbackRoom, lease time.Duration) (claims []CallbackClaim, over bool, err error) {
	const doing = "looking for callbacks that are due"
	args := []any{
		room.Total, lease.Milliseconds(), (untoldFor + lease).Milliseconds(),
		recordKey(kind, ""), logKey(kind, ""), deadCallbacksKey(kind, ""), putOff.Milliseconds(),
	}
	for site, n := range room.Sites {
		args = append(args, site, n)
	}
	now, list, err := s.runList(ctx, callbackClaimScript, doing,
		[]string{callbacksKey(kind), callbackCountsKey(kind), callbackClaimKey(kind, newToken())}, args...)
	if err != nil {
		return nil, false, err
	}
	if len(list)%5 != 1 {
		return nil, false, unexpected(doing, fmt.Sprint(len(list), " parts"))
	}
	over = list[0] != "0"
	for list = list[1:]; len(list) >= 5; list = list[5:] {
		number := make([]int64, 4)
		for i, text := range []string{now, list[1], list[2], list[3]} {
			if number[i], err = strconv.ParseInt(text, 10, 64); err != nil {
				return nil, over, unexpected(doing, text)
			}
		}
		claims = append(claims, CallbackClaim{
			Kind: kind, ID: list[0], Request: int(number[1]), Try: int(number[2]),
			End: fromMillis(number[3]), At: fromMillis(number[0]), Site: list[4],
		})
	}
	return claims, over, nil
}

// CallbackDelivered notes that the receiver took the callback. ErrFenced: a
// newer claim owns it, or the invocation was retried. fault.NotFound: the record
// has expired.
func (s *Store) CallbackDelivered(ctx context.Context, site string, c CallbackClaim) error {
	return s.settleCallback(ctx, site, c, string(invocation.CallbackDelivered), "", 0)
}

// CallbackFailed notes what a request met, and that the next one is due after a
// delay. Errors as of [Store.CallbackDelivered].
func (s *Store) CallbackFailed(ctx context.Context, site string, c CallbackClaim, reason string, delay time.Duration) error {
	return s.settleCallback(ctx, site, c, "failed", reason, delay)
}

// CallbackDead notes what the last request met and puts the callback among the
// site's dead ones. Its invocation is kept from then on for as long as a dead
// one, at least. Errors as of [Store.CallbackDelivered].
func (s *Store) CallbackDead(ctx context.Context, site string, c CallbackClaim, reason string) error {
	return s.settleCallback(ctx, site, c, string(invocation.CallbackDead), reason, 0)
}

func (s *Store) settleCallback(ctx context.Context, site string, c CallbackClaim, outcome, reason string, delay time.Duration) error {
	const doing = "recording how a callback went"
	word, err := s.run(ctx, callbackSettleScript, doing, s.callbackKeys(c.Kind, c.ID, site),
		c.ID, c.Request, c.End.UnixMilli(), outcome, cut(reason, maxCallbackError), max(delay, 0).Milliseconds(),
		(untoldFor + max(delay, 0)).Milliseconds(), s.opts.DeadRetention.Milliseconds(),
		s.opts.DeadRetention.Milliseconds(), s.opts.Retention.Milliseconds(), toldFor.Milliseconds(), recordKey(c.Kind, ""))
	if err != nil {
		return err
	}
	switch word {
	case "settled":
		return nil
	case "fenced":
		return ErrFenced
	case "missing":
		return UnknownInvocation(c.ID)
	default:
		return unexpected(doing, word)
	}
}

// RetryCallback makes a dead callback due at once, with all its tries. Without
// a record, or without a callback: fault.NotFound. Not dead: fault.Conflict.
func (s *Store) RetryCallback(ctx context.Context, id string) error {
	const doing = "retrying a callback"
	r, err := s.find(ctx, id, []string{fieldKind, fieldSite, fieldState})
	if err != nil {
		return err
	}
	kind := function.Kind(r[fieldKind])
	word, err := s.run(ctx, callbackRetryScript, doing, s.callbackKeys(kind, id, r[fieldSite]),
		id, newToken(), untoldFor.Milliseconds())
	if err != nil {
		return err
	}
	switch word {
	case "again":
		return nil
	case "missing":
		return UnknownInvocation(id)
	case "none":
		return fault.New(fault.NotFound, "invocation %s has no callback", id)
	case "unfinished":
		return fault.New(fault.Conflict, "retrying the callback of invocation %s: the invocation is not finished; its end will be told", id)
	case string(invocation.CallbackPending):
		return fault.New(fault.Conflict, "retrying the callback of invocation %s: it is not given up, the next request follows by itself", id)
	case string(invocation.CallbackDelivered):
		return fault.New(fault.Conflict, "retrying the callback of invocation %s: it is delivered already", id)
	default:
		return unexpected(doing, word)
	}
}

// callbackKeys are the keys of the scripts that settle and retry a callback.
func (s *Store) callbackKeys(kind function.Kind, id, site string) []string {
	return append(s.recordKeys(kind, id), callbacksKey(kind), deadCallbacksKey(kind, site), callbackCountsKey(kind))
}

// CallbackCounts says how many callbacks there are, and how many there were.
type CallbackCounts struct {
	Pending   int64 // finished invocations whose callback is still to be made
	Delivered int64 // ever
	Died      int64 // ever given up
	Retried   int64 // ever retried by hand
	Lost      int64 // ever expired with their record, before they were made or given up
}

// CallbackCounts reads the counts of the installation.
func (s *Store) CallbackCounts(ctx context.Context) (CallbackCounts, error) {
	var c CallbackCounts
	for _, kind := range recordKinds() {
		var pending *redis.IntCmd
		var totals *redis.MapStringStringCmd
		_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			pending = p.ZCard(ctx, callbacksKey(kind))
			totals = p.HGetAll(ctx, callbackCountsKey(kind))
			return nil
		})
		if err != nil {
			return CallbackCounts{}, failed(ctx, err, "counting callbacks")
		}
		r := record(totals.Val())
		c.Pending += pending.Val()
		c.Delivered += r.number("delivered")
		c.Died += r.number("dead")
		c.Retried += r.number("retried")
		c.Lost += r.number("lost")
	}
	return c, nil
}
