package prediction

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"gopkg.in/yaml.v3"

	"barograph/pipeline/cell"
	"barograph/stages/device/sim"
	"barograph/stages/link"
)

// The simulated machine sim-h100 is what the card says, and gives the recorded medians
// of the paper's levels in either direction.
func TestSimulatedMachine(t *testing.T) {
	card, err := link.Read(filepath.Join(root, link.File("h100")))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "configs/machines/sim-h100.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var m struct{ Sim map[string]float64 }
	if err := yaml.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	for name, want := range FromCard(card, false).Sim() {
		if got := m.Sim[name]; math.Abs(got-want) > 1e-3*want {
			t.Errorf("configs/machines/sim-h100.yaml: %s is %g, and the card says %.0f", name, got, want)
		}
	}
	for _, tt := range []struct {
		with string
		want float64 // ms, data/paper and data/paper-d2h
	}{
		{`{"threads": 0}`, 1.226},
		{`{"threads": 16, "block": "64MiB", "direction": "h2d"}`, 1.256},
		{`{"threads": 1, "block": "4MiB", "direction": "d2h"}`, 1.265},
		{`{"threads": 2, "block": "8MiB", "direction": "d2h"}`, 2.121},
		{`{"threads": 16, "block": "64MiB", "direction": "d2h"}`, 2.120},
	} {
		calls, err := sim.Run(cell.Machine{Sim: m.Sim}, []cell.Input{{Kind: "stress", ID: "s", With: []byte(tt.with)}}, sim.Request{Warmup: 30, Calls: 301, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		var ns []int64
		for _, c := range calls {
			ns = append(ns, c.Latency)
		}
		slices.Sort(ns)
		if got := float64(ns[150]) / 1e6; math.Abs(got/tt.want-1) > 0.02 {
			t.Errorf("%s: %.3f ms, recorded %.3f", tt.with, got, tt.want)
		}
	}
}
