package neighbours

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/result"
)

// Groups of each size hold every GPU, no group stands twice, and all pairs are there.
func TestGroups(t *testing.T) {
	for _, n := range []int{2, 4, 5, 8} {
		w := Kind().With().(*With)
		groups := w.groups(n, []int{0, 1})
		held, pairs, seen := map[[2]string]map[int]bool{}, 0, map[string]bool{}
		for _, g := range groups {
			name, err := json.Marshal(g)
			if err != nil || seen[string(name)] {
				t.Errorf("%d GPUs: twice %s, %v", n, name, err)
			}
			seen[string(name)] = true
			if g.Direction == "both" && len(g.Links) == 2 {
				pairs++
			}
			k := [2]string{g.Direction, string(rune('0' + len(g.Links)))}
			if g.Node != nil {
				k[0] += " of node " + string(rune('0'+*g.Node))
			}
			if held[k] == nil {
				held[k] = map[int]bool{}
			}
			for _, f := range g.Links {
				held[k][f.GPU] = true
			}
		}
		if want := n * (n - 1) / 2; pairs != want {
			t.Errorf("%d GPUs: %d pairs, want %d", n, pairs, want)
		}
		if want := 3*n + n - 1 + 2*2*2; len(held) != want {
			t.Errorf("%d GPUs: %d sizes and directions, want %d: %v", n, len(held), want, slices.Collect(maps.Keys(held)))
		}
		for k, gpus := range held {
			if len(gpus) != n {
				t.Errorf("%d GPUs: groups of %s %s hold %v", n, k[1], k[0], gpus)
			}
		}
	}
}

// on runs the stage on a simulated computer.
func on(t *testing.T, sim map[string]float64, with string) (*result.Neighbours, error) {
	t.Chdir(t.TempDir())
	spec, err := json.Marshal(cell.Spec{Kind: "neighbours", ID: "neighbours", With: json.RawMessage(with), Seed: 7, Machine: cell.Machine{Device: "sim", Sim: sim}})
	if err != nil {
		t.Fatal(err)
	}
	if err := cell.Serve(cell.NewKinds(Kind()), bytes.NewReader(append(spec, '\n')), &bytes.Buffer{}); err != nil {
		return nil, err
	}
	n := &result.Neighbours{}
	return n, cell.ReadJSON(result.NeighboursFile, n)
}

func TestNeighboursOfARoot(t *testing.T) {
	n, err := on(t, map[string]float64{"gpus": 4, "root_h2d": 24e9}, `{"replicates": 2}`)
	if err != nil {
		t.Fatal(err)
	}
	if !n.Simulated || len(n.GPUs) != 4 || len(n.Pairs) != 6 || n.Pairs[0].Ancestor != "single switch" || n.Pairs[0].Common != "root" {
		t.Errorf("declared: %+v %+v", n.GPUs, n.Pairs)
	}
	worst := n.Losses()[0]
	if len(worst.With) != 3 || worst.Share < 0.48 || worst.Share > 0.50 || worst.Direction != "h2d" { // 6 of 11.69 GB/s
		t.Errorf("the most lost: %v", worst)
	}
	for gpu := range 4 {
		for loads, want := range map[int][2]float64{1: {11.6e9, 11.7e9}, 2: {11.6e9, 11.7e9}, 3: {7.9e9, 8e9}, 4: {5.9e9, 6e9}} {
			flows := n.Carried(gpu, loads, "h2d", "h2d", nil)
			if len(flows) < 2 || slices.Min(flows) < want[0] || slices.Max(flows) > want[1] {
				t.Errorf("GPU %d of %d: %v", gpu, loads, flows)
			}
		}
		if flows := n.Carried(gpu, 4, "d2h", "d2h", nil); slices.Min(flows) < 12.8e9 {
			t.Errorf("GPU %d: the other way nothing is shared: %v", gpu, flows)
		}
	}
	if flows := n.Carried(1, 0, "opposite", "d2h", nil); len(flows) == 0 {
		t.Error("GPU 1 never copied the other way")
	}
}

func TestWithin(t *testing.T) {
	for _, tt := range []struct {
		name string
		sim  map[string]float64
		with string
		want string
	}{
		{"alike and apart", map[string]float64{"gpus": 3}, `{"within": 0.05}`, ""},
		{"a root", map[string]float64{"gpus": 3, "root_d2h": 20e9}, `{"within": 0.05}`, "neighbours disturb one another: with loads on GPUs [1 2] too, the link of GPU 0 carries 48."},
		{"not judged", map[string]float64{"gpus": 3, "root_d2h": 20e9}, `{}`, ""},
		{"two of a root that carries two", map[string]float64{"gpus": 3, "root_d2h": 40e9}, `{"within": 0.05, "gpus": [0, 2]}`, ""},
		{"another card", map[string]float64{"gpus": 3, "unlike": 3}, `{"within": 0.05}`, "not alike: name of sim:0 is simulated GPU, and of sim:2 another simulated GPU"},
		{"without the other card", map[string]float64{"gpus": 3, "unlike": 3}, `{"within": 0.05, "gpus": [1, 0]}`, ""},
		{"one GPU", nil, `{}`, "has 1 GPUs to use, counted from 0, and two are asked for"},
		{"more than there are", map[string]float64{"gpus": 3}, `{"gpus": [2, 3]}`, "has 3 GPUs to use, counted from 0, and GPUs [2 3] are"},
		{"one named", map[string]float64{"gpus": 3}, `{"gpus": [2]}`, "one GPU has no neighbours"},
		{"more links than there are", map[string]float64{"gpus": 3}, `{"counts": [9]}`, "counts has 9, and there are 3 GPUs"},
		{"nothing to load", map[string]float64{"gpus": 3}, `{"directions": ["opposite"], "counts": [1]}`, "nothing to load"},
		{"one named twice", map[string]float64{"gpus": 3}, `{"gpus": [2, 2]}`, "names one twice"},
	} {
		if _, err := on(t, tt.sim, tt.with); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// Only what a study loads at once is loaded to find out whether it may.
func TestSurveyed(t *testing.T) {
	for want, ways := range map[string][]string{
		"d2h":              {"d2h"},
		"both":             {"d2d"},
		"h2d,d2h,opposite": {"h2d", "d2h"},
		"both,d2h":         {"both", "d2h", "h2h"},
	} {
		if w := survey([]int{0, 2}, ways).(*With); strings.Join(w.Directions, ",") != want || w.check() != nil {
			t.Errorf("%v: %v, %v", ways, w.Directions, w.check())
		}
	}
}

// stopped is a rig whose process goes on once while it loads links, as one does that a
// signal had stopped.
type stopped struct{ *simulation }

func (s stopped) carry(_ context.Context, w *With, g *result.Group) error {
	g.Steady = true
	before := cell.Stops()
	err := syscall.Kill(os.Getpid(), syscall.SIGCONT)
	for cell.Stops() == before && err == nil {
		time.Sleep(time.Millisecond)
	}
	return err
}

// A group that was measured through a stop says so, unless it is simulated.
func TestStops(t *testing.T) {
	for simulated, want := range map[bool][]string{
		false: {"2 links h2d, replicate 1: a signal (such as SIGSTOP) stopped what measures, or a load, once"}, true: nil,
	} {
		found := &result.Neighbours{Simulated: simulated, GPUs: make([]result.Card, 2)}
		k := &cell.Kind{Name: "neighbours", With: Kind().With, Run: func(ctx context.Context, c *cell.Cell) error {
			return measure(ctx, c, c.With.(*With), stopped{&simulation{c}}, []int{0, 1}, found)
		}}
		spec := `{"kind": "neighbours", "id": "neighbours", "with": {"directions": ["h2d"], "counts": [2], "pairs": false, "replicates": 1}}` + "\n"
		if err := cell.Serve(cell.NewKinds(k), strings.NewReader(spec), &bytes.Buffer{}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(found.Warnings, want) {
			t.Errorf("simulated %v: warnings %q", simulated, found.Warnings)
		}
	}
}
