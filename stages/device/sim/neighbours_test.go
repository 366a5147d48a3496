package sim

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"barograph/pipeline/cell"
)

// computer is a simulated one of four GPUs.
func computer(more map[string]float64) cell.Machine {
	m := cell.Machine{Device: "sim", Sim: map[string]float64{"gpus": 4, "nodes": 2, "remote": 0.5, "overhead_ns": 0}}
	for k, v := range more {
		m.Sim[k] = v
	}
	return m
}

// loads are stressors, one on each of some GPUs, in a direction.
func loads(t *testing.T, direction string, node *int, gpus ...int) (gang []cell.Input) {
	for _, gpu := range gpus {
		with, err := json.Marshal(map[string]any{"gpus": []int{gpu}, "threads": 2, "block": "64MiB", "direction": direction, "node": node})
		if err != nil {
			t.Fatal(err)
		}
		gang = append(gang, cell.Input{Kind: "stress", ID: string(rune('a' + gpu)), With: with})
	}
	return gang
}

// carries returns what the load of the last GPU of a gang carries.
func carries(t *testing.T, m cell.Machine, gang []cell.Input, gpu int) float64 {
	copies, _, err := Copies(m.On(gpu), gang, View{Cell: gang[len(gang)-1].ID, Until: 2e9, Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return bytesWithin(copies, 1e9, 2e9)
}

func TestNeighbours(t *testing.T) {
	none, shared, bandwidth := computer(nil), computer(map[string]float64{"root_h2d": 15e9}), Defaults["bandwidth_h2d"]
	far := 0
	for _, tt := range []struct {
		name      string
		m         cell.Machine
		direction string
		node      *int
		gpus      []int
		want      float64
	}{
		{"alone", shared, "h2d", nil, []int{3}, bandwidth},
		{"two share a root", shared, "h2d", nil, []int{0, 3}, 15e9 / 2},
		{"four share a root", shared, "h2d", nil, []int{0, 1, 2, 3}, 15e9 / 4},
		{"the other way nothing is shared", shared, "d2h", nil, []int{0, 1, 2, 3}, Defaults["bandwidth_d2h"]},
		{"roots of their own", none, "h2d", nil, []int{0, 1, 2, 3}, bandwidth},
		{"memory of the other node", none, "h2d", &far, []int{3}, bandwidth / 2},
		{"memory of its own node", none, "h2d", &far, []int{0}, bandwidth},
	} {
		if got := carries(t, tt.m, loads(t, tt.direction, tt.node, tt.gpus...), tt.gpus[len(tt.gpus)-1]); math.Abs(got/tt.want-1) > 0.01 {
			t.Errorf("%s: %.2f GB/s, want %.2f", tt.name, got/1e9, tt.want/1e9)
		}
	}
	// An inference whose link is halved takes so much longer as its copies do.
	req := Request{Calls: 1, Seed: 1}
	shared.Sim["noise"], shared.Sim["bytes_out"], shared.Sim["root_d2h"] = 0, 64<<20, 15e9
	alone, err := Run(shared.On(3), nil, req)
	if err != nil {
		t.Fatal(err)
	}
	beside, err := Run(shared.On(3), loads(t, "d2h", nil, 0, 1), req)
	if err != nil {
		t.Fatal(err)
	}
	more, want := float64(beside[0].Latency-alone[0].Latency), float64(64<<20)*(3/15e9-1/Defaults["bandwidth_d2h"])*1e9
	if math.Abs(more/want-1) > 0.01 {
		t.Errorf("beside two loads next door a call takes %.0f ns more, want %.0f", more, want)
	}
}

func TestSimulatedGPUs(t *testing.T) {
	gpus := GPUs(computer(map[string]float64{"unlike": 2}))
	if len(gpus) != 4 || gpus[0].Name == gpus[1].Name || gpus[0].Name != gpus[3].Name || *gpus[1].NUMA != 0 || *gpus[2].NUMA != 1 || gpus[2].UUID == gpus[3].UUID {
		t.Errorf("%+v", gpus)
	}
	if _, err := Run(computer(nil).On(4), nil, Request{Calls: 1}); err == nil || !strings.Contains(err.Error(), "GPU 4 of a computer that has 4") {
		t.Error(err)
	}
	if _, err := Run(computer(nil), loads(t, "h2d", nil, 7), Request{Calls: 1}); err == nil || !strings.Contains(err.Error(), "a load on GPU 7 of a computer that has 4") {
		t.Error(err)
	}
	third := 2
	if _, err := Run(computer(nil), loads(t, "h2d", &third, 0), Request{Calls: 1}); err == nil || !strings.Contains(err.Error(), "NUMA node 2 of a computer that has 2") {
		t.Error(err)
	}
	for parameter, v := range map[string]float64{"gpus": 1.5, "nodes": 0, "unlike": 65, "root_h2d": -1, "remote": 0} {
		if Check(parameter, v) == nil {
			t.Errorf("%s of %v is taken", parameter, v)
		}
	}
}
