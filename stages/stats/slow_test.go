package stats

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Slow times that were put into calls are found to a few calls; a mixture of short and
// long calls in no order, whatever its shares, has none, and neither has a shuffle of
// calls that have.
func TestSlowTimes(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	draw := func(long float64) []int64 {
		calls := make([]int64, 300)
		for i := range calls {
			calls[i] = 1_230_000 + rng.Int64N(20_000)
			if rng.Float64() < long {
				calls[i] = 2_120_000 + rng.Int64N(20_000)
			}
		}
		return calls
	}
	for range 20 {
		calls := draw(0.02)
		from, to := 40+rng.IntN(100), 200+rng.IntN(60) // 40 calls, and 15
		for i := range 40 {
			calls[from+i] = calls[from+i] * 5 / 4
		}
		for i := range 15 {
			calls[to+i] = calls[to+i] * 9 / 8
		}
		times := SlowTimes(calls)
		if len(times) != 2 || abs(times[0][0]-from) > 3 || abs(times[0][1]-from-40) > 3 || abs(times[1][0]-to) > 3 || abs(times[1][1]-to-15) > 3 {
			t.Errorf("from %d and %d: found %v", from, to, times)
		}
		if left := WithoutSlow(calls); len(left) < 300-55-12 || len(left) > 300-55+2 || slices.Max(left) > 2_700_000 {
			t.Errorf("%d calls left", len(left))
		}
	}
	found := 0
	for i := range 5000 {
		calls := draw([]float64{0, 0.02, 0.1, 0.25, 0.45}[i%5])
		if i%2 == 1 {
			for k := range 60 {
				calls[100+k] = calls[100+k] * 5 / 4
			}
			rng.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
		}
		found += len(SlowTimes(calls))
	}
	if found > 25 { // five in a thousand, where one is meant and places are many
		t.Errorf("%d slow times in 5,000 trials without order", found)
	}
	if SlowTimes(nil) != nil || SlowTimes([]int64{5}) != nil || len(WithoutSlow(nil)) != 0 {
		t.Error("no calls")
	}
}

func abs(n int) int { return max(n, -n) }
