package link

import (
	"math"
	"math/rand/v2"
	"testing"
)

// stairs makes the staircase of a law, which says what a call takes beside a load
// that takes so long alone.
func stairs(noise float64, law func(alone float64) float64) *Turn {
	r := rand.New(rand.NewPCG(1, 2))
	t := &Turn{}
	for i := range 42 {
		alone := 11_000 + float64(i)*5e6/41
		v := int64(law(alone) + noise*r.NormFloat64())
		t.Steps = append(t.Steps, Step{Load: full[0], Kernel: int64(alone) - 11_000, Alone: int64(alone), Calls: 30, P10: v - 1000, P50: v, P90: v + 1000})
	}
	return t
}

// A turn that was put in comes out, within its interval; a queue, whose waits are a
// constant or end with a copy of the load, is no turn.
func TestFit(t *testing.T) {
	for _, length := range []float64{0.5e6, 1.0515e6, 2e6} {
		const own = 6_500
		got := stairs(300, func(alone float64) float64 { return math.Ceil((alone-own)/length)*length + own })
		got.fit(2_000)
		if !got.Seen || math.Abs(got.Length.Value-length) > 0.002*length || got.Length.Low > got.Length.Value || got.Length.High < got.Length.Value {
			t.Errorf("a turn of %v: %+v, line %v", length, got.Length, got.Line)
		}
		if math.Abs(got.Own.Value-own) > 1_000 {
			t.Errorf("a turn of %v: own time %+v, not %v", length, got.Own, own)
		}
	}
	for name, law := range map[string]func(alone float64) float64{
		"no wait":         func(alone float64) float64 { return alone },
		"a constant":      func(alone float64) float64 { return alone + 300_000 },
		"a queue's grain": func(alone float64) float64 { return math.Ceil(alone/76_000)*76_000 + 3*76_000 },
	} {
		got := stairs(300, law)
		if got.fit(2_000); got.Seen {
			t.Errorf("%s: a turn of %+v, line %v", name, got.Length, got.Line)
		}
	}
}
