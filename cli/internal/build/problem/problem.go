// Package problem is what a build has to say about somebody's source: where,
// about which function, and what to do. A problem is text for the person who
// wrote the source; it stops its own function and never the others.
package problem

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a file. Line and Column count from 1; 0 means that
// the place within the file, or the column, is not known.
type Position struct {
	File   string `json:"file,omitempty"` // relative to the site, with slashes
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Text   string `json:"text,omitempty"` // the source line, without its end
}

// String is file:line:column, as editors and terminals make links of it.
func (p Position) String() string {
	switch {
	case p.File == "" || p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	default:
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
}

// Problem is an error, or a warning about something that is built nevertheless.
type Problem struct {
	Function string   `json:"function,omitempty"` // empty: about the whole site
	At       Position `json:"at"`
	Message  string   `json:"message"`
	Warning  bool     `json:"warning,omitempty"`
}

// Errorf makes an error.
func Errorf(at Position, format string, args ...any) Problem {
	return Problem{At: at, Message: fmt.Sprintf(format, args...)}
}

// Warnf makes a warning.
func Warnf(at Position, format string, args ...any) Problem {
	return Problem{At: at, Message: fmt.Sprintf(format, args...), Warning: true}
}

// Error is the problem on one line.
func (p Problem) Error() string {
	if at := p.At.String(); at != "" {
		return at + ": " + p.Message
	}
	return p.Message
}

// Excerpt is the source line with a mark below the column, or "".
func (p Problem) Excerpt() string {
	text := strings.TrimRight(p.At.Text, " \t\r\n")
	if text == "" || p.At.Line == 0 {
		return ""
	}
	gutter := fmt.Sprintf("%5d | ", p.At.Line)
	if p.At.Column == 0 || p.At.Column > len(text)+1 {
		return gutter + text
	}
	// Tabs stay tabs, so that the mark stands right at any tab width.
	pad := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, text[:p.At.Column-1])
	return gutter + text + "\n" + strings.Repeat(" ", len(gutter)-2) + "| " + pad + "^"
}

// Sort orders problems by file, line, column and text, errors and warnings alike.
func Sort(problems []Problem) {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.At.File, b.At.File), cmp.Compare(a.At.Line, b.At.Line),
			cmp.Compare(a.At.Column, b.At.Column), cmp.Compare(a.Function, b.Function), cmp.Compare(a.Message, b.Message),
		)
	})
}

// Errors counts the problems that are not warnings.
func Errors(problems []Problem) int {
	n := 0
	for _, p := range problems {
		if !p.Warning {
			n++
		}
	}
	return n
}
