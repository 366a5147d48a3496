package table

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// Shares are written as strconv writes them, ties and their neighbours too.
func TestAppendShare(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	check := func(v float64) {
		for _, v := range []float64{v, math.Nextafter(v, 0), math.Nextafter(v, 2)} {
			if got, want := AppendShare(nil, v), strconv.AppendFloat(nil, v, 'g', 8, 64); string(got) != string(want) {
				t.Fatalf("%b: %s, want %s", v, got, want)
			}
		}
	}
	for _, v := range []float64{0, 1e-9, 0.01, 0.1, 0.5, 0.99999999, 0.999999994, 0.999999995, 0.9999999999, 1, 12345678.9, -0.5, math.NaN(), math.Inf(1)} {
		check(v)
	}
	for range 1_000_000 {
		n := 1 + random.IntN(1<<random.IntN(30))
		check(float64(random.IntN(n+1)) / float64(n))
		check(random.Float64())
		check((float64(random.IntN(1e8)) + 0.5) / 1e8)
	}
}
