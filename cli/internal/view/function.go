package view

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nightshift/nightshift/cli/internal/build"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/schedule"
)

// Built is what has been built, as the control plane would list it: reached
// below base, which may be empty. Under dev scheduled functions have URLs too.
func Built(functions []build.Function, base string, dev bool) []api.Function {
	out := make([]api.Function, len(functions))
	for i := range functions {
		f := &functions[i].Function
		var urls []string
		for _, path := range f.Paths {
			urls = append(urls, base+path)
		}
		switch {
		case f.Kind == function.Scheduled && !dev:
			urls = nil // a path of its own only keeps others away
		case len(f.Paths) == 0:
			urls = []string{base + function.DefaultPath(f.Name)}
		}
		out[i] = api.FromFunction(f, urls)
		if len(f.Methods) == 0 {
			out[i].Methods = []string{"ANY"}
		}
	}
	return out
}

// Functions prints a table of functions: name, kind, and what reaches them: the
// URLs, or the schedule with the next times after now, local and UTC. With a
// zero now it stands without them. The runtime stands behind the kind where it
// is not Node.
func Functions(w io.Writer, s Style, functions []api.Function, now time.Time) {
	nameWidth, kindWidth := len("FUNCTION"), len("KIND")
	for _, f := range functions {
		nameWidth = max(nameWidth, utf8.RuneCountInString(f.Name))
		kindWidth = max(kindWidth, len(kind(f)))
	}
	line := func(name, kind, rest string) {
		fmt.Fprintf(w, "  %s  %s  %s\n", name, kind, rest)
	}
	line(s.Dim(pad("FUNCTION", nameWidth)), s.Dim(pad("KIND", kindWidth)), s.Dim("REACHED BY"))
	for _, f := range functions {
		name, kind := s.Bold(pad(f.Name, nameWidth)), s.Kind(f.Kind, pad(kind(f), kindWidth))
		for _, rest := range reached(f, now) {
			line(name, kind, rest)
			name, kind = pad("", nameWidth), pad("", kindWidth)
		}
	}
}

// kind is the kind, and what runs it if that is not Node.
func kind(f api.Function) string {
	if f.Runtime == "" || f.Runtime == "node" {
		return string(f.Kind)
	}
	return string(f.Kind) + ", " + f.Runtime
}

// reached lists the lines that say how a function is called.
func reached(f api.Function, now time.Time) []string {
	var out []string
	if f.Kind == function.Scheduled {
		when := f.Schedule
		if f.Timezone != "" {
			when += " " + f.Timezone
		}
		if !now.IsZero() {
			when += "  next " + strings.Join(Next(f.Schedule, f.Timezone, now, 2), ", ")
		}
		out = append(out, when)
	}
	for _, url := range f.URLs {
		out = append(out, strings.TrimPrefix(strings.Join(f.Methods, "|")+" "+url, " "))
	}
	if f.PreferStatic {
		out = append(out, "unless there is a static file")
	}
	if f.RateLimit != nil {
		out = append(out, rate(f.RateLimit))
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

// Schedules prints the next n times of each scheduled function after now, in
// the zone that its schedule is read in. Without any it prints nothing.
func Schedules(w io.Writer, s Style, functions []api.Function, now time.Time, n int) {
	var rows [][]string
	for _, f := range functions {
		if f.Kind != function.Scheduled {
			continue
		}
		times := "never"
		var words []string
		for _, t := range following(f.Schedule, f.Timezone, now, n) {
			words = append(words, date(t, now))
		}
		if len(words) > 0 {
			times = strings.Join(words, ", ")
		}
		rows = append(rows, []string{f.Name, cmp.Or(f.Timezone, "UTC"), times})
	}
	if len(rows) > 0 {
		table(w, s, []column{{"SCHEDULE", 0}, {"ZONE", 0}, {"NEXT TIMES", 16}}, rows)
	}
}

// date words a time in its own zone: "Tue 24 Nov 06:00", with the year where it
// is not now's.
func date(t, now time.Time) string {
	layout := "Mon 2 Jan 15:04"
	if t.Year() != now.In(t.Location()).Year() {
		layout = "Mon 2 Jan 2006 15:04"
	}
	if t.Second() != 0 {
		layout += ":05"
	}
	return t.Format(layout)
}

// following are the next n times of a schedule after now, in its zone.
func following(expr, zone string, now time.Time, n int) []time.Time {
	location, err := time.LoadLocation(zone)
	if err != nil {
		return nil
	}
	parsed, err := schedule.Parse(expr, zone)
	if err != nil {
		return nil
	}
	var out []time.Time
	for t := now; len(out) < n; {
		next, ok := parsed.Next(t)
		if !ok {
			break
		}
		out = append(out, next.In(location))
		t = next
	}
	return out
}

// Next words the next times of a schedule after now, each local and UTC.
func Next(expr, zone string, now time.Time, n int) []string {
	var out []string
	for _, t := range following(expr, zone, now, n) {
		out = append(out, Instant(t, now))
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
