package view

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/invocation"
)

// Invocations prints a table of invocations, with what their last attempt met.
func Invocations(w io.Writer, s Style, list []api.Invocation, now time.Time) {
	var rows [][]string
	for _, inv := range list {
		rows = append(rows, []string{
			inv.ID, inv.Function, string(inv.State), strconv.Itoa(len(inv.Attempts)), Instant(inv.CreatedAt, now), short(met(inv, now), maxShown),
		})
	}
	table(w, s, []column{{"INVOCATION", 0}, {"FUNCTION", 16}, {"STATE", 0}, {"ATTEMPTS", 0}, {"MADE", 0}, {"", 16}}, rows)
}

// met words what an invocation waits for, or what its last attempt met.
func met(inv api.Invocation, now time.Time) string {
	switch {
	case inv.State == invocation.Failed && inv.NextAttemptAt != nil:
		return "next attempt " + Instant(*inv.NextAttemptAt, now)
	case inv.State == invocation.Queued && inv.NotBefore != nil && inv.NotBefore.After(now):
		return "not before " + Instant(*inv.NotBefore, now)
	case inv.State == invocation.Dead && len(inv.Attempts) > 0:
		last := inv.Attempts[len(inv.Attempts)-1]
		if last.Error != nil {
			return string(last.Outcome) + ": " + last.Error.Message
		}
		return string(last.Outcome)
	case inv.ReplayOf != "":
		return "replays " + inv.ReplayOf
	default:
		return ""
	}
}

// ScheduleList prints a table of schedules: when they fire next, and what became
// of their last tick.
func ScheduleList(w io.Writer, s Style, list []api.Schedule, now time.Time) {
	var rows [][]string
	for _, l := range list {
		when, next, last := l.Schedule, "never", ""
		if l.Timezone != "" {
			when += " " + l.Timezone
		}
		if len(l.NextRuns) > 0 {
			next = Instant(l.NextRuns[0], now)
		}
		if l.PausedSince != nil {
			next = "paused since " + Instant(*l.PausedSince, now)
		}
		if len(l.Recent) > 0 {
			last = outcome(l.Recent[0]) + " " + Instant(l.Recent[0].Tick, now)
		}
		rows = append(rows, []string{l.Function, when, next, last})
	}
	table(w, s, []column{{"FUNCTION", 0}, {"SCHEDULE", 0}, {"NEXT", 16}, {"LAST TICK", 16}}, rows)
}

// Ticks prints a table of what became of ticks.
func Ticks(w io.Writer, s Style, ticks []api.Tick) {
	var rows [][]string
	for _, t := range ticks {
		what := t.Invocation
		if t.From != nil {
			what = fmt.Sprintf("%s since %s", Count(t.Count, "tick"), t.From.UTC().Format(time.RFC3339))
		}
		rows = append(rows, []string{t.Tick.UTC().Format(time.RFC3339), outcome(t), fmt.Sprintf("%d ms", t.LatenessMS), what})
	}
	table(w, s, []column{{"TICK", 0}, {"OUTCOME", 0}, {"LATE", 0}, {"", 0}}, rows)
}

// outcome words what became of a tick.
func outcome(t api.Tick) string {
	if t.Reason != "" {
		return t.Outcome + " (" + t.Reason + ")"
	}
	return t.Outcome
}

// DeadCallbacks prints a table of callbacks that were given up.
func DeadCallbacks(w io.Writer, s Style, list []api.DeadCallback, now time.Time) {
	var rows [][]string
	for _, d := range list {
		row := []string{d.Invocation.ID, d.Invocation.Function, Instant(d.DiedAt, now), "", ""}
		if c := d.Invocation.Callback; c != nil {
			row[3], row[4] = short(c.URL, maxShown), short(c.Error, maxShown)
		}
		rows = append(rows, row)
	}
	table(w, s, []column{{"INVOCATION", 0}, {"FUNCTION", 16}, {"GIVEN UP", 0}, {"URL", 20}, {"MET", 16}}, rows)
}
