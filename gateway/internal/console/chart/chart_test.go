package chart

import (
	"math"
	"testing"
	"time"
)

var noon = time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)

func TestBars(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		minutes []Minute
		top     int64
	}{
		{"nothing", make([]Minute, 60), 1},
		{"one", []Minute{{Accepted: 1}}, 1},
		{"only failures", []Minute{{Failed: 7}, {}}, 8},
		{"more failures than the rest", []Minute{{Accepted: 3, Succeeded: 1, Failed: 900}}, 1000},
		{"many", []Minute{{Accepted: 123_456_789, Succeeded: 123_456_788, Failed: 1}}, 200_000_000},
		{"more than can be", []Minute{{Accepted: math.MaxInt64}}, math.MaxInt64},
	}
	for _, tt := range tests {
		got := NewBars(tt.minutes)
		if got.Top != tt.top || len(got.Bars) != len(tt.minutes) {
			t.Errorf("%s: the top is %d with %d bars, want %d with %d", tt.name, got.Top, len(got.Bars), tt.top, len(tt.minutes))
		}
		for i, b := range got.Bars {
			inside := b.Up >= -0.01 && b.Mark >= -0.01 && got.Base+b.DownHeight <= 100.01 && b.X+b.Width <= 100.01 && b.Inset >= b.X && b.Inset+b.Narrow <= b.X+b.Width
			if !inside {
				t.Errorf("%s: bar %d leaves the drawing: %+v below %v", tt.name, i, b, got.Base)
			}
			if (b.Failed > 0) != (b.DownHeight > 0) || (b.Succeeded > 0) != (b.UpHeight > 0) {
				t.Errorf("%s: bar %d does not show what there is: %+v", tt.name, i, b)
			}
		}
	}
	got := NewBars([]Minute{{Accepted: 4, Succeeded: 2, Failed: 1}, {Accepted: 1, Succeeded: 1}})
	if got.Accepted != 5 || got.Succeeded != 3 || got.Failed != 1 || got.Half != 2 {
		t.Errorf("sums = %+v", got)
	}
	if b := got.Bars[0]; math.Abs(float64(b.UpHeight-2*b.DownHeight)) > 0.01 || math.Abs(float64(got.Middle-b.Up)) > 0.01 {
		t.Errorf("two stand %v high and one hangs %v deep: not one scale", b.UpHeight, b.DownHeight)
	}
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	at := func(s float64) time.Time { return noon.Add(time.Duration(s * float64(time.Second))) }
	lines := Timeline(noon, at(100), []Span{{at(10), at(10.1)}, {at(70), at(70.1)}, {at(40), at(100)}})
	first, second, third := lines[0], lines[1], lines[2]
	if first.X != 10 || first.Width != 0.8 || first.WaitX != 0 || first.WaitWidth != 10 || first.Anchor != "start" || first.LabelX != 10.8 {
		t.Errorf("first = %+v", first)
	}
	if second.X != 70 || math.Abs(float64(second.WaitX)-10.1) > 0.001 || second.Anchor != "end" || second.LabelX != 70 || second.Inside {
		t.Errorf("second = %+v", second)
	}
	if !third.Inside || third.X != 40 || third.Width != 60 {
		t.Errorf("third = %+v", third)
	}
	// One that has just begun, on a clock that is behind: nothing leaves the drawing.
	for _, l := range Timeline(noon, noon, []Span{{at(-5), at(-5)}, {at(5), at(4)}}) {
		if l.X < 0 || l.X+l.Width > 100 || l.WaitWidth < 0 {
			t.Errorf("leaves the drawing: %+v", l)
		}
	}
}

func TestLate(t *testing.T) {
	t.Parallel()
	before := Share(0)
	for _, d := range []time.Duration{-time.Second, 10 * time.Millisecond, time.Second, time.Minute, time.Hour} {
		if got := Late(d); got <= before || got > 100 {
			t.Errorf("Late(%v) = %v, want more than %v and at most 100%%", d, got, before)
		} else {
			before = got
		}
	}
	if Late(0) != Late(time.Millisecond) || Late(24*time.Hour) != 100 {
		t.Errorf("the ends are %v and %v", Late(0), Late(24*time.Hour))
	}
}

func TestSlots(t *testing.T) {
	t.Parallel()
	if x, w := Slots(4, 3); x != 75 || w != 19.5 {
		t.Errorf("Slots(4, 3) = %v, %v", x, w)
	}
	if x, w := Slots(0, 0); x != 0 || w.String() != "78.00%" {
		t.Errorf("Slots(0, 0) = %v, %v", x, w)
	}
}
