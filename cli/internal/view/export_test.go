package view

import (
	"io"
	"time"
)

// NewTerminalBar is NewBar for an output that is taken for a terminal.
func NewTerminalBar(w io.Writer, label string, total int64, width int, now func() time.Time) *Bar {
	return &Bar{w: w, label: label, total: total, width: func() int { return width }, now: now}
}

// Wide is the style of a terminal without colours.
func Wide(width int) Style { return Style{width: width} }

// Colored is the style of a terminal with colours.
var Colored = Style{colored: true}
