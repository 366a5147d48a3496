package stats

import (
	"math"
	"slices"
	"sort"
)

// An ECDF is the empirical distribution of a sample: the step function that
// rises by 1/n at each sample, from 0 on the left of all to 1 from the largest
// on.
type ECDF struct {
	sorted []int64
}

// NewECDF sorts a copy of the samples, in nanoseconds; those that ascend it takes as they
// are, and they must not be changed. It refuses none.
func NewECDF(samples []int64) (*ECDF, error) {
	if len(samples) > 0 && slices.IsSorted(samples) {
		return &ECDF{samples}, nil
	}
	return Pool(samples)
}

// Pool sorts a copy of the samples of several replicates together.
func Pool(replicates ...[]int64) (*ECDF, error) {
	all := slices.Concat(replicates...)
	if len(all) == 0 {
		return nil, errNoSamples
	}
	Sort(all)
	return &ECDF{all}, nil
}

// N returns the number of samples.
func (e *ECDF) N() int { return len(e.sorted) }

// Sorted returns the samples in ascending order; the caller must not change them.
func (e *ECDF) Sorted() []int64 { return e.sorted }

// Count returns how many samples are at most x.
func (e *ECDF) Count(x int64) int {
	return sort.Search(len(e.sorted), func(i int) bool { return e.sorted[i] > x })
}

// At returns the share of samples that are at most x.
func (e *ECDF) At(x int64) float64 { return float64(e.Count(x)) / float64(len(e.sorted)) }

// Quantile returns the smallest sample x with At(x) >= q: the inverse of the
// step function, definition 1 of Hyndman and Fan, "Sample Quantiles in
// Statistical Packages" (The American Statistician 50, 1996).
func (e *ECDF) Quantile(q float64) int64 {
	rank := math.Ceil(q*float64(len(e.sorted)) - hair)
	return e.sorted[int(min(max(rank, 1), float64(len(e.sorted))))-1]
}

// DKW returns the half height of the confidence band around the ECDF of n
// independent samples (rule 5): sqrt(ln(2/alpha) / 2n), with the constant of
// Massart, "The Tight Constant in the Dvoretzky-Kiefer-Wolfowitz Inequality"
// (Annals of Probability 18, 1990), and never more than 1. Give the effective n
// where samples depend on one another (rule 6).
func DKW(n, confidence float64) float64 {
	if !(n > 0) || !(confidence < 1) {
		return 1
	}
	return math.Min(1, math.Sqrt(math.Log(2/(1-math.Max(confidence, 0)))/(2*n)))
}

// FarOut is the share of outliers above which a sample is doubtful. Of a normal
// distribution two in a million are.
const FarOut = 0.02

// Outliers returns the share of samples that lie more than three interquartile
// ranges beyond the quartiles: "far out" in Tukey, "Exploratory Data Analysis"
// (1977), section 2D. They are counted, never removed.
func (e *ECDF) Outliers() float64 {
	low, high := float64(e.Quantile(0.25)), float64(e.Quantile(0.75))
	reach := 3 * (high - low)
	n := 0
	for _, v := range e.sorted {
		if x := float64(v); x < low-reach || x > high+reach {
			n++
		}
	}
	return float64(n) / float64(len(e.sorted))
}
