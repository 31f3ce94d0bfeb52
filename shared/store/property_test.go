package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
)

// Whatever happens in whatever order: the state moves along the table only, a
// terminal one stays, and running means that exactly the newest attempt is open.
func TestRandomOperationsKeepToTheTable(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		for seed := range uint64(40) {
			random := rand.New(rand.NewPCG(seed, 0))
			id := b.create(t, function.Background)
			before := b.read(t, id)
			var history []string
			for range 25 {
				history = append(history, b.anything(t, random, id, len(before.Attempts)))
				after := b.read(t, id)
				if problem := broken(before, after); problem != "" {
					t.Fatalf("seed %d: %s\n%s", seed, problem, strings.Join(history, "\n"))
				}
				before = after
			}
		}
	})
}

// anything does something with an invocation that has had some attempts.
func (b *backend) anything(t testing.TB, random *rand.Rand, id string, attempts int) string {
	t.Helper()
	attempt := max(0, attempts-random.IntN(2)+random.IntN(2))
	switch random.IntN(10) {
	case 0, 1, 2:
		_, err := b.Begin(t.Context(), function.Background, id, "w")
		if err != nil && !errors.Is(err, ErrFinished) {
			t.Fatalf("Begin = %v", err)
		}
		return fmt.Sprint("Begin = ", err)
	case 3:
		_, err := b.Cancel(t.Context(), id)
		if err != nil && !fault.Is(err, fault.Conflict) {
			t.Fatalf("Cancel = %v", err)
		}
		return fmt.Sprint("Cancel = ", err)
	case 4:
		err := b.AppendLog(t.Context(), LogSource{Site: "shop", Kind: function.Background, Invocation: id}, numbered(attempt, random.Int(), 1))
		if err != nil && !errors.Is(err, ErrFenced) {
			t.Fatalf("AppendLog = %v", err)
		}
		return fmt.Sprint("AppendLog ", attempt, " = ", err)
	default:
		// Mostly ends after which something may follow.
		states := []invocation.State{
			invocation.Queued, invocation.Queued, invocation.Failed, invocation.Failed, invocation.Failed,
			invocation.Succeeded, invocation.Dead, invocation.Cancelled,
		}
		to := states[random.IntN(len(states))]
		err := b.Finish(t.Context(), function.Background, id, attempt, ends[to])
		if err != nil && !errors.Is(err, ErrFenced) {
			t.Fatalf("Finish = %v", err)
		}
		return fmt.Sprint("Finish ", attempt, " ", to, " = ", err)
	}
}

// broken says which rule a step from one record to the next breaks, or "".
func broken(before, after invocation.Invocation) string {
	moved := before.State != after.State || len(before.Attempts) != len(after.Attempts)
	if moved && !invocation.CanMove(before.State, after.State) {
		// Two moves in one call: a lost worker's attempt is closed and the next one begun.
		return fmt.Sprintf("moved from %s to %s", before.State, after.State)
	}
	if len(after.Attempts) < len(before.Attempts) {
		return "an attempt is gone"
	}
	crashes := 0
	for i, a := range after.Attempts {
		newest := i == len(after.Attempts)-1
		open := a.Outcome == ""
		switch {
		case a.Number != i+1:
			return fmt.Sprintf("attempt %d has number %d", i+1, a.Number)
		case open != a.FinishedAt.IsZero():
			return fmt.Sprintf("attempt %d has outcome %q at %v", a.Number, a.Outcome, a.FinishedAt)
		case open != (newest && after.State == invocation.Running):
			return fmt.Sprintf("attempt %d of %d is open: %t, in state %s", a.Number, len(after.Attempts), open, after.State)
		}
		if i < len(before.Attempts) && before.Attempts[i].Outcome != "" && before.Attempts[i].Outcome != a.Outcome {
			return fmt.Sprintf("attempt %d changed from %s to %s", a.Number, before.Attempts[i].Outcome, a.Outcome)
		}
		if a.Outcome == invocation.WorkerLost {
			crashes++
		}
	}
	switch {
	case crashes >= invocation.MaxCrashes && !after.State.Terminal():
		return fmt.Sprintf("%d workers are lost and it is still %s", crashes, after.State)
	case after.State.Terminal() == after.FinishedAt.IsZero():
		return fmt.Sprintf("finished at %v in state %s", after.FinishedAt, after.State)
	case (after.State == invocation.Failed) == after.NextAttemptAt.IsZero():
		return fmt.Sprintf("next attempt at %v in state %s", after.NextAttemptAt, after.State)
	case (len(after.Attempts) > 0) == after.StartedAt.IsZero():
		return fmt.Sprintf("started at %v after %d attempts", after.StartedAt, len(after.Attempts))
	case after.Result != nil && after.State != invocation.Succeeded:
		return fmt.Sprintf("a result in state %s", after.State)
	}
	return ""
}

// What the scripts glue together from a function's own words is a journal that
// can be read, whatever the words are.
func FuzzJournal(f *testing.F) {
	f.Add("w", "TypeError", "message", "stack")
	f.Add("\"", "\\", "}\n{", "\x00\xff\u2028")
	f.Fuzz(func(t *testing.T, worker, kind, message, stack string) {
		name, err := json.Marshal(worker)
		if err != nil {
			t.Fatal(err)
		}
		failure, _, err := encodeEnd(End{Failure: &invocation.Failure{Type: kind, Message: message, Stack: stack}})
		if err != nil {
			t.Fatal(err)
		}
		journal := `{"n":1,"worker":` + string(name) + `,"start":1}` + "\n" +
			`{"n":1,"end":2,"outcome":"error","error":` + string(failure) + "}\n"
		attempts, err := readJournal(journal)
		if err != nil || len(attempts) != 1 {
			t.Fatalf("readJournal(%q) = %v, %v", journal, attempts, err)
		}
		got := attempts[0]
		if utf8.ValidString(worker) && got.Worker != worker {
			t.Errorf("the worker is %q, want %q", got.Worker, worker)
		}
		if utf8.ValidString(message) && got.Error.Message != cut(message, maxFailureMessage) {
			t.Errorf("the message is %q, want %q", got.Error.Message, message)
		}
		if got.Outcome != invocation.Error {
			t.Errorf("the outcome is %q, want error", got.Outcome)
		}
	})
}

// A journal of anybody's making is an error or attempts, and never a panic.
func FuzzReadJournal(f *testing.F) {
	f.Add(`{"n":1,"worker":"w","start":1}` + "\n" + `{"n":1,"end":2,"outcome":"succeeded"}`)
	f.Add(`{"n":1,"end":2}`)
	f.Fuzz(func(t *testing.T, journal string) {
		attempts, err := readJournal(journal)
		if err != nil && attempts != nil {
			t.Errorf("readJournal(%q) = %v with %v", journal, attempts, err)
		}
	})
}

// A start that is read without a decoder says what a decoder reads in it.
func FuzzReadStart(f *testing.F) {
	for _, text := range []string{
		`{"n":1,"worker":"vm-8d783328","start":1795960000123}`, `{"n":01,"worker":"w","start":1}`, `{"n":1,"worker":"\u0041","start":1}`,
		`{"n":1,"worker":"ü","start":1}`, `{"n":+1,"worker":"w","start":1}`, `{"n":1,"worker":"w","start":1}}`, `{"n":1,"worker":"","start":9}`,
		`{"n":1,"worker":"w","start":1,"end":2}`, `{"n":1,"worker":"a\tb","start":1}`, `{"n":1,"worker":"w"}`, ``,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text += "\n"
		got, ok := readStart(text)
		if !ok {
			return
		}
		var want journalLine
		if err := json.Unmarshal([]byte(text), &want); err != nil || got != want {
			t.Errorf("readStart(%q) = %+v, want %+v, %v", text, got, want, err)
		}
	})
}

func TestReadStart(t *testing.T) {
	t.Parallel()
	got, ok := readStart(`{"n":2,"worker":"vm-8d783328","start":1795960000123}` + "\n")
	if want := (journalLine{Number: 2, Worker: "vm-8d783328", Start: 1795960000123}); !ok || got != want {
		t.Errorf("readStart = %+v, %v, want %+v", got, ok, want)
	}
}

// No ID from outside makes a key that holds a brace or a colon of its own, and
// so leaves its slot or its namespace.
func FuzzIDs(f *testing.F) {
	f.Add("01ARZ3NDEKTSV4RRFFQ69G5FAV")
	f.Add("}{x}:")
	f.Fuzz(func(t *testing.T, id string) {
		if validID(id) && (len(id) != 26 || strings.ToUpper(id) != id || strings.ContainsAny(id, "{}:*\x00 \nILOU")) {
			t.Errorf("validID(%q)", id)
		}
		if validDeployID(id) && (len(id) > 64 || strings.ContainsAny(id, "{}:*\x00 \n")) {
			t.Errorf("validDeployID(%q)", id)
		}
		if validCursor(id) && strings.Trim(id, "0123456789-") != "" {
			t.Errorf("validCursor(%q)", id)
		}
	})
}
