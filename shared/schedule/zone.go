package schedule

import "time"

// In this file "wall" is what a clock on the wall shows, kept as a time in UTC
// so that the calendar search meets no zone; an instant is a real moment.

// wallOf returns what the wall clock shows at an instant in a span of constant offset.
func wallOf(t time.Time, offset time.Duration) time.Time { return t.UTC().Add(offset) }

// span is a stretch of time in which a zone's offset to UTC is constant. The
// spans beside it may have the same offset.
type span struct {
	start, end time.Time // zero: unbounded
	offset     time.Duration
}

func (s *Schedule) spanAt(t time.Time) span {
	local := t.In(s.zone)
	start, end := local.ZoneBounds()
	_, seconds := local.Zone()
	if !end.IsZero() && !end.After(t) {
		// Beyond a zone's table (2037) Go ends a span with the year at the
		// latest, and gives every year 365 days: on the last day of a leap year
		// the end it names is past, and who follows it never gets on.
		end = time.Date(t.UTC().Year()+1, time.January, 1, 0, 0, 0, 0, time.UTC)
	}
	return span{start: start, end: end, offset: time.Duration(seconds) * time.Second}
}

// nextElapsed finds the next instant at which the wall clock shows a match.
func (s *Schedule) nextElapsed(t time.Time) (time.Time, bool) {
	sp := s.spanAt(t)
	for {
		wall, ok := s.calendar.next(wallOf(t, sp.offset))
		if !ok {
			return time.Time{}, false
		}
		instant := wall.Add(-sp.offset)
		if sp.end.IsZero() || instant.Before(sp.end) {
			return instant, true
		}
		// Not in this span. Its end belongs to the next one, and may itself match.
		t = sp.end.Add(-time.Second)
		sp = s.spanAt(sp.end)
	}
}

// nextWall finds the next match of the wall clock whose instant lies after t.
func (s *Schedule) nextWall(t time.Time) (time.Time, bool) {
	sp := s.spanAt(t)
	wall := wallOf(t, sp.offset)
	if !sp.start.IsZero() {
		// After the clock was set back, what the wall showed before that is done.
		before := s.spanAt(sp.start.Add(-time.Second))
		if shown := wallOf(sp.start.Add(-time.Second), before.offset); shown.After(wall) {
			wall = shown
		}
	}
	for {
		next, ok := s.calendar.next(wall)
		if !ok {
			return time.Time{}, false
		}
		if instant := s.instantOf(next); instant.After(t) {
			return instant, true
		}
		wall = next
	}
}

// instantOf returns the first instant at which the wall clock shows wall, or,
// where it never does, the first one after the gap.
func (s *Schedule) instantOf(wall time.Time) time.Time {
	// No offset is above 26 hours: this span starts before the wall time is shown.
	sp := s.spanAt(wall.Add(-26 * time.Hour))
	for {
		instant := wall.Add(-sp.offset)
		if !sp.start.IsZero() && instant.Before(sp.start) {
			return sp.start.UTC()
		}
		if sp.end.IsZero() || instant.Before(sp.end) {
			return instant
		}
		sp = s.spanAt(sp.end)
	}
}
