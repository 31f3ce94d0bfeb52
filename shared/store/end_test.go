package store

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb"
)

// last are the steps of an attempt's last script: its last lines and its end.
func (b *backend) last(t testing.TB, id string, lines []invocation.LogLine, end End) []redisdb.Step {
	t.Helper()
	src := LogSource{Site: "shop", Deploy: "d1", Function: "send-email", Kind: function.Background, Invocation: id}
	first, err := b.Lines(src, lines)
	if err != nil {
		t.Fatalf("Lines = %v", err)
	}
	second, err := b.End(function.Background, id, lines[0].Attempt, end)
	if err != nil {
		t.Fatalf("End = %v", err)
	}
	return []redisdb.Step{first, second}
}

// state is all that is stored of an invocation.
func (b *backend) stored(t testing.TB, id string) string {
	t.Helper()
	ctx := t.Context()
	return fmt.Sprint(b.rdb.HGetAll(ctx, recordKey(function.Background, id)).Val(),
		b.rdb.XRange(ctx, logKey(function.Background, id), "-", "+").Val())
}

func TestLastLinesAndEndInOneScript(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		for to, end := range ends {
			id := b.put(t, invocation.Running)
			lines := numbered(1, 0, 2)
			steps := b.last(t, id, lines, end)
			if got := b.do(t, steps...); got != 1 {
				t.Fatalf("%s: the steps = %d, want 1", to, got)
			}
			inv := b.read(t, id)
			if inv.State != to || inv.Attempts[0].Outcome != end.Outcome {
				t.Errorf("the invocation is %s after %s, want %s after %s", inv.State, inv.Attempts[0].Outcome, to, end.Outcome)
			}
			log, err := b.Log(t.Context(), id, "", 0)
			if diff := cmp.Diff(lines, log, ignoreCursor); diff != "" || err != nil {
				t.Errorf("%s: the log, %v (-want +got):\n%s", to, err, diff)
			}
			if left := b.rdb.PTTL(t.Context(), recordKey(function.Background, id)).Val(); to.Terminal() != (left > 0) {
				t.Errorf("%s: the record is kept for %v", to, left)
			}
			if n := b.rdb.Exists(t.Context(), logKey(function.Background, id)).Val(); n != 0 {
				t.Errorf("%s: two lines have a stream of their own", to)
			}

			before := b.stored(t, id)
			if got := b.do(t, steps...); got != 0 {
				t.Errorf("%s: the steps again = %d, want 0", to, got)
			}
			if got := b.stored(t, id); got != before {
				t.Errorf("%s: the second time something changes:\n%s\n%s", to, before, got)
			}
			// The last batch is known, whichever way it comes.
			b.append(t, id, lines)
			if got := b.lines(t, id); got != 2 {
				t.Errorf("%s: the log has %d lines, want 2", to, got)
			}
		}
		b.checkIndex(t)
		b.checkPins(t)
	})
}

// A batch may have got through before without its reply; the end is not there yet.
func TestEndAfterLinesThatAreThere(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		id := b.put(t, invocation.Running)
		lines := numbered(1, 0, 3)
		steps := b.last(t, id, lines, ends[invocation.Succeeded])
		if got := b.do(t, steps[0]); got != 1 {
			t.Fatalf("Lines = %d, want 1", got)
		}
		if got := b.do(t, steps...); got != 1 {
			t.Errorf("the steps = %d, want 1", got)
		}
		if got := b.read(t, id).State; got != invocation.Succeeded {
			t.Errorf("the invocation is %s, want succeeded", got)
		}
		if got := b.lines(t, id); got != 3 {
			t.Errorf("the log has %d lines, want 3", got)
		}
	})
}

func TestWhatStopsLastLinesAndEnd(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		crashed := b.put(t, invocation.Running)
		b.begin(t, crashed, "w2")
		finished := b.put(t, invocation.Failed)
		cancelled := b.put(t, invocation.Cancelled)
		for _, tc := range []struct {
			what, id string
			attempt  int
			end      End
			want     int
		}{
			{"an older attempt", crashed, 1, ends[invocation.Succeeded], Fenced},
			{"an attempt that is not begun", crashed, 3, ends[invocation.Succeeded], Fenced},
			{"an attempt that ended otherwise", finished, 1, ends[invocation.Succeeded], Fenced},
			{"an invocation that ended otherwise", cancelled, 1, ends[invocation.Succeeded], Fenced},
			{"an invocation that is not there", newID(), 1, ends[invocation.Succeeded], Gone},
		} {
			before := b.stored(t, tc.id)
			if got := b.do(t, b.last(t, tc.id, numbered(tc.attempt, 0, 1), tc.end)...); got != tc.want {
				t.Errorf("%s: the steps = %d, want %d", tc.what, got, tc.want)
			}
			if got := b.stored(t, tc.id); got != before {
				t.Errorf("%s: something changes:\n%s\n%s", tc.what, before, got)
			}
		}
	})
}

// What one script says once of many records is right for each.
func TestManyEndsInOneScript(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		var steps []redisdb.Step
		for _, end := range ends {
			for range 3 {
				steps = append(steps, b.last(t, b.put(t, invocation.Running), numbered(1, 0, 2), end)...)
			}
		}
		if got := b.do(t, steps...); got != 1 {
			t.Fatalf("the steps = %d, want 1", got)
		}
		b.checkIndex(t)
		b.checkPins(t)
	})
}

func TestLinesRefuseNonsense(t *testing.T) {
	t.Parallel()
	s := New(nil, Options{})
	src := LogSource{Site: "shop", Kind: function.Background, Invocation: newID()}
	mixed := append(numbered(1, 0, 1), numbered(2, 1, 1)...)
	for what, lines := range map[string][]invocation.LogLine{
		"no lines": nil, "too many lines": numbered(1, 0, maxBatch+1), "lines of two attempts": mixed,
	} {
		if _, err := s.Lines(src, lines); err == nil {
			t.Errorf("Lines accepts %s", what)
		}
	}
	for what, src := range map[string]LogSource{
		"a kind without records": {Kind: function.Sync, Invocation: newID()},
		"no ID":                  {Kind: function.Background, Invocation: "x"},
	} {
		if _, err := s.Lines(src, numbered(1, 0, 1)); err == nil {
			t.Errorf("Lines accepts %s", what)
		}
		if _, err := s.End(src.Kind, src.Invocation, 1, ends[invocation.Succeeded]); err == nil {
			t.Errorf("End accepts %s", what)
		}
	}
}
