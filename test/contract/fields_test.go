package contract

import (
	"regexp"
	"strings"

	"github.com/nightshift/nightshift/test/contract/golden"
)

// serverValues are places whose values are those of one server, one site or
// one moment. Both must have them, with values of the same kind.
var serverValues = regexp.MustCompile(`\.(geo|account|site|deploy|server)\.|` +
	`\.x-nf-(geo|site-id|account-id)(\.0)?$|` +
	`\.(awsRequestId|functionVersion|invokedFunctionArn|logGroupName|logStreamName|memoryLimitInMB|memory|remaining)$`)

// field is a chosen difference in one place of many answers.
type field struct {
	id    string // its row in docs/compatibility.md
	place *regexp.Regexp
	// same says that it is no more than the difference that is meant.
	same func(want, got string) bool
}

func weHaveMore(want, _ string) bool  { return want == golden.Absent }
func theyHaveMore(_, got string) bool { return got == golden.Absent }

// fields are the chosen differences of single places.
var fields = []field{
	{"emulator-internals", regexp.MustCompile(`\.(__lambdaLocal|_stopped|blobs)$`), theyHaveMore},
	{"emulator-internals", regexp.MustCompile(`\.contextKeys$`), func(want, got string) bool {
		return strings.Replace(want, `"__lambdaLocal","_stopped",`, `"attempt",`, 1) == got // which is ours
	}},
	{"emulator-internals", regexp.MustCompile(`eaders\.x-nf-account-id\.0$`), func(want, got string) bool {
		return want == golden.Absent && got == `""` // [null] for ""
	}},
	{"attempt", regexp.MustCompile(`\.attempt$`), weHaveMore},
	{"attempt", regexp.MustCompile(`\.contextKeys$`), func(want, got string) bool {
		return strings.Replace(want, `"account",`, `"account","attempt",`, 1) == got
	}},
	{"lambda-context", regexp.MustCompile(`\.(functionName|callbackWaitsForEmptyEventLoop|waits|sameId)$`), func(want, got string) bool {
		return want == `"handler"` && strings.HasPrefix(got, `"`) || want == "false" && got == "true"
	}},
	{"connection-headers", regexp.MustCompile(`eaders\.connection$`), theyHaveMore},
	{"deploy-headers", regexp.MustCompile(`eaders\.x-nf-deploy-(id|published|context|branch)$`), weHaveMore},
	{"site-fields", regexp.MustCompile(`\.site\.(id|name)$`), weHaveMore},
	{"answer-headers", regexp.MustCompile(`^header (accept-ranges|allow|cache-control|content-security-policy|etag|location|nightshift-hint|x-content-type-options)$`), weHaveMore},
	{"answer-headers", regexp.MustCompile(`^header content-type$`), func(want, got string) bool {
		return want == golden.Absent && strings.HasPrefix(got, `"text/plain; charset=`)
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

// kindOf tells texts, numbers, truth values, objects and nothing apart.
func kindOf(value string) byte {
	switch c := value[0]; {
	case c >= '0' && c <= '9', c == '-':
		return '0'
	case c == 'f':
		return 't'
	default:
		return c
	}
}
