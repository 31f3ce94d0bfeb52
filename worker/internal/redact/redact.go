// Package redact keeps the secrets of a site out of what its functions write:
// their log lines, and the messages and stacks of their errors.
//
// Each occurrence of a secret becomes [secret NAME], which says what stood there
// without saying what it is. Found are the value itself, its lines if it has
// several, the password in it if it is a URL, and each of these as JSON, URLs
// and base64 write it (base64 wherever the secret stands in what was encoded:
// there are three ways). A line that was too long and came in pieces is looked
// at as one.
//
// It is a net and no wall. It catches what is written by mistake, as a logged
// request or process.env. Code that wants its secrets in its log gets them
// there: reversed, in hexadecimal, letter by letter. What is shorter than
// [MinLength] is never looked for, else every 1 and every "true" would go.
//
// Searching is strings.Replacer's, a trie: its time grows with the text, times
// the longest pattern at the very worst, which is why long ones are cut.
package redact

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/invocation"
)

// MinLength is how short a secret may be, in bytes, to be looked for.
const MinLength = 6

const (
	// maxEncoded is how long a value may be to be looked for encoded. What is
	// longer is a document, and its lines are looked for all the same.
	maxEncoded = 4 << 10
	// maxPattern bounds what is compared at one place of a text. Longer patterns
	// are looked for in pieces.
	maxPattern = 1 << 10
)

// Redactor knows the secrets of a deploy. It is safe for concurrent use. The
// nil Redactor knows none and costs nothing.
type Redactor struct {
	replacer *strings.Replacer
	patterns []string // in the order of bytes
	longest  int
}

// New makes a Redactor of secrets by name. It is nil if there is nothing to look for.
func New(secrets environ.Values) *Redactor {
	names := map[string]string{} // of patterns
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		for _, pattern := range patterns(string(secrets[name])) {
			if names[pattern] == "" {
				names[pattern] = name
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	r := &Redactor{patterns: slices.Sorted(maps.Keys(names))}
	// Where several fit at one place, the first argument wins.
	longestFirst := slices.SortedStableFunc(slices.Values(r.patterns), func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	r.longest = len(longestFirst[0])
	var oldnew []string
	for _, pattern := range longestFirst {
		oldnew = append(oldnew, pattern, "[secret "+names[pattern]+"]")
	}
	r.replacer = strings.NewReplacer(oldnew...)
	return r
}

// patterns is all that is looked for because of a value.
func patterns(value string) []string {
	texts := lines(value)
	if password := environ.Password(value); password != "" {
		texts = append(texts, password)
		if plain, err := url.PathUnescape(password); err == nil {
			texts = append(texts, plain)
		}
	}
	found := slices.Clone(texts)
	if strings.Contains(value, "\n") {
		texts = append(texts, value) // no line of a log, but it can be encoded
	}
	for _, text := range texts {
		if len(text) >= MinLength && len(text) <= maxEncoded {
			found = append(found, encodings(text)...)
		}
	}
	var out []string
	for _, pattern := range found {
		if len(pattern) >= MinLength {
			out = append(out, pieces(pattern)...)
		}
	}
	return out
}

// lines are those of a value, without the lines around keys and certificates,
// which every such value has.
func lines(value string) []string {
	var out []string
	for line := range strings.SplitSeq(value, "\n") {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") {
			out = append(out, line)
		}
	}
	return out
}

// likeJavaScript makes of what url.QueryEscape writes what encodeURIComponent does.
var likeJavaScript = strings.NewReplacer("+", "%20", "%21", "!", "%27", "'", "%28", "(", "%29", ")", "%2A", "*")

// encodings are the common ways to write a text where it cannot stand as it is.
func encodings(text string) []string {
	form := url.QueryEscape(text)
	out := []string{form, likeJavaScript.Replace(form), url.PathEscape(text)}
	for _, html := range []bool{false, true} {
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(html)
		if enc.Encode(text) == nil {
			out = append(out, strings.Trim(buf.String(), "\"\n"))
		}
	}
	// Base64 writes three bytes as four letters, so there are three ways in which
	// a text comes out. The letters at both ends depend on what stands beside it.
	for before := range 3 {
		plain := append(make([]byte, before), text...)
		first, end := (8*before+5)/6, 8*len(plain)/6
		for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			out = append(out, alphabet.EncodeToString(plain)[first:end])
		}
	}
	return out
}

// pieces cuts a pattern into equal ones of at most maxPattern bytes.
func pieces(pattern string) []string {
	n := (len(pattern) + maxPattern - 1) / maxPattern
	size := (len(pattern) + n - 1) / n
	var out []string
	for ; len(pattern) > size; pattern = pattern[size:] {
		out = append(out, pattern[:size])
	}
	return append(out, pattern)
}

// Text is a text without secrets.
func (r *Redactor) Text(text string) string {
	if r == nil || len(text) < MinLength {
		return text
	}
	return r.replacer.Replace(text)
}

// Failure is a failure without secrets in what the function said of it.
func (r *Redactor) Failure(f invocation.Failure) invocation.Failure {
	if r == nil {
		return f
	}
	f.Type, f.Message, f.Stack = r.Text(f.Type), r.cut(f.Message), r.cut(f.Stack)
	return f
}

// cut is Text for what may have been cut off, within a secret for example.
func (r *Redactor) cut(text string) string {
	text = r.Text(text)
	rest, isCut := strings.CutSuffix(text, "…")
	if n := r.unfinished(rest); isCut && n >= MinLength {
		return rest[:len(rest)-n] + part + "…"
	}
	return text
}

// part stands for the beginning of a secret whose end is not there.
const part = "[part of a secret]"

// unfinished is how many bytes at the end of a text are the beginning of a
// pattern: as many as possible.
func (r *Redactor) unfinished(text string) int {
	for i := max(0, len(text)-r.longest+1); i < len(text); i++ {
		tail := text[i:]
		at, exact := slices.BinarySearch(r.patterns, tail)
		if exact {
			at++
		}
		if at < len(r.patterns) && strings.HasPrefix(r.patterns[at], tail) {
			return len(tail)
		}
	}
	return 0
}
