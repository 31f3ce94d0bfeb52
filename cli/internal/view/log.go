package view

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
)

// LogLine is one line that a function wrote.
type LogLine struct {
	Time       time.Time
	Function   string
	Kind       function.Kind
	Invocation string
	Stream     string // stdout, stderr or system
	Text       string
}

// Log prints a line of one of many functions, which stand below each other:
//
//	12:00:01 send-email-background 01KAQ4N2…  sent to a@example.com
func Log(w io.Writer, s Style, line LogLine) {
	fmt.Fprintf(w, "%s %s %s  %s\n", s.Dim(line.Time.Local().Format(time.TimeOnly)), s.Kind(line.Kind, line.Function), s.Dim(line.Invocation), s.stream(line.Stream, line.Text))
}

// Clean takes control characters out, so that what somebody else wrote cannot
// move the cursor or change the title of a terminal: those of ASCII, and those
// from U+0080 on, each of which is to a terminal what ESC and a letter are.
// Colours stay. What is not UTF-8 becomes U+FFFD, since a terminal may read such
// bytes as the latter.
func Clean(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		if n := colorAt(text[i:]); n > 0 {
			b.WriteString(text[i : i+n])
			i += n
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if !unicode.IsControl(r) || r == '\t' {
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// colorAt is the length of the colour sequence that text starts with, or 0.
func colorAt(text string) int {
	if !strings.HasPrefix(text, "\x1b[") {
		return 0
	}
	end := strings.IndexFunc(text[2:], func(r rune) bool { return (r < '0' || r > '9') && r != ';' })
	if end < 0 || text[2+end] != 'm' {
		return 0
	}
	return end + 3
}

// Synced is a writer that several goroutines may print whole lines to.
type Synced struct {
	mu sync.Mutex
	w  io.Writer
}

// NewSynced wraps a writer.
func NewSynced(w io.Writer) *Synced { return &Synced{w: w} }

// Write writes in one piece.
func (s *Synced) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// Line prints one line of one invocation's log.
func Line(w io.Writer, s Style, l invocation.LogLine) {
	fmt.Fprintf(w, "%s %s\n", s.Dim(l.Time.UTC().Format("2006-01-02T15:04:05.000Z")), s.stream(l.Stream, l.Text))
}

// LineOf prints one line of the log of one of many invocations.
func LineOf(w io.Writer, s Style, inv api.Invocation, l invocation.LogLine) {
	fmt.Fprintf(w, "%s %s %s  %s\n", s.Dim(l.Time.UTC().Format("2006-01-02T15:04:05.000Z")), s.Kind(inv.Kind, inv.Function), s.Dim(inv.ID), s.stream(l.Stream, l.Text))
}

// stream colours a line by where it was written to.
func (s Style) stream(name, text string) string {
	text = Clean(text)
	switch name {
	case "stderr":
		return s.Warn(text)
	case "system":
		return s.Dim(text)
	default:
		return text
	}
}
