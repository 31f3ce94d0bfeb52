package main

import "slices"

// book has what was measured: by system and figure, a number for each round.
type book struct {
	values map[string]map[string][]float64
}

func newBook() *book { return &book{map[string]map[string][]float64{}} }

func (b *book) add(system string, figures map[string]float64) {
	if b.values[system] == nil {
		b.values[system] = map[string][]float64{}
	}
	for figure, value := range figures {
		b.values[system][figure] = append(b.values[system][figure], value)
	}
}

// has says whether any system has one of some figures.
func (b *book) has(figures []string) bool {
	for _, of := range b.values {
		for figure := range of {
			if slices.Contains(figures, figure) {
				return true
			}
		}
	}
	return false
}

// median is the middle of all rounds.
func (b *book) median(system, figure string) (float64, bool) {
	return median(b.values[system][figure])
}

func median(values []float64) (float64, bool) {
	if len(values) == 0 {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2, true
	}
	return sorted[middle], true
}

// measured is a target's number: of the medians, and the lowest and the highest
// of single rounds.
type measured struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// measure works out a target's number, if what it needs was measured.
func (b *book) measure(t target) (measured, bool) {
	own, ok := b.median(ours, t.figure)
	if !ok {
		return measured{}, false
	}
	rounds := slices.Clone(b.values[ours][t.figure])
	m := measured{Value: own}
	if t.peer != "" {
		peer, ok := b.median(t.peer, t.theirs())
		if !ok {
			return measured{}, false
		}
		m.Value = t.against(own, peer)
		others := b.values[t.peer][t.theirs()]
		rounds = rounds[:min(len(rounds), len(others))]
		for i := range rounds {
			rounds[i] = t.against(rounds[i], others[i])
		}
	}
	m.Low, m.High = min(m.Value, slices.Min(rounds)), max(m.Value, slices.Max(rounds))
	return m, true
}
