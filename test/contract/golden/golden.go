// Package golden holds the cases of the contract test: what is asked, and what
// Netlify's own local server answered.
//
// The requests are written here by hand, in cases.go. The answers were recorded
// by test/contract/record from the unmodified netlify-cli and stand in
// testdata/golden.json. [Send] puts both servers the same bytes, and
// [Normalise] takes out of an answer what no two servers have in common.
package golden

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nightshift/nightshift/test/harness"
)

// Header is a name and a value.
type Header [2]string

// Answer is what came back.
type Answer struct {
	Status  int      `json:"status,omitempty"`
	Headers []Header `json:"headers,omitempty"` // names in lower case, sorted by name
	// Body is text; Hex is set instead where it is not UTF-8.
	Body string `json:"body,omitempty"`
	Hex  string `json:"hex,omitempty"`
	// Report is what the function told the collector.
	Report string `json:"report,omitempty"`
	// Error says that there was no answer.
	Error string `json:"error,omitempty"`
}

// Values are the values of a header.
func (a *Answer) Values(name string) []string {
	var out []string
	for _, h := range a.Headers {
		if h[0] == name {
			out = append(out, h[1])
		}
	}
	return out
}

// Dir is where the site and the recorded answers are.
func Dir() string { return filepath.Join(harness.Root(), "test", "contract", "testdata") }

func file() string { return filepath.Join(Dir(), "golden.json") }

// Load reads the recorded answers, by the names of their cases.
func Load() (map[string]Answer, error) {
	data, err := os.ReadFile(file())
	if err != nil {
		return nil, err
	}
	var answers map[string]Answer
	if err := json.Unmarshal(data, &answers); err != nil {
		return nil, fmt.Errorf("%s: %w", file(), err)
	}
	return answers, nil
}

// Save writes the recorded answers.
func Save(answers map[string]Answer) error {
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(answers); err != nil { // keys come sorted
		return err
	}
	return os.WriteFile(file(), []byte(out.String()), 0o644)
}

// dropped are the headers of answers that differ by server, connection or time.
var dropped = []string{
	"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding", "x-powered-by",
	"x-nf-fetch-timing", "x-nf-request-id", "x-nf-invocation-metadata", "x-nf-start-timestamp",
}

// volatile is what differs from run to run in text, with what stands for it.
var volatile = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\b(127\.0\.0\.1|localhost):\d+`), "HOST"},
	{regexp.MustCompile(`\b01[0-9A-HJKMNP-TV-Z]{24}\b`), "ULID"},
	{regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "UUID"},
	{regexp.MustCompile(`\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`), "TIME"},
}

// Normalise takes out of an answer what changes from run to run. Of the text of
// a server error only the first line stays: a stack follows it.
func Normalise(a Answer) Answer {
	a.Headers = slices.DeleteFunc(slices.Clone(a.Headers), func(h Header) bool {
		return slices.Contains(dropped, h[0]) || h[0] == "etag" && strings.HasPrefix(h[1], "W/")
	})
	for i := range a.Headers {
		a.Headers[i][1] = steady(a.Headers[i][1])
	}
	slices.SortStableFunc(a.Headers, func(x, y Header) int { return strings.Compare(x[0], y[0]) })
	a.Body, a.Report = steady(a.Body), steady(a.Report)
	if a.Status >= 500 {
		a.Body, _, _ = strings.Cut(a.Body, "\n")
	}
	return a
}

func steady(text string) string {
	for _, v := range volatile {
		text = v.re.ReplaceAllString(text, v.with)
	}
	return text
}

// setBody stores a body as text, or in hex if it is not UTF-8.
func (a *Answer) setBody(body []byte) {
	if utf8.Valid(body) {
		a.Body = string(body)
		return
	}
	a.Hex = fmt.Sprintf("%x", body)
}
