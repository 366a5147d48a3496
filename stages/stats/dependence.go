package stats

import "math"

// Lag1 returns the lag-1 autocorrelation of samples in the order they were
// taken, from -1 to 1, pooled over replicates without reaching from one into
// the next (rule 6). Samples that do not vary, or fewer than two, give 0.
func Lag1(replicates [][]int64) float64 {
	var cross, square float64
	for _, r := range replicates {
		var mean float64
		for i, x := range r {
			mean += (float64(x) - mean) / float64(i+1)
		}
		for i, x := range r {
			d := float64(x) - mean
			square += d * d
			if i > 0 {
				cross += d * (float64(r[i-1]) - mean)
			}
		}
	}
	if square == 0 {
		return 0
	}
	return cross / square
}

// EffectiveN returns how many independent samples n samples with lag-1
// autocorrelation r are worth if they form a first-order autoregression:
// n(1-r)/(1+r) (Bayley and Hammersley, "The 'Effective' Number of Independent
// Observations in an Autocorrelated Time Series", JRSS Supplement 8, 1946).
// It is never more than n, so that negative correlation earns nothing, nor
// less than 1.
func EffectiveN(n int, r float64) float64 {
	r = math.Min(math.Max(r, 0), 1)
	return math.Min(float64(n), math.Max(1, float64(n)*(1-r)/(1+r)))
}
