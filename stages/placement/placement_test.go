package placement

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
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

// A risk is the probability that errors make what is foretold best worse than first-fit.
func TestChoose(t *testing.T) {
	// On two GPUs a and b, first, are foretold to take gain times what a beside c takes.
	models := alike(4)
	foretell := func(gain float64) Foretell {
		return func(group []int) (p99 []float64, err error) {
			for range group {
				p99 = append(p99, 2)
			}
			if slices.Equal(group, []int{0, 1}) {
				p99[0] *= gain
			} else if len(group) == 2 && group[0] == 0 && group[1] == 3 {
				p99[0] *= 9
			}
			return p99, nil
		}
	}
	fleet := Fleet{GPUs: 2, Most: 2}
	const scatter = 0.1
	for _, gain := range []float64{1.01, 1.1, 1.3, 2} {
		noisy := func(group []int, rng *rand.Rand) ([]float64, error) {
			p99, err := foretell(gain)(group)
			for i := range p99 {
				if group[i] == 0 { // only the first errs, and decides
					p99[i] *= math.Exp(scatter*rng.NormFloat64()) * 3
				}
			}
			return p99, err
		}
		c, err := Choose(models, fleet, foretell(gain), noisy)
		if err != nil {
			t.Fatal(err)
		}
		want := 0.5 * math.Erfc(math.Log(gain*(1+Near))/scatter/2)
		if math.Abs(c.Risk-want) > 4*math.Sqrt(want*(1-want)/chances)+1e-9 || c.Best.Worst != 2 || c.FirstFit.Worst != 2*gain {
			t.Errorf("gain %g: risk %g, want %g", gain, c.Risk, want)
		}
		if c.At(c.Risk) != c.Best || c.Risk > 0 && c.At(c.Risk-1e-9) != c.FirstFit {
			t.Errorf("gain %g: first-fit is not left at its risk of %g", gain, c.Risk)
		}
	}
	// Groups that both have err as one, and the same placement is no worse than itself.
	same, err := Choose(models, fleet, additive(make([]float64, 4)), func(group []int, rng *rand.Rand) ([]float64, error) {
		return []float64{rng.ExpFloat64(), rng.ExpFloat64()}, nil
	})
	if err != nil || same.Risk > 0 {
		t.Errorf("%+v, %v", same, err)
	}
	// What keeps limits is proposed where first-fit does not, whatever the risk; and first-fit that
	// fits nowhere is nothing to be left.
	models[0].Limit = 2
	c, err := Choose(models, fleet, foretell(1.1), func(group []int, rng *rand.Rand) ([]float64, error) {
		return []float64{3 * rng.ExpFloat64(), 1}, nil
	})
	if err != nil || c.Risk < 0.2 || c.At(0) != c.Best {
		t.Errorf("%+v, %v", c, err)
	}
	for i := range models {
		models[i].Memory = int64([]int{1, 2, 3, 2}[i]) << 30
	}
	if c, err = Choose(models, Fleet{GPUs: 2, Most: 3, Memory: 4 << 30}, additive(make([]float64, 4)), nil); err != nil || c.FirstFit != nil || c.At(0) != c.Best {
		t.Errorf("%+v, %v", c, err)
	}
	failed := errors.New("cannot tell")
	if _, err := Choose(alike(4), fleet, additive(make([]float64, 4)), func([]int, *rand.Rand) ([]float64, error) { return nil, failed }); !errors.Is(err, failed) {
		t.Errorf("%v", err)
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
