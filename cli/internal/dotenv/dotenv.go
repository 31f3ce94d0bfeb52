// Package dotenv reads .env files, as the npm package dotenv does, with which
// Netlify's tools read them.
//
// The reader is our own because those that are kept for Go read other values:
// godotenv and its kin replace $NAME in values, and so break passwords that have
// a dollar sign; others take no values of several lines. The tests hold it
// against what dotenv 17 made of the same files.
package dotenv

import (
	"regexp"
	"strings"
)

var (
	// head is what stands before a value.
	head = regexp.MustCompile(`^[ \t]*(?:export[ \t]+)?([A-Za-z0-9_.-]+)(?:[ \t]*=|:[ \t]+)`)
	// tail is what may stand behind a value in quotes.
	tail = regexp.MustCompile(`^[ \t]*(?:#[^\n]*)?(?:\n|$)`)
	// silent is a line that says nothing on purpose.
	silent = regexp.MustCompile(`^[ \t]*(?:#|$)`)
)

// Parse reads the text of a file: the variables by name, of two of one name the
// last, and the numbers of lines that are no assignment. Values are taken as
// they are, but for \n and \r in double quotes; nothing is put in for $NAME.
func Parse(text string) (variables map[string]string, skipped []int) {
	variables = map[string]string{}
	text = strings.TrimPrefix(text, "\ufeff")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	for line, rest := 1, text; rest != ""; {
		var used int
		if m := head.FindStringSubmatchIndex(rest); m != nil {
			value, length := readValue(rest[m[1]:])
			variables[rest[m[2]:m[3]]] = value
			used = m[1] + length
		} else {
			used = lineEnd(rest)
			if !silent.MatchString(rest[:used]) {
				skipped = append(skipped, line)
			}
		}
		used = min(used+1, len(rest)) // with the end of the line
		line += strings.Count(rest[:used], "\n")
		rest = rest[used:]
	}
	return variables, skipped
}

// lineEnd is where the first line ends.
func lineEnd(text string) int {
	if end := strings.IndexByte(text, '\n'); end >= 0 {
		return end
	}
	return len(text)
}

// readValue reads a value, and how much of the text belongs to its lines,
// without the end of the last one.
func readValue(text string) (value string, length int) {
	if value, length, ok := quoted(text); ok {
		return value, length
	}
	length = lineEnd(text)
	value, _, _ = strings.Cut(text[:length], "#")
	value = strings.TrimSpace(value)
	double := strings.HasPrefix(value, `"`)
	if n := len(value); n >= 2 && strings.IndexByte("'\"`", value[0]) >= 0 && value[n-1] == value[0] {
		value = value[1 : n-1]
	}
	if double {
		value = unescape(value)
	}
	return value, length
}

// quoted reads a value in quotes, which may have several lines. A quote that is
// not closed, or has something behind it, is no quote.
func quoted(text string) (value string, length int, ok bool) {
	start := len(text) - len(strings.TrimLeft(text, " \t"))
	if start == len(text) || strings.IndexByte("'\"`", text[start]) < 0 {
		return "", 0, false
	}
	quote := text[start]
	for i := start + 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == quote:
			i++
		case text[i] == quote:
			if !tail.MatchString(text[i+1:]) {
				return "", 0, false
			}
			value = text[start+1 : i]
			if quote == '"' {
				value = unescape(value)
			}
			return value, i + 1 + lineEnd(text[i+1:]), true
		}
	}
	return "", 0, false
}

func unescape(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, `\n`, "\n"), `\r`, "\r")
}
