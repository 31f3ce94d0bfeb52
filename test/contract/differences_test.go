package contract

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/nightshift/nightshift/test/contract/golden"
)

// serverValues are places whose values are those of one server, one site or
// one moment. Both must have them, with values of the same kind.
var serverValues = regexp.MustCompile(`\.(geo|account|site|deploy|server)\.|` +
	`\.x-nf-(geo|site-id|account-id)(\.0)?$|` +
	`\.(awsRequestId|functionVersion|invokedFunctionArn|logGroupName|logStreamName|memoryLimitInMB|memory|remaining)$`)

// field is a difference in one place of many answers.
type field struct {
	id    string
	place *regexp.Regexp
	// same says that it is no more than the difference that is meant.
	same func(want, got string) bool
}

func weHaveMore(want, _ string) bool  { return want == "nothing" }
func theyHaveMore(_, got string) bool { return got == "nothing" }

// fields are the chosen differences that concern single places.
var fields = []field{
	{"emulator-internals", regexp.MustCompile(`\.(__lambdaLocal|_stopped|blobs)$`), theyHaveMore},
	{"emulator-internals", regexp.MustCompile(`\.contextKeys$`), func(want, got string) bool {
		return strings.Replace(want, `"__lambdaLocal","_stopped",`, "", 1) == got
	}},
	{"lambda-context", regexp.MustCompile(`\.(functionName|callbackWaitsForEmptyEventLoop|waits)$`), func(want, got string) bool {
		return want == `"handler"` && strings.HasPrefix(got, `"`) || want == "false" && got == "true"
	}},
	{"connection-headers", regexp.MustCompile(`eaders\.connection$`), theyHaveMore},
	{"deploy-headers", regexp.MustCompile(`eaders\.x-nf-deploy-(id|published|context|branch)$`), weHaveMore},
	{"site-fields", regexp.MustCompile(`\.site\.(id|name)$`), weHaveMore},
	{"answer-headers", regexp.MustCompile(`^header (cache-control|content-type|location|nightshift-hint)$`), func(want, got string) bool {
		return want == "nothing" && (strings.HasPrefix(got, `"text/plain; charset=`) || got == `"no-store"` || strings.Contains(got, "/.nightshift/invocations/")) ||
			want == "nothing" && !strings.HasPrefix(got, `"text/`) && !strings.HasPrefix(got, `"application/`)
	}},
}

// meant reports whether a difference in one place is chosen, or is only a
// server's own value.
func meant(d golden.Difference) bool {
	if serverValues.MatchString(d.Place) && kindOf(d.Want) == kindOf(d.Got) {
		return true
	}
	for _, f := range fields {
		if f.place.MatchString(d.Place) && f.same(d.Want, d.Got) {
			return true
		}
	}
	return false
}

// kindOf tells texts, numbers, objects and nothing apart.
func kindOf(value string) byte {
	switch c := value[0]; {
	case c >= '0' && c <= '9', c == '-':
		return '0'
	default:
		return c
	}
}

// difference is a chosen difference of whole answers.
type difference struct {
	id    string // its row in docs/compatibility.md
	cases map[string]own
}

// own is what we answer instead.
type own struct {
	status  int
	body    string   // how the body begins
	headers []string // "name: value"
	report  string   // contained in what the function reports
}

func (o own) complaints(got golden.Answer) []string {
	var out []string
	if got.Status != o.status {
		out = append(out, fmt.Sprintf("status %d, want our own %d", got.Status, o.status))
	}
	if !strings.HasPrefix(got.Body, o.body) || o.body == "" && got.Body != "" {
		out = append(out, fmt.Sprintf("body %q, want one that begins with %q", got.Body, o.body))
	}
	for _, h := range o.headers {
		name, value, _ := strings.Cut(h, ": ")
		if v := strings.Join(got.Values(name), " | "); v != value {
			out = append(out, fmt.Sprintf("header %s is %q, want %q", name, v, value))
		}
	}
	if !strings.Contains(got.Report, o.report) {
		out = append(out, fmt.Sprintf("report %q, want %q in it", got.Report, o.report))
	}
	return out
}

// chosenFor finds the difference that a case stands for.
func chosenFor(name string) (id string, o own, ok bool) {
	for _, d := range differences {
		if o, ok := d.cases[name]; ok {
			return d.id, o, true
		}
	}
	return "", own{}, false
}

var differences []difference

// openCases differ and should not: what is missing, by case.
var openCases = map[string]string{}
