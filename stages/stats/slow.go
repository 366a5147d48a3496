package stats

import (
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// What makes calls slow for a while, see [SlowTimes].
const (
	slowBy    = 1.07  // of the trial's median
	slowGap   = 2     // calls in a row that are not
	slowCalls = 4     // at least
	slowFor   = 8e6   // nanoseconds at least
	slowOdds  = 0.001 // such times in a trial whose calls came in any order
)

// SlowTimes returns when all calls of a trial were slow, as places of the first call and
// of the one behind the last. Latencies are nanoseconds, in the order of the calls.
//
// A call is slow that takes 1.07 times the trial's median or more. A slow time is slow
// calls in a row, with two at most in between that are not: at least four calls, that
// last at least 8 ms, and so many of them slow that a trial in a thousand would have as
// many among as many calls if each call were slow by the trial's share of slow calls,
// whatever came before it. A trial whose load makes every other call wait therefore has
// none, and its slow calls stay. The last condition is the first of a scan statistic:
// calls of the trial times the binomial tail.
func SlowTimes(calls []int64) (times [][2]int) {
	if len(calls) == 0 {
		return nil
	}
	limit := slowBy * float64(slices.Sorted(slices.Values(calls))[len(calls)/2])
	slow := 0
	for i, l := range calls {
		if float64(l) <= limit {
			continue
		}
		slow++
		if n := len(times); n > 0 && i-times[n-1][1] <= slowGap {
			times[n-1][1] = i + 1
			continue
		}
		times = append(times, [2]int{i, i + 1})
	}
	share := float64(slow) / float64(len(calls))
	return slices.DeleteFunc(times, func(t [2]int) bool {
		sum, slow := int64(0), 0
		for _, l := range calls[t[0]:t[1]] {
			sum += l
			if float64(l) > limit {
				slow++
			}
		}
		if t[1]-t[0] < slowCalls || sum < slowFor {
			return true
		}
		byChance := distuv.Binomial{N: float64(t[1] - t[0]), P: share}
		return float64(len(calls))*byChance.Survival(float64(slow-1)) > slowOdds
	})
}

// WithoutSlow returns the calls of a trial that lie in none of its [SlowTimes].
func WithoutSlow(calls []int64) []int64 {
	var left []int64
	at := 0
	for _, t := range SlowTimes(calls) {
		left = append(left, calls[at:t[0]]...)
		at = t[1]
	}
	return append(left, calls[at:]...)
}
