package examples

import (
	"encoding/json"
	"math"
	"testing"
)

// compareTour compares a tour that was found with the shortest one, which it finds by
// trying all.
func compareTour(t *testing.T, found string, stops [][2]float64) {
	t.Helper()
	var tour struct {
		Length float64
		Order  []int
	}
	check(t, json.Unmarshal([]byte(found), &tour))
	if len(tour.Order) != len(stops) || !near(along(stops, tour.Order), tour.Length) {
		t.Fatalf("%s is not as long as it says, or leaves a stop out", found)
	}
	if want := shortest(stops, []int{0}); !near(want, tour.Length) {
		t.Errorf("the tour is %f long, the shortest is %f", tour.Length, want)
	}
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

// along is the length of a tour, with the way back. It is infinite for one that
// passes a stop twice.
func along(stops [][2]float64, order []int) float64 {
	length, seen := 0.0, map[int]bool{}
	for i, stop := range order {
		if seen[stop] {
			return math.Inf(1)
		}
		seen[stop] = true
		next := stops[order[(i+1)%len(order)]]
		length += math.Hypot(next[0]-stops[stop][0], next[1]-stops[stop][1])
	}
	return length
}

// shortest tries every order that begins as said.
func shortest(stops [][2]float64, order []int) float64 {
	if len(order) == len(stops) {
		return along(stops, order)
	}
	best := math.Inf(1)
	for next := range stops {
		used := false
		for _, stop := range order {
			used = used || stop == next
		}
		if !used {
			best = min(best, shortest(stops, append(order[:len(order):len(order)], next)))
		}
	}
	return best
}
