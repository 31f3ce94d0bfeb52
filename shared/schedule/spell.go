package schedule

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// canonical spells the fields for people and for keys: five of them when the
// second is 0, runs as ranges.
func (fs *fields) canonical() string {
	var parts []string
	for i, f := range fs {
		if i == 0 && f.values == 1 {
			continue
		}
		if i != dayOfMonthField && i != dayOfWeekField && f.values == kinds[i].all() {
			f.any = true // elsewhere all values and any value are the same
		}
		parts = append(parts, f.spell(kinds[i].ranges))
	}
	return strings.Join(parts, " ")
}

func (f field) spell(list func(values []int) []string) string {
	if f.any {
		return "*"
	}
	var values []int
	for set := f.values; set != 0; set &= set - 1 {
		values = append(values, bits.TrailingZeros64(set))
	}
	entries := list(values)
	if f.lastDay {
		entries = append(entries, "L")
	}
	return strings.Join(append(entries, f.special...), ",")
}

// ranges spells a set of values shortly: */n where they fill the field in even
// steps, else single values and ranges.
func (k kind) ranges(values []int) []string {
	if step := k.evenStep(values); step > 1 {
		return []string{fmt.Sprintf("*/%d", step)}
	}
	var entries []string
	for start := 0; start < len(values); {
		end := start
		for end+1 < len(values) && values[end+1] == values[end]+1 {
			end++
		}
		if end-start >= 2 {
			entries = append(entries, fmt.Sprintf("%d-%d", values[start], values[end]))
		} else {
			for _, v := range values[start : end+1] {
				entries = append(entries, strconv.Itoa(v))
			}
		}
		start = end + 1
	}
	return entries
}

// evenStep returns n if */n spells exactly the values, else 0.
func (k kind) evenStep(values []int) int {
	if len(values) < 3 || values[0] != k.min {
		return 0
	}
	step := values[1] - values[0]
	for i, v := range values {
		if v != k.min+i*step {
			return 0
		}
	}
	if last := bits.Len64(k.all()) - 1; values[len(values)-1]+step <= last {
		return 0
	}
	return step
}
