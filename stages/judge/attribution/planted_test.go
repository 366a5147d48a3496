//go:build !race

package attribution

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/stages/device/sim"
	"barograph/stages/judge"
)

// The loads of configs/attribution.yaml, whose directions are the reference's or its
// opposite's.
var experiments = map[string]string{
	Alone:     `{"threads": 0}`,
	Reference: `{"threads": 4, "block": "4MiB", "direction": "%s"}`,
	Twice:     `{"threads": 8, "block": "4MiB", "direction": "%s"}`,
	Single:    `{"threads": 1, "block": "4MiB", "direction": "%s"}`,
	Little:    `{"threads": 1, "block": "512KiB", "direction": "%s"}`,
	Half:      `{"threads": 4, "block": "4MiB", "direction": "%s", "rate": "50%%"}`,
	Device:    `{"threads": 4, "block": "4MiB", "direction": "d2d"}`,
	Processor: `{"threads": 4, "block": "4MiB", "direction": "h2h"}`,
}

// A plant is a bottleneck put into the simulated link.
type plant struct {
	cause     string
	direction string
	sim       map[string]float64
}

// planted draws one, in a machine of its own, with a weaker second one beside it in one
// case of three.
func planted(rng *rand.Rand) plant {
	between := func(low, high float64) float64 { return low + (high-low)*rng.Float64() }
	compute := between(0.4e6, 6e6)
	bandwidth := between(11e9, 55e9)
	p := plant{direction: "h2d", sim: map[string]float64{
		"compute_ns": compute, "noise": between(0.002, 0.02), "bandwidth_h2d": bandwidth, "bandwidth_d2h": bandwidth,
		"overhead_ns": between(1e3, 6e3), "gap_ns": between(1e3, 10e3), "jitter_ns": between(0, 3e3), "lead_ns": 5e7,
		"small_idle": 24 << 10, "small_behind": 24 << 10, "bytes_in": 3072, "copies_in": 3, "bytes_out": 0,
	}}
	plants := map[string]func(strength float64){
		ByMemory:    func(s float64) { p.sim["memory"] = s },
		ByProcessor: func(s float64) { p.sim["processor"] = s },
		ByCommands:  func(s float64) { p.sim["fetch_ns"] = s * compute },
	}
	causes := []string{ByTurns, ByQueue, ByMemory, ByProcessor, ByCommands, ""}
	p.cause = causes[rng.IntN(len(causes))]
	out := func() { p.direction, p.sim["bytes_out"] = "d2h", between(4e3, 1e6) }
	strength := between(0.12, 0.8)
	switch p.cause {
	case ByTurns:
		out()
		turn := compute * between(0.3, 3)
		p.sim["turn_d2h_ns"], p.sim["turn_h2d_ns"], p.sim["switch_ns"] = turn, turn, 2e3
	case ByQueue:
		out()
	case "":
	default:
		plants[p.cause](strength)
	}
	if p.cause != "" && rng.IntN(3) == 0 {
		for _, second := range []string{ByMemory, ByProcessor} {
			if second != p.cause {
				plants[second](0.02)
				break
			}
		}
	}
	return p
}

// attributed runs every experiment on the plant's machine, without knowing what was planted.
func attributed(t *testing.T, p plant, seed uint64) *Attribution {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	medians := map[string][]float64{}
	for _, name := range slices.Sorted(maps.Keys(experiments)) {
		with := experiments[name]
		if strings.Contains(with, "%s") {
			with = fmt.Sprintf(with, p.direction)
		}
		for replicate := range uint64(5) {
			m := cell.Machine{Name: "planted", Device: "sim", Sim: maps.Clone(p.sim)}
			m.Sim["compute_ns"] *= math.Exp(0.005 * rng.NormFloat64()) // replicates differ
			calls, err := sim.Run(m, []cell.Input{{Kind: "stress", ID: "stress", With: []byte(with)}}, sim.Request{Warmup: 5, Calls: 101, Seed: seed*100 + replicate})
			if err != nil {
				t.Fatal(err)
			}
			latencies := make([]int64, len(calls))
			for i, c := range calls {
				latencies[i] = c.Latency
			}
			slices.Sort(latencies)
			medians[name] = append(medians[name], float64(latencies[50]))
		}
	}
	a, err := Attribute(medians, judge.Defaults.Negligible)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, part := range a.Parts {
		sum += part.Value
	}
	if math.Abs(sum-a.Slowdown.Value) > 1e-6*a.Alone {
		t.Errorf("parts add up to %.0f ns of %.0f", sum, a.Slowdown.Value)
	}
	return a
}

// A hundred bottlenecks are planted in as many machines: at least 95 are named, at
// most one is named wrong. Naming nothing is right where nothing was planted.
func TestPlantedBottlenecks(t *testing.T) {
	rng := rand.New(rand.NewPCG(16, 6))
	right, wrong := 0, 0
	count := map[string]int{}
	for i := range uint64(100) {
		p := planted(rng)
		count[p.cause]++
		a := attributed(t, p, i)
		switch {
		case a.Cause == p.cause:
			right++
		case a.Cause != "":
			wrong++
			t.Logf("%d: planted %q, named %q: %s\n%v", i, p.cause, a.Cause, a.Because, a.Table())
		default:
			t.Logf("%d: planted %q, not identified: %s\n%v", i, p.cause, a.Because, a.Table())
		}
	}
	t.Logf("%d right, %d wrong, of %v", right, wrong, count)
	if right < 95 || wrong > 1 {
		t.Errorf("%d of 100 are right and %d wrong", right, wrong)
	}
}
