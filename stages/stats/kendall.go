package stats

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// KendallTauB returns Kendall's tau-b of pairs: from -1, where the order of y is the
// reverse of that of x, to 1, where it is the same. Pairs that are tied in x or in y
// count for neither, and are taken out of what the difference is divided by (Kendall,
// "The Treatment of Ties in Ranking Problems", Biometrika 33, 1945). Without ties
// it is tau-a. The order of the pairs does not matter; time grows as n log n (Knight,
// Journal of the American Statistical Association 61, 1966).
func KendallTauB(x, y []float64) (float64, error) {
	if len(x) != len(y) {
		return 0, fmt.Errorf("tau-b of %d and %d values: want as many of each", len(x), len(y))
	}
	type pair struct{ x, y float64 }
	pairs := make([]pair, len(x))
	for i := range x {
		pairs[i] = pair{x[i], y[i]}
	}
	for _, values := range [][]float64{x, y} {
		if err := checkNumbers(values); err != nil {
			return 0, fmt.Errorf("tau-b: %w", err)
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Or(cmp.Compare(a.x, b.x), cmp.Compare(a.y, b.y)) })
	inX := tiedPairs(pairs, func(a, b pair) bool { return a.x == b.x })
	inBoth := tiedPairs(pairs, func(a, b pair) bool { return a == b })
	swaps := sortPairs(pairs, func(a, b pair) bool { return a.y > b.y }) // discordant pairs, each once
	inY := tiedPairs(pairs, func(a, b pair) bool { return a.y == b.y })
	n := float64(len(pairs))
	all := n * (n - 1) / 2
	if inX == all || inY == all {
		return 0, errors.New("tau-b: all values of one side are equal, so that it has no order")
	}
	// The root of each factor apart: their product would pass 2^53 at a hundred
	// million pairs, and lose that tau of equal orders is 1.
	difference := all - inX - inY + inBoth - 2*swaps
	if inX == inY {
		return difference / (all - inX), nil
	}
	return difference / math.Sqrt(all-inX) / math.Sqrt(all-inY), nil
}

// tiedPairs counts the pairs within each run of equal elements.
func tiedPairs[E any](sorted []E, equal func(a, b E) bool) (pairs float64) {
	for start := 0; start < len(sorted); {
		end := start + 1
		for end < len(sorted) && equal(sorted[start], sorted[end]) {
			end++
		}
		n := float64(end - start)
		pairs += n * (n - 1) / 2
		start = end
	}
	return pairs
}

// sortPairs sorts by merging, and counts how many pairs stood in the wrong order.
func sortPairs[E any](list []E, wrong func(a, b E) bool) (swaps float64) {
	if len(list) < 2 {
		return 0
	}
	left, right := slices.Clone(list[:len(list)/2]), list[len(list)/2:]
	swaps = sortPairs(left, wrong) + sortPairs(right, wrong)
	right = slices.Clone(right)
	for i := range list {
		switch {
		case len(right) == 0 || len(left) > 0 && !wrong(left[0], right[0]):
			list[i], left = left[0], left[1:]
		default:
			swaps += float64(len(left))
			list[i], right = right[0], right[1:]
		}
	}
	return swaps
}
