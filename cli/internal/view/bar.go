package view

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// Bar is a line on a terminal that says how far something has come, and is
// written anew as it comes on. Anywhere else it shows nothing. It is safe for
// concurrent use.
type Bar struct {
	w     io.Writer // nil: nothing is shown
	style Style
	label string
	total int64
	width func() int
	now   func() time.Time

	mu    sync.Mutex
	done  int64
	drawn time.Time
}

// redraw is how often the line is written at most.
const redraw = 80 * time.Millisecond

// NewBar makes a bar for an output and a total of bytes.
func NewBar(w io.Writer, label string, total int64) *Bar {
	b := &Bar{label: label, total: total, now: time.Now, style: StyleOf(w)}
	if file, ok := w.(*os.File); ok && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd())) {
		b.w = w
		b.width = func() int {
			width, _, err := term.GetSize(int(file.Fd()))
			if err != nil || width <= 0 {
				return 80
			}
			return width
		}
	}
	return b
}

// Add counts bytes that are done, or with a negative number, no longer are.
func (b *Bar) Add(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done += n
	if now := b.now(); b.w != nil && now.Sub(b.drawn) >= redraw {
		b.drawn = now
		b.draw()
	}
}

// End takes the line away.
func (b *Bar) End() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.w != nil && !b.drawn.IsZero() {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
	b.w = nil
}

// draw writes the line, as long as the terminal is wide: one that wraps could
// not be written over.
func (b *Bar) draw() {
	part := 1.0
	if b.total > 0 {
		part = min(1, max(0, float64(b.done)/float64(b.total)))
	}
	const cells = 24
	full := int(part * cells)
	line := fmt.Sprintf("%s %s%s %3.0f %%  %s of %s", b.label, strings.Repeat("█", full), strings.Repeat("░", cells-full),
		part*100, Bytes(min(b.done, b.total)), Bytes(b.total))
	if runes := []rune(line); len(runes) >= b.width() {
		line = string(runes[:max(0, b.width()-1)])
	}
	fmt.Fprint(b.w, "\r"+b.style.Dim(line)+"\x1b[K")
}
