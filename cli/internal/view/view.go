// Package view shows things on a terminal: functions, deploys, problems, log
// lines. Text that is piped somewhere has the same words and no colours.
package view

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/shared/function"
	"golang.org/x/term" // asks whether an output is a terminal
)

// Style says how an output takes text: coloured or not, and how wide it is.
type Style struct {
	colored bool
	width   int // in characters; 0: lines may be as long as they are
}

// Plain is the style without colours and without an end of the line.
var Plain = Style{}

// StyleOf is the style for an output: on a terminal as wide as that, and with
// colours, unless NO_COLOR is set or TERM says that there are none.
func StyleOf(w io.Writer) Style {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return Plain
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width < minWidth {
		width = 0 // a terminal that does not know wraps lines, or is not one for tables
	}
	return Style{colored: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb", width: width}
}

// minWidth is how wide a terminal is at least for which tables are cut.
const minWidth = 40

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
