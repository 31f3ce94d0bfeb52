package view

import (
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/invocation"
)

// Invocation prints all there is to know about one invocation: what it is, how
// each attempt went, what the last one met, and the result.
func Invocation(w io.Writer, s Style, inv api.Invocation, now time.Time) {
	fact := func(name, text string) {
		if text != "" {
			fmt.Fprintf(w, "  %s  %s\n", s.Dim(pad(name, len("not before"))), Clean(text))
		}
	}
	when := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return Instant(*t, now)
	}
	fact("invocation", s.Bold(inv.ID))
	fact("function", fmt.Sprintf("%s, %s", inv.Function, inv.Kind))
	fact("site", inv.Site)
	fact("deploy", inv.Deploy)
	fact("state", s.state(string(inv.State)))
	fact("made", Instant(inv.CreatedAt, now))
	fact("not before", when(inv.NotBefore))
	fact("tick", when(inv.Tick))
	fact("next", when(inv.NextAttemptAt))
	fact("ended", when(inv.FinishedAt))
	fact("replays", inv.ReplayOf)
	if c := inv.Callback; c != nil {
		text := fmt.Sprintf("%s, %s after %s", c.URL, c.State, Count(c.Attempts, "request"))
		if c.Error != "" {
			text += ": " + c.Error
		}
		fact("callback", text)
	}
	if len(inv.Attempts) > 0 {
		fmt.Fprintln(w)
		attempts(w, s, inv.Attempts, now)
		if failure := inv.Attempts[len(inv.Attempts)-1].Error; failure != nil {
			fmt.Fprintf(w, "\n  %s %s\n", s.Bad(Clean(failure.Type)+":"), indented(failure.Message))
			if failure.Stack != "" {
				fmt.Fprintf(w, "  %s\n", s.Dim(indented(failure.Stack)))
			}
		}
	}
	if inv.Result != nil {
		result(w, s, inv.Result)
	}
}

// state colours the state of an invocation, a deploy or a worker.
func (s Style) state(text string) string {
	switch strings.TrimSpace(text) {
	case "succeeded", "ready":
		return s.Good(text)
	case "dead", "error":
		return s.Bad(text)
	case "failed", "cancelled", "draining":
		return s.Warn(text)
	default:
		return text
	}
}

// attempts prints a table of attempts.
func attempts(w io.Writer, s Style, list []api.Attempt, now time.Time) {
	rows := make([][]string, len(list))
	for i, a := range list {
		took, outcome := "", "running"
		if a.FinishedAt != nil {
			took = a.FinishedAt.Sub(a.StartedAt).Round(time.Millisecond).String()
		}
		if a.Outcome != "" {
			outcome = string(a.Outcome)
		}
		rows[i] = []string{strconv.Itoa(a.Number), Instant(a.StartedAt, now), took, outcome, a.Worker}
	}
	table(w, s, []column{{"ATTEMPT", 0}, {"STARTED", 0}, {"TOOK", 0}, {"OUTCOME", 0}, {"WORKER", 0}}, rows)
}

// result prints what the function returned.
func result(w io.Writer, s Style, r *invocation.Result) {
	body := r.Body
	if r.Base64 {
		data, err := base64.StdEncoding.DecodeString(r.Body)
		if err == nil {
			body = fmt.Sprintf("(%s that are no text)", Bytes(int64(len(data))))
		}
	}
	fmt.Fprintf(w, "\n  %s\n", s.Dim(fmt.Sprintf("result %d", r.Status)))
	if body != "" {
		fmt.Fprintf(w, "  %s\n", indented(body))
	}
	if r.Truncated {
		fmt.Fprintf(w, "  %s\n", s.Dim("(the rest was not kept)"))
	}
}

// indented cleans a text of several lines and moves it to where the others are.
func indented(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = Clean(line)
	}
	return strings.Join(lines, "\n  ")
}
