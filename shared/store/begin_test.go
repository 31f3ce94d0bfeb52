package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/script"
	"github.com/redis/go-redis/v9"
)

// beginAll begins attempts in one script and returns its answers: the number of
// each attempt, or the error instead.
func (b *backend) beginAll(t testing.TB, ids ...string) (answers []string) {
	t.Helper()
	begin, err := beginTemplate.With(nil)
	if err != nil {
		t.Fatal(err)
	}
	keys, args := kindKeys(function.Background), []any{}
	for _, id := range ids {
		keys = append(keys, b.recordKeys(function.Background, id)...)
		args = append(args, `"w"`, newToken(), b.opts.Retention.Milliseconds(), b.opts.DeadRetention.Milliseconds())
	}
	all, err := b.rdb.Eval(t.Context(), begin.Source(), keys, args...).Slice()
	if err != nil {
		t.Fatalf("beginning %d attempts = %v", len(ids), err)
	}
	for i, answer := range all {
		attempt, err := begun(answer, ids[i])
		if err != nil {
			answers = append(answers, err.Error())
			continue
		}
		answers = append(answers, fmt.Sprint("attempt ", attempt))
	}
	return answers
}

func TestBeginsInOneScript(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		queued, failed, done, gone := b.put(t, invocation.Queued), b.put(t, invocation.Failed), b.put(t, invocation.Succeeded), newID()
		other := b.makes(t, invocation.Invocation{ID: newID(), Site: "blog", Deploy: "d2", Function: "g", Kind: function.Background})
		broken := newID()
		if err := b.rdb.Set(t.Context(), recordKey(function.Background, broken), "no hash", 0).Err(); err != nil {
			t.Fatal(err)
		}
		got := b.beginAll(t, queued, gone, failed, broken, done, other)
		want := []string{"attempt 1", UnknownInvocation(gone).Error(), "attempt 2", "", ErrFinished.Error(), "attempt 1"}
		for i := range want {
			if got[i] != want[i] && want[i] != "" {
				t.Errorf("answer %d is %q, want %q", i, got[i], want[i])
			}
		}
		if err := b.rdb.Del(t.Context(), recordKey(function.Background, broken)).Err(); err != nil {
			t.Fatal(err)
		}
		b.checkIndex(t)
		b.checkPins(t)
	})
}

// The order of what happens to an invocation in one script is that of the calls.
func TestBeginsOfOneInvocationInOneScript(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		id, other := b.create(t, function.Background), b.create(t, function.Background)
		got := b.beginAll(t, id, other, id, id, id)
		want := []string{"attempt 1", "attempt 1", "attempt 2", "attempt 3", ErrFinished.Error()}
		if invocation.MaxCrashes != 3 || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the answers are %q, want %q", got, want)
		}
		if inv := b.read(t, id); inv.State != invocation.Dead || len(inv.Attempts) != 3 {
			t.Errorf("the invocation is %s after %d attempts, want dead after 3", inv.State, len(inv.Attempts))
		}
		b.checkIndex(t)
		b.checkPins(t)
	})
}

// Whoever shares a round trip gets its own answer.
func TestConcurrentBegins(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		var callers sync.WaitGroup
		for i := range 8 * script.Flights {
			id, want := b.put(t, invocation.Queued), error(nil)
			switch i % 4 {
			case 1:
				id = newID()
			case 2:
				id, want = b.put(t, invocation.Cancelled), ErrFinished
			}
			callers.Go(func() {
				begun, err := b.Begin(t.Context(), function.Background, id, "w")
				switch {
				case i%4 == 1 && fault.Is(err, fault.NotFound):
				case i%4 == 1, !errors.Is(err, want):
					t.Errorf("Begin %d = %v", i, err)
				case err == nil && begun.Invocation.ID != id:
					t.Errorf("Begin %d is given %s, want %s", i, begun.Invocation.ID, id)
				}
			})
		}
		callers.Wait()
		b.checkIndex(t)
		b.checkPins(t)
	})
}

// The record is read after the script: by then another worker may have begun an
// attempt. Each has its own.
func TestBeginAsAnotherOneBegins(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		id := b.put(t, invocation.Queued)
		rdb := b.client(t)
		rdb.AddHook(&afterScript{do: func() { b.begin(t, id, "w2") }})
		begun, err := New(rdb, Options{}).Begin(t.Context(), function.Background, id, "w1")
		if err != nil {
			t.Fatal(err)
		}
		if n := len(begun.Invocation.Attempts); begun.Attempt != 1 || n != 1 || begun.Invocation.Attempts[0].Worker != "w1" {
			t.Errorf("Begin = attempt %d of %+v, want the first, of w1, alone", begun.Attempt, begun.Invocation.Attempts)
		}
		if err := b.Finish(t.Context(), function.Background, id, begun.Attempt, ends[invocation.Succeeded]); !errors.Is(err, ErrFenced) {
			t.Errorf("its Finish = %v, want ErrFenced", err)
		}
		b.finish(t, id, 2, ends[invocation.Succeeded])
	})
}

// afterScript does something between a script and the command behind it.
type afterScript struct {
	redistest.Breaker // passes everything on
	do                func()
}

func (a *afterScript) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if len(cmds) != 2 || !strings.HasPrefix(cmds[0].Name(), "eval") {
			return next(ctx, cmds)
		}
		if err := next(ctx, cmds[:1]); err != nil {
			return err
		}
		a.do()
		return next(ctx, cmds[1:])
	}
}
