package netlifytoml

import (
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/nightshift/nightshift/cli/internal/build/problem"
)

// places knows where keys stand. The decoder keeps positions only for syntax
// errors, so the text is read a second time, line by line, with the decoder
// reading each header and key by itself. A key inside an inline table or
// a multi-line value is placed at the key that holds it.
type places struct {
	byKey map[string]problem.Position
}

// separator cannot stand in a key that a person writes.
const separator = "\x00"

func locate(text string) places {
	p := places{byKey: map[string]problem.Position{}}
	var table []string
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		at := problem.Position{File: Name, Line: i + 1, Column: len(line) - len(strings.TrimLeft(line, " \t")) + 1, Text: strings.TrimRight(line, "\r")}
		if strings.HasPrefix(trimmed, "[") {
			if key := keyOf(trimmed); key != nil {
				table = key
				p.add(key, at)
			}
			continue
		}
		// A quoted key may hold an '=', so the shortest part that reads as a key counts.
		for cut := strings.Index(trimmed, "="); cut > 0; {
			if key := keyOf(trimmed[:cut] + "= 0"); key != nil {
				p.add(append(append([]string{}, table...), key...), at)
				break
			}
			next := strings.Index(trimmed[cut+1:], "=")
			if next < 0 {
				break
			}
			cut += 1 + next
		}
	}
	return p
}

// keyOf is the longest key that one line of TOML defines, or nil.
func keyOf(line string) []string {
	var ignored map[string]any
	meta, err := toml.Decode(line, &ignored)
	if err != nil {
		return nil
	}
	var longest []string
	for _, key := range meta.Keys() {
		if len(key) > len(longest) {
			longest = key
		}
	}
	return longest
}

func (p places) add(key []string, at problem.Position) {
	// The first place counts: [[redirects]] may stand many times.
	for n := 1; n <= len(key); n++ {
		joined := strings.Join(key[:n], separator)
		if _, ok := p.byKey[joined]; !ok {
			p.byKey[joined] = at
		}
	}
}

// at is the place of a key, or of the nearest table around it that is known.
func (p places) at(key []string) problem.Position {
	for n := len(key); n > 0; n-- {
		if at, ok := p.byKey[strings.Join(key[:n], separator)]; ok {
			return at
		}
	}
	return problem.Position{File: Name}
}

// lineOf is a line of a text, counted from 1.
func lineOf(text string, n int) string {
	lines := strings.Split(text, "\n")
	if n < 1 || n > len(lines) {
		return ""
	}
	return strings.TrimRight(lines[n-1], "\r")
}
