// Package chart computes where the marks of the console's charts stand. It knows
// neither HTML nor colours: a template draws the marks as SVG.
//
// All places are shares of the drawing's width and height, so that one drawing
// fits a phone and a wide screen, and its text and lines are not stretched.
package chart

import (
	"math"
	"strconv"
	"time"
)

// Share is a share of a drawing's width or height, in percent.
type Share float64

// String is how SVG writes it.
func (s Share) String() string { return strconv.FormatFloat(float64(s), 'f', 2, 64) + "%" }

// Minute is what happened in one minute.
type Minute struct {
	Start                       time.Time
	Accepted, Succeeded, Failed int64
}

// Bars is a chart of minutes, oldest first: what succeeded stands above a base
// line and what failed hangs below it, on one scale, and a mark says how many
// were accepted.
type Bars struct {
	Bars []Bar
	Base Share // where the base line is
	// Top is the number that the upper edge stands for, and Middle the place of
	// the line for half of it.
	Top                         int64
	Half                        int64
	Middle                      Share
	Accepted, Succeeded, Failed int64 // together
}

// Bar is one minute in Bars.
type Bar struct {
	Minute
	X, Width      Share // of its slot
	Inset, Narrow Share // left edge and width of what is drawn in it
	Up, UpHeight  Share // upper edge and height of what succeeded
	DownHeight    Share // of what failed; it begins at the base line
	Mark          Share // where the mark of the accepted ones is
}

// End is the right edge of its slot.
func (b Bar) End() Share { return b.X + b.Width }

// least is how high something is drawn that is not nothing.
const least = 1.5

// NewBars lays a chart out.
func NewBars(minutes []Minute) Bars {
	var up, down int64
	out := Bars{Base: 100}
	for _, m := range minutes {
		up, down = max(up, m.Succeeded, m.Accepted), max(down, m.Failed)
		out.Accepted, out.Succeeded, out.Failed = out.Accepted+m.Accepted, out.Succeeded+m.Succeeded, out.Failed+m.Failed
	}
	out.Top = roundUp(max(up, down, 1))
	// The part below the line is as deep as it must be, and never less than an eighth.
	scale := min(87.5/float64(out.Top), 100/float64(out.Top+down))
	out.Base = Share(scale * float64(out.Top))
	if out.Half = out.Top / 2; out.Half > 0 {
		out.Middle = out.Base - Share(scale*float64(out.Half))
	}
	height := func(n int64) Share {
		if n == 0 {
			return 0
		}
		return Share(max(least, scale*float64(n)))
	}
	slot := Share(100 / float64(max(len(minutes), 1)))
	for i, m := range minutes {
		b := Bar{Minute: m, X: Share(i) * slot, Width: slot, UpHeight: height(m.Succeeded), DownHeight: height(m.Failed)}
		b.Inset, b.Narrow = b.X+slot*0.14, slot*0.72
		b.Up, b.Mark = out.Base-b.UpHeight, out.Base-height(m.Accepted)
		out.Bars = append(out.Bars, b)
	}
	return out
}

// roundUp is the next number that reads well on an axis: 1, 2, 4, 6, 8, 10, 20 …
func roundUp(n int64) int64 {
	for unit := int64(1); ; unit *= 10 {
		for _, digit := range []int64{1, 2, 4, 6, 8} {
			if n <= digit*unit {
				return digit * unit
			}
		}
		if unit > math.MaxInt64/100 {
			return n
		}
	}
}

// Span is something that took time, on a time line.
type Span struct {
	From, To time.Time
}

// Line is where a span stands on a time line. Wait is the time before it.
type Line struct {
	X, Width         Share
	WaitX, WaitWidth Share
	// Where its label has room: behind the span, before it, or inside.
	LabelX Share
	Anchor string // start or end
	Inside bool
}

// Timeline lays spans out, each on a line of its own, between two times. The wait
// before the first begins at from, and that before each other at the end of the
// one before.
func Timeline(from, to time.Time, spans []Span) []Line {
	whole := max(to.Sub(from), time.Millisecond)
	place := func(t time.Time) Share {
		return Share(min(max(100*float64(t.Sub(from))/float64(whole), 0), 100))
	}
	lines := make([]Line, 0, len(spans))
	waits := from
	for _, s := range spans {
		l := Line{X: place(s.From), WaitX: place(waits)}
		l.Width = max(place(s.To)-l.X, 0.8)
		l.X = min(l.X, 100-l.Width)
		l.WaitWidth = max(l.X-l.WaitX, 0)
		switch end := l.X + l.Width; {
		case l.Width >= 45:
			l.Inside, l.LabelX, l.Anchor = true, l.X, "start"
		case end <= 55:
			l.LabelX, l.Anchor = end, "start"
		default:
			l.LabelX, l.Anchor = l.X, "end"
		}
		lines = append(lines, l)
		waits = s.To
	}
	return lines
}

// Slots divides a width into n slots and returns where the i-th begins and how
// wide its mark is; the rest is a gap.
func Slots(n, i int) (x, width Share) {
	slot := 100 / float64(max(n, 1))
	return Share(slot * float64(i)), Share(slot * 0.78)
}

// Late is how high a lateness is drawn, on a logarithmic scale from 1 ms to an
// hour: what matters is whether it was milliseconds, seconds or minutes.
func Late(d time.Duration) Share {
	const hour = 3_600_000 // ms
	ms := min(max(float64(d)/float64(time.Millisecond), 1), hour)
	return Share(8 + 92*math.Log(ms)/math.Log(hour))
}
