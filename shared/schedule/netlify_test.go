package schedule

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// netlify is what the parser that Netlify validates with makes of expressions:
// testdata/cron-parser.json, recorded with CronExpressionParser.parse(expr, {tz:
// "UTC", currentDate}) of the version that it names. Expressions with an H have no
// times, because there it is another value each time.
type netlify struct {
	Oracle   string
	Instants []time.Time
	Rows     []struct {
		Expr     string
		Accepted bool
		Error    string
		Next     [][]string // the ticks after each instant
	}
}

// differences are where we differ on purpose, by a part of our complaint, or of
// theirs where they have one.
var differences = map[string]string{
	"the schedule is empty":             "theirs is every minute; it is a field that somebody forgot to fill",
	"fields instead of 5":               "theirs fills up in front, so that * is a weekday; hardly what was meant",
	"the step \"":                       "a step that is larger than the field happens once; */90 of minutes is every hour",
	"\"janfeb\" is not":                 "theirs joins the digits to 12, which is December",
	"duplicate values found":            "a value that is listed twice does no harm",
	"special characters are incompati":  "a list of 1#1 and others has a meaning",
	"Invalid characters, got value: h":  "h is H",
	"Invalid characters, got value: l":  "l is L, as mon is MON",
	"Invalid characters, got value: 5l": "fril is FRIL",
}

// TestAsNetlify holds the grammar, and the next ticks from five instants, against
// Netlify's own validator.
func TestAsNetlify(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/cron-parser.json")
	if err != nil {
		t.Fatal(err)
	}
	var theirs netlify
	if err := json.Unmarshal(data, &theirs); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	compared, accepted := 0, 0
	for _, row := range theirs.Rows {
		s, err := Parse(row.Expr, "")
		if (err == nil) != row.Accepted {
			complaint := row.Error
			if err != nil {
				complaint = err.Error()
			}
			known := false
			for part := range differences {
				if strings.Contains(complaint, part) {
					known, used[part] = true, true
				}
			}
			if !known {
				t.Errorf("%q: theirs %q, ours %v", row.Expr, row.Error, err)
			}
			continue
		}
		if err != nil {
			continue
		}
		accepted++
		for i, want := range row.Next {
			compared += len(want)
			if got := ticks(s, theirs.Instants[i], len(want)); !slices.Equal(got, want) {
				t.Errorf("%q after %v:\n got %v\nwant %v", row.Expr, theirs.Instants[i], got, want)
			}
		}
	}
	for part, why := range differences {
		if !used[part] {
			t.Errorf("no expression differs by %q (%s)", part, why)
		}
	}
	t.Logf("%s: %d expressions, %d accepted by both, %d ticks equal", theirs.Oracle, len(theirs.Rows), accepted, compared)
	if accepted < 300 || compared < 4000 {
		t.Error("that is too little to say anything")
	}
}

// H is the same for one function whatever happens, and differs between them.
func TestHashed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ expr, want string }{
		// Fixed for good: another meaning would make another schedule of each.
		{"H * * * *", "29 * * * * UTC"},
		{"H H * * *", "29 12 * * * UTC"},
		{"H/15 * * * *", "14,29,44,59 * * * * UTC"},
		{"H(0-29) * * * *", "29 * * * * UTC"},
		{"H(0-29)/10,45 * * * *", "9,19,29,45 * * * * UTC"},
		{"0 0 h h *", "0 0 25 7 * UTC"},
		{"0 0 * * H", "0 0 * * 3 UTC"},
		{"0 0 * * H(MON-FRI)", "0 0 * * 1 UTC"},
		{"H 0 0 * * *", "43 0 0 * * * UTC"},
	} {
		for range 2 {
			s, err := ParseFor("acme", "report", tt.expr, "")
			if err != nil || s.String() != tt.want {
				t.Errorf("ParseFor(acme, report, %q) = %v, %v, want %q", tt.expr, s, err, tt.want)
			}
		}
	}
	// 6000 functions fall on 60 minutes about evenly, and on days that exist.
	minutes := map[string]int{}
	for i := range 6000 {
		s, err := ParseFor("acme", strings.Repeat("f", i%77)+string(rune('a'+i/77)), "H 0 H 2 *", "")
		if err != nil {
			t.Fatal(err)
		}
		minute, _, _ := strings.Cut(s.String(), " ")
		minutes[minute]++
		if first, _ := s.Next(at(t, "2026-01-01T00:00:00Z")); first.Year() != 2026 {
			t.Fatalf("%v fires first at %v", s, first)
		}
	}
	for minute, n := range minutes {
		if n < 50 || n > 150 {
			t.Errorf("minute %s has %d of 6000 functions, want about 100", minute, n)
		}
	}
	if len(minutes) != 60 {
		t.Errorf("%d different minutes, want 60", len(minutes))
	}
}

// Count agrees with counting, also where clocks are set.
func TestCount(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"", "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Africa/Casablanca", "Asia/Kolkata", "Pacific/Apia"} {
		for _, expr := range []string{"* * * * *", "*/20 2 * * *", "7 */3 * * *", "@daily", "0 9-17/2 * * MON-FRI", "30 1,2 L * 5L", "15 * 1 * *"} {
			s := mustParse(t, expr, zone)
			for _, from := range []string{"2011-12-24T13:37:11Z", "2026-03-20T00:00:00Z", "2026-10-17T23:59:59Z"} {
				after, until := at(t, from), at(t, from).AddDate(0, 0, 10).Add(5*time.Hour)
				want, last := 0, after
				for {
					next, _ := s.Next(last)
					if next.After(until) {
						break
					}
					want, last = want+1, next
				}
				if got, exact := s.Count(after, until, 1<<30); got != want || !exact {
					t.Errorf("Count of %v from %s for 10 days = %d, %v, want %d", s, from, got, exact, want)
				}
				if got, exact := s.Count(after, until, max(want-1, 0)); want > 0 && (got != want-1 || exact) {
					t.Errorf("Count of %v up to %d = %d, %v, want that and false", s, want-1, got, exact)
				}
				if got, exact := s.Count(after, until, want); got != want || !exact {
					t.Errorf("Count of %v up to %d = %d, %v, want that and true", s, want, got, exact)
				}
			}
		}
	}
	seconds := mustParse(t, "* * * * * *", "Europe/Berlin")
	if n, exact := seconds.Count(time.Unix(1_700_000_000, 0), time.Unix(1_800_000_000, 0), 1<<40); n != 100_000_000 || !exact {
		t.Errorf("Count of three years of seconds = %d, %v, want 100,000,000", n, exact)
	}
}
