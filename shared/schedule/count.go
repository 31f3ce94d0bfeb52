package schedule

import "time"

// Count returns how many ticks lie after one time and not after another. It
// stops at a limit: if there are more, it returns the limit and false. Whole days
// on which the zone's clock is not set are counted at once, so that years of
// seconds cost milliseconds.
func (s *Schedule) Count(after, until time.Time, limit int) (n int, exact bool) {
	for {
		tick, ok := s.Next(after)
		if !ok || tick.After(until) {
			return n, true
		}
		count, last := 1, tick
		if end, plain := s.plainDay(after, tick); plain && !end.After(until) {
			count, last = s.perDay, end.Add(-time.Second)
		}
		if n += count; n > limit {
			return limit, false
		}
		after = last
	}
}

// plainDay reports whether a tick is the first one of its local day, and the
// zone's clock shows each time of that day exactly once; and when the day ends.
// after is a moment with no tick between it and the given one.
func (s *Schedule) plainDay(after, tick time.Time) (end time.Time, plain bool) {
	sp := s.spanAt(tick)
	day := wallOf(tick, sp.offset).Truncate(24 * time.Hour).Add(-sp.offset)
	end = day.Add(24 * time.Hour)
	// A day apart, because a tick of a skipped time may fall behind a gap, and a
	// repeated time may belong to the day before.
	clear := (sp.start.IsZero() || sp.start.Before(day.Add(-24*time.Hour))) && (sp.end.IsZero() || sp.end.After(end))
	return end, clear && after.Before(day)
}
