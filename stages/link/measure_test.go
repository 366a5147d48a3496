package link

import (
	"math"
	"path/filepath"
	"reflect"
	"testing"

	"barograph/pipeline/cell"
	"barograph/stages/device"
)

// What was put into a simulated link comes out of its card.
func TestSimulatedCard(t *testing.T) {
	for name, put := range map[string]map[string]float64{
		"turns": {
			"bandwidth_h2d": 55e9, "bandwidth_d2h": 54e9, "overhead_ns": 3e3, "gap_ns": 8e3,
			"turn_h2d_ns": 1.05e6, "turn_d2h_ns": 1.2e6, "small_idle": 24576, "small_behind": 1024,
		},
		"turns through MPS": {
			"bandwidth_h2d": 55e9, "bandwidth_d2h": 54e9, "overhead_ns": 3e3, "gap_ns": 8e3,
			"turn_h2d_ns": 1.05e6, "turn_d2h_ns": 1.2e6, "small_idle": 24576, "small_behind": 1024,
		},
		"a plain queue": {"bandwidth_h2d": 11.69e9, "bandwidth_d2h": 12.89e9, "small_idle": 0, "small_behind": 0},
	} {
		c := &Card{Schema: Schema, Machine: "sim", Device: "sim", Day: "2026-11-28"}
		r := &simulation{settings: cell.Machine{Device: "sim", Sim: put}, sharing: "separate"}
		through := name == "turns through MPS"
		if through {
			r.sharing = "mps"
		}
		if _, err := measure(t.Context(), r, []device.Direction{device.H2D, device.D2H}, c, func(string) {}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		path := filepath.Join(t.TempDir(), "sim.json")
		if err := c.Write(path); err != nil {
			t.Fatal(err)
		}
		if again, err := Read(path); err != nil || !reflect.DeepEqual(again.Ways, c.Ways) {
			t.Errorf("%s: %v, or another card", name, err)
		}
		for direction, w := range c.Ways {
			turn := put["turn_"+direction+"_ns"]
			if w.Turn.Seen != (turn > 0) || turn > 0 && math.Abs(w.Turn.Length.Value-turn) > 0.01*turn {
				t.Errorf("%s, %s: turn %+v of %v, line %v", name, direction, w.Turn.Length, turn, w.Turn.Line)
			}
			if v := c.Capacity[direction].Value; math.Abs(v-put["bandwidth_"+direction]) > 0.01*v {
				t.Errorf("%s, %s: capacity %v", name, direction, v)
			}
			idle, behind := int64(put["small_idle"]), int64(put["small_behind"])
			if direction == "d2h" { // where there is no small path
				idle = 0
			}
			if direction == "d2h" || through {
				behind = 0
			}
			if w.Small.Idle != idle || w.Small.Behind != behind {
				t.Errorf("%s, %s: small path %d, %d; want %d, %d", name, direction, w.Small.Idle, w.Small.Behind, idle, behind)
			}
			for _, l := range w.Turn.Loads {
				if n := float64(l.Processes); turn > 0 && math.Abs(l.Wait.Value-n*turn) > 0.05*n*turn {
					t.Errorf("%s, %s: beside %+v a wait of %v", name, direction, l.Load, l.Wait)
				}
			}
			if k := w.Turn.Kernel; turn > 0 && math.Abs(float64(k.P50-k.Alone)) > 0.02*float64(k.Alone) {
				t.Errorf("%s, %s: a kernel alone takes %v, and %v beside a load", name, direction, k.Alone, k.P50)
			}
		}
	}
}
