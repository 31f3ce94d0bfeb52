// Package near finds what somebody may have meant by a word that is not there:
// the words of a list that few typing errors lie between.
package near

import (
	"slices"
	"strings"
)

// most is how many words are suggested at most.
const most = 3

// To lists the words that are near to a word, the nearest first. A word is near
// if a third of its letters, two at least, have to be changed at most, or if it
// begins with what was written. Case does not count.
func To(word string, among []string) []string {
	type match struct {
		word  string
		edits int
	}
	var found []match
	lower := strings.ToLower(word)
	for _, candidate := range among {
		other := strings.ToLower(candidate)
		edits := distance([]rune(lower), []rune(other))
		allowed := max(2, len(lower)/3)
		if edits <= allowed && edits < len(lower) || lower != "" && strings.HasPrefix(other, lower) {
			found = append(found, match{candidate, edits})
		}
	}
	slices.SortStableFunc(found, func(a, b match) int { return a.edits - b.edits })
	var out []string
	for _, m := range found[:min(len(found), most)] {
		out = append(out, m.word)
	}
	return out
}

// distance is how many letters must be put in, taken out, replaced or swapped
// with their neighbour to make one word of the other.
func distance(a, b []rune) int {
	// rows[i][j] is the distance of a[:i] and b[:j].
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			differ := 1
			if a[i-1] == b[j-1] {
				differ = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+differ)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
