package stats

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
)

// A Definition says what a quantile of a sample is. There are nine in use, which
// Hyndman and Fan number ("Sample Quantiles in Statistical Packages", The American
// Statistician 50, 1996; `type` in R); their names are those of NumPy.
type Definition string

const (
	InvertedCDF             Definition = "inverted_cdf"              // 1: the smallest value with a share of q at or below it, as [ECDF.Quantile]
	AveragedInvertedCDF     Definition = "averaged_inverted_cdf"     // 2: as 1, or the middle of two where both would do
	ClosestObservation      Definition = "closest_observation"       // 3: the value of the nearest rank, the even one of two
	InterpolatedInvertedCDF Definition = "interpolated_inverted_cdf" // 4: on lines between the steps of 1
	Hazen                   Definition = "hazen"                     // 5: on lines between the middles of the steps
	Weibull                 Definition = "weibull"                   // 6: value i stands at i/(n+1)
	Linear                  Definition = "linear"                    // 7: value i stands at (i-1)/(n-1); what R, NumPy and spreadsheets do unasked
	MedianUnbiased          Definition = "median_unbiased"           // 8: value i stands at (i-1/3)/(n+1/3); what Hyndman and Fan recommend
	NormalUnbiased          Definition = "normal_unbiased"           // 9: value i stands at (i-3/8)/(n+1/4)
)

// positions are the constants a and b of each definition: quantile q stands at rank
// a + q(n+1-a-b), from 1. The first three jump from value to value.
var positions = map[Definition]struct{ a, b float64 }{
	InvertedCDF:             {0, 1},
	AveragedInvertedCDF:     {0, 1},
	ClosestObservation:      {-0.5, 1.5},
	InterpolatedInvertedCDF: {0, 1},
	Hazen:                   {0.5, 0.5},
	Weibull:                 {0, 0},
	Linear:                  {1, 1},
	MedianUnbiased:          {1.0 / 3, 1.0 / 3},
	NormalUnbiased:          {0.375, 0.375},
}

// hair is how far beyond a rank rounding may carry a product such as 0.07*100 =
// 7.000000000000001.
const hair = 1e-9

// SampleQuantiles returns quantiles of values by a definition, in the order asked
// for; q runs from 0 to 1, both included. Values may come in any order; one that is
// not a number is refused.
func SampleQuantiles(values []float64, by Definition, qs ...float64) ([]float64, error) {
	at, ok := positions[by]
	if !ok {
		return nil, fmt.Errorf("no quantile is defined by the name %q; there is %q", by, slices.Sorted(maps.Keys(positions)))
	}
	sorted, err := sortedNumbers(values)
	if err != nil {
		return nil, err
	}
	n := float64(len(sorted))
	out := make([]float64, len(qs))
	for i, q := range qs {
		if !(q >= 0 && q <= 1) {
			return nil, fmt.Errorf("quantile %v is not between 0 and 1", q)
		}
		rank := at.a + q*(n+1-at.a-at.b)
		below := math.Floor(rank + hair)
		share := max(rank-below, 0)
		if share < hair {
			share = 0
		}
		switch {
		case by == InvertedCDF:
			share = math.Ceil(share)
		case by == AveragedInvertedCDF:
			share = (math.Ceil(share) + 1) / 2
		case by == ClosestObservation && (share > 0 || math.Mod(below, 2) != 0):
			share = 1
		}
		low := sorted[int(min(max(below, 1), n))-1]
		high := sorted[int(min(max(below+1, 1), n))-1]
		if out[i] = low; share > 0 && high != low {
			out[i] = (1-share)*low + share*high
		}
	}
	return out, nil
}

// sortedNumbers returns a sorted copy of values that are numbers.
func sortedNumbers(values []float64) ([]float64, error) {
	if err := checkNumbers(values); err != nil {
		return nil, err
	}
	return slices.Sorted(slices.Values(values)), nil
}

// checkNumbers refuses an empty sample, and one that holds what is not a number.
func checkNumbers(values []float64) error {
	if i := slices.IndexFunc(values, math.IsNaN); i >= 0 {
		return fmt.Errorf("value %d of %d is not a number", i+1, len(values))
	}
	if len(values) == 0 {
		return errors.New("there is no value")
	}
	return nil
}

// A Box is what a box plot shows of a sample.
type Box struct {
	N              int
	Q1, Median, Q3 float64
	Low, High      float64   // where the whiskers end
	Outside        []float64 // values beyond the whiskers, ascending
	Quartiles      Definition
	Reach          float64 // of the whiskers, in interquartile ranges
}

// NewBox returns the box of values, with quartiles by a definition. Whiskers end at
// the farthest values within reach interquartile ranges of the quartiles: 1.5 in
// Tukey, "Exploratory Data Analysis" (1977), section 2C; with 0 they end at the
// least and the greatest value. Where no value lies between a quartile and the end of
// its reach, there is no whisker: it ends at the quartile.
func NewBox(values []float64, by Definition, reach float64) (Box, error) {
	if !(reach >= 0) || math.IsInf(reach, 0) {
		return Box{}, fmt.Errorf("whiskers reach %v interquartile ranges, which must not be negative", reach)
	}
	quartiles, err := SampleQuantiles(values, by, 0.25, 0.5, 0.75)
	if err != nil {
		return Box{}, err
	}
	sorted, err := sortedNumbers(values)
	if math.IsInf(sorted[0], -1) || math.IsInf(sorted[len(sorted)-1], 1) {
		return Box{}, errors.New("a value is infinite")
	}
	b := Box{N: len(sorted), Q1: quartiles[0], Median: quartiles[1], Q3: quartiles[2], Quartiles: by, Reach: reach}
	first, last := 0, len(sorted)
	if reach > 0 {
		width := reach * (b.Q3 - b.Q1)
		first = sort.SearchFloat64s(sorted, b.Q1-width)
		last = sort.Search(len(sorted), func(i int) bool { return sorted[i] > b.Q3+width })
	}
	if b.Low, b.High = b.Q1, b.Q3; first < last {
		b.Low, b.High = min(sorted[first], b.Q1), max(sorted[last-1], b.Q3)
	}
	b.Outside = slices.Concat(sorted[:first], sorted[last:])
	return b, err
}

// Edges returns the edges of bins of one width between two numbers: bins+1 of them,
// each the number next to what it would be without rounding.
func Edges(low, high float64, bins int) ([]float64, error) {
	if !(low < high) || math.IsInf(high-low, 0) {
		return nil, fmt.Errorf("bins from %v to %v: want two numbers in ascending order", low, high)
	}
	if bins < 1 {
		return nil, fmt.Errorf("%d bins: want at least one", bins)
	}
	edges := make([]float64, bins+1)
	for i := range edges {
		edges[i] = low + (high-low)*float64(i)/float64(bins)
	}
	edges[bins] = high
	return edges, nil
}

// Histogram counts values in bins between edges, which ascend: bin i holds those
// from edges[i] on to below edges[i+1], the last one those that equal its upper edge
// too. A value beyond the edges is an error, since a bar that leaves it out lies.
func Histogram(values, edges []float64) ([]int, error) {
	if err := checkNumbers(values); err != nil {
		return nil, err
	}
	if len(edges) < 2 {
		return nil, fmt.Errorf("%d edges of bins: want at least two", len(edges))
	}
	for i, e := range edges[1:] {
		if !(e > edges[i]) {
			return nil, fmt.Errorf("edges of bins do not ascend: %v, then %v", edges[i], e)
		}
	}
	counts := make([]int, len(edges)-1)
	for _, v := range values {
		if v < edges[0] || v > edges[len(counts)] {
			return nil, fmt.Errorf("value %v is outside the bins, which run from %v to %v", v, edges[0], edges[len(counts)])
		}
		above := sort.Search(len(edges), func(i int) bool { return edges[i] > v })
		counts[min(above, len(counts))-1]++
	}
	return counts, nil
}

// Deviation returns the standard deviation of values around their mean, weighted or,
// with nil, not. Weights say how much each value counts, and only their ratios
// matter: they are those of reliability, as in the GNU Scientific Library's
// gsl_stats_wsd, and equal ones give the deviation of the n-1 formula.
func Deviation(values, weights []float64) (float64, error) {
	if err := checkNumbers(values); err != nil {
		return 0, err
	}
	if weights == nil {
		weights = slices.Repeat([]float64{1}, len(values))
	}
	if len(weights) != len(values) {
		return 0, fmt.Errorf("%d weights of %d values", len(weights), len(values))
	}
	var sum, squares, mean, around float64
	counted := 0
	for i, w := range weights {
		if !(w >= 0) || math.IsInf(w, 0) {
			return 0, fmt.Errorf("weight %d is %v, which must not be negative", i+1, w)
		}
		if w > 0 {
			counted++
			sum += w
			squares += w * w
			before := mean // as Welford and West, so that a large mean cancels nothing
			mean += w / sum * (values[i] - before)
			around += w * (values[i] - before) * (values[i] - mean)
		}
	}
	if counted < 2 {
		return 0, fmt.Errorf("%d values with a weight: a deviation needs 2", counted)
	}
	return math.Sqrt(around * sum / (sum*sum - squares)), nil
}
