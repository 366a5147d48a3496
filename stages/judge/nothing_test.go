package judge

import (
	"encoding/json"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/stages/recording"
)

// That nothing changes is claimed where it does not, refuted where it does, and
// left open where the data cannot tell; never in more than the 5% of sets in which
// intervals may miss.
func TestSimulatedControls(t *testing.T) {
	sets := simulations(200)
	for _, c := range []struct {
		name    string
		by      float64 // of the median, at the level tested
		apart   float64 // replicates
		verdict string
		least   float64 // share of sets
	}{
		{"nothing", 0, 0.005, cell.Reproduced, 0.9},
		{"the edge of nothing", 0.05, 0.005, cell.NotIdentified, 0.9},
		{"something", 0.15, 0.005, cell.Refuted, 0.9},
		{"noise", 0, 0.1, cell.NotIdentified, 0.6},
	} {
		count := map[string]int{}
		for i := range sets {
			s := study{rho: []float64{0, 1}, latency: slowed(c.by), noise: 0.02, apart: c.apart, calls: 100, reps: 8}
			r := judged(t, s, uint64(i), nil, Options{Draws: 100, Sets: -1, DriftMargin: 10})
			count[r.Nothing("level=1").Verdict]++
		}
		t.Logf("%s: %v", c.name, count)
		share := func(verdict string) float64 { return float64(count[verdict]) / float64(sets) }
		if share(c.verdict) < c.least || c.by >= 0.05 && share(cell.Reproduced) > 0.05 || c.by <= 0.05 && share(cell.Refuted) > 0.05 {
			t.Errorf("%s: %v", c.name, count)
		}
	}
}

func TestHarness(t *testing.T) {
	s := study{rho: []float64{0, 1}, latency: flat, noise: 0.02, calls: 300, reps: 3}
	for _, c := range []struct{ run, verdict, says string }{
		{`{"trials": [{"infer": {"jitter_ns": {"p50": 100000}}}]}`, cell.Reproduced, "0.1% of the median at level=0"},
		{`{"trials": [{"infer": {"jitter_ns": {"p50": 2000000}}}]}`, cell.Refuted, "2% of the median"},
		{`{}`, cell.NotIdentified, "not recorded"},
	} {
		var run recording.Run
		if err := json.Unmarshal([]byte(c.run), &run); err != nil {
			t.Fatal(err)
		}
		r := judged(t, s, 1, &run, quick)
		if v := r.Harness(); v.Verdict != c.verdict || !strings.Contains(v.Because, c.says) {
			t.Errorf("%+v, want %s with %q", v, c.verdict, c.says)
		}
		if v := r.Nothing("level=7"); v.Verdict != cell.NotIdentified || !strings.Contains(v.Because, "level=7 was not measured") {
			t.Errorf("%+v", v)
		}
	}
	s.drift = 0.5
	r := judged(t, s, 1, nil, quick)
	if r.Nothing("level=1").Verdict != cell.Invalid || r.Harness().Verdict != cell.Invalid {
		t.Errorf("a baseline that drifted: %+v", r.Nothing("level=1"))
	}
}
