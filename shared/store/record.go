package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
)

// Fields of a record. Times are milliseconds since 1970. The scripts add
// further ones that only they read: outcome of the newest closed attempt,
// crashes, the time retried of the last retry, and the identity batch of the last
// lines.
const (
	fieldID       = "id"
	fieldSite     = "site"
	fieldDeploy   = "deploy"
	fieldFunction = "function"
	fieldKind     = "kind"
	fieldState    = "state"
	fieldCreated  = "created"
	fieldStarted  = "started"
	fieldFinished = "finished"
	fieldNext     = "next"
	fieldTick     = "tick"
	fieldAttempt  = "attempt"  // number of the newest attempt, 0 before the first
	fieldFailures = "failures" // attempts that count against the retry limit
	fieldAttempts = "attempts" // journal, see journalLine
	fieldPin      = "pin"      // the deploy that the record pins; empty once it is finished
	fieldCancel   = "cancel"   // there if somebody asked for a cancellation
	fieldResult   = "result"   // JSON
	fieldEvent    = "event"    // as it was accepted, up to hundreds of KiB
	fieldBegin    = "begin"    // token of the call that began the newest attempt
	fieldLog      = "log"      // a short log, see lua/lines_apply.lua

	fieldNotBefore = "not_before"
	fieldReplayOf  = "replay_of"
	fieldAwaited   = "awaited"  // there if somebody waits for the end
	fieldRetry     = "retry"    // token of the newest retry
	fieldRequeued  = "requeued" // when it was queued again: handed back, or retried by hand
	fieldTrace     = "trace"    // there if it stands in a trace

	fieldCallback         = "callback" // URL
	fieldCallbackState    = "callback_state"
	fieldCallbackAttempts = "callback_attempts"
	fieldCallbackError    = "callback_error"
)

// listFields are what a list tells of an invocation, publicFields all that an
// [invocation.Invocation] is made of: not the event.
var (
	listFields = []string{
		fieldID, fieldSite, fieldDeploy, fieldFunction, fieldKind, fieldState,
		fieldCreated, fieldStarted, fieldFinished, fieldNext, fieldTick, fieldAttempts,
		fieldNotBefore, fieldReplayOf, fieldTrace,
		fieldCallback, fieldCallbackState, fieldCallbackAttempts, fieldCallbackError,
	}
	publicFields = append(slices.Clone(listFields), fieldResult)
)

// Bounds of what a record keeps of a function's own words. The worker cuts
// earlier; these keep one bad caller from filling Redis.
const (
	maxResultBody     = 1 << 20
	maxFailureType    = 256
	maxFailureMessage = 16 << 10
	maxFailureStack   = 64 << 10
)

// record is the hash of an invocation, or some of its fields.
type record map[string]string

// recordOf makes a record of the values of fields; nil ones are not there.
func recordOf(fields []string, values []any) record {
	r := record{}
	r.set(fields, values)
	return r
}

func (r record) set(fields []string, values []any) {
	for i, value := range values {
		if text, ok := value.(string); ok {
			r[fields[i]] = text
		}
	}
}

// number reads a field; 0 if it is not there.
func (r record) number(field string) int64 {
	n, err := strconv.ParseInt(r[field], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// instant reads a time; zero if it is not there.
func (r record) instant(field string) time.Time {
	if r[field] == "" {
		return time.Time{}
	}
	return fromMillis(r.number(field))
}

// invocation translates the record.
func (r record) invocation() (invocation.Invocation, error) {
	inv := invocation.Invocation{
		ID:            r[fieldID],
		Site:          r[fieldSite],
		Deploy:        r[fieldDeploy],
		Function:      r[fieldFunction],
		Kind:          function.Kind(r[fieldKind]),
		State:         invocation.State(r[fieldState]),
		CreatedAt:     r.instant(fieldCreated),
		StartedAt:     r.instant(fieldStarted),
		FinishedAt:    r.instant(fieldFinished),
		NextAttemptAt: r.instant(fieldNext),
		Tick:          r.instant(fieldTick),
		NotBefore:     r.instant(fieldNotBefore),
		ReplayOf:      r[fieldReplayOf],
		Trace:         r[fieldTrace],
		Callback:      r.callback(),
	}
	var err error
	if inv.Attempts, err = readJournal(r[fieldAttempts]); err != nil {
		return inv, err
	}
	if text := r[fieldResult]; text != "" {
		if err := json.Unmarshal([]byte(text), &inv.Result); err != nil {
			return inv, fmt.Errorf("the record's result: %w", err)
		}
	}
	return inv, nil
}

// callback reads who is told of the end; nil if nobody is.
func (r record) callback() *invocation.Callback {
	if r[fieldCallback] == "" {
		return nil
	}
	return &invocation.Callback{
		URL:      r[fieldCallback],
		State:    invocation.CallbackState(r[fieldCallbackState]),
		Attempts: int(r.number(fieldCallbackAttempts)),
		Error:    r[fieldCallbackError],
	}
}

// journalLine is one line of the journal of attempts: a start (worker, start)
// or an end (end, outcome, error).
type journalLine struct {
	Number  int                 `json:"n"`
	Worker  string              `json:"worker"`
	Start   int64               `json:"start"`
	End     int64               `json:"end"`
	Outcome invocation.Outcome  `json:"outcome"`
	Error   *invocation.Failure `json:"error"`
}

// readJournal makes attempts of a journal.
func readJournal(journal string) ([]invocation.Attempt, error) {
	var attempts []invocation.Attempt
	for text := range strings.Lines(journal) {
		line, ok := readStart(text)
		if !ok {
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				return nil, fmt.Errorf("the record's attempts: %w", err)
			}
		}
		if line.End == 0 {
			attempts = append(attempts, invocation.Attempt{Number: line.Number, Worker: line.Worker, StartedAt: fromMillis(line.Start)})
			continue
		}
		if len(attempts) == 0 || attempts[len(attempts)-1].Number != line.Number {
			return nil, fmt.Errorf("the record's attempts: attempt %d ends without a start", line.Number)
		}
		last := &attempts[len(attempts)-1]
		last.FinishedAt, last.Outcome, last.Error = fromMillis(line.End), line.Outcome, line.Error
	}
	return attempts, nil
}

// readStart reads a start that looks to the byte as begin.lua writes it, of a worker
// whose name needs no escapes: that is all there is to read of most beginnings.
func readStart(text string) (line journalLine, ok bool) {
	number, rest, _ := strings.Cut(text, `,"worker":"`)
	worker, rest, _ := strings.Cut(rest, `","start":`)
	start, rest, _ := strings.Cut(rest, "}")
	number, isStart := strings.CutPrefix(number, `{"n":`)
	if !isStart || rest != "\n" || strings.ContainsFunc(worker, escaped) {
		return line, false
	}
	n, plain := readNumber(number)
	ms, plainToo := readNumber(start)
	return journalLine{Number: int(n), Worker: worker, Start: ms}, plain && plainToo
}

// escaped reports whether a character may look otherwise in JSON.
func escaped(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }

// readNumber reads a number as JSON writes those of up to 15 digits.
func readNumber(text string) (n int64, ok bool) {
	if len(text) == 0 || len(text) > 15 || text[0] == '0' {
		return 0, false
	}
	for _, digit := range []byte(text) {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		n = 10*n + int64(digit-'0')
	}
	return n, true
}

// encodeEnd makes JSON of what an attempt left, empty where it left nothing.
func encodeEnd(end End) (failure, result []byte, err error) {
	if f := end.Failure; f != nil {
		failure, err = json.Marshal(invocation.Failure{
			Type:    cut(f.Type, maxFailureType),
			Message: cut(f.Message, maxFailureMessage),
			Stack:   cut(f.Stack, maxFailureStack),
		})
		if err != nil {
			return nil, nil, err
		}
	}
	if r := end.Result; r != nil && end.Verdict.State == invocation.Succeeded {
		kept := *r
		if len(kept.Body) > maxResultBody {
			kept.Truncated = true
			if kept.Base64 {
				kept.Body = kept.Body[:maxResultBody/4*4] // whole groups, so that it can be decoded
			} else {
				kept.Body = cut(kept.Body, maxResultBody)
			}
		}
		if result, err = json.Marshal(kept); err != nil {
			return nil, nil, err
		}
	}
	return failure, result, nil
}

// cut shortens a text to at most limit bytes, without splitting a character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// fromMillis is the instant of a stored time.
func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
