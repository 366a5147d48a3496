package command

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"

	"barograph/stages/placement"
	"barograph/stages/prediction/pair"

	"golang.org/x/sync/errgroup"
)

// A trial is a set of models that was placed on two GPUs by predictions that had seen no
// two of them on one, with what was then measured of those pairs: the largest p99 over
// what it is alone.
type trial struct {
	set                            []string
	proposed, first                [][]int
	measured, firstFit, mean, best float64
	apart                          []float64 // measured over firstFit, of each replicate
}

const (
	setSize = 4    // models of a set, on
	setGPUs = 2    // GPUs, two each: pairs were measured
	shown   = 3    // sets that are named
	near    = 0.02 // by which what counts as the same may differ
)

// sets returns every choice of so many of the models.
func sets(models []string, size int) (all [][]string) {
	var choose func(from int, chosen []string)
	choose = func(from int, chosen []string) {
		if len(chosen) == size {
			all = append(all, slices.Clone(chosen))
			return
		}
		for i := from; i < len(models); i++ {
			choose(i+1, append(chosen, models[i]))
		}
	}
	choose(0, nil)
	return all
}

// trials places every set of models whose pairs were measured.
func trials(held *pair.Held, tenancy string, outcomes []*pair.Outcome) ([]*trial, error) {
	alone := map[string]float64{}
	for _, o := range outcomes {
		if o.Tenancy == tenancy {
			alone[o.Own.Model] = o.Own.Quantile(0.99)
		}
	}
	chosen := sets(held.Models(), setSize)
	found := make([]*trial, len(chosen))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, set := range chosen {
		g.Go(func() (err error) {
			found[i], err = try(held, set, alone)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(t *trial) bool { return t == nil }), nil
}

// try places a set; nil where not each of its pairs was measured, or too few others.
func try(held *pair.Held, set []string, alone map[string]float64) (*trial, error) {
	predicted, measured, err := held.Without(set)
	switch {
	case errors.Is(err, pair.ErrFew):
		return nil, nil
	case err != nil:
		return nil, err
	}
	models := make([]placement.Model, len(set))
	for i, name := range set {
		models[i] = placement.Model{Name: name, Alone: alone[name]}
		for _, other := range set {
			if measured[[2]string{name, other}] == 0 && name != other {
				return nil, nil
			}
		}
	}
	by := func(p99 map[[2]string]float64) placement.Foretell {
		return func(group []int) (out []float64, err error) {
			for i, m := range group {
				if len(group) == 1 {
					return []float64{alone[set[m]]}, nil
				}
				out = append(out, p99[[2]string{set[m], set[group[1-i]]}])
			}
			return out, nil
		}
	}
	fleet := placement.Fleet{GPUs: setGPUs, Most: setSize / setGPUs}
	proposed, err := placement.Search(models, fleet, by(predicted))
	if err != nil {
		return nil, err
	}
	first, err := placement.FirstFit(models, fleet, by(measured))
	if err != nil {
		return nil, err
	}
	best, err := placement.Search(models, fleet, by(measured))
	if err != nil {
		return nil, err
	}
	random, err := placement.Random(models, fleet, by(measured), draws, 1)
	if err != nil {
		return nil, err
	}
	t := &trial{set: set, proposed: proposed.Groups, first: first.Groups, firstFit: first.Worst, best: best.Worst}
	for _, x := range random {
		t.mean += x.Worst / float64(len(random))
	}
	for _, g := range proposed.Groups {
		p99, _ := by(measured)(g)
		for i, m := range g {
			t.measured = max(t.measured, p99[i]/models[m].Alone)
		}
	}
	t.replicates(held)
	return t, nil
}

// replicates compares the two placements in each replicate of all their pairs.
func (t *trial) replicates(held *pair.Held) {
	worst := func(groups [][]int, replicate int64) (w float64) {
		for _, g := range groups {
			for i, m := range g {
				v := 1.0
				if len(g) > 1 {
					var known bool
					if v, known = held.Apart(t.set[m], t.set[g[1-i]])[replicate]; !known {
						return math.NaN()
					}
				}
				w = max(w, v)
			}
		}
		return w
	}
	for replicate := range held.Apart(t.set[t.first[0][0]], t.set[t.first[0][len(t.first[0])-1]]) {
		if by := worst(t.proposed, replicate) / worst(t.first, replicate); !math.IsNaN(by) {
			t.apart = append(t.apart, by)
		}
	}
}

// always tells whether a placement and first-fit compare in one way in each of several replicates.
func (t *trial) always(so func(by float64) bool) bool {
	return len(t.apart) > 1 && !slices.ContainsFunc(t.apart, func(by float64) bool { return !so(by) })
}

// groups names a placement's groups.
func (t *trial) groups(of [][]int) string {
	var all []string
	for _, g := range of {
		var names []string
		for _, m := range g {
			names = append(names, "`"+t.set[m]+"`")
		}
		all = append(all, strings.Join(names, " with "))
	}
	return strings.Join(all, ", ")
}

// compare writes how proposals fared, as Markdown: of every set, and of three that are
// drawn.
func compare(w io.Writer, tenancy string, all []*trial) error {
	if len(all) == 0 {
		return nil
	}
	better, same, worse, least, ahead, behind, replicated := 0, 0, 0, 0, 0, 0, 0
	var gain, over, regret []float64
	for _, t := range all {
		switch by := t.measured / t.firstFit; {
		case by < 1-near:
			better++
		case by > 1+near:
			worse++
		default:
			same++
		}
		if t.measured <= (1+near)*t.best {
			least++
		}
		replicated = max(replicated, len(t.apart))
		if t.always(func(by float64) bool { return by < 1 }) {
			ahead++
		}
		if t.always(func(by float64) bool { return by > 1 }) {
			behind++
		}
		gain, over, regret = append(gain, t.measured/t.firstFit-1), append(over, t.measured/t.mean-1), append(regret, t.measured/t.best-1)
	}
	for _, v := range [][]float64{gain, over, regret} {
		slices.Sort(v)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n| tenancy | sets of %d models on %d GPUs | better than first-fit | within %g%% of it | worse | better in every replicate | worse in every one | within %g%% of the best there is | against first-fit, median (worst) | against random, mean | against the best, worst |\n|---|---|---|---|---|---|---|---|---|---|---|\n", setSize, setGPUs, 100*near, 100*near)
	mean := 0.0
	for _, v := range over {
		mean += v / float64(len(over))
	}
	last := len(all) - 1
	each := "one replicate | one replicate"
	if replicated > 1 {
		each = fmt.Sprintf("%d | %d", ahead, behind)
	}
	fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %s | %d | %+.1f%% (%+.1f%%) | %+.1f%% | %+.1f%% |\n", tenancy, len(all), better, same, worse, each, least, 100*gain[last/2], 100*gain[last], 100*mean, 100*regret[last])
	b.WriteString("\n| set, drawn | proposed | measured: worst p99 over its own alone | first-fit | random, on average | the best there is |\n|---|---|---|---|---|---|\n")
	for i, at := range rand.New(rand.NewPCG(1, 0x736574)).Perm(len(all)) {
		if i == shown {
			break
		}
		t := all[at]
		fmt.Fprintf(&b, "| %d | %s | %.2f | %.2f (%s) | %.2f | %.2f |\n", i+1, t.groups(t.proposed), t.measured, t.firstFit, t.groups(t.first), t.mean, t.best)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
