package law

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// The own times of the models of data/models/h100, ms, and a staircase of 25.
var (
	modelTimes = []float64{0.448, 0.606, 0.636, 1.229, 1.296, 1.778, 2.173, 2.277, 2.411, 3.240}
	stairTimes = func() (t []float64) {
		for i := range 25 {
			t = append(t, 0.4*math.Pow(15, float64(i)/24))
		}
		return t
	}()
)

// stairs draws what models would take beside a full link by a law, with the noise of
// three replicates.
func stairs(times []float64, law func(own float64) float64, noise float64, rng *rand.Rand) (points []Point) {
	for i, own := range times {
		for range 3 {
			p := Point{Level: fmt.Sprint(i), Own: own * 1e6, OwnP99: own * 1.02e6, Loads: 1}
			p.Median = law(p.Own) * math.Exp(noise*rng.NormFloat64())
			p.P99 = law(p.OwnP99) * math.Exp(2*noise*rng.NormFloat64())
			points = append(points, p)
		}
	}
	return points
}

func TestStairs(t *testing.T) {
	const turn = 1_051_500.0
	for law, of := range map[string]func(float64) float64{
		Turns: func(own float64) float64 { return math.Ceil(own/turn)*turn + 8e3 },
		Line:  func(own float64) float64 { return 0.4e6 + 1.2*own },
	} {
		for name, times := range map[string][]float64{"ten models": modelTimes, "a staircase": stairTimes} {
			rng := rand.New(rand.NewPCG(1, 2))
			const sets = 10
			claimed := map[string]int{}
			var c Comparison
			for range sets {
				var err error
				if c, err = Stairs(stairs(times, of, 0.003, rng)); err != nil {
					t.Fatal(err)
				}
				claimed[c.Law]++
			}
			for other := range claimed {
				if other != law && other != "" {
					t.Errorf("%s, %s: claimed %v", name, law, claimed)
				}
			}
			if claimed[law] < sets*9/10 {
				t.Errorf("%s: %s is claimed in %v of %d", name, law, claimed, sets)
			}
			if law == Turns && (c.Median[0].Law != Turns || math.Abs(c.Median[0].B/turn-1) > 0.01) {
				t.Errorf("%s: %v", name, c.Median[0])
			}
			// What is simulated at the design agrees.
			d, ok := c.Design()
			if !ok {
				t.Fatalf("%s: no design", name)
			}
			if name == "ten models" {
				if m := d.Confuse(10, 1); !m.Identifies(law) {
					t.Errorf("%s: the design does not identify %s: %v", name, law, m)
				}
			}
		}
	}
}

// With two loads the step is two turns.
func TestStairsOfSeveralLoads(t *testing.T) {
	const turn = 1_051_500.0
	rng := rand.New(rand.NewPCG(3, 4))
	var points []Point
	for _, n := range []float64{1, 2, 3} {
		for i, own := range modelTimes {
			p := Point{Level: fmt.Sprint(n, i), Own: own * 1e6, OwnP99: own * 1e6, Copy: 10e3, Loads: n}
			p.Median = (math.Ceil((p.Own-p.Copy)/(n*turn))*n*turn + p.Copy) * math.Exp(0.003*rng.NormFloat64())
			p.P99 = p.Median * 1.01
			points = append(points, p)
		}
	}
	c, err := Stairs(points)
	if err != nil || c.Law != Turns || math.Abs(c.Median[0].B/turn-1) > 0.01 {
		t.Errorf("%+v, %v", c.Median, err)
	}
}

func TestStairsRefuses(t *testing.T) {
	for _, p := range []Point{
		{Own: 0, Loads: 1, Median: 1, P99: 1}, {Own: 1, OwnP99: 1, Copy: 1, Loads: 1, Median: 1, P99: 1}, {Own: 1, OwnP99: 1, Loads: 0, Median: 1, P99: 1},
		{Own: 1, OwnP99: 0.5, Loads: 1, Median: 1, P99: 1}, {Own: 1, OwnP99: 1, Loads: math.NaN(), Median: 1, P99: 1}, {Own: 1, OwnP99: 1, Loads: 1, Median: 0, P99: 1}, {Own: math.Inf(1), Loads: 1, Median: 1, P99: 1},
	} {
		if _, err := Stairs([]Point{p}); err == nil {
			t.Errorf("%+v is taken", p)
		}
	}
	c, err := Stairs([]Point{{Own: 1, OwnP99: 1, Loads: 1, Median: 2, P99: 2}})
	if err != nil || c.Law != "" || c.Because == "" {
		t.Errorf("one model: %+v, %v", c, err)
	}
}

// The paper's levels, device to host: whatever the share, a call beside more than one
// copy ready takes two turns. Laws in the share of the link see a jump from 85 to 96%.
func TestTurnsOverEveryLevel(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var points []Point
	for i, rho := range []float64{0, 0.847, 0.963, 0.978, 0.987, 0.990} {
		for range 5 {
			y := 1.227e6
			loads := 0.0
			switch {
			case i == 1:
				y = 1.25e6
			case i > 1:
				y, loads = 2.121e6, 1
			}
			points = append(points, Point{
				Level: fmt.Sprint(i), Utilisation: rho, Queued: float64(i*i) * 0.08e6, Service: float64(i) * 0.08e6,
				Loads: loads, Median: y * math.Exp(0.004*rng.NormFloat64()), P99: 1.02 * y * math.Exp(0.008*rng.NormFloat64()),
			})
		}
	}
	g, err := Grow(points)
	if err != nil {
		t.Fatal(err)
	}
	if g.Law != "" || g.Whole == nil || g.Whole.Law != Turns {
		t.Fatalf("below a full link %q, over all %+v", g.Law, g.Whole)
	}
	if behind, out := g.Whole.Behind(Exponential); !out || behind[0] < Margin {
		t.Errorf("exponential lies behind by %v", behind)
	}
	// Unknown turns, or a level that is not full, and nothing is said.
	for i := range points {
		points[i].Loads = math.NaN()
	}
	if g, err = Grow(points); err != nil || g.Whole != nil {
		t.Errorf("without turns: %+v, %v", g.Whole, err)
	}
}
