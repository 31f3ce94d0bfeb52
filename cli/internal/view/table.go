package view

import (
	"io"
	"strings"
	"unicode/utf8"
)

// table prints rows below their titles, the first column in bold. What other
// people wrote stands in cells, so they are cleaned.
func table(w io.Writer, s Style, titles []string, rows [][]string) {
	widths := make([]int, len(titles))
	for i, title := range titles {
		widths[i] = len(title)
	}
	for _, row := range rows {
		for i := range row {
			row[i] = Clean(row[i])
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	line := func(row []string, paint func(column int, text string) string) {
		last := len(row) - 1
		for last > 0 && row[last] == "" { // no spaces at the end
			last--
		}
		var b strings.Builder
		for i, cell := range row[:last+1] {
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
			if column == 0 {
				return s.Bold(text)
			}
			return text
		})
	}
}

// short cuts a text to a number of characters.
func short(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}
