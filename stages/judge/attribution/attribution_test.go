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

func TestAttribute(t *testing.T) {
	of := func(ms ...float64) (ns []float64) {
		for _, v := range ms {
			ns = append(ns, v*1e6)
		}
		return ns
	}
	base := func() map[string][]float64 {
		return map[string][]float64{
			Alone: of(1.226, 1.225, 1.228), Reference: of(2.121, 2.120, 2.122), Single: of(1.265, 1.262, 1.266), Little: of(1.240, 1.241, 1.239),
			Twice: of(2.120, 2.121, 2.119), Device: of(1.228, 1.226, 1.227), Processor: of(1.226, 1.227, 1.228),
		}
	}
	with := func(change func(map[string][]float64)) map[string][]float64 { m := base(); change(m); return m }
	for _, tt := range []struct {
		name    string
		medians map[string][]float64
		cause   string
		says    string
	}{
		{"turns", base(), ByTurns, "96% of the slowdown"},
		{"queued bytes", with(func(m map[string][]float64) { m[Twice] = of(3.01, 3.02, 3.0) }), ByQueue, ""},
		{"copies in flight were not doubled", with(func(m map[string][]float64) { delete(m, Twice) }), "", "turns and queued bytes cannot be told apart"},
		{"nothing", with(func(m map[string][]float64) { m[Reference], m[Single] = m[Alone], m[Alone] }), "", "slows nothing"},
		{"memory", with(func(m map[string][]float64) {
			for _, k := range []string{Reference, Single, Little, Twice, Device} {
				m[k] = of(1.6, 1.601, 1.599)
			}
		}), ByMemory, ""},
		{"a control that slows by more", with(func(m map[string][]float64) { m[Device] = of(1.6, 1.601, 1.599) }), ByTurns, ""},
		{"a light load that speeds up", with(func(m map[string][]float64) { m[Little] = of(0.9, 0.901, 0.899) }), "", "do not belong together"},
		{"two halves", with(func(m map[string][]float64) { m[Single] = of(1.673, 1.674, 1.672) }), "", "may be less than half"},
	} {
		a, err := Attribute(tt.medians, 0.05)
		if err != nil || a.Cause != tt.cause || !strings.Contains(a.Because, tt.says) {
			t.Errorf("%s: %+v, %v; want %q, %q", tt.name, a, err, tt.cause, tt.says)
		}
	}
	// A resource that was stressed more than a light load does is no part of the sum.
	more, _ := Attribute(with(func(m map[string][]float64) { m[Device] = of(1.6, 1.601, 1.599) }), 0.05)
	if slices.ContainsFunc(more.Parts, func(p Part) bool { return p.Cause == ByMemory }) || !slices.ContainsFunc(more.Parts, func(p Part) bool { return p.Cause == ByAny }) || len(more.Untold) != 1 {
		t.Errorf("%+v", more)
	}
	a, _ := Attribute(with(func(m map[string][]float64) { delete(m, Device); delete(m, Little) }), 0.05)
	if !slices.Equal(a.Untold, []string{ByMemory, ByCommands}) || len(a.Table()) != 1+len(a.Parts)+1 {
		t.Errorf("untold %q: %v", a.Untold, a.Table())
	}
	for name, m := range map[string]map[string][]float64{
		"nothing was measured": with(func(m map[string][]float64) { delete(m, Single) }),
		"a median of":          with(func(m map[string][]float64) { m[Twice] = of(-1) }),
		"says nothing of":      {Alone: of(1), Reference: of(2), Single: of(1)},
	} {
		if _, err := Attribute(m, 0.05); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

// An interval holds what it should: contrasts of means of replicates, nineteen in twenty.
func TestAttributionIntervals(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	truth := map[string]float64{Alone: 1, Reference: 2, Single: 1.3, Little: 1.1, Twice: 2, Device: 1.05, Processor: 1.02}
	names := slices.Sorted(maps.Keys(truth))
	const sets = 400
	inside, all := 0, 0
	for range sets {
		medians := map[string][]float64{}
		for _, n := range names {
			for range 4 {
				medians[n] = append(medians[n], truth[n]*math.Exp(0.01*rng.NormFloat64())*1e6)
			}
		}
		a, err := Attribute(medians, 0.05)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]float64{ByTurns: 0.7, ByCopy: 0.2, ByMemory: 0.05, ByProcessor: 0.02, ByCommands: 0.03}
		for _, p := range a.Parts {
			if w, ok := want[p.Cause]; ok {
				if all++; p.Low <= w*1e6 && w*1e6 <= p.High {
					inside++
				}
			}
		}
	}
	if share := float64(inside) / float64(all); share < 0.935 || share > 0.965 {
		t.Errorf("%.1f%% of %d intervals hold the truth", 100*share, all)
	}
}
