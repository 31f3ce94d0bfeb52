// Package view shows things on a terminal: functions, problems, log lines. Text
// that is piped somewhere has the same words and no colours.
package view

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/schedule"
	"golang.org/x/term" // asks whether an output is a terminal
)

// Style colours text, or leaves it alone.
type Style struct{ colored bool }

// Plain is the style without colours.
var Plain = Style{}

// StyleOf is the style for an output: colours on a terminal, unless NO_COLOR is
// set or TERM says that there are none.
func StyleOf(w io.Writer) Style {
	file, ok := w.(*os.File)
	return Style{colored: ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd()))}
}

func (s Style) paint(code, text string) string {
	if !s.colored || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Bold is for titles.
func (s Style) Bold(text string) string { return s.paint("1", text) }

// Dim is for what matters least.
func (s Style) Dim(text string) string { return s.paint("2", text) }

// Good is for what went well.
func (s Style) Good(text string) string { return s.paint("32", text) }

// Warn is for warnings.
func (s Style) Warn(text string) string { return s.paint("33", text) }

// Bad is for errors.
func (s Style) Bad(text string) string { return s.paint("31", text) }

// Kind gives each kind of function its colour.
func (s Style) Kind(kind function.Kind, text string) string {
	switch kind {
	case function.Background:
		return s.paint("35", text)
	case function.Scheduled:
		return s.paint("36", text)
	default:
		return s.paint("34", text)
	}
}

// Problems prints problems with the lines that they are about.
func Problems(w io.Writer, s Style, problems []problem.Problem) {
	for _, p := range problems {
		label := s.Bad("error")
		if p.Warning {
			label = s.Warn("warning")
		}
		at := ""
		if place := p.At.String(); place != "" {
			at = s.Bold(place) + ": "
		}
		fmt.Fprintf(w, "%s %s%s\n", label, at, p.Message)
		if excerpt := p.Excerpt(); excerpt != "" && !p.Warning {
			fmt.Fprintln(w, s.Dim(excerpt))
		}
	}
}

// Row is one function in a list.
type Row struct {
	Name     string
	Kind     function.Kind
	Runtime  string   // as function.Function has it; empty: "node"
	Methods  []string // empty: not said
	URLs     []string // what it is reached by
	Schedule string
	Timezone string

	RateLimit    *function.RateLimit
	PreferStatic bool
}

// Functions prints a table of functions: name, kind, and what reaches them: the
// URLs, or the schedule with the next times after now, local and UTC. The
// runtime stands behind the kind where it is not Node.
func Functions(w io.Writer, s Style, rows []Row, now time.Time) {
	nameWidth, kindWidth := len("FUNCTION"), len("KIND")
	for _, r := range rows {
		nameWidth = max(nameWidth, utf8.RuneCountInString(r.Name))
		kindWidth = max(kindWidth, len(r.kind()))
	}
	line := func(name, kind, rest string) {
		fmt.Fprintf(w, "  %s  %s  %s\n", name, kind, rest)
	}
	line(s.Dim(pad("FUNCTION", nameWidth)), s.Dim(pad("KIND", kindWidth)), s.Dim("REACHED BY"))
	for _, r := range rows {
		name, kind := s.Bold(pad(r.Name, nameWidth)), s.Kind(r.Kind, pad(r.kind(), kindWidth))
		for _, rest := range reached(r, now) {
			line(name, kind, rest)
			name, kind = pad("", nameWidth), pad("", kindWidth)
		}
	}
}

// kind is the kind, and what runs it if that is not Node.
func (r Row) kind() string {
	if r.Runtime == "" || r.Runtime == "node" {
		return string(r.Kind)
	}
	return string(r.Kind) + ", " + r.Runtime
}

// Methods words the methods that a function answers to.
func Methods(methods []string) []string {
	if len(methods) == 0 {
		return []string{"ANY"}
	}
	return methods
}

// reached lists the lines that say how a function is called.
func reached(r Row, now time.Time) []string {
	var out []string
	if r.Kind == function.Scheduled {
		when := r.Schedule
		if r.Timezone != "" {
			when += " " + r.Timezone
		}
		out = append(out, when+"  next "+strings.Join(Next(r.Schedule, r.Timezone, now, 2), ", "))
	}
	for _, url := range r.URLs {
		out = append(out, strings.TrimPrefix(strings.Join(r.Methods, "|")+" "+url, " "))
	}
	if r.PreferStatic {
		out = append(out, "unless there is a static file")
	}
	if r.RateLimit != nil {
		out = append(out, rate(r.RateLimit))
	}
	if len(out) == 0 {
		out = append(out, "")
	}
	return out
}

// rate words a rate limit.
func rate(r *function.RateLimit) string {
	text := fmt.Sprintf("at most %s in %v", Count(r.Limit, "call"), time.Duration(r.WindowMS)*time.Millisecond)
	if len(r.By) > 0 {
		text += " for each " + strings.Join(r.By, " and ")
	}
	if r.RewriteTo != "" {
		text += ", more to " + r.RewriteTo
	}
	return text
}

// Next words the next times of a schedule after now, each local and UTC.
func Next(expr, zone string, now time.Time, n int) []string {
	parsed, err := schedule.Parse(expr, zone)
	if err != nil {
		return []string{"never"}
	}
	var out []string
	for t := now; len(out) < n; {
		next, ok := parsed.Next(t)
		if !ok {
			break
		}
		out = append(out, Instant(next, now))
		t = next
	}
	if len(out) == 0 {
		return []string{"never"}
	}
	return out
}

// Instant words a time in now's zone and in UTC: "06:00 CET (05:00 UTC)", with
// the date unless it is today.
func Instant(t, now time.Time) string {
	const clock = "15:04"
	layout := clock
	if t.Second() != 0 {
		layout = "15:04:05"
	}
	local := t.In(now.Location())
	text := local.Format(layout + " MST")
	if local.Format(time.DateOnly) != now.Format(time.DateOnly) {
		text = local.Format("Mon 2 Jan "+layout) + local.Format(" MST")
	}
	if _, offset := local.Zone(); offset == 0 {
		return text
	}
	return text + " (" + t.UTC().Format(layout) + " UTC)"
}

// pad fills up to a width.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

// Count words a number of things: "1 function", "2 functions".
func Count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// Rules words how many redirects and rules for headers there are; "" for none.
func Rules(redirects, headers int) string {
	var parts []string
	if redirects > 0 {
		parts = append(parts, Count(redirects, "redirect"))
	}
	if headers > 0 {
		parts = append(parts, Count(headers, "header rule"))
	}
	return strings.Join(parts, ", ")
}
