package nb

import (
	"errors"

	"barograph/stages/stats"
)

// A Box is what a box plot shows of values: quartiles by a definition, whiskers, and
// what lies outside them.
type Box = stats.Box

// Quantile returns a quantile of values, from 0 to 1, by the definition that is
// named, such as stats.Linear: nine are in use, and no two agree. A value that is not
// a number ends the notebook. It stands for stat.Quantile, which is a rank too high
// where q times n is rounded up, and for series.Quantile, Series.Median and
// DataFrame.Describe, which call it or lose NaN.
func Quantile(values []float64, q float64, definition stats.Definition) float64 {
	return try(stats.SampleQuantiles(values, definition, q)).or("Quantile", q, definition)[0]
}

// BoxOf returns the box of values: quartiles by the definition that is named, such as
// stats.Linear, and whiskers that end at the farthest values within reach
// interquartile ranges of them, or with 0 at the extremes. It stands for
// plotter.NewBoxPlot, whose quartiles of 1, 2 and 3 are 1 and 2.5.
func BoxOf(values []float64, definition stats.Definition, reach float64) Box {
	return try(stats.NewBox(values, definition, reach)).or("BoxOf", definition, reach)
}

// Edges returns the bins+1 edges of bins of one width between two numbers.
func Edges(low, high float64, bins int) []float64 {
	return try(stats.Edges(low, high, bins)).or("Edges", low, high, bins)
}

// Histogram counts values in bins between edges: bin i holds those from edges[i] on
// to below edges[i+1], the last one its upper edge too. A value beyond the edges is
// an error. It stands for plotter.NewHist, which puts tenths into the wrong bins and
// equal values all into one.
func Histogram(values, edges []float64) []int {
	return try(stats.Histogram(values, edges)).or("Histogram")
}

// KendallTauB returns Kendall's tau-b of pairs, corrected for ties. It stands for
// stat.Kendall, which counts ties as increases and depends on the order of rows.
func KendallTauB(x, y []float64) float64 { return try(stats.KendallTauB(x, y)).or("KendallTauB") }

// Deviation returns the standard deviation of values, weighted or with nil not. Only
// ratios of weights matter. It stands for stat.StdDev, stat.Variance and their kin
// with weights, which divide by the weights' sum less 1.
func Deviation(values, weights []float64) float64 {
	return try(stats.Deviation(values, weights)).or("Deviation")
}

// Sum returns the sum of whole numbers, exactly; one that an int64 cannot hold ends
// the notebook. It stands for Series.Sum, which adds float64.
func Sum(values []int64) int64 {
	var sum int64
	for _, v := range values {
		next := sum + v
		if (next > sum) != (v > 0) && v != 0 {
			called("Sum").check(errors.New("the sum is beyond what an int64 can hold"))
		}
		sum = next
	}
	return sum
}

// Range returns the least and the greatest of values; one that is not a number ends
// the notebook. It stands for Series.Min and Series.Max, which keep or lose NaN by
// where it stands.
func Range(values []float64) (low, high float64) {
	ends := try(stats.SampleQuantiles(values, stats.InvertedCDF, 0, 1)).or("Range")
	return ends[0], ends[1]
}
