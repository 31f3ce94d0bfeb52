package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		values []float64
		want   float64
		ok     bool
	}{{nil, 0, false}, {[]float64{3}, 3, true}, {[]float64{9, 1, 2}, 2, true}, {[]float64{4, 1, 2, 3}, 2.5, true}} {
		if got, ok := median(tt.values); got != tt.want || ok != tt.ok {
			t.Errorf("median(%v) = %v, %v, want %v, %v", tt.values, got, ok, tt.want, tt.ok)
		}
	}
}

// three rounds of us and of a peer.
func measuredBook() *book {
	b := newBook()
	for _, round := range [][2]float64{{100, 50}, {120, 48}, {90, 60}} {
		b.add(ours, map[string]float64{"drained/s": round[0], "first ms": round[0]})
		b.add("peer", map[string]float64{"drained/s": round[1], "its ms": round[1]})
	}
	return b
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		target target
		want   measured
		ok     bool
	}{
		{target{figure: "drained/s", peer: "peer"}, measured{2, 1.5, 2.5}, true},
		{target{figure: "first ms", peer: "peer", other: "its ms", minus: true}, measured{50, 30, 72}, true},
		{target{figure: "drained/s"}, measured{100, 90, 120}, true},
		{target{figure: "drained/s", peer: "nobody"}, measured{}, false},
		{target{figure: "nothing"}, measured{}, false},
	} {
		if got, ok := measuredBook().measure(tt.target); got != tt.want || ok != tt.ok {
			t.Errorf("measure(%s) = %v, %v, want %v, %v", tt.target.name(), got, ok, tt.want, tt.ok)
		}
	}
}

func TestMet(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		target target
		value  float64
		want   bool
	}{
		{target{atLeast: true, bound: 1.3}, 1.3, true}, {target{atLeast: true, bound: 1.3}, 1.29, false},
		{target{bound: 0.65}, 0.65, true}, {target{bound: 0.65}, 0.66, false},
	} {
		if got := tt.target.met(tt.value); got != tt.want {
			t.Errorf("%s met by %v = %v, want %v", tt.target.want(), tt.value, got, tt.want)
		}
	}
}

func TestMoved(t *testing.T) {
	t.Parallel()
	before := measured{1, 0.9, 1.1}
	for name, tt := range map[string]struct {
		now  measured
		want bool
	}{
		"the same":            {before, false},
		"within the rounds":   {measured{1.08, 1.05, 1.2}, false},
		"apart by noise":      {measured{1.2, 1.15, 1.3}, false},
		"higher":              {measured{1.4, 1.3, 1.5}, true},
		"lower":               {measured{0.7, 0.6, 0.8}, true},
		"lower, of one round": {measured{0.7, 0.7, 0.7}, true},
	} {
		if got := moved(before, tt.now); got != tt.want {
			t.Errorf("%s: moved(%v, %v) = %v, want %v", name, before, tt.now, got, tt.want)
		}
	}
}

func TestKeptIsReadAsWritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "accepted.json")
	none, err := readKept(path)
	if err != nil || len(none) != 0 {
		t.Fatalf("before anything was kept, readKept = %v, %v", none, err)
	}
	rate := target{figure: "drained/s", peer: "peer", atLeast: true}
	cost := target{figure: "CPU µs", peer: "peer"}
	if err := none.write(path, kept{rate.name(): {1, 0.9, 1.1}, cost.name(): {1, 0.9, 1.1}}); err != nil {
		t.Fatal(err)
	}
	first, err := readKept(path)
	if err != nil {
		t.Fatal(err)
	}
	// A run of fewer parts leaves the others.
	run := kept{rate.name(): {2, 2, 2}}
	if err := first.write(path, run); err != nil {
		t.Fatal(err)
	}
	second, err := readKept(path)
	if err != nil || second[rate.name()].Value != 2 || second[cost.name()].Value != 1 {
		t.Errorf("kept are %v, %v, want the new rate and the old cost", second, err)
	}
	changes := first.changes(kept{rate.name(): {2, 2, 2}, cost.name(): {2, 2, 2}}, []target{rate, cost})
	if len(changes) != 2 || !strings.Contains(changes[0], "better") || !strings.Contains(changes[1], "worse") {
		t.Errorf("the changes are %q, want a better rate and a worse cost", changes)
	}
}

func TestPrintTargets(t *testing.T) {
	t.Parallel()
	b := newBook()
	b.add(ours, map[string]float64{"drained/s": 4000, "sync v1 p50 ms": 1.5})
	b.add("bullmq", map[string]float64{"drained/s": 3200})
	b.add(older, map[string]float64{"drained/s": 2000})
	var out strings.Builder
	run := printTargets(&out, b)
	if got := run["drained/s / bullmq"].Value; got != 1.25 {
		t.Errorf("the ratio is %v, want 1.25", got)
	}
	if _, ok := run["drained/s / before"]; ok {
		t.Error("the ratio to an older build is kept")
	}
	for _, line := range []string{
		"drained/s / bullmq 4000 3200 1.25 1.25–1.25 ≥ 1× met", "sync v1 p50 ms 1.50 – 1.50 1.50–1.50 ≤ 1 MISSED", "bullmq – – – – – 3200 – –", "drained/s / before 4000 2000 2.00 2.00–2.00",
	} {
		if words := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(words, line) {
			t.Errorf("the report does not say %q:\n%s", line, out.String())
		}
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for f, want := range map[float64]string{0: "0", 0.00271: "0.0027", 0.5: "0.50", 9.876: "9.88", 12.34: "12.3", -150.4: "-150", 20000: "20000"} {
		if got := number(f); got != want {
			t.Errorf("number(%v) = %q, want %q", f, got, want)
		}
	}
}

// Each name says one target, since targets are kept by it.
func TestTargetsHaveNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, target := range targets {
		if seen[target.name()] {
			t.Errorf("%s is there twice", target.name())
		}
		seen[target.name()] = true
	}
}
