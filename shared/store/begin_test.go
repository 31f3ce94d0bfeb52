package store

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/script"
)

// beginAll begins attempts in one script and returns its answers: the state that
// each record is in then, or the word or error instead.
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
		begun, err := begun(answer, ids[i])
		if err != nil {
			answers = append(answers, err.Error())
			continue
		}
		answers = append(answers, fmt.Sprint(begun.Invocation.State, begun.Attempt))
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
		want := []string{"running1", UnknownInvocation(gone).Error(), "running2", "", ErrFinished.Error(), "running1"}
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
		want := []string{"running1", "running1", "running2", "running3", ErrFinished.Error()}
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
