package sim

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
)

// hopper is the machine sim-h100.
func hopper(t *testing.T) cell.Machine {
	t.Helper()
	text := filetest.Read(t, "../../../configs/machines/sim-h100.yaml")
	var m struct{ Sim map[string]float64 }
	if err := yaml.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return cell.Machine{Name: "sim-h100", Sim: m.Sim}
}

// members are inferences that share a device.
func members(tenancy string, models ...string) (cells []cell.Input) {
	for i, model := range models {
		cells = append(cells, cell.Input{Kind: "infer", ID: fmt.Sprint("infer", i), Seed: uint64(i), With: fmt.Appendf(nil, `{"model": %q, "tenancy": %q}`, model, tenancy)})
	}
	return cells
}

func medians(t *testing.T, m cell.Machine, cells []cell.Input) (ms []float64) {
	t.Helper()
	calls, windows, err := Tenants(m, cells, Together{Warmup: 30, Calls: 300, Rounds: 2})
	if err != nil {
		t.Fatal(err)
	}
	for i, made := range calls {
		var of []Call
		for _, c := range made {
			if w := windows[c.Round-1]; c.Scheduled < w[0] || c.Scheduled+c.Latency > w[1] {
				t.Fatalf("tenant %d: %+v is not within the window %v", i, c, w)
			}
			of = append(of, c.Call)
		}
		if len(of) < 600 {
			t.Errorf("tenant %d made %d calls, want 300 in each of 2 rounds", i, len(of))
		}
		ms = append(ms, median(of)/1e6)
	}
	return ms
}

// What two and four BERT-Base in closed loops take on an H100 the machine sim-h100
// takes too; alone a model takes its own time.
func TestTenants(t *testing.T) {
	const bert = "bert-base-uncased"
	m := hopper(t)
	for _, tt := range []struct {
		tenancy string
		models  []string
		want    []float64
	}{
		{"process", []string{bert}, []float64{1.231}},
		{"process", []string{bert, bert}, []float64{2.66, 2.66}},
		{"process", slices.Repeat([]string{bert}, 4), slices.Repeat([]float64{5.34}, 4)},
		{"mps", []string{bert, bert}, []float64{2.11, 2.11}},
		{"mps", slices.Repeat([]string{bert}, 4), slices.Repeat([]float64{3.35}, 4)},
		{"thread", []string{"minilm-l6"}, []float64{0.445}},
		{"process", []string{"gpt2"}, []float64{2.416}},
	} {
		got := medians(t, m, members(tt.tenancy, tt.models...))
		for i := range got {
			if math.Abs(got[i]/tt.want[i]-1) > 0.02 {
				t.Errorf("%s, %v: %.3f ms, want %.3f", tt.tenancy, tt.models, got, tt.want)
				break
			}
		}
	}
}

// Time slices bound what a process waits for another: it is not served only once a long
// request of the other is done.
func TestSlices(t *testing.T) {
	m := cell.Machine{Sim: map[string]float64{"slice_ns": 1e6, "noise": 0, "compute_ns.short": 0.5e6, "compute_ns.long": 20e6, "bytes_out": 0, "copies_out": 0, "copies_in": 0}}
	got := medians(t, m, members("process", "short", "long"))
	if got[0] < 1.4 || got[0] > 1.6 {
		t.Errorf("beside a request of 20 ms, one of 0.5 ms takes %.2f ms, want a slice of 1 ms more", got[0])
	}
	if got[1] < 29 || got[1] > 31 {
		t.Errorf("the request of 20 ms takes %.2f ms, want 0.5 more for each slice", got[1])
	}
}

// The same arguments give the same trial, whichever cell asks, with loads and arrivals.
func TestTenantsAgree(t *testing.T) {
	cells := append(members("mps", "gpt2", "resnet50"), stress("load", `{"threads": 2, "block": "16MiB", "direction": "d2h"}`))
	cells[1].With = []byte(`{"model": "resnet50", "tenancy": "mps", "arrivals": "poisson", "rate": 50}`)
	q := Together{Warmup: 5, Calls: 40, Rounds: 2}
	calls, windows, err := Tenants(hopper(t), cells, q)
	if err != nil {
		t.Fatal(err)
	}
	again, same, err := Tenants(hopper(t), cells, q)
	if err != nil || !reflect.DeepEqual(calls, again) || !reflect.DeepEqual(windows, same) {
		t.Errorf("a second simulation differs (%v)", err)
	}
	alone, _, err := Tenants(hopper(t), cells[:2], q)
	if err != nil {
		t.Fatal(err)
	}
	if loaded, free := calls[0][0].Latency, alone[0][0].Latency; loaded <= free {
		t.Errorf("beside a load to the host a call takes %d ns, and without it %d", loaded, free)
	}
	if rate := float64(len(calls[1])) / float64(windows[0][1]-windows[0][0]+windows[1][1]-windows[1][0]) * 1e9; rate < 35 || rate > 65 {
		t.Errorf("of 50 requests a second %.1f are answered", rate)
	}
	if windows[1][0] <= windows[0][1] {
		t.Errorf("rounds overlap: %v", windows)
	}
}

func TestTenantsRefused(t *testing.T) {
	good := Together{Warmup: 1, Calls: 1, Rounds: 1}
	other := members("mps", "a", "b")
	other[1].With = []byte(`{"model": "b", "tenancy": "process"}`)
	traced := members("mps", "a", "b")
	traced[1].With = []byte(`{"model": "b", "tenancy": "mps", "arrivals": "trace", "trace": "azure"}`)
	starved := append(members("process", "a"), stress("load", `{"threads": 1, "outstanding": 2, "block": "1MiB", "direction": "d2h", "sharing": "process"}`))
	for name, tt := range map[string]struct {
		cells []cell.Input
		q     Together
		want  string
	}{
		"no calls":         {members("mps", "a"), Together{Warmup: 1, Rounds: 1}, "0 calls"},
		"no inference":     {nil, good, "without an inference"},
		"unlike":           {other, good, "want the same"},
		"a trace":          {traced, good, "closed, constant"},
		"nothing answered": {starved, good, "not all had made 1 calls"},
	} {
		m := cell.Machine{Sim: map[string]float64{"turn_d2h_ns": 1e6}}
		if _, _, err := Tenants(m, tt.cells, tt.q); err == nil || !strings.Contains(err.Error()+cell.HintOf(err), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for parameter, ok := range map[string]bool{"compute_ns.gpt2": true, "occupancy.gpt2": true, "compute_ns.": false, "slice_ns.gpt2": false} {
		if err := Check(parameter, 1); (err == nil) != ok {
			t.Errorf("%s: %v", parameter, err)
		}
	}
}

// Who keeps to half of the device takes twice as long, beside the other half as alone;
// what takes less of it than that is not slowed at all.
func TestParts(t *testing.T) {
	m := cell.Machine{Sim: map[string]float64{"noise": 0, "compute_ns": 1e6, "occupancy.small": 0.3, "bytes_out": 0, "copies_out": 0, "copies_in": 0}}
	parts := func(parameter string, percent int, models ...string) []cell.Input {
		cells := members(map[string]string{"sm_percent": "thread", "mps_threads": "mps"}[parameter], models...)
		for i := range cells {
			cells[i].With = fmt.Appendf(nil, `%s, %q: %d}`, strings.TrimSuffix(string(cells[i].With), "}"), parameter, percent)
		}
		return cells
	}
	for _, c := range []struct {
		cells []cell.Input
		want  []float64
	}{
		{parts("sm_percent", 50, "large"), []float64{2}},
		{parts("sm_percent", 50, "large", "large"), []float64{2, 2}},
		{parts("sm_percent", 50, "large", "small"), []float64{2, 1}},
		{parts("mps_threads", 50, "large"), []float64{2}},
		{parts("mps_threads", 50, "large", "large"), []float64{2, 2}},
		{parts("mps_threads", 80, "large", "large"), []float64{2.25, 2.25}}, // they crowd one another
		{members("thread", "large", "large"), []float64{2, 2}},
	} {
		got := medians(t, m, c.cells)
		for i := range got {
			if math.Abs(got[i]/c.want[i]-1) > 0.01 {
				t.Errorf("%s beside %d: %.3f ms, want %.3f", c.cells[0].With, len(c.cells)-1, got, c.want)
			}
		}
	}
}

// In each round its group calls, as if the others were not there.
func TestGroups(t *testing.T) {
	m := cell.Machine{Sim: map[string]float64{"noise": 0, "compute_ns": 1e6, "bytes_out": 0, "copies_out": 0, "copies_in": 0}}
	calls, windows, err := Tenants(m, members("mps", "a", "b", "c"), Together{Warmup: 3, Calls: 10, Groups: [][]int{{1}, {0, 2}}})
	if err != nil || len(windows) != 2 || windows[1][0] <= windows[0][1] {
		t.Fatal(windows, err)
	}
	for i, want := range []struct {
		round int
		ms    float64
	}{{2, 2}, {1, 1}, {2, 2}} {
		if len(calls[i]) < 10 {
			t.Errorf("tenant %d made %d calls", i+1, len(calls[i]))
		}
		for _, c := range calls[i] {
			if c.Round != want.round || math.Abs(float64(c.Latency)/1e6/want.ms-1) > 0.01 {
				t.Fatalf("tenant %d: %+v, want %g ms in round %d", i+1, c, want.ms, want.round)
			}
		}
	}
}
