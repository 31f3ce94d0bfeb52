package view

import (
	"fmt"
	"io"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// Variable is an environment variable in a list.
type Variable struct {
	Key    string
	Secret bool
	Values [][2]string // context and value
}

// maxShown is how much of a value a table shows.
const maxShown = 60

// Variables prints a table of environment variables: each value with the
// context that it is for.
func Variables(w io.Writer, s Style, variables []Variable) {
	keyWidth, contextWidth := len("VARIABLE"), len("CONTEXT")
	for _, v := range variables {
		keyWidth = max(keyWidth, len(v.Key))
		for _, value := range v.Values {
			contextWidth = max(contextWidth, utf8.RuneCountInString(value[0]))
		}
	}
	fmt.Fprintf(w, "  %s  %s  %s\n", s.Dim(pad("VARIABLE", keyWidth)), s.Dim(pad("CONTEXT", contextWidth)), s.Dim("VALUE"))
	for _, v := range variables {
		key, values := s.Bold(pad(v.Key, keyWidth)), v.Values
		if len(values) == 0 {
			values = [][2]string{{"none", ""}}
		}
		for _, value := range values {
			text := shown(value[1])
			if v.Secret {
				text += s.Dim("  secret")
			}
			fmt.Fprintf(w, "  %s  %s  %s\n", key, pad(value[0], contextWidth), text)
			key = pad("", keyWidth)
		}
	}
}

// shown is a value in one line, cut where it is long.
func shown(value string) string {
	if n := utf8.RuneCountInString(value); n > maxShown {
		value = string([]rune(value)[:maxShown]) + "…"
	}
	for _, r := range value {
		if !unicode.IsPrint(r) {
			return strconv.Quote(value)
		}
	}
	return value
}
