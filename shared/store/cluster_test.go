package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
)

// Every script keeps to one slot, or the node refuses it.
func TestRedisCluster(t *testing.T) {
	t.Parallel()
	if !redistest.Real() {
		return // miniredis knows no slots
	}
	b := newBackend(t, redistest.StartCluster(t))
	ctx := t.Context()

	watched := make(chan Catalog, 10)
	runs(t, func(ctx context.Context) error { return b.WatchCatalog(ctx, func(c Catalog) { watched <- c }) })
	for kind, lines := range map[function.Kind]int{function.Background: 3, function.Scheduled: 3} {
		id := b.create(t, kind)
		src := LogSource{Site: "shop", Kind: kind, Invocation: id}
		if _, err := b.Begin(ctx, kind, id, "w1"); err != nil {
			t.Errorf("Begin = %v", err)
		}
		if pinned, err := b.Pinned(ctx); err != nil || pinned["d1"] != 1 {
			t.Errorf("Pinned = %v, %v, want d1 once", pinned, err)
		}
		if err := b.AppendLog(ctx, src, numbered(1, 0, lines)); err != nil {
			t.Errorf("AppendLog = %v", err)
		}
		if state, err := b.Cancel(ctx, id); err != nil || state != invocation.Running {
			t.Errorf("Cancel = %s, %v, want running", state, err)
		}
		if ids, err := b.CancelRequested(ctx, kind, []string{newID(), id}); err != nil || len(ids) != 1 {
			t.Errorf("CancelRequested = %v, %v, want one", ids, err)
		}
		if err := b.Finish(ctx, kind, id, 1, ends[invocation.Cancelled]); err != nil {
			t.Errorf("Finish = %v", err)
		}
		followed := 0
		err := b.FollowLog(ctx, id, "", func(invocation.LogLine) error { followed++; return nil })
		if err != nil || followed != lines {
			t.Errorf("FollowLog = %d lines, %v, want %d", followed, err, lines)
		}
	}
	b.listsAndRetries(t)
	for _, id := range []string{"d1", "d2"} {
		if err := b.CreateDeploy(ctx, deploy.Deploy{ID: id, Site: "shop"}); err != nil {
			t.Errorf("CreateDeploy = %v", err)
		}
		if err := b.Await(ctx, id, []string{"a"}); err != nil {
			t.Errorf("Await = %v", err)
		}
		if left, err := b.Arrived(ctx, id, "a"); err != nil || left != 0 {
			t.Errorf("Arrived = %d, %v, want none left", left, err)
		}
		if err := b.Describe(ctx, deploy.Deploy{ID: id, Site: "shop"}, []byte("sealed")); err != nil {
			t.Errorf("Describe = %v", err)
		}
		if got, err := b.Seal(ctx, deploy.Deploy{ID: id, Site: "shop", Branch: "main", Draft: true}); err != nil || got != SealedReady {
			t.Errorf("Seal = %s, %v, want ready", got, err)
		}
		if err := b.Publish(ctx, "shop", id); err != nil {
			t.Errorf("Publish = %v", err)
		}
	}
	eventually(t, "the second deploy", func() bool { return (<-watched).Published["shop"].ID == "d2" })
	if id, err := b.Rollback(ctx, "shop"); err != nil || id != "d1" {
		t.Errorf("Rollback = %s, %v, want d1", id, err)
	}
	if err := errors.Join(b.CreateSite(ctx, "shop"), b.Lock(ctx, "shop", "d1"), b.Unlock(ctx, "shop"), b.Unpublish(ctx, "shop")); err != nil {
		t.Errorf("making, locking, unlocking and unpublishing a site = %v", err)
	}
	if err := b.CreateDeploy(ctx, deploy.Deploy{ID: "d3", Site: "other"}); err != nil {
		t.Errorf("CreateDeploy = %v", err)
	}
	if err := b.Fail(ctx, "d3", "why"); err != nil {
		t.Errorf("Fail = %v", err)
	}
	if all, err := b.DeploySummaries(ctx, "shop", 0, 0); err != nil || len(all) != 2 {
		t.Errorf("DeploySummaries = %v, %v, want two", all, err)
	}
	b.collects(t)
	b.callbacks(t)
	if err := b.Heartbeat(ctx, Worker{ID: "w1"}, time.Minute); err != nil {
		t.Errorf("Heartbeat = %v", err)
	}
	if all, err := b.Workers(ctx); err != nil || len(all) != 1 {
		t.Errorf("Workers = %v, %v, want one", all, err)
	}
	ci := b.token(t, "ci")
	if err := b.NoteTokenUse(ctx, ci.ID); err != nil {
		t.Errorf("NoteTokenUse = %v", err)
	}
	if all, err := b.Tokens(ctx); err != nil || len(all) != 1 {
		t.Errorf("Tokens = %v, %v, want one", all, err)
	}
	if _, err := b.Token(ctx, ci.ID); err != nil {
		t.Errorf("Token = %v", err)
	}
	if err := errors.Join(b.AppendAudit(ctx, AuditEntry{Status: 200}, time.Hour), b.AppendAudit(ctx, AuditEntry{Status: 403}, time.Hour)); err != nil {
		t.Errorf("AppendAudit = %v", err)
	}
	if all, _, err := b.Audit(ctx, AuditFilter{}, "", 10); err != nil || len(all) != 2 {
		t.Errorf("Audit = %v, %v, want two", all, err)
	}
	if err := b.RevokeToken(ctx, ci.ID); err != nil {
		t.Errorf("RevokeToken = %v", err)
	}
	limit := function.RateLimit{Limit: 1, WindowMS: 60_000}
	for _, caller := range []string{"a", "b"} {
		if wait, err := b.CountCall(ctx, Rate{Site: "shop", Function: "f", Caller: caller, Limit: limit}); err != nil || wait != 0 {
			t.Errorf("CountCall(%s) = %v, %v, want none to wait", caller, wait, err)
		}
	}
	term, err := b.BeginTerm(ctx)
	if err != nil {
		t.Errorf("BeginTerm = %v", err)
	}
	cursors, err := b.SyncCursors(ctx, term, []string{"a", "b"})
	if err != nil || len(cursors) != 2 {
		t.Errorf("SyncCursors = %v, %v, want two", cursors, err)
	}
	inv := invocation.Invocation{ID: newID(), Kind: function.Scheduled}
	tick := cursors["a"].Add(time.Minute)
	firing := Firing{Key: "a", Site: "shop", Function: "f", After: cursors["a"], Tick: tick, Due: 1, SkipOverlap: true, Invocation: inv.ID}
	if got := b.do(t, b.Fire(term, firing), b.Create(inv, nil)); got != 1 {
		t.Errorf("Fire with Create = %d, want 1", got)
	}
	if err := b.Suppress(ctx, term, "a", tick); err != nil {
		t.Errorf("Suppress = %v", err)
	}
	firing.After, firing.Tick = tick, tick.Add(time.Minute)
	if got := b.do(t, b.Fire(term, firing)); got != FireOverlap {
		t.Errorf("Fire = %d, want FireOverlap", got)
	}
	if err := b.Skip(ctx, term, Skipping{Key: "a", After: tick, From: firing.Tick, To: firing.Tick, Count: 1, Reason: SkipOverlap}); err != nil {
		t.Errorf("Skip = %v", err)
	}
	if entries := b.ledger(t, "a"); len(entries) != 3 {
		t.Errorf("Ledger = %v, want three entries", entries)
	}
	if totals := b.totals(t); totals.Due != 2 || totals.Drift() != 0 {
		t.Errorf("TickTotals = %+v, want two without drift", totals)
	}
	if err := errors.Join(b.Pause(ctx, "shop", "f", "me"), b.Resume(ctx, "shop", "f")); err != nil {
		t.Errorf("pausing and resuming = %v", err)
	}
	if moved, err := b.MoveCursors(ctx, term, []string{"c"}, []string{"a"}); err != nil || len(moved) != 1 {
		t.Errorf("MoveCursors = %v, %v, want one", moved, err)
	}
}

// listsAndRetries has an invocation accepted, listed, ended, retried, counted and expired.
func (b *backend) listsAndRetries(t testing.TB) {
	t.Helper()
	inv := invocation.Invocation{
		ID: newID(), Site: "listed", Deploy: "d1", Function: "f", Kind: function.Background,
		Awaited: true, Callback: &invocation.Callback{URL: "https://example.com"},
	}
	steps := []redisdb.Step{b.Once(inv.Kind, inv.Site, inv.Function, "k", inv.ID, time.Hour), b.Create(inv, nil), b.Room(inv.Kind, inv.Site, 1)}
	if got := b.do(t, steps...); got != 1 {
		t.Errorf("Once, Create and Room = %d, want 1", got)
	}
	if id, err := b.OnceID(t.Context(), inv.Kind, inv.Site, inv.Function, "k"); err != nil || id != inv.ID {
		t.Errorf("OnceID = %s, %v, want %s", id, err, inv.ID)
	}
	for attempt := 1; attempt <= 2; attempt++ {
		b.begin(t, inv.ID, "w")
		b.finish(t, inv.ID, attempt, ends[invocation.Dead])
		if list, _, err := b.Invocations(t.Context(), Filter{Site: "listed", State: invocation.Dead, Deploy: "d1"}, "", 10); err != nil || len(list) != 1 {
			t.Errorf("Invocations = %v, %v, want one", list, err)
		}
		if attempt == 1 {
			if got := b.do(t, b.Retry(inv.Kind, inv.ID)); got != 1 {
				t.Errorf("Retry = %d, want 1", got)
			}
		}
	}
	if counts, err := b.Counts(t.Context()); err != nil || counts.Drift() != 0 || counts.Dead != 1 {
		t.Errorf("Counts = %+v, %v, want one dead and no drift", counts, err)
	}
	if counts, err := b.SiteCounts(t.Context(), "listed"); err != nil || counts != (StateCounts{Dead: 1}) {
		t.Errorf("SiteCounts = %+v, %v, want one dead", counts, err)
	}
	made := b.read(t, inv.ID).CreatedAt
	if minutes, err := b.Minutes(t.Context(), "listed", made, 1); err != nil || minutes[0].StateCounts != (StateCounts{Dead: 1}) {
		t.Errorf("Minutes = %+v, %v, want one dead", minutes, err)
	}
	if at, err := b.OldestQueued(t.Context(), "listed"); err != nil || !at.IsZero() {
		t.Errorf("OldestQueued = %v, %v, want none", at, err)
	}
	if figures, err := b.FunctionFigures(t.Context(), "listed", []string{"f"}, 0); err != nil || figures["f"].Failed != 1 {
		t.Errorf("FunctionFigures = %v, %v, want one that failed", figures, err)
	}
	b.expire(t, inv.ID)
	if n, err := b.TrimIndex(t.Context()); err != nil || n != 1 {
		t.Errorf("TrimIndex = %d, %v, want 1", n, err)
	}
}
