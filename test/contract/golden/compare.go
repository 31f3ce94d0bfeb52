package golden

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Difference is one place in which two answers differ.
type Difference struct {
	// Place is "status", "header <name>", "body" or "report"; inside JSON a dot
	// and a key follow for each step: body.event.headers.host.
	Place     string
	Want, Got string
}

func (d Difference) String() string {
	return fmt.Sprintf("%s: want %s, got %s", d.Place, cut(d.Want), cut(d.Got))
}

func cut(s string) string {
	if len(s) > 300 {
		return s[:300] + "…"
	}
	return s
}

// Absent stands for a value that is not there.
const Absent = "nothing"

// Compare lists where an answer differs from the recorded one; both are
// normalised. JSON is compared by its values, also where it stands in a string.
func Compare(want, got Answer) []Difference {
	var d differences
	d.value("error", want.Error, got.Error)
	d.value("status", want.Status, got.Status)
	for _, name := range names(want, got) {
		d.value("header "+name, headerValue(name, want), headerValue(name, got))
	}
	d.text("body", want.Body, got.Body)
	d.value("body", want.Hex, got.Hex)
	d.text("report", want.Report, got.Report)
	return d
}

func names(answers ...Answer) []string {
	set := map[string]bool{}
	for _, a := range answers {
		for _, h := range a.Headers {
			set[h[0]] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// headerValue is nil for a header that is not there. Lines of a list count as
// one, as HTTP has it; cookies do not.
func headerValue(name string, a Answer) any {
	values := a.Values(name)
	switch {
	case values == nil:
		return nil
	case name == "set-cookie":
		return strings.Join(values, " | ")
	default:
		return strings.Join(values, ", ")
	}
}

type differences []Difference

func (d *differences) add(place, want, got string) {
	*d = append(*d, Difference{Place: place, Want: want, Got: got})
}

// text compares two texts, as JSON if both are.
func (d *differences) text(place, want, got string) {
	wantJSON, ok1 := parse(want)
	gotJSON, ok2 := parse(got)
	if ok1 && ok2 {
		d.value(place, wantJSON, gotJSON)
		return
	}
	d.value(place, want, got)
}

func parse(text string) (any, bool) {
	if !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "[") {
		return nil, false
	}
	var v any
	err := json.Unmarshal([]byte(text), &v)
	return v, err == nil
}

func (d *differences) value(place string, want, got any) {
	switch w := want.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			d.object(place, w, g)
			return
		}
	case []any:
		if g, ok := got.([]any); ok && len(g) == len(w) {
			for i := range w {
				d.value(fmt.Sprintf("%s.%d", place, i), w[i], g[i])
			}
			return
		}
	case string:
		if g, ok := got.(string); ok && w != g {
			_, json1 := parse(w)
			_, json2 := parse(g)
			if json1 && json2 {
				d.text(place, w, g)
				return
			}
		}
	}
	if !reflect.DeepEqual(want, got) {
		d.add(place, show(want), show(got))
	}
}

func (d *differences) object(place string, want, got map[string]any) {
	keys := maps.Clone(want)
	maps.Copy(keys, got)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		w, inWant := want[key]
		g, inGot := got[key]
		switch {
		case !inWant:
			d.add(place+"."+key, Absent, show(g))
		case !inGot:
			d.add(place+"."+key, show(w), Absent)
		default:
			d.value(place+"."+key, w, g)
		}
	}
}

func show(v any) string {
	if v == nil {
		return Absent
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}
