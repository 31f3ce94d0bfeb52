package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb"
)

func TestLifeCycle(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		before, err := redisdb.Now(t.Context(), b.rdb)
		if err != nil {
			t.Fatal(err)
		}
		before = before.Truncate(time.Millisecond)
		inv := invocation.Invocation{
			ID: newID(), Site: "shop", Deploy: "d1", Function: "report", Kind: function.Background,
			Tick: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		}
		event := []byte("{\"body\":\"\x00\xff\r\n\"}")
		if got := b.do(t, b.Create(inv, event)); got != 1 {
			t.Fatalf("Create = %d, want 1", got)
		}
		if got := b.do(t, b.Create(inv, []byte("another"))); got != 0 {
			t.Errorf("Create of the same ID = %d, want 0", got)
		}

		want := inv
		want.State = invocation.Queued
		got := b.read(t, inv.ID)
		if got.CreatedAt.Before(before) {
			t.Errorf("created at %v, before it was made at %v", got.CreatedAt, before)
		}
		want.CreatedAt = got.CreatedAt
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("queued (-want +got):\n%s", diff)
		}

		begun := b.begin(t, inv.ID, `worker "one"`)
		want.State, want.StartedAt = invocation.Running, begun.Invocation.StartedAt
		want.Attempts = []invocation.Attempt{{Number: 1, Worker: `worker "one"`, StartedAt: begun.Invocation.StartedAt}}
		if diff := cmp.Diff(Begun{Invocation: want, Event: event, Attempt: 1}, begun); diff != "" {
			t.Errorf("Begin (-want +got):\n%s", diff)
		}
		if want.StartedAt.Before(want.CreatedAt) {
			t.Errorf("started at %v, before it was created at %v", want.StartedAt, want.CreatedAt)
		}

		failure := &invocation.Failure{Type: "TypeError", Message: "x is not a function\n\"quoted\"", Stack: "at handler (a.js:1:2)"}
		b.finish(t, inv.ID, 1, End{Outcome: invocation.Error, Failure: failure, Result: &invocation.Result{Status: 500}, Verdict: invocation.Verdict{State: invocation.Failed, Delay: 90 * time.Second}})
		got = b.read(t, inv.ID)
		want.State = invocation.Failed
		want.Attempts[0].Outcome, want.Attempts[0].Error, want.Attempts[0].FinishedAt = invocation.Error, failure, got.Attempts[0].FinishedAt
		want.NextAttemptAt = want.Attempts[0].FinishedAt.Add(90 * time.Second)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("failed (-want +got):\n%s", diff)
		}

		begun = b.begin(t, inv.ID, "w2") // before NextAttemptAt: the queue decides when
		if begun.Attempt != 2 || begun.Failures != 1 {
			t.Errorf("Begin = attempt %d after %d failures, want 2 after 1", begun.Attempt, begun.Failures)
		}
		b.finish(t, inv.ID, 2, ends[invocation.Queued])
		begun = b.begin(t, inv.ID, "w3")
		if begun.Attempt != 3 || begun.Failures != 1 {
			t.Errorf("Begin after a drain = attempt %d after %d failures, want 3 after 1", begun.Attempt, begun.Failures)
		}
		result := &invocation.Result{Status: 201, Headers: map[string][]string{"x-a": {"1", "2"}}, Body: "done"}
		b.finish(t, inv.ID, 3, End{Outcome: invocation.OK, Result: result, Verdict: invocation.Verdict{State: invocation.Succeeded}})

		got = b.read(t, inv.ID)
		want.State, want.Result, want.NextAttemptAt = invocation.Succeeded, result, time.Time{}
		want.Attempts = append(want.Attempts,
			invocation.Attempt{Number: 2, Worker: "w2", Outcome: invocation.Drained},
			invocation.Attempt{Number: 3, Worker: "w3", Outcome: invocation.OK})
		want.FinishedAt = got.Attempts[2].FinishedAt
		ignore := cmp.FilterPath(func(p cmp.Path) bool {
			return strings.HasPrefix(p.String(), "Attempts") && strings.HasSuffix(p.String(), "edAt")
		}, cmp.Ignore())
		if diff := cmp.Diff(want, got, ignore); diff != "" {
			t.Errorf("succeeded (-want +got):\n%s", diff)
		}
		if _, err := b.Begin(t.Context(), function.Background, inv.ID, "w4"); !errors.Is(err, ErrFinished) {
			t.Errorf("Begin of a finished one = %v, want ErrFinished", err)
		}
	})
}

// Every move that the table does not allow is refused, and changes nothing.
func TestForbiddenMoves(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		for _, from := range []invocation.State{invocation.Queued, invocation.Failed, invocation.Succeeded, invocation.Dead, invocation.Cancelled} {
			id := b.put(t, from)
			before := b.read(t, id)
			for to, end := range ends {
				if to == from {
					continue // that is the repetition of an end
				}
				if err := b.Finish(t.Context(), function.Background, id, 1, end); !errors.Is(err, ErrFenced) {
					t.Errorf("Finish to %s in state %s = %v, want ErrFenced", to, from, err)
				}
			}
			if from.Terminal() {
				if _, err := b.Begin(t.Context(), function.Background, id, "w2"); !errors.Is(err, ErrFinished) {
					t.Errorf("Begin in state %s = %v, want ErrFinished", from, err)
				}
				if _, err := b.Cancel(t.Context(), id); !fault.Is(err, fault.Conflict) {
					t.Errorf("Cancel in state %s = %v, want a conflict", from, err)
				}
			}
			if diff := cmp.Diff(before, b.read(t, id)); diff != "" {
				t.Errorf("%s has changed:\n%s", from, diff)
			}
		}
		id := b.put(t, invocation.Running)
		for _, end := range []End{
			{Outcome: invocation.OK, Verdict: invocation.Verdict{State: invocation.Running}},
			{Outcome: invocation.OK, Verdict: invocation.Verdict{State: "paused"}},
			{Outcome: invocation.OK},
			{Verdict: invocation.Verdict{State: invocation.Succeeded}},
		} {
			if err := b.Finish(t.Context(), function.Background, id, 1, end); err == nil {
				t.Errorf("Finish(%+v) = nil", end)
			}
		}
		if got := b.read(t, id).State; got != invocation.Running {
			t.Errorf("the invocation is %s, want running", got)
		}
	})
}

// The scripts themselves check the table too, whatever Go lets through.
func TestScriptsRefuseWhatTheTableForbids(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		id := b.put(t, invocation.Running)
		step, err := b.End(function.Background, id, 1, ends[invocation.Succeeded])
		if err != nil {
			t.Fatalf("End = %v", err)
		}
		step.Head = strings.Replace(step.Head, " running>succeeded ", " ", 1)
		if got := b.do(t, step); got != Forbidden {
			t.Errorf("End = %d, want Forbidden", got)
		}
		if got := b.field(t, id, fieldState); got != "running" {
			t.Errorf("the state is %s, want running", got)
		}
	})
}

func TestUnknownInvocations(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		ctx := t.Context()
		known := b.create(t, function.Background)
		for _, id := range []string{
			newID(), "", "x", strings.ToLower(known), known + "0", known[:25], known[:25] + "\n", known[:25] + "U",
			"8" + known[1:], strings.Repeat("A", 1<<16), "../../etc/passwd", "*", "{background}:inv:" + known,
		} {
			_, begin := b.Begin(ctx, function.Background, id, "w")
			_, read := b.Invocation(ctx, id)
			_, cancel := b.Cancel(ctx, id)
			_, log := b.Log(ctx, id, "", 10)
			for call, err := range map[string]error{
				"Begin": begin, "Invocation": read, "Cancel": cancel, "Log": log,
				"Finish":    b.Finish(ctx, function.Background, id, 1, ends[invocation.Succeeded]),
				"FollowLog": b.FollowLog(ctx, id, "", nil),
			} {
				if !fault.Is(err, fault.NotFound) {
					t.Errorf("%s(%.40q) = %v, want not found", call, id, err)
				}
				if err != nil && len(err.Error()) > 400 {
					t.Errorf("%s answers with %d bytes", call, len(err.Error()))
				}
			}
		}
		if _, err := b.Begin(ctx, function.Sync, known, "w"); !fault.Is(err, fault.NotFound) {
			t.Errorf("Begin of a sync call = %v, want not found", err)
		}
		if n := b.rdb.DBSize(ctx).Val(); n != 6 {
			t.Errorf("there are %d keys, want the record, its pin, its count and three sets of the index", n)
		}
	})
}

func TestCreateRefusesWhatNobodyCouldFind(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		for _, inv := range []invocation.Invocation{
			{ID: "not-a-ulid", Kind: function.Background},
			{ID: newID(), Kind: function.Sync},
		} {
			script, keys, args := compose(b.Create(inv, nil))
			err := script.Run(t.Context(), b.rdb, keys, args...).Err()
			if err == nil || !strings.Contains(err.Error(), "ULID") {
				t.Errorf("Create(%+v) = %v, want an error that names the ULID", inv, err)
			}
		}
		if n := b.rdb.DBSize(t.Context()).Val(); n != 0 {
			t.Errorf("there are %d keys, want none", n)
		}
	})
}

func TestScheduledInvocationsAreFoundByIDAlone(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		id := b.create(t, function.Scheduled)
		if got := b.read(t, id); got.Kind != function.Scheduled || got.ID != id {
			t.Errorf("Invocation = %+v, want the scheduled one", got)
		}
		if state, err := b.Cancel(t.Context(), id); err != nil || state != invocation.Cancelled {
			t.Errorf("Cancel = %s, %v, want cancelled", state, err)
		}
	})
}

func TestZombieIsFenced(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		id := b.create(t, function.Background)
		src := LogSource{Site: "shop", Kind: function.Background, Invocation: id}
		b.begin(t, id, "zombie")
		begun := b.begin(t, id, "w2")
		if begun.Attempt != 2 || begun.Failures != 0 {
			t.Errorf("Begin = attempt %d after %d failures, want 2 after 0", begun.Attempt, begun.Failures)
		}
		lost := begun.Invocation.Attempts[0]
		if lost.Outcome != invocation.WorkerLost || lost.FinishedAt.IsZero() || lost.Worker != "zombie" {
			t.Errorf("the first attempt is %+v, want it closed as worker_lost", lost)
		}
		for state, end := range ends {
			if err := b.Finish(t.Context(), function.Background, id, 1, end); !errors.Is(err, ErrFenced) {
				t.Errorf("the zombie's Finish to %s = %v, want ErrFenced", state, err)
			}
		}
		err := b.AppendLog(t.Context(), src, []invocation.LogLine{{Attempt: 1, Text: "zombie"}})
		if !errors.Is(err, ErrFenced) {
			t.Errorf("the zombie's AppendLog = %v, want ErrFenced", err)
		}
		if n := b.rdb.Exists(t.Context(), logKey(function.Background, id)).Val(); n != 0 {
			t.Error("the zombie's line is stored")
		}
		if diff := cmp.Diff(begun.Invocation, b.read(t, id)); diff != "" {
			t.Errorf("the record has changed:\n%s", diff)
		}
		// A later attempt than the newest is as wrong as an earlier one.
		if err := b.Finish(t.Context(), function.Background, id, 3, ends[invocation.Succeeded]); !errors.Is(err, ErrFenced) {
			t.Errorf("Finish of an attempt to come = %v, want ErrFenced", err)
		}
		b.finish(t, id, 2, ends[invocation.Succeeded])
		if err := b.Finish(t.Context(), function.Background, id, 1, ends[invocation.Succeeded]); !errors.Is(err, ErrFenced) {
			t.Errorf("the zombie's Finish after the end = %v, want ErrFenced", err)
		}
	})
}

func TestPoisonIsGivenUp(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		id := b.create(t, function.Background)
		for range invocation.MaxCrashes {
			b.begin(t, id, "victim")
		}
		if _, err := b.Begin(t.Context(), function.Background, id, "next"); !errors.Is(err, ErrFinished) {
			t.Fatalf("Begin after %d lost workers = %v, want ErrFinished", invocation.MaxCrashes, err)
		}
		inv := b.read(t, id)
		if inv.State != invocation.Dead || inv.FinishedAt.IsZero() || len(inv.Attempts) != invocation.MaxCrashes {
			t.Errorf("the record is %+v, want dead with %d attempts", inv, invocation.MaxCrashes)
		}
		for _, a := range inv.Attempts {
			if a.Outcome != invocation.WorkerLost || a.FinishedAt.IsZero() {
				t.Errorf("attempt %d is %+v, want worker_lost", a.Number, a)
			}
		}
		want := []*invocation.Failure{nil, nil, {Type: "Nightshift.WorkerLost", Message: "the worker died while it ran this; given up after 3"}}
		if diff := cmp.Diff(want, []*invocation.Failure{inv.Attempts[0].Error, inv.Attempts[1].Error, inv.Attempts[2].Error}); diff != "" {
			t.Errorf("what the attempts say (-want +got):\n%s", diff)
		}
		b.wantRetention(t, id, b.opts.DeadRetention)
	})
}

func TestCancel(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		for _, from := range []invocation.State{invocation.Queued, invocation.Failed} {
			id := b.put(t, from)
			if state, err := b.Cancel(t.Context(), id); err != nil || state != invocation.Cancelled {
				t.Errorf("Cancel in state %s = %s, %v, want cancelled", from, state, err)
			}
			inv := b.read(t, id)
			if inv.State != invocation.Cancelled || inv.FinishedAt.IsZero() || !inv.NextAttemptAt.IsZero() {
				t.Errorf("the record is %+v, want it cancelled", inv)
			}
			b.wantRetention(t, id, b.opts.Retention)
			if _, err := b.Begin(t.Context(), function.Background, id, "w"); !errors.Is(err, ErrFinished) {
				t.Errorf("Begin of a cancelled one = %v, want ErrFinished", err)
			}
			if _, err := b.Cancel(t.Context(), id); !fault.Is(err, fault.Conflict) {
				t.Errorf("Cancel again = %v, want a conflict", err)
			}
		}
	})
}

func TestCancelOfARunningOne(t *testing.T) {
	cancel := func(t *testing.T, b *backend) string {
		id := b.put(t, invocation.Running)
		for range 2 { // asking again is no mistake
			if state, err := b.Cancel(t.Context(), id); err != nil || state != invocation.Running {
				t.Errorf("Cancel = %s, %v, want running", state, err)
			}
		}
		return id
	}
	contract(t, func(t *testing.T, b *backend) {
		other := b.put(t, invocation.Running)
		id := cancel(t, b)
		got, err := b.CancelRequested(t.Context(), function.Background, []string{other, id, newID()})
		if err != nil || !cmp.Equal(got, []string{id}) {
			t.Errorf("CancelRequested = %v, %v, want [%s]", got, err, id)
		}
		b.finish(t, id, 1, ends[invocation.Cancelled])
		if got, err := b.CancelRequested(t.Context(), function.Background, []string{id}); err != nil || len(got) != 0 {
			t.Errorf("CancelRequested of a finished one = %v, %v, want none", got, err)
		}

		id = cancel(t, b) // and its worker dies before it sees that
		if _, err := b.Begin(t.Context(), function.Background, id, "w2"); !errors.Is(err, ErrFinished) {
			t.Errorf("Begin after the cancellation = %v, want ErrFinished", err)
		}
		inv := b.read(t, id)
		if inv.State != invocation.Cancelled || len(inv.Attempts) != 1 || inv.Attempts[0].Outcome != invocation.WorkerLost {
			t.Errorf("the record is %+v, want it cancelled with its attempt lost", inv)
		}
		b.wantRetention(t, id, b.opts.Retention)

		for _, to := range []invocation.State{invocation.Failed, invocation.Queued} {
			id = cancel(t, b) // and its attempt ends otherwise at the same moment
			b.finish(t, id, 1, ends[to])
			inv = b.read(t, id)
			if inv.State != invocation.Cancelled || !inv.NextAttemptAt.IsZero() || inv.Attempts[0].Outcome != ends[to].Outcome {
				t.Errorf("the record is %+v, want it cancelled with outcome %s", inv, ends[to].Outcome)
			}
			b.wantRetention(t, id, b.opts.Retention)
		}

		id = cancel(t, b) // and its attempt succeeds at the same moment
		b.finish(t, id, 1, ends[invocation.Succeeded])
		if got := b.read(t, id).State; got != invocation.Succeeded {
			t.Errorf("the invocation is %s, want succeeded", got)
		}
	})
}

// wantRetention checks how long the record and its log, if any, are kept.
func (b *backend) wantRetention(t testing.TB, id string, want time.Duration) {
	t.Helper()
	left := b.rdb.PTTL(t.Context(), recordKey(function.Background, id)).Val()
	if left > want || left < want-time.Minute {
		t.Errorf("the record is kept for %v, want %v", left, want)
	}
	if b.rdb.Exists(t.Context(), logKey(function.Background, id)).Val() == 0 {
		return
	}
	left = b.rdb.PTTL(t.Context(), logKey(function.Background, id)).Val()
	if left > want || left < want-time.Minute {
		t.Errorf("the log is kept for %v, want %v", left, want)
	}
}

func TestRetention(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		line := func(id, text string) {
			t.Helper()
			src := LogSource{Site: "shop", Kind: function.Background, Invocation: id}
			if err := b.AppendLog(t.Context(), src, []invocation.LogLine{{Attempt: 1, Text: text}}); err != nil {
				t.Fatal(err)
			}
		}
		for to, end := range ends {
			id := b.put(t, invocation.Running)
			line(id, "while it runs")
			b.finish(t, id, 1, end)
			switch {
			case to == invocation.Dead:
				b.wantRetention(t, id, b.opts.DeadRetention)
			case to.Terminal():
				b.wantRetention(t, id, b.opts.Retention)
			default:
				if left := b.rdb.PTTL(t.Context(), recordKey(function.Background, id)).Val(); left != -1 {
					t.Errorf("the record in state %s expires in %v", to, left)
				}
			}
		}
		// A first line after the end must expire with the record.
		id := b.put(t, invocation.Succeeded)
		line(id, "late")
		b.wantRetention(t, id, b.opts.Retention)
	})
}

func TestFunctionsOwnWordsAreBounded(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		long := strings.Repeat("ä", 3<<20)
		id := b.put(t, invocation.Running)
		b.finish(t, id, 1, End{
			Outcome: invocation.OK, Verdict: invocation.Verdict{State: invocation.Succeeded},
			Result: &invocation.Result{Status: 200, Body: long},
		})
		got := b.read(t, id).Result
		if len(got.Body) > maxResultBody || len(got.Body) < maxResultBody-4 || !got.Truncated || !strings.HasPrefix(long, got.Body) {
			t.Errorf("the result has %d bytes, truncated %t", len(got.Body), got.Truncated)
		}
		id = b.put(t, invocation.Running)
		b.finish(t, id, 1, End{
			Outcome: invocation.Error, Verdict: invocation.Verdict{State: invocation.Dead},
			Failure: &invocation.Failure{Type: long, Message: long, Stack: long + "\xff"},
		})
		if n := len(b.field(t, id, fieldAttempts)); n > maxFailureType+maxFailureMessage+maxFailureStack+500 {
			t.Errorf("the attempt is kept in %d bytes", n)
		}
		want := &invocation.Failure{Type: long[:maxFailureType], Message: long[:maxFailureMessage], Stack: long[:maxFailureStack]}
		if diff := cmp.Diff(want, b.read(t, id).Attempts[0].Error, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("the failure is another one (%d bytes of difference)", len(diff))
		}
	})
}

func TestOptions(t *testing.T) {
	t.Parallel()
	if got, want := (Options{}).withDefaults(), (Options{168 * time.Hour, 720 * time.Hour, 10_000}); got != want {
		t.Errorf("defaults = %+v, want %+v", got, want)
	}
	if err := (Options{Retention: time.Minute, DeadRetention: time.Minute, MaxLogLines: 1}).Validate(); err != nil {
		t.Errorf("the least allowed = %v, want nil", err)
	}
	for _, o := range []Options{{Retention: time.Second}, {DeadRetention: -time.Hour}, {MaxLogLines: -1}} {
		if err := o.Validate(); !fault.Is(err, fault.Invalid) {
			t.Errorf("Validate(%+v) = %v, want invalid", o, err)
		}
		if err := o.withDefaults().Validate(); err != nil {
			t.Errorf("what New makes of %+v: %v", o, err)
		}
	}
}
