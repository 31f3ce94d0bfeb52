package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/nightshift/nightshift/shared/fault"
)

// hint ends every complaint about an expression.
const hint = `a valid schedule looks like "5 4 * * *" (at 04:05 every day) or "@hourly"`

// names are the @ names, as Netlify's own validator takes them.
var names = map[string]string{
	"@yearly":   "0 0 1 1 *",
	"@annually": "0 0 1 1 *",
	"@monthly":  "0 0 1 * *",
	"@weekly":   "0 0 * * 0",
	"@daily":    "0 0 * * *",
	"@hourly":   "0 * * * *",
	"@minutely": "* * * * *",
	"@secondly": "* * * * * *",
	"@weekdays": "0 0 * * 1-5",
	"@weekends": "0 0 * * 0,6",
}

// Names lists the accepted @ names in alphabetical order.
func Names() []string { return slices.Sorted(maps.Keys(names)) }

// kind describes one of the six fields.
type kind struct {
	name     string
	min, max int
	words    []string // names of the values, from min on, lower case
}

// The fields in the order of an expression with seconds.
var kinds = [6]kind{
	{name: "second", max: 59},
	{name: "minute", max: 59},
	{name: "hour", max: 23},
	{name: "day of month", min: 1, max: 31},
	{name: "month", min: 1, max: 12, words: strings.Fields("jan feb mar apr may jun jul aug sep oct nov dec")},
	{name: "day of week", max: 7, words: strings.Fields("sun mon tue wed thu fri sat")},
}

const (
	hourField       = 2
	dayOfMonthField = 3
	dayOfWeekField  = 5
)

// field is what one field allows.
type field struct {
	values uint64 // bit n: the value n; Sunday is bit 0
	// any is * or ?. For the day fields that differs from a list of all values.
	any bool
	// lastDay is L in the day of month.
	lastDay bool
	// special holds the canonical spelling of 5L and 1#3 in the day of week.
	special []string
}

type fields [6]field

// parseFields reads an expression, without the question whether it ever fires.
// Each H in it stands for what the owner makes of it.
func parseFields(owner, expr string) (fields, error) {
	var fs fields
	text := strings.TrimSpace(expr)
	switch {
	case text == "":
		return fs, fault.New(fault.Invalid, "the schedule is empty; %s", hint)
	case len(text) > maxLength:
		return fs, fault.New(fault.Invalid, "the schedule is longer than %d characters; %s", maxLength, hint)
	case strings.HasPrefix(text, "@"):
		named, ok := names[text]
		if !ok {
			return fs, fault.New(fault.Invalid, "schedule %q is not one of %s; %s", expr, strings.Join(Names(), ", "), hint)
		}
		text = named
	}
	parts := strings.Fields(text)
	switch len(parts) {
	case 5:
		parts = append([]string{"0"}, parts...)
	case 6:
	default:
		return fs, fault.New(fault.Invalid, "schedule %q has %d fields instead of 5, or 6 with seconds; %s", expr, len(parts), hint)
	}
	for i, part := range parts {
		f, err := parseField(owner, i, strings.ToLower(part))
		if err != nil {
			return fs, fault.New(fault.Invalid, "schedule %q, %s %q: %s; %s", expr, kinds[i].name, part, err, hint)
		}
		fs[i] = f
	}
	return fs, nil
}

func parseField(owner string, i int, text string) (field, error) {
	if text == "*" || text == "?" {
		return field{any: true, values: kinds[i].all()}, nil
	}
	var f field
	for entry := range strings.SplitSeq(text, ",") {
		if err := f.add(owner, i, entry); err != nil {
			return field{}, err
		}
	}
	slices.Sort(f.special)
	f.special = slices.Compact(f.special)
	return f, nil
}

// all is the set of every value of a field.
func (k kind) all() uint64 {
	last := k.max
	if last == 7 {
		last = 6 // the second Sunday
	}
	return uint64(1)<<(last+1) - uint64(1)<<k.min
}

// add adds one entry of a field's list.
func (f *field) add(owner string, i int, entry string) error {
	k := kinds[i]
	if entry == "" {
		return fmt.Errorf("a value is missing at a comma")
	}
	if rest, ok := strings.CutPrefix(entry, "h"); ok {
		return f.addHashed(owner, i, rest)
	}
	if i == dayOfMonthField && entry == "l" {
		f.lastDay = true
		return nil
	}
	if i == dayOfWeekField {
		if day, nth, ok := strings.Cut(entry, "#"); ok {
			return f.addNth(day, nth)
		}
		// "jul" does not end a weekday, and a lone L names no day.
		if day, ok := strings.CutSuffix(entry, "l"); ok {
			d, err := k.value(day)
			if err != nil {
				return fmt.Errorf("an L stands behind a weekday, as in 5L for the last Friday of the month")
			}
			f.special = append(f.special, fmt.Sprintf("%dL", d%7))
			return nil
		}
	}
	return f.addRange(k, entry)
}

func (f *field) addNth(day, nth string) error {
	d, err := kinds[dayOfWeekField].value(day)
	if err != nil {
		return err
	}
	if len(nth) != 1 || nth[0] < '1' || nth[0] > '5' {
		return fmt.Errorf("a number from 1 to 5 must follow #, as in 1#2 for the second Monday of the month")
	}
	f.special = append(f.special, fmt.Sprintf("%d#%s", d%7, nth))
	return nil
}

// addRange adds *, 5, 5-9, each with an optional /step.
func (f *field) addRange(k kind, entry string) error {
	body, stepText, stepped := strings.Cut(entry, "/")
	step := 1
	if stepped {
		var err error
		if step, err = k.step(stepText, k.size()); err != nil {
			return err
		}
	}
	var first, last int
	switch low, high, isRange := strings.Cut(body, "-"); {
	case body == "*" || body == "?":
		first, last = k.min, bits.Len64(k.all())-1 // not Sunday twice
	case isRange:
		var err error
		if first, err = k.value(low); err != nil {
			return err
		}
		if last, err = k.value(high); err != nil {
			return err
		}
		if first > last {
			return fmt.Errorf("the range %s runs backwards; write it as two ranges", body)
		}
	default:
		value, err := k.value(body)
		if err != nil {
			return err
		}
		first, last = value, value
		if stepped {
			last = k.max // of weekdays that is Sunday, once more
		}
	}
	for v := first; v <= last; v += step {
		f.set(k, v)
	}
	return nil
}

// addHashed adds H, H/15, H(0-29), H(0-29)/10, without the H: a value, or an
// offset of steps, that is the same for the same owner and spread evenly over
// owners.
func (f *field) addHashed(owner string, i int, rest string) error {
	k := kinds[i]
	sum := sha256.Sum256([]byte(owner + "\x00" + k.name))
	hash := int(binary.BigEndian.Uint64(sum[:]) >> 1)
	first, last := k.min, k.min+k.size()-1
	if i == dayOfMonthField {
		last = 28 // which every month has
	}
	span, stepText, stepped := strings.Cut(rest, "/")
	if span != "" {
		low, high, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(span, "("), ")"), "-")
		if !ok || span[0] != '(' || span[len(span)-1] != ')' {
			return fmt.Errorf("behind H stands nothing, a range in parentheses, or a step, as in H(0-29)/10")
		}
		var err error
		if first, err = k.value(low); err != nil {
			return err
		}
		if last, err = k.value(high); err != nil {
			return err
		}
		if first > last {
			return fmt.Errorf("the range %s runs backwards", span)
		}
	}
	size := last - first + 1
	if !stepped {
		f.set(k, first+hash%size)
		return nil
	}
	step, err := k.step(stepText, size)
	if err != nil {
		return err
	}
	for v := first + hash%step; v <= last; v += step {
		f.set(k, v)
	}
	return nil
}

// set adds one value; of weekdays 7 is Sunday too.
func (f *field) set(k kind, value int) {
	if k.max == 7 {
		value %= 7
	}
	f.values |= 1 << value
}

// size is how many values a field has.
func (k kind) size() int { return bits.OnesCount64(k.all()) }

// step reads a step. One that is larger than what it steps through is a mistake:
// "*/90" for minutes would fire once an hour.
func (k kind) step(text string, size int) (int, error) {
	n, err := number(text)
	if err != nil || n < 1 || n > size {
		return 0, fmt.Errorf("the step %q must be a number from 1 to %d", text, size)
	}
	return n, nil
}

// value reads one value of a field: a number in its range or a name.
func (k kind) value(text string) (int, error) {
	if i := slices.Index(k.words, text); i >= 0 {
		return k.min + i, nil
	}
	n, err := number(text)
	if err == nil && n >= k.min && n <= k.max {
		return n, nil
	}
	if k.words != nil {
		return 0, fmt.Errorf("%q is not a number from %d to %d or a name such as %s", text, k.min, k.max, strings.ToUpper(k.words[1]))
	}
	return 0, fmt.Errorf("%q is not a number from %d to %d", text, k.min, k.max)
}

// number reads digits and nothing else: no sign, no blank.
func number(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 8)
	return int(n), err
}

// everyHour reports whether no hour is excluded.
func (fs *fields) everyHour() bool { return fs[hourField].values == kinds[hourField].all() }

// perDay is how many ticks the fields make on a day that they allow.
func (fs *fields) perDay() int {
	n := 1
	for _, f := range fs[:dayOfMonthField] {
		n *= bits.OnesCount64(f.values)
	}
	return n
}
