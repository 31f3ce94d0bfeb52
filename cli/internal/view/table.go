package view

import (
	"io"
	"strings"
	"unicode/utf8"
)

// column is a column of a table.
type column struct {
	title string
	// least is how many characters it may be cut to where the terminal is too
	// narrow for the table; 0: it is never cut, as what is copied from it must be whole.
	least int
}

// table prints rows below their titles, the first column in bold. What other
// people wrote stands in cells, so they are cleaned.
func table(w io.Writer, s Style, columns []column, rows [][]string) {
	widths, titles := make([]int, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		titles[i], widths[i] = c.title, utf8.RuneCountInString(c.title)
	}
	for _, row := range rows {
		for i := range row {
			row[i] = Clean(row[i])
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	fit(columns, widths, s.width)
	line := func(row []string, paint func(column int, text string) string) {
		last := len(row) - 1
		for last > 0 && row[last] == "" { // no spaces at the end
			last--
		}
		var b strings.Builder
		for i, cell := range row[:last+1] {
			if columns[i].least > 0 {
				cell = short(cell, widths[i])
			}
			if i < last {
				cell = pad(cell, widths[i])
			}
			b.WriteString("  " + paint(i, cell))
		}
		_, _ = io.WriteString(w, b.String()+"\n") // as fmt.Fprint elsewhere: a terminal that is gone is nobody's loss
	}
	line(titles, func(_ int, text string) string { return s.Dim(text) })
	for _, row := range rows {
		line(row, func(column int, text string) string {
			switch {
			case column == 0:
				return s.Bold(text)
			case columns[column].title == "STATE":
				return s.state(text)
			default:
				return text
			}
		})
	}
}

// fit makes columns that may be cut narrower, the last one first, until the
// table is as wide as the terminal. Width 0 is one without an end.
func fit(columns []column, widths []int, width int) {
	over := -width
	for _, w := range widths {
		over += 2 + w
	}
	for i := len(columns) - 1; width > 0 && over > 0 && i >= 0; i-- {
		if least := columns[i].least; least > 0 && widths[i] > least {
			cut := min(over, widths[i]-least)
			widths[i] -= cut
			over -= cut
		}
	}
}

// short cuts a text to a number of characters.
func short(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}
