package schedule

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
)

func mustParse(t testing.TB, expr, zone string) *Schedule {
	t.Helper()
	s, err := Parse(expr, zone)
	if err != nil {
		t.Fatalf("Parse(%q, %q): %v", expr, zone, err)
	}
	return s
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func ticks(s *Schedule, from time.Time, n int) []string {
	var got []string
	for range n {
		next, ok := s.Next(from)
		if !ok {
			break
		}
		got = append(got, next.Format(time.RFC3339))
		from = next
	}
	return got
}

// A Saturday, in a leap year.
const saturday = "2028-01-01T00:00:00Z"

func TestNext(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		expr string
		from string
		want []string
	}{
		"every minute":             {"* * * * *", saturday, []string{"2028-01-01T00:01:00Z", "2028-01-01T00:02:00Z"}},
		"strictly after":           {"0 0 * * *", saturday, []string{"2028-01-02T00:00:00Z"}},
		"six fields":               {"30 5 4 * * *", saturday, []string{"2028-01-01T04:05:30Z", "2028-01-02T04:05:30Z"}},
		"every second":             {"* * * * * *", saturday, []string{"2028-01-01T00:00:01Z", "2028-01-01T00:00:02Z"}},
		"fraction of a second":     {"* * * * * *", "2028-01-01T00:00:00.5Z", []string{"2028-01-01T00:00:01Z"}},
		"step":                     {"*/20 * * * *", saturday, []string{"2028-01-01T00:20:00Z", "2028-01-01T00:40:00Z", "2028-01-01T01:00:00Z"}},
		"step from a value":        {"50/5 3 * * *", saturday, []string{"2028-01-01T03:50:00Z", "2028-01-01T03:55:00Z", "2028-01-02T03:50:00Z"}},
		"step in a range":          {"0 9-12/2 * * *", saturday, []string{"2028-01-01T09:00:00Z", "2028-01-01T11:00:00Z", "2028-01-02T09:00:00Z"}},
		"month names":              {"0 0 1 FEB,dec *", saturday, []string{"2028-02-01T00:00:00Z", "2028-12-01T00:00:00Z"}},
		"weekday range by name":    {"0 0 * * MON-wed", saturday, []string{"2028-01-03T00:00:00Z", "2028-01-04T00:00:00Z", "2028-01-05T00:00:00Z", "2028-01-10T00:00:00Z"}},
		"7 is Sunday":              {"0 0 * * 7", saturday, []string{"2028-01-02T00:00:00Z", "2028-01-09T00:00:00Z"}},
		"range up to 7":            {"0 0 * * 5-7", "2028-01-02T00:00:00Z", []string{"2028-01-07T00:00:00Z", "2028-01-08T00:00:00Z", "2028-01-09T00:00:00Z"}},
		"either day":               {"0 0 1,15 * 1", "2028-01-10T00:00:00Z", []string{"2028-01-15T00:00:00Z", "2028-01-17T00:00:00Z"}},
		"either day, stepped":      {"0 0 */10 * 1", saturday, []string{"2028-01-03T00:00:00Z", "2028-01-10T00:00:00Z", "2028-01-11T00:00:00Z"}},
		"question marks":           {"0 0 ? * 1", saturday, []string{"2028-01-03T00:00:00Z", "2028-01-10T00:00:00Z"}},
		"last day":                 {"0 0 L * *", saturday, []string{"2028-01-31T00:00:00Z", "2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z"}},
		"last Friday":              {"0 0 * * 5L", saturday, []string{"2028-01-28T00:00:00Z", "2028-02-25T00:00:00Z"}},
		"last Friday by name":      {"0 0 * * friL", saturday, nil}, // set below
		"second Monday":            {"0 0 * * MON#2", saturday, []string{"2028-01-10T00:00:00Z", "2028-02-14T00:00:00Z"}},
		"first Sunday, spelt 7":    {"0 0 * * 7#1", saturday, []string{"2028-01-02T00:00:00Z", "2028-02-06T00:00:00Z"}},
		"fifth Saturday":           {"0 0 * * 6#5", saturday, []string{"2028-01-29T00:00:00Z", "2028-04-29T00:00:00Z"}},
		"leap day":                 {"0 0 29 2 *", "2028-03-01T00:00:00Z", []string{"2032-02-29T00:00:00Z"}},
		"day 31":                   {"0 0 31 * *", saturday, []string{"2028-01-31T00:00:00Z", "2028-03-31T00:00:00Z", "2028-05-31T00:00:00Z"}},
		"impossible date or a day": {"0 0 31 2 1", saturday, []string{"2028-02-07T00:00:00Z"}},
		"the end of the calendar":  {"0 0 1 1 *", "2098-06-01T00:00:00Z", []string{"2099-01-01T00:00:00Z"}},
		"before the calendar":      {"0 0 1 1 *", "1815-06-01T00:00:00Z", []string{"1970-01-01T00:00:00Z"}},
		"@yearly":                  {"@yearly", saturday, []string{"2029-01-01T00:00:00Z"}},
		"@annually":                {"@annually", saturday, []string{"2029-01-01T00:00:00Z"}},
		"@monthly":                 {"@monthly", saturday, []string{"2028-02-01T00:00:00Z"}},
		"@weekly":                  {"@weekly", saturday, []string{"2028-01-02T00:00:00Z"}},
		"@daily":                   {"@daily", saturday, []string{"2028-01-02T00:00:00Z"}},
		"@hourly":                  {"@hourly", saturday, []string{"2028-01-01T01:00:00Z"}},
		"@minutely":                {"@minutely", saturday, []string{"2028-01-01T00:01:00Z"}},
		"@secondly":                {"@secondly", saturday, []string{"2028-01-01T00:00:01Z"}},
		"@weekdays":                {"@weekdays", saturday, []string{"2028-01-03T00:00:00Z", "2028-01-04T00:00:00Z"}},
		"@weekends":                {"@weekends", saturday, []string{"2028-01-02T00:00:00Z", "2028-01-08T00:00:00Z"}},
		"blanks around and within": {"  0\t0  * * * ", saturday, []string{"2028-01-02T00:00:00Z"}},
	}
	friday := tests["last Friday by name"]
	friday.want = tests["last Friday"].want
	tests["last Friday by name"] = friday
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ticks(mustParse(t, tt.expr, ""), at(t, tt.from), len(tt.want))
			if !slices.Equal(got, tt.want) {
				t.Errorf("ticks of %q after %s = %v, want %v", tt.expr, tt.from, got, tt.want)
			}
		})
	}
}

func TestNextAfterTheEnd(t *testing.T) {
	t.Parallel()
	if next, ok := mustParse(t, "@yearly", "").Next(at(t, "2099-01-01T00:00:00Z")); ok {
		t.Errorf("Next in the last year = %v, want none", next)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ expr, zone, want string }{
		{"", "", "empty"},
		{"   ", "", "empty"},
		{"* * * *", "", "4 fields instead of 5"},
		{"0 0 * * * * *", "", "7 fields instead of 5"},
		{"60 * * * *", "", `minute "60": "60" is not a number from 0 to 59`},
		{"* 24 * * *", "", `hour "24"`},
		{"* * 0 * *", "", `day of month "0"`},
		{"* * 32 * *", "", `day of month "32"`},
		{"* * * 13 *", "", `month "13"`},
		{"* * * foo *", "", `"foo" is not a number from 1 to 12 or a name such as FEB`},
		{"* * * * 8", "", `day of week "8"`},
		{"x 5 4 * * *", "", `second "x"`},
		{"-1 * * * *", "", `minute "-1"`},
		{"+1 * * * *", "", `minute "+1"`},
		{"1,,2 * * * *", "", "missing at a comma"},
		{"1, * * * *", "", "missing at a comma"},
		{"*/0 * * * *", "", `the step "0"`},
		{"*/ * * * *", "", `the step ""`},
		{"*/99 * * * *", "", `the step "99"`},
		{"*/61 * * * *", "", `the step "61" must be a number from 1 to 60`},
		{"? * * * ?-3", "", `day of week "?-3"`},
		{"H(5) * * * *", "", "a range in parentheses"},
		{"H5 * * * *", "", "a range in parentheses"},
		{"H( * * * *", "", "a range in parentheses"},
		{"H(-) * * * *", "", `"" is not a number`},
		{"H(30-10) * * * *", "", "runs backwards"},
		{"H(0-60) * * * *", "", `"60" is not a number`},
		{"H(0-9)/11 * * * *", "", `the step "11" must be a number from 1 to 10`},
		{"H/0 * * * *", "", `the step "0"`},
		{"5-1 * * * *", "", "runs backwards"},
		{"* * * * FRI-MON", "", "runs backwards"},
		{"L * * * *", "", `minute "L"`},
		{"* * * * L", "", "5L for the last Friday"},
		{"* * * * 1#6", "", "1 to 5 must follow #"},
		{"* * * * 1#", "", "1 to 5 must follow #"},
		{"* * 1#2 * *", "", `day of month "1#2"`},
		{"* * 15W * *", "", `day of month "15W"`},
		{"0 0 31 2 *", "", "never fires"},
		{"0 0 31 4,6,9,11 *", "", "never fires"},
		{"0 0 30,31 2 ?", "", "never fires"},
		{"@midnight", "", "is not one of @annually, @daily"},
		{"@reboot", "", "is not one of"},
		{"@every 5m", "", "is not one of"},
		{"@", "", "is not one of"},
		{strings.Repeat("1,", 200) + "1 * * * *", "", "longer than 256"},
		{"TZ=UTC 0 0 * * *", "", `second "TZ=UTC"`},
		{"* * * * *", "Europe/Atlantis", `timezone "Europe/Atlantis" is not an IANA zone`},
		{"* * * * *", "Local", "is not an IANA zone"},
		{"* * * * *", "../../etc/passwd", "is not an IANA zone"},
	}
	for _, tt := range tests {
		_, err := Parse(tt.expr, tt.zone)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("Parse(%q, %q) = %v, want an invalid fault with %q", tt.expr, tt.zone, err, tt.want)
			continue
		}
		example := `"5 4 * * *"`
		if tt.zone != "" {
			example = `"Europe/Berlin"`
		}
		if message, _ := fault.Public(err); !strings.Contains(message, example) {
			t.Errorf("Parse(%q, %q) = %q, want the example %s in it", tt.expr, tt.zone, message, example)
		}
	}
}

func TestStringIsCanonical(t *testing.T) {
	t.Parallel()
	tests := []struct {
		want      string
		spellings []string
	}{
		{"*/15 * * * * UTC", []string{"*/15 * * * *", "0,15,30,45 * * * *", "45,30,15,00 */1 * jan-dec *", "0 0-59/15 0-23 * * ?", "0/15 * * * *"}},
		{"0 * * * * UTC", []string{"@hourly", "0 * * * *", "00 0 * * * *"}},
		{"* * * * * * UTC", []string{"@secondly", "*/1 * * * * *"}},
		{"0 0 * * 1-5 UTC", []string{"@weekdays", "0 0 ? * MON-FRI", "0 0 * * 5,4,3,2,1,1"}},
		{"0 0 * * 0,6 UTC", []string{"@weekends", "0 0 * * 6-7", "0 0 * * sun,SAT"}},
		{"0 0 1,15,L * 1,1#2,5L UTC", []string{"0 0 L,15,1 * 5l,mon,MON#2"}},
		{"0 0 1-31 * 1 UTC", []string{"0 0 */1 * 1", "0 0 1-31 * 1"}}, // not the same as *
		{"0 0 */2 * * UTC", []string{"0 0 */2 * *", "0 0 1-31/2 * *"}},
	}
	for _, tt := range tests {
		for _, spelling := range tt.spellings {
			s := mustParse(t, spelling, "")
			if got := s.String(); got != tt.want {
				t.Errorf("Parse(%q).String() = %q, want %q", spelling, got, tt.want)
			}
		}
	}
	if a, b := Key("acme", "job", mustParse(t, "@daily", "")), Key("acme", "job", mustParse(t, "@daily", "Europe/Berlin")); a == b {
		t.Errorf("Key does not tell zones apart: %q", a)
	}
}

func TestLast(t *testing.T) {
	t.Parallel()
	tests := []struct{ expr, after, until, want string }{
		{"* * * * *", saturday, "2028-01-01T00:10:30Z", "2028-01-01T00:10:00Z"},
		{"* * * * *", saturday, "2028-01-01T00:10:00Z", "2028-01-01T00:10:00Z"},
		{"* * * * *", saturday, "2028-01-01T00:00:59Z", ""},
		{"* * * * * *", "1999-01-01T00:00:00Z", "2028-01-01T00:00:00.9Z", "2028-01-01T00:00:00Z"},
		{"0 3 * * *", saturday, "2028-03-01T02:59:59Z", "2028-02-29T03:00:00Z"},
		{"0 0 29 2 *", "1999-01-01T00:00:00Z", saturday, "2024-02-29T00:00:00Z"},
	}
	for _, tt := range tests {
		got, ok := mustParse(t, tt.expr, "").Last(at(t, tt.after), at(t, tt.until))
		if text := got.Format(time.RFC3339); ok != (tt.want != "") || ok && text != tt.want {
			t.Errorf("Last of %q in (%s, %s] = %s, %v, want %q", tt.expr, tt.after, tt.until, text, ok, tt.want)
		}
	}
}

// TestDaysAgainstDefinition holds the calendar search against the plain
// definition of each day rule, over 30 years.
func TestDaysAgainstDefinition(t *testing.T) {
	t.Parallel()
	lastDay := func(d time.Time) bool { return d.AddDate(0, 0, 1).Month() != d.Month() }
	tests := map[string]func(d time.Time) bool{
		"0 0 L * *":      lastDay,
		"0 0 * * 3L":     func(d time.Time) bool { return d.Weekday() == 3 && d.AddDate(0, 0, 7).Month() != d.Month() },
		"0 0 * * 0#1":    func(d time.Time) bool { return d.Weekday() == 0 && d.Day() <= 7 },
		"0 0 * * 4#3":    func(d time.Time) bool { return d.Weekday() == 4 && d.Day() > 14 && d.Day() <= 21 },
		"0 0 * * 6#5":    func(d time.Time) bool { return d.Weekday() == 6 && d.Day() > 28 },
		"0 0 L * 1#1":    func(d time.Time) bool { return lastDay(d) || d.Weekday() == 1 && d.Day() <= 7 },
		"0 0 13 * FRI":   func(d time.Time) bool { return d.Day() == 13 || d.Weekday() == 5 },
		"0 0 13 * *":     func(d time.Time) bool { return d.Day() == 13 },
		"0 0 */7 2 *":    func(d time.Time) bool { return d.Month() == 2 && d.Day()%7 == 1 },
		"0 0 * 1-12/5 0": func(d time.Time) bool { return d.Month()%5 == 1 && d.Weekday() == 0 },
	}
	for expr, matches := range tests {
		t.Run(expr, func(t *testing.T) {
			t.Parallel()
			s := mustParse(t, expr, "")
			from := at(t, "2000-01-01T00:00:00Z")
			next, _ := s.Next(from.Add(-time.Second))
			for d := from; d.Year() < 2030; d = d.AddDate(0, 0, 1) {
				if got := next.Equal(d); got != matches(d) {
					t.Fatalf("%q on %s: fires = %v, want %v", expr, d.Format(time.DateOnly), got, !got)
				}
				if next.Equal(d) {
					next, _ = s.Next(next)
				}
			}
		})
	}
}
