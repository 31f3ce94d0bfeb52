package schedule

import (
	"math/bits"
	"time"
)

// calendar is what an expression allows, as sets of bits, for a search in plain
// calendar time: it knows nothing of zones. A hundred thousand of them are kept
// and searched at once, so it is small and searching allocates nothing.
type calendar struct {
	second, minute, hour uint64 // bit n: the value n
	month, day           uint64
	weekday              uint64    // Sunday is bit 0
	lastWeekday          uint64    // those whose last one of the month counts
	nthWeekday           [6]uint64 // by n: those whose n-th one of the month counts
	lastDay              bool
	anyDay, anyWeekday   bool
}

// lastYear is where the calendar ends.
const lastYear = 2099

func newCalendar(fs *fields) calendar {
	day, weekday := &fs[dayOfMonthField], &fs[dayOfWeekField]
	c := calendar{
		second: fs[0].values, minute: fs[1].values, hour: fs[hourField].values, month: fs[4].values,
		day: day.values, lastDay: day.lastDay, anyDay: day.any,
		weekday: weekday.values, anyWeekday: weekday.any,
	}
	for _, text := range weekday.special { // 5L or 1#3
		bit := uint64(1) << (text[0] - '0')
		if text[1] == 'L' {
			c.lastWeekday |= bit
		} else {
			c.nthWeekday[text[2]-'0'] |= bit
		}
	}
	return c
}

// from returns the first of the set that is n or more.
func from(set uint64, n int) (int, bool) {
	set &= ^uint64(0) << n
	return bits.TrailingZeros64(set), set != 0
}

// next returns the first match after a moment, or false if there is none before
// the end of the calendar.
func (c *calendar) next(after time.Time) (time.Time, bool) {
	start := after.Truncate(time.Second).Add(time.Second)
	year, m, day := start.Date()
	month := int(m)
	if tick, ok := c.inDay(year, month, day, start.Hour(), start.Minute(), start.Second()); ok {
		return tick, true
	}
	for day++; year <= lastYear; day = 1 {
		if c.month>>month&1 == 1 {
			if d, ok := from(c.days(year, month), day); ok {
				return c.inDay(year, month, d, 0, 0, 0)
			}
		}
		if month++; month > 12 {
			year, month = year+1, 1
		}
	}
	return time.Time{}, false
}

// inDay returns the first match of a day that is not before a time of it.
func (c *calendar) inDay(year, month, day, hour, minute, second int) (time.Time, bool) {
	if c.month>>month&1 == 0 || c.days(year, month)>>day&1 == 0 || year > lastYear {
		return time.Time{}, false
	}
	h, ok := from(c.hour, hour)
	if ok && h == hour {
		for mi, more := from(c.minute, minute); more; mi, more = from(c.minute, mi+1) {
			if mi > minute {
				second = 0
			}
			if s, ok := from(c.second, second); ok {
				return time.Date(year, time.Month(month), day, h, mi, s, 0, time.UTC), true
			}
		}
		h, ok = from(c.hour, hour+1)
	}
	if !ok {
		return time.Time{}, false
	}
	mi, _ := from(c.minute, 0)
	s, _ := from(c.second, 0)
	return time.Date(year, time.Month(month), day, h, mi, s, 0, time.UTC), true
}

// days is the set of the days of a month that match.
func (c *calendar) days(year, month int) uint64 {
	first := time.Date(year, time.Month(month), 1, 0, 0, 0, 0, time.UTC)
	n := first.AddDate(0, 1, -1).Day()
	all := uint64(1)<<(n+1) - 2
	if c.anyDay && c.anyWeekday {
		return all
	}
	var set uint64
	if !c.anyDay {
		set = c.day
		if c.lastDay {
			set |= 1 << n
		}
	}
	if !c.anyWeekday {
		for day, weekday := 1, int(first.Weekday()); day <= n; day, weekday = day+1, (weekday+1)%7 {
			if (c.weekday|c.nthWeekday[(day+6)/7])>>weekday&1 == 1 || day+7 > n && c.lastWeekday>>weekday&1 == 1 {
				set |= 1 << day
			}
		}
	}
	return set & all
}
