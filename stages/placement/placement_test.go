package placement

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// additive has each model slowed by what the others of its group are worth.
func additive(worth []float64) Foretell {
	return func(group []int) ([]float64, error) {
		p99 := make([]float64, len(group))
		for i := range group {
			p99[i] = 1
			for k, o := range group {
				if k != i {
					p99[i] += worth[o]
				}
			}
		}
		return p99, nil
	}
}

func alike(n int) []Model {
	models := make([]Model, n)
	for i := range models {
		models[i] = Model{Name: fmt.Sprint("m", i), Alone: 1, Memory: 1 << 30}
	}
	return models
}

// every returns all placements, by trying.
func every(n, gpus, most int) (all [][][]int) {
	var put func(i int, groups [][]int)
	put = func(i int, groups [][]int) {
		if i == n {
			all = append(all, slices.Clone(groups))
			return
		}
		for g := range groups {
			if len(groups[g]) < most {
				was := groups[g]
				groups[g] = append(slices.Clone(was), i)
				put(i+1, groups)
				groups[g] = was
			}
		}
		if len(groups) < gpus {
			put(i+1, append(slices.Clone(groups), []int{i}))
		}
	}
	put(0, nil)
	return all
}

// No placement has a worst model that is better off, first-fit and even ones are among
// all, and every model is placed once.
func TestSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, fleet := rapid.IntRange(1, 7).Draw(t, "models"), Fleet{GPUs: rapid.IntRange(1, 4).Draw(t, "gpus"), Most: rapid.IntRange(1, 4).Draw(t, "most")}
		worth := rapid.SliceOfN(rapid.Float64Range(0.01, 3), n, n).Draw(t, "worth")
		models, foretell := alike(n), additive(worth)
		least := math.Inf(1)
		for _, groups := range every(n, fleet.GPUs, fleet.Most) {
			worst := 0.0
			for _, g := range groups {
				p99, _ := foretell(g)
				worst = max(worst, slices.Max(p99))
			}
			least = min(least, worst)
		}
		x, err := Search(models, fleet, foretell)
		if math.IsInf(least, 1) {
			if err == nil {
				t.Fatalf("%v, where nothing fits", x.Groups)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(x.Worst-least) > 1e-9 {
			t.Fatalf("%v: worst %g, and there is %g", x.Groups, x.Worst, least)
		}
		placed := slices.Sorted(slices.Values(slices.Concat(x.Groups...)))
		if len(placed) != n || placed[0] != 0 || len(slices.Compact(placed)) != n || len(x.Groups) > fleet.GPUs {
			t.Fatalf("%v on %d GPUs", x.Groups, fleet.GPUs)
		}
		first, err := FirstFit(models, fleet, foretell)
		if err != nil || first != nil && first.Worst < x.Worst-1e-9 {
			t.Fatalf("first-fit %v is better than %v (%v)", first, x, err)
		}
		random, err := Random(models, fleet, foretell, 20, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range random {
			if e.Worst < x.Worst-1e-9 {
				t.Fatalf("%v is better than %v", e, x)
			}
		}
	})
}

// Random placements divide models evenly, each as often as others.
func TestRandom(t *testing.T) {
	all, err := Random(alike(4), Fleet{GPUs: 2, Most: 4}, additive(make([]float64, 4)), 600, 1)
	if err != nil || len(all) != 600 {
		t.Fatalf("%d, %v", len(all), err)
	}
	beside := map[int]int{} // model 0
	for _, x := range all {
		for _, g := range x.Groups {
			if len(g) != 2 {
				t.Fatalf("%v", x.Groups)
			}
			if g[0] == 0 {
				beside[g[1]]++
			}
		}
	}
	for m := 1; m < 4; m++ {
		if beside[m] < 150 || beside[m] > 250 {
			t.Errorf("model 0 is beside %d in %d of 600", m, beside[m])
		}
	}
}

// Memory divides models that would do one another nothing, and a limit decides where
// it binds.
func TestConstraints(t *testing.T) {
	models := alike(4)
	x, err := Search(models, Fleet{GPUs: 2, Most: 4, Memory: 2 << 30}, additive(make([]float64, 4)))
	if err != nil || len(x.Groups) != 2 || len(x.Groups[0]) != 2 {
		t.Errorf("%+v, %v", x, err)
	}
	models[3].Limit = 1.05
	x, err = Search(models, Fleet{GPUs: 2, Most: 4}, additive([]float64{0.1, 0.1, 0.1, 0.1}))
	if err != nil || !x.Keeps() || len(x.Groups[1]) != 1 {
		t.Errorf("%+v, %v", x, err)
	}
	models[2].Limit = 1.05
	if x, err = Search(models, Fleet{GPUs: 2, Most: 4}, additive([]float64{0.1, 0.1, 0.1, 0.1})); err != nil || x.Keeps() {
		t.Errorf("%+v keeps what cannot be kept (%v)", x, err)
	}
	for name, tt := range map[string]struct {
		models []Model
		fleet  Fleet
		want   string
	}{
		"none":      {nil, Fleet{GPUs: 1, Most: 1}, "there are none"},
		"many":      {alike(17), Fleet{GPUs: 1, Most: 1}, "at most 16"},
		"no GPUs":   {alike(1), Fleet{Most: 1}, "0 GPUs"},
		"most":      {alike(1), Fleet{GPUs: 1}, "at most 0"},
		"too many":  {alike(5), Fleet{GPUs: 2, Most: 2}, "in no way"},
		"too large": {alike(1), Fleet{GPUs: 1, Most: 1, Memory: 1}, "m0: it takes 1.0 GiB"},
	} {
		if _, err := Search(tt.models, tt.fleet, additive(make([]float64, 17))); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func ExampleSearch() {
	models := []Model{{Name: "a", Alone: 1}, {Name: "b", Alone: 1}, {Name: "loud", Alone: 1}, {Name: "c", Alone: 1}}
	x, err := Search(models, Fleet{GPUs: 2, Most: 4}, additive([]float64{0.1, 0.1, 2, 0.1}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%v, at worst %.1f times its time alone\n", x.Groups, x.Worst)
	// Output: [[0 1 3] [2]], at worst 1.2 times its time alone
}
