package redact

import (
	"maps"
	"slices"

	"github.com/nightshift/nightshift/worker/internal/process"
)

// cutFrom is the length from which a line may be a piece of a longer one:
// package process gives out pieces of MaxLine bytes, less what it keeps of them.
const cutFrom = process.MaxLine - 64

// Lines redacts the log of an attempt, line by line. Of a piece of a line it
// holds back an end that may be the beginning of a secret, until the next piece
// is there. Line may be called by one goroutine at a time.
//
// A line that is by chance as long as a piece, and ends as a secret begins, has
// its last letters moved to the line after it.
type Lines struct {
	redactor *Redactor
	log      func(stream, text string)
	held     map[string]string // by stream
}

// Lines makes a Lines that passes lines on to log.
func (r *Redactor) Lines(log func(stream, text string)) *Lines { return &Lines{redactor: r, log: log} }

// Line takes a line.
func (l *Lines) Line(stream, text string) {
	if l.redactor == nil {
		l.log(stream, text)
		return
	}
	isPiece := len(text) >= cutFrom
	if before, ok := l.held[stream]; ok {
		delete(l.held, stream)
		text = before + text
	}
	text = l.redactor.Text(text)
	if !isPiece {
		l.log(stream, text)
		return
	}
	end := len(text) - l.redactor.unfinished(text)
	if end < len(text) {
		if l.held == nil {
			l.held = map[string]string{}
		}
		l.held[stream] = text[end:]
	}
	l.log(stream, text[:end])
}

// Flush passes on what is held back. Call it when no more lines come.
func (l *Lines) Flush() {
	for _, stream := range slices.Sorted(maps.Keys(l.held)) {
		text := l.held[stream]
		if len(text) >= MinLength {
			text = part
		}
		l.log(stream, text)
	}
	l.held = nil
}
