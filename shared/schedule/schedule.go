// Package schedule reads cron expressions and computes their ticks. It reads no clock.
//
// An expression has five fields (minute, hour, day of month, month, day of
// week), or six with seconds first, or is one of [Names]. A field is a list of
// values, ranges and steps:
//
//	every value        *       or ?
//	values and lists   5  1,15
//	ranges             9-17
//	steps              */15  9-17/2  5/15, which is 5-59/15
//	names              JAN to DEC, SUN to SAT; weekdays are 0 to 7, both ends Sunday
//	last day           L       in the day of month
//	last Friday        5L      in the day of week
//	first Monday       1#1     in the day of week
//	hashed             H  H/15  H(0-29)  H(0-29)/10
//
// H is a value, or an offset of steps, that is computed from the names of site
// and function: always the same for one function, and spread evenly over many, so
// that not all of them are due in the same second. In the day of month it is 1 to 28.
//
// When both day fields are restricted, a day that matches either one counts:
// "0 0 1,15 * 1" fires on the 1st, on the 15th and on every Monday. A field is
// restricted unless it is * or ?; "*/2" is.
//
// # Daylight saving time
//
// Where a zone's clock is set forward, local times are skipped; where it is set
// back, they occur twice. As cron has always done it, what happens then depends
// on the hour field:
//
//   - A schedule that names hours ("30 2 * * *", "0 */2 * * *") goes by the
//     wall clock and fires once for each local time. Skipped times fire once,
//     together, at the first moment after the gap; repeated ones fire at their
//     first occurrence only. No day loses its run, none gets two.
//   - A schedule that allows every hour ("*/5 * * * *", "@hourly") goes by
//     elapsed time and fires whenever the local clock shows a matching time: a
//     gap is not made up for, and a repeated hour is worked through twice.
package schedule

import (
	"strings"
	"time"

	// A minimal container image has no zoneinfo, and a schedule must mean the
	// same on every machine that reads it. Costs 450 KB.
	_ "time/tzdata"

	"github.com/nightshift/nightshift/shared/fault"
)

// Schedule is a parsed expression in a zone. It is immutable and safe for
// concurrent use.
type Schedule struct {
	expr string // canonical
	zone *time.Location
	// calendar searches in plain calendar time; it knows nothing of zones.
	calendar calendar
	// elapsed: every hour is allowed; see the package doc on daylight saving time.
	elapsed bool
	// perDay is how many ticks a day has that has any and whose clock is not set.
	perDay int
}

// maxLength bounds an expression's text, in bytes.
const maxLength = 256

// Parse reads an expression in an IANA zone ("" is UTC). Errors are
// fault.Invalid, say which part is wrong and show a correct example. An
// expression that never fires, such as "0 0 31 2 *", is an error.
//
// It is for whoever wants to know whether an expression is one. What H stands
// for depends on whose it is; see [ParseFor].
func Parse(expr, zone string) (*Schedule, error) { return parse("", expr, zone) }

// ParseFor is Parse of the schedule of a site's function.
func ParseFor(site, function, expr, zone string) (*Schedule, error) {
	return parse(site+"/"+function, expr, zone)
}

func parse(owner, expr, zone string) (*Schedule, error) {
	location, err := loadZone(zone)
	if err != nil {
		return nil, err
	}
	fields, err := parseFields(owner, expr)
	if err != nil {
		return nil, err
	}
	s := &Schedule{
		expr:     fields.canonical(),
		zone:     location,
		calendar: newCalendar(&fields),
		elapsed:  fields.everyHour(),
		perDay:   fields.perDay(),
	}
	if _, fires := s.Next(firstYear); !fires {
		return nil, fault.New(fault.Invalid, "schedule %q never fires: no such day exists; %s", expr, hint)
	}
	return s, nil
}

func loadZone(name string) (*time.Location, error) {
	if name == "Local" { // Go's word for the zone of this very machine
		return nil, fault.New(fault.Invalid, `timezone "Local" is not an IANA zone; write one such as "Europe/Berlin", or none for UTC`)
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		return nil, fault.New(fault.Invalid, `timezone %q is not an IANA zone; write one such as "Europe/Berlin", or none for UTC`, name)
	}
	return location, nil
}

// firstYear is where the calendar starts; it ends with the year 2099.
var firstYear = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)

// Next returns the first tick strictly after t, in UTC, or false if there is
// none before the year 2100. Ticks stand on whole seconds.
func (s *Schedule) Next(t time.Time) (time.Time, bool) {
	if t.Before(firstYear) {
		t = firstYear.Add(-time.Second)
	}
	if s.elapsed {
		return s.nextElapsed(t)
	}
	return s.nextWall(t)
}

// Last returns the newest tick after one time and not after another, in UTC,
// or false if there is none between them. Its cost does not depend on how many
// ticks lie between.
func (s *Schedule) Last(after, until time.Time) (time.Time, bool) {
	newest, ok := s.Next(after)
	if !ok || newest.After(until) {
		return time.Time{}, false
	}
	// Next(x) never falls as x grows, so the latest second x with
	// Next(x) <= until, and with it the newest tick, can be bisected.
	low, high := newest.Unix()-1, until.Unix()
	for high-low > 1 {
		middle := low + (high-low)/2
		if next, ok := s.Next(time.Unix(middle, 0)); ok && !next.After(until) {
			low, newest = middle, next
		} else {
			high = middle
		}
	}
	return newest, true
}

// String returns the expression with its zone, in one canonical form: two
// spellings of the same schedule have the same one.
func (s *Schedule) String() string { return s.expr + " " + s.zone.String() }

// Key identifies a function's schedule across deploys: it stays while the
// schedule does, and another one is a new schedule with a new key.
func Key(site, function string, s *Schedule) string {
	return strings.Join([]string{site, function, s.String()}, "/")
}

// Owner is the part of a Key that names the function: its site and itself,
// joined by a slash.
func Owner(key string) string {
	parts := strings.SplitN(key, "/", 3)
	return strings.Join(parts[:min(len(parts), 2)], "/")
}
