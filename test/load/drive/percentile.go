package drive

import (
	"math"
	"slices"
)

// Percentile returns the smallest value that p percent of all are not above. It
// sorts values; of none it is not a number.
func Percentile[T ~int64 | ~float64](values []T, p float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	i := int(math.Ceil(p/100*float64(len(values)))) - 1
	return float64(values[min(max(i, 0), len(values)-1)])
}
