package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Sort sorts whatever there is: few and many, close together and as far apart as int64
// reaches, sorted before and not.
func TestSort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{0, 1, 2, 2047, 2048, 5000}).Draw(t, "n")
		spread := rapid.SampledFrom([]int64{1, 2, 1 << 10, 1 << 11, 1 << 22, 1<<22 + 1, 1 << 43, 1 << 45, math.MaxInt64}).Draw(t, "spread")
		low := rapid.SampledFrom([]int64{0, -5, 1_200_000, math.MinInt64, -math.MaxInt64 / 2}).Draw(t, "low")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		times := make([]int64, n)
		for i := range times {
			times[i] = low + rng.Int64N(spread)
		}
		want := slices.Clone(times)
		slices.Sort(want)
		if Sort(times); !slices.Equal(times, want) {
			t.Fatalf("%d times from %d on, %d apart, are not in order", n, low, spread)
		}
	})
}
