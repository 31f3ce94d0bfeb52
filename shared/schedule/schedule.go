// Package schedule reads cron expressions and computes their ticks. It reads no clock.
package schedule

import "time"

// Schedule is a parsed expression in a zone. It is immutable.
type Schedule struct{}

// Parse reads an expression (five fields, six with seconds first, or an @ name)
// in an IANA zone ("" is UTC). Errors are fault.Invalid, say which part is
// wrong and show a correct example. An expression that never fires is an error.
func Parse(expr, zone string) (*Schedule, error) { panic("stub") }

// Next returns the first tick strictly after t, in UTC, or false if there is none.
func (s *Schedule) Next(t time.Time) (time.Time, bool) { panic("stub") }

// String returns the expression with its zone, in one canonical form.
func (s *Schedule) String() string { panic("stub") }
