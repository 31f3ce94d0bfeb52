package view_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the tests name zones

	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestFunctions(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 30, 15, 0, zone(t, "Europe/Berlin"))
	var got bytes.Buffer
	view.Functions(&got, view.Plain, []api.Function{
		{Name: "hello", Kind: function.Sync, Methods: []string{"ANY"}, URLs: []string{"http://127.0.0.1:8888/.netlify/functions/hello"}},
		{Name: "items", Kind: function.Sync, Methods: []string{"GET", "POST"}, URLs: []string{"/items/:id", "/things"}, PreferStatic: true,
			RateLimit: &function.RateLimit{Limit: 10, WindowMS: 90_000, By: []string{"ip", "domain"}, RewriteTo: "/slow"}},
		{Name: "rare", Kind: function.Sync, URLs: []string{"/.netlify/functions/rare"}, RateLimit: &function.RateLimit{Limit: 1, WindowMS: 1000}},
		{Name: "nightly", Kind: function.Scheduled, Schedule: "0 3 * * *", Timezone: "Europe/Berlin"},
		{Name: "often", Kind: function.Scheduled, Schedule: "*/5 * * * *", URLs: []string{"/.netlify/functions/often"}},
		{Name: "resize", Kind: function.Background, Runtime: "provided", URLs: []string{"/.netlify/functions/resize"}},
		{Name: "send-email-background", Kind: function.Background, Runtime: "node", URLs: []string{"/.netlify/functions/send-email-background"}},
	}, now)
	want := `
  FUNCTION               KIND                  REACHED BY
  hello                  sync                  ANY http://127.0.0.1:8888/.netlify/functions/hello
  items                  sync                  GET|POST /items/:id
                                               GET|POST /things
                                               unless there is a static file
                                               at most 10 calls in 1m30s for each ip and domain, more to /slow
  rare                   sync                  /.netlify/functions/rare
                                               at most 1 call in 1s
  nightly                scheduled             0 3 * * * Europe/Berlin  next Tue 24 Nov 03:00 CET (02:00 UTC), Wed 25 Nov 03:00 CET (02:00 UTC)
  often                  scheduled             */5 * * * *  next 12:35 CET (11:35 UTC), 12:40 CET (11:40 UTC)
                                               /.netlify/functions/often
  resize                 background, provided  /.netlify/functions/resize
  send-email-background  background            /.netlify/functions/send-email-background
`
	if got.String() != want[1:] {
		t.Errorf("Functions printed\n%s\nwant\n%s", got.String(), want[1:])
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	utc := time.Date(2026, 11, 23, 12, 30, 15, 0, time.UTC)
	tests := map[string]struct {
		expr, zone string
		now        time.Time
		want       string
	}{
		"utc says it once": {"@hourly", "", utc, "13:00 UTC, 14:00 UTC"},
		"seconds":          {"*/20 * * * * *", "", utc, "12:30:20 UTC, 12:30:40 UTC"},
		"another day":      {"0 0 1 1 *", "", utc, "Fri 1 Jan 00:00 UTC, Sat 1 Jan 00:00 UTC"},
		"not a schedule":   {"nope", "", utc, "never"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(view.Next(test.expr, test.zone, test.now, 2), ", "); got != test.want {
				t.Errorf("Next(%q, %q) = %q, want %q", test.expr, test.zone, got, test.want)
			}
		})
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	at := problem.Position{File: "netlify/functions/f.js", Line: 12, Column: 3, Text: "\t\tfoo( => {"}
	var got bytes.Buffer
	view.Problems(&got, view.Plain, []problem.Problem{problem.Errorf(at, "no"), problem.Warnf(at, "hm"), problem.Errorf(problem.Position{}, "alone")})
	want := "error netlify/functions/f.js:12:3: no\n   12 | \t\tfoo( => {\n      | \t\t^\nwarning netlify/functions/f.js:12:3: hm\nerror alone\n"
	if got.String() != want {
		t.Errorf("Problems printed\n%q\nwant\n%q", got.String(), want)
	}
}

func TestLogLinesCannotControlTheTerminal(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"plain äöü 🙂":            "plain äöü 🙂",
		"tab\there":              "tab\there",
		"\x1b[31mred\x1b[0m":     "\x1b[31mred\x1b[0m",
		"\x1b[1;32mx":            "\x1b[1;32mx",
		"\x1b[2Jcleared":         "[2Jcleared",
		"\x1b]0;title\x07x":      "]0;titlex",
		"back\rover\x08\x7f\x00": "backover",
		"cut \x1b[":              "cut [",
	}
	for text, want := range tests {
		var got bytes.Buffer
		view.Line(&got, view.Plain, invocation.LogLine{Time: time.Unix(0, 0), Text: text})
		if want := "1970-01-01T00:00:00.000Z " + want + "\n"; got.String() != want {
			t.Errorf("Line(%q) printed %q, want %q", text, got.String(), want)
		}
	}
}

func TestNoColoursAwayFromTerminals(t *testing.T) {
	t.Parallel()
	var w bytes.Buffer
	if got := view.StyleOf(&w).Bad("x"); got != "x" {
		t.Errorf("Bad on a buffer = %q, want no colour", got)
	}
}

// A table that is too wide is cut where that does no harm: never what is copied.
func TestNarrow(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	deploys := []api.Deploy{
		{ID: "a1b2c3d4e5f60718293a4b5c", State: "ready", Context: "branch-deploy", Branch: "feature/with-a-name", CreatedAt: now.Add(-time.Hour), Title: "What was done in this deploy"},
		{ID: "00112233445566778899aabb", State: "new", CreatedAt: now},
	}
	var got bytes.Buffer
	view.Deploys(&got, view.Wide(100), deploys, now)
	want := `
  DEPLOY                    STATE  CONTEXT                         CREATED   PUBLISHED  TITLE
  a1b2c3d4e5f60718293a4b5c  ready  branch-deploy feature/with-a-…  1h ago    -          What was do…
  00112233445566778899aabb  new    -                               just now  -
`
	if got.String() != want[1:] {
		t.Errorf("100 characters wide\n%s\nwant\n%s", got.String(), want[1:])
	}
	got.Reset()
	view.Deploys(&got, view.Wide(40), deploys, now)
	if text := got.String(); !strings.Contains(text, "a1b2c3d4e5f60718293a4b5c") || strings.Contains(text, "in this deploy") {
		t.Errorf("40 characters wide\n%s\nwant the whole ID, and the rest cut", text)
	}
	for _, line := range strings.Split(want, "\n") {
		if n := len([]rune(line)); n > 100 {
			t.Errorf("a line has %d characters: %q", n, line)
		}
	}
}

func TestInvocation(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *time.Time { when := now.Add(d); return &when }
	var got bytes.Buffer
	view.Invocation(&got, view.Plain, api.Invocation{
		ID: "01KAQ4N2RZ8Y7M5T3V1W0X9C6B", Site: "shop", Deploy: "a1b2", Function: "order-background", Kind: function.Background, State: invocation.Dead,
		CreatedAt: *at(-time.Hour), FinishedAt: at(-time.Minute), Tick: at(-2 * time.Hour), ReplayOf: "01KAQ4N2RZ8Y7M5T3V1W0X9C6A",
		Callback: &api.Callback{URL: "https://example.com/done", State: invocation.CallbackPending, Attempts: 1, Error: "answered 500"},
		Attempts: []api.Attempt{
			{Number: 1, Worker: "vm-1", StartedAt: *at(-time.Hour), FinishedAt: at(-59 * time.Minute), Outcome: invocation.WorkerLost},
			{Number: 2, Worker: "vm-2", StartedAt: *at(-2 * time.Minute), FinishedAt: at(-time.Minute), Outcome: invocation.Error, Error: &invocation.Failure{Type: "Error", Message: "no \x1b[2Jstock\nat all", Stack: "at order (order.mjs:3:9)"}},
		},
	}, now)
	want := `
  invocation  01KAQ4N2RZ8Y7M5T3V1W0X9C6B
  function    order-background, background
  site        shop
  deploy      a1b2
  state       dead
  made        11:00 UTC
  tick        10:00 UTC
  ended       11:59 UTC
  replays     01KAQ4N2RZ8Y7M5T3V1W0X9C6A
  callback    https://example.com/done, pending after 1 request: answered 500

  ATTEMPT  STARTED    TOOK  OUTCOME      WORKER
  1        11:00 UTC  1m0s  worker_lost  vm-1
  2        11:58 UTC  1m0s  error        vm-2

  Error: no [2Jstock
  at all
  at order (order.mjs:3:9)
`
	if got.String() != want[1:] {
		t.Errorf("Invocation printed\n%s\nwant\n%s", got.String(), want[1:])
	}
	for name, test := range map[string]struct {
		result invocation.Result
		want   string
	}{
		"text":  {invocation.Result{Status: 200, Body: "two\nlines\n"}, "\n  result 200\n  two\n  lines\n"},
		"bytes": {invocation.Result{Status: 201, Body: "AAEC", Base64: true}, "\n  result 201\n  (3 B that are no text)\n"},
		"cut":   {invocation.Result{Status: 200, Body: "a", Truncated: true}, "\n  result 200\n  a\n  (the rest was not kept)\n"},
	} {
		got.Reset()
		view.Invocation(&got, view.Plain, api.Invocation{State: invocation.Succeeded, Result: &test.result}, now)
		if !strings.HasSuffix(got.String(), test.want) {
			t.Errorf("%s: Invocation printed\n%s\nwant it to end with\n%s", name, got.String(), test.want)
		}
	}
}

// What went wrong is red, and stands in its column all the same.
func TestStates(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var plain, colored bytes.Buffer
	list := []api.Invocation{{ID: "A", Function: "f", State: invocation.Dead, CreatedAt: now}, {ID: "B", Function: "f", State: invocation.Succeeded, CreatedAt: now}, {ID: "C", Function: "f", State: invocation.Queued, CreatedAt: now}}
	view.Invocations(&plain, view.Plain, append([]api.Invocation{}, list...), now)
	view.Invocations(&colored, view.Colored, list, now)
	for _, want := range []string{"\x1b[31mdead     \x1b[0m", "\x1b[32msucceeded\x1b[0m", "  queued     "} {
		if !strings.Contains(colored.String(), want) {
			t.Errorf("the table has no %q:\n%q", want, colored.String())
		}
	}
	if bare := regexp.MustCompile(`\x1b\[\d+m`).ReplaceAllString(colored.String(), ""); bare != plain.String() {
		t.Errorf("without its colours the table is\n%s\nwant\n%s", bare, plain.String())
	}
}
