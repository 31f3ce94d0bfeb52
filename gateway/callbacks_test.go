package gateway_test

import (
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
)

const (
	callbackURL = "https://example.com/done?x=1"
	gone        = "the receiver answered 410 Gone"
)

// callbacksOn lets a gateway take calls with callbacks.
func callbacksOn(c *gateway.Config) {
	c.CallbackSecret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
}

// deadCallbacks makes n calls that succeed and whose callbacks are given up, and
// returns their IDs, oldest first.
func (b *bundle) deadCallbacks(n int) []string {
	b.t.Helper()
	var ids []string
	for range n {
		id := idOf(b.ask("Nightshift-Callback: " + callbackURL))
		b.finish(function.Background, id, good)
		claims, _, err := b.store.ClaimCallbacks(b.t.Context(), store.CallbackRoom{Total: 1}, time.Minute)
		if err != nil || len(claims) != 1 || claims[0].ID != id {
			b.t.Fatalf("ClaimCallbacks = %v, %v; want that of %s", claims, err, id)
		}
		if err := b.store.CallbackDead(b.t.Context(), "default", claims[0], gone); err != nil {
			b.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func TestDeadCallbacks(t *testing.T) {
	t.Parallel()
	b := setup(t, callbacksOn)
	ctx := t.Context()
	b.deploy("default", job)
	if list, err := b.api.DeadCallbacks(ctx, "default", "", 0); err != nil || len(list.Callbacks) != 0 || list.NextCursor != "" {
		t.Errorf("with none: %+v, %v", list, err)
	}
	ids := b.deadCallbacks(3)
	b.site("other")
	if list, err := b.api.DeadCallbacks(ctx, "other", "", 0); err != nil || len(list.Callbacks) != 0 {
		t.Errorf("of another site: %+v, %v", list, err)
	}
	first, err := b.api.DeadCallbacks(ctx, "default", "", 2)
	if err != nil || len(first.Callbacks) != 2 || first.NextCursor == "" {
		t.Fatalf("first page = %+v, %v", first, err)
	}
	newest := first.Callbacks[0]
	if inv := newest.Invocation; inv.ID != ids[2] || inv.State != invocation.Succeeded || inv.Result != nil || inv.Callback == nil || inv.Callback.URL != callbackURL ||
		inv.Callback.State != invocation.CallbackDead || inv.Callback.Attempts != 1 || inv.Callback.Error != gone || newest.DiedAt.Before(*inv.FinishedAt) {
		t.Errorf("the newest = %+v, died at %v; callback %+v", inv, newest.DiedAt, inv.Callback)
	}
	rest, err := b.api.DeadCallbacks(ctx, "default", first.NextCursor, 2)
	if err != nil || len(rest.Callbacks) != 1 || rest.Callbacks[0].Invocation.ID != ids[0] || rest.NextCursor != "" {
		t.Errorf("second page = %+v, %v", rest, err)
	}

	inv, err := b.api.RetryCallback(ctx, ids[1])
	if err != nil || inv.ID != ids[1] || inv.State != invocation.Succeeded || inv.Callback == nil || inv.Callback.State != invocation.CallbackPending {
		t.Fatalf("RetryCallback = %+v, %v", inv, err)
	}
	if list, err := b.api.DeadCallbacks(ctx, "default", "", 0); err != nil || len(list.Callbacks) != 2 || list.Callbacks[0].Invocation.ID != ids[2] || list.Callbacks[1].Invocation.ID != ids[0] {
		t.Errorf("after the retry = %+v, %v; want the two others", list, err)
	}
	claims, _, err := b.store.ClaimCallbacks(ctx, store.CallbackRoom{Total: 10}, time.Minute)
	if err != nil || len(claims) != 1 || claims[0].ID != ids[1] || claims[0].Try != 1 {
		t.Errorf("due is %+v, %v; want the one that was retried, with all its tries", claims, err)
	}
	if _, err := b.api.RetryCallback(ctx, ids[1]); !fault.Is(err, fault.Conflict) {
		t.Errorf("once more = %v, want a conflict", err)
	}
	if err := b.store.CallbackDelivered(ctx, "default", claims[0]); err != nil {
		t.Fatal(err)
	}
	if inv, err := b.api.Invocation(ctx, ids[1]); err != nil || inv.Callback.State != invocation.CallbackDelivered || inv.Callback.Attempts != 2 {
		t.Errorf("delivered = %+v, %v", inv.Callback, err)
	}
}
