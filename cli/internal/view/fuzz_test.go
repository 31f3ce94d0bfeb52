package view

import (
	"regexp"
	"strings"
	"testing"
)

var colour = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// FuzzClean: of what functions log, a terminal is told text and colours.
func FuzzClean(f *testing.F) {
	f.Add("\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b[2J\x1b[999;1H")
	f.Add("\x1b[\x1b[31m1m\r\b\x7f\t")
	f.Add("a\u009b31mb\u009d0;title\u009c\x9b2J")
	f.Fuzz(func(t *testing.T, text string) {
		got := Clean(text)
		left := colour.ReplaceAllString(got, "")
		// The second set of control characters does the same as ESC does, in one
		// character: U+009B is ESC [.
		if strings.ContainsFunc(left, func(r rune) bool { return r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 }) {
			t.Errorf("Clean(%q) = %q", text, got)
		}
		if again := Clean(got); again != got {
			t.Errorf("Clean(%q) = %q, which is cleaned to %q", text, got, again)
		}
	})
}
