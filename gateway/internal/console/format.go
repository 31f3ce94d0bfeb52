package console

import (
	"fmt"
	"html/template"
	"strconv"
	"time"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
)

// funcs are what templates can say beside Go's own.
var funcs = template.FuncMap{
	"asset":        assetURL,
	"ago":          ago,
	"exact":        exact,
	"machine":      func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") },
	"clock":        func(t time.Time) string { return t.UTC().Format("15:04:05") },
	"took":         took,
	"number":       number,
	"short":        short,
	"label":        label,
	"percent":      percent,
	"plural":       plural,
	"stamp":        func(t, now time.Time) moment { return moment{t, now} },
	"since":        func(from, to time.Time) time.Duration { return to.Sub(from) },
	"less":         func(a, b int) int { return a - b },
	"share":        func(part, whole int) string { return percent(float64(part) / float64(max(whole, 1))) },
	"outcomeState": outcomeState,
	"tickState":    tickState,
	"entry":        newEntry,
}

// entry is one of the navigation's.
type entry struct {
	URL, Text, Icon string
	Current         bool
}

// newEntry makes the entry of a section. view has a frame.
func newEntry(view interface{ chrome() frame }, section, path, text, icon string) entry {
	f := view.chrome()
	return entry{URL: "/sites/" + f.Site + path, Text: text, Icon: icon, Current: f.Section == section}
}

// outcomeState is the state that an outcome looks like.
func outcomeState(o invocation.Outcome) invocation.State {
	switch o {
	case "":
		return invocation.Running
	case invocation.OK:
		return invocation.Succeeded
	case invocation.Aborted:
		return invocation.Cancelled
	case invocation.Drained, invocation.WorkerLost: // no failure of the function
		return invocation.Failed
	default:
		return invocation.Dead
	}
}

// tickState is the state that the outcome of a tick looks like.
func tickState(o store.TickOutcome) invocation.State {
	switch o {
	case store.TickFired:
		return invocation.Succeeded
	case store.TickCaughtUp:
		return invocation.Failed
	default:
		return invocation.Cancelled
	}
}

// moment is an instant, as one sees it at another one.
type moment struct{ At, Now time.Time }

// exact is an instant for people, in UTC.
func exact(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }

// ago is how far an instant is from now: "3 min ago", "in 2 h".
func ago(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case d > -time.Second && d < time.Second:
		return "now"
	case d < 0:
		return "in " + rough(-d)
	default:
		return rough(d) + " ago"
	}
}

// rough is a duration in its largest unit.
func rough(d time.Duration) string {
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + " s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + " h"
	default:
		return strconv.Itoa(int(d/(24*time.Hour))) + " d"
	}
}

// took is a duration to read, with about three digits.
func took(d time.Duration) string {
	switch {
	case d < 0:
		return "0 ms"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%d d %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
}

// number is a count with its thousands apart.
func number(n any) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// percent is a share, 0 to 1, to read.
func percent(share float64) string {
	if share > 0 && share < 0.001 {
		return "<0.1%"
	}
	return strconv.FormatFloat(100*share, 'f', 1, 64) + "%"
}

// short is the beginning of an ID, as much as people compare.
func short(id string) string { return id[:min(len(id), 8)] }

// label is a state or an outcome in words.
func label(what any) string {
	switch text := fmt.Sprint(what); text {
	case "":
		return "running"
	case string(invocation.OutOfMemory):
		return "out of memory"
	case string(invocation.InitError):
		return "init error"
	case string(invocation.BadResponse):
		return "bad response"
	case string(invocation.WorkerLost):
		return "worker lost"
	case "caught_up":
		return "caught up"
	case "catch_up_none":
		return "too old, and it does not catch up"
	default:
		return text
	}
}

func plural(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}
