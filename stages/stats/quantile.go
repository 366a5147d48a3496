package stats

import (
	"encoding/json"
	"fmt"
	"math"
	"sort"

	"gonum.org/v1/gonum/mathext"
)

// A Quantile is a quantile of a sample with its interval, in nanoseconds.
type Quantile struct {
	Q float64
	N int
	// Value is the sample at rank ceil(qN), NaN when N does not carry q.
	Value float64
	// Low and High are samples too: the order statistics at LowRank and
	// HighRank (from 1), NaN when N does not carry an interval.
	Low, High         float64
	LowRank, HighRank int
	// Confidence is what the interval covers for any continuous distribution of
	// independent samples, at least what was asked for; 0 without an interval.
	Confidence float64
	// Doubt says why a number is missing, and is empty otherwise.
	Doubt string
}

// MarshalJSON writes numbers that are not given as null.
func (q Quantile) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Q          float64  `json:"q"`
		N          int      `json:"n"`
		Value      *float64 `json:"value_ns"`
		Low        *float64 `json:"low_ns"`
		High       *float64 `json:"high_ns"`
		Confidence float64  `json:"confidence"`
		Doubt      string   `json:"doubt,omitempty"`
	}{q.Q, q.N, nullable(q.Value), nullable(q.Low), nullable(q.High), q.Confidence, q.Doubt})
}

// Interval returns quantile q with its order-statistic interval (rules 4 and 7).
//
// The number B of samples at or below the true quantile is binomial(n, q), so
// the samples of rank l and u enclose it with probability P(l <= B < u),
// whatever the distribution (David and Nagaraja, "Order Statistics", 3rd
// edition, section 7.1). Ranks leave at most half of 1-confidence on either
// side; where the sample ends before that, as for p99 of 300, the other side
// gets what is left. The probability is exact, by the incomplete beta function.
func (e *ECDF) Interval(q, confidence float64) (Quantile, error) {
	if err := checkQuantile(q, confidence); err != nil {
		return Quantile{}, err
	}
	n := len(e.sorted)
	r := Quantile{Q: q, N: n, Value: math.NaN(), Low: math.NaN(), High: math.NaN()}
	if need := Needed(q, confidence); n < need {
		r.Doubt = fmt.Sprintf("n too small: %s needs %d samples, has %d", Name(q), need, n)
		return r, nil
	}
	r.Value = float64(e.Quantile(q))
	low, high, covered := ranks(n, q, confidence)
	if covered < confidence {
		r.Doubt = fmt.Sprintf("n too small: no %v%% interval for %s from %d samples", 100*confidence, Name(q), n)
		return r, nil
	}
	r.LowRank, r.HighRank, r.Confidence = low, high, covered
	r.Low, r.High = float64(e.sorted[low-1]), float64(e.sorted[high-1])
	return r, nil
}

// Quantiles returns several quantiles of one sample, in the order asked for.
func Quantiles(samples []int64, qs []float64, confidence float64) ([]Quantile, error) {
	e, err := NewECDF(samples)
	if err != nil {
		return nil, err
	}
	return e.quantiles(qs, confidence)
}

func (e *ECDF) quantiles(qs []float64, confidence float64) (out []Quantile, err error) {
	out = make([]Quantile, len(qs))
	for i, q := range qs {
		if out[i], err = e.Interval(q, confidence); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ranks returns the order statistics, from 1, that enclose quantile q of n
// samples, and the probability that they do.
func ranks(n int, q, confidence float64) (low, high int, covered float64) {
	below := func(rank int) float64 { return binomialCDF(rank-1, n, q) } // P(B < rank): missed on the low side
	above := func(rank int) float64 { return binomialCDF(n-rank, n, 1-q) }
	lowest := func(miss float64) int { // largest rank missed with at most that probability; 0 for none
		return sort.Search(n, func(i int) bool { return below(i+1) > miss })
	}
	highest := func(miss float64) int { // smallest such rank on the other side; n+1 for none
		return 1 + sort.Search(n, func(i int) bool { return above(i+1) <= miss })
	}
	alpha := 1 - confidence
	low, high = lowest(alpha/2), highest(alpha/2)
	switch {
	case low < 1 && high > n:
		low, high = 1, n
	case high > n:
		high = n
		low = max(1, lowest(alpha-above(n)))
	case low < 1:
		low = 1
		high = min(n, highest(alpha-below(1)))
	}
	return low, high, 1 - below(low) - above(high)
}

// binomialCDF returns P(B <= k) for B binomial(n, p).
func binomialCDF(k, n int, p float64) float64 {
	switch {
	case k < 0:
		return 0
	case k >= n:
		return 1
	}
	return mathext.RegIncBeta(float64(n-k), float64(k+1), 1-p)
}

// reach returns the ranks between which the weights of Harrell and Davis lie. Beyond
// twelve standard deviations (and the skewed tail that few samples give) they add
// up to less than a float64 can tell from nothing.
func reach(q, n float64) (first, last int) {
	r := 12*math.Sqrt(q*(1-q)/(n+2)) + 40/n
	return int(math.Floor(max(0, q-r) * n)), int(math.Ceil(min(1, q+r) * n))
}
