package cuda

import (
	"math/rand/v2"
	"testing"
)

// A GPU's clock runs 20 parts in a million fast, the host learns of each end
// 5 microseconds late or more, and now and then by milliseconds: ends are told
// within 7 microseconds all the same, for as long as a trial takes.
func TestClock(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const origin, late = 1e12, 5_000
	c := clock{offset: origin + late}
	at := 0.0
	for i := range 200_000 {
		gap := 80_000 + 2e6*r.Float64()*float64(i%7/6)
		at += gap
		delay := late + 2_000*r.Float64()
		if r.IntN(10) == 0 {
			delay += 3e6 * r.Float64()
		}
		got := float64(c.tell(gap*(1+20e-6), int64(origin+at+delay)))
		if off := got - (origin + at); off < 0 || off > late+2_000 {
			t.Fatalf("copy %d: told %.0f ns after it ended", i, off)
		}
	}
}
