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

// A trial is a set of models, in an order, that was placed on two GPUs by predictions that
// had seen no two of them on one, with what was then measured of those pairs: the largest
// p99 over what it is alone.
type trial struct {
	set                  []string
	choice               *placement.Choice
	firstFit, mean, best float64
	measured             placement.Foretell
	models               []placement.Model
	held                 *pair.Held
}

const (
	setSize = 4 // models of a set, on
	setGPUs = 2 // GPUs, two each: pairs were measured
	shown   = 3 // sets that are named
)

// orders of a set are those in which first-fit places it differently: the first is that of
// the names.
var orders = [3][setSize]int{{0, 1, 2, 3}, {0, 2, 1, 3}, {0, 3, 1, 2}}

// A rule says for which proposals first-fit is left.
type rule struct {
	name string
	of   func(*placement.Choice) *placement.Placement
}

// rules are those that are compared; the first is that of `place`.
var rules = []rule{
	{fmt.Sprintf("risk at most %g%%", 100*risked), func(c *placement.Choice) *placement.Placement { return c.At(risked) }},
	{"risk at most 10%", func(c *placement.Choice) *placement.Placement { return c.At(0.1) }},
	{"risk at most 20%", func(c *placement.Choice) *placement.Placement { return c.At(0.2) }},
	{"gain of 10%, predicted", func(c *placement.Choice) *placement.Placement { return gain(c, 0.1) }},
	{"gain of 5%, predicted", func(c *placement.Choice) *placement.Placement { return gain(c, 0.05) }},
	{"any gain, predicted", func(c *placement.Choice) *placement.Placement { return c.At(1) }},
}

// gain leaves first-fit for a share that is predicted to be gained.
func gain(c *placement.Choice, least float64) *placement.Placement {
	if c.Best.Worst < (1-least)*c.FirstFit.Worst {
		return c.Best
	}
	return c.FirstFit
}

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

// trials places every set of models whose pairs were measured, in each of the orders.
func trials(held *pair.Held, tenancy string, outcomes []*pair.Outcome) ([][len(orders)]*trial, error) {
	alone := map[string]float64{}
	for _, o := range outcomes {
		if o.Tenancy == tenancy {
			alone[o.Own.Model] = o.Own.Quantile(0.99)
		}
	}
	chosen := sets(held.Models(), setSize)
	found := make([][len(orders)]*trial, len(chosen))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, set := range chosen {
		g.Go(func() error {
			unseen, err := held.Without(set)
			switch {
			case errors.Is(err, pair.ErrFew):
				return nil
			case err != nil:
				return err
			}
			for k, order := range orders {
				var of []string
				for _, at := range order {
					of = append(of, set[at])
				}
				if found[i][k], err = try(held, of, alone, unseen); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(t [len(orders)]*trial) bool { return t[0] == nil }), nil
}

// try places a set; nil where not each of its pairs was measured.
func try(held *pair.Held, set []string, alone map[string]float64, unseen *pair.Unseen) (*trial, error) {
	models := make([]placement.Model, len(set))
	for i, name := range set {
		models[i] = placement.Model{Name: name, Alone: alone[name]}
		for _, other := range set {
			if unseen.Measured[[2]string{name, other}] == 0 && name != other {
				return nil, nil
			}
		}
	}
	by := func(p99 map[[2]string]float64, miss func(value, alone float64) float64) placement.Foretell {
		return func(group []int) (out []float64, err error) {
			for i, m := range group {
				if len(group) == 1 {
					return []float64{alone[set[m]]}, nil
				}
				out = append(out, miss(p99[[2]string{set[m], set[group[1-i]]}], alone[set[m]]))
			}
			return out, nil
		}
	}
	exactly := func(value, _ float64) float64 { return value }
	measured := by(unseen.Measured, exactly)
	fleet := placement.Fleet{GPUs: setGPUs, Most: setSize / setGPUs}
	choice, err := placement.Choose(models, fleet, by(unseen.Predicted, exactly), func(group []int, rng *rand.Rand) ([]float64, error) {
		return by(unseen.Predicted, func(value, alone float64) float64 { return pair.Miss(value, alone, unseen.Errors, rng) })(group)
	})
	if err != nil {
		return nil, err
	}
	best, err := placement.Search(models, fleet, measured)
	if err != nil {
		return nil, err
	}
	random, err := placement.Random(models, fleet, measured, draws, 1)
	if err != nil {
		return nil, err
	}
	t := &trial{set: set, choice: choice, best: best.Worst, measured: measured, models: models, held: held}
	t.firstFit = t.worst(choice.FirstFit)
	for _, x := range random {
		t.mean += x.Worst / float64(len(random))
	}
	return t, nil
}

// worst is the largest p99 over its own alone that was measured in a placement.
func (t *trial) worst(x *placement.Placement) (worst float64) {
	for _, g := range x.Groups {
		p99, _ := t.measured(g)
		for i, m := range g {
			worst = max(worst, p99[i]/t.models[m].Alone)
		}
	}
	return worst
}

// apart is a placement over first-fit, in each replicate of all their pairs.
func (t *trial) apart(x *placement.Placement) (apart []float64) {
	worst := func(groups [][]int, replicate string) (w float64) {
		for _, g := range groups {
			for i, m := range g {
				v := 1.0
				if len(g) > 1 {
					var known bool
					if v, known = t.held.Apart(t.set[m], t.set[g[1-i]])[replicate]; !known {
						return math.NaN()
					}
				}
				w = max(w, v)
			}
		}
		return w
	}
	first := t.choice.FirstFit.Groups
	for replicate := range t.held.Apart(t.set[first[0][0]], t.set[first[0][len(first[0])-1]]) {
		if by := worst(x.Groups, replicate) / worst(first, replicate); !math.IsNaN(by) {
			apart = append(apart, by)
		}
	}
	return apart
}

// always tells whether a placement and first-fit compare in one way in each of several replicates.
func always(apart []float64, so func(by float64) bool) bool {
	return len(apart) > 1 && !slices.ContainsFunc(apart, func(by float64) bool { return !so(by) })
}

// groups names a placement's groups.
func (t *trial) groups(of *placement.Placement) string {
	var all []string
	for _, g := range of.Groups {
		var names []string
		for _, m := range g {
			names = append(names, "`"+t.set[m]+"`")
		}
		all = append(all, strings.Join(names, " with "))
	}
	return strings.Join(all, ", ")
}

// A tally is how proposals under a rule fared.
type tally struct {
	better, worse, least, ahead, behind int
	gain, over, regret                  []float64
	replicated                          bool
	anyBetter, anyWorse                 int // in each order of the names
}

// count places every set by a rule.
func count(all [][len(orders)]*trial, r rule) (c tally) {
	for _, set := range all {
		for k, t := range set {
			x := r.of(t.choice)
			measured := t.worst(x)
			by := measured / t.firstFit
			better, worse := by < 1-placement.Near, by > 1+placement.Near
			add(&c.anyBetter, better)
			add(&c.anyWorse, worse)
			if k > 0 {
				continue
			}
			add(&c.better, better)
			add(&c.worse, worse)
			add(&c.least, measured <= (1+placement.Near)*t.best)
			apart := t.apart(x)
			c.replicated = c.replicated || len(apart) > 1
			add(&c.ahead, always(apart, func(by float64) bool { return by < 1 }))
			add(&c.behind, always(apart, func(by float64) bool { return by > 1 }))
			c.gain, c.over, c.regret = append(c.gain, by-1), append(c.over, measured/t.mean-1), append(c.regret, measured/t.best-1)
		}
	}
	for _, v := range [][]float64{c.gain, c.over, c.regret} {
		slices.Sort(v)
	}
	return c
}

func add(n *int, when bool) {
	if when {
		*n++
	}
}

// compare writes how proposals fared, as Markdown: of every set, by each rule, and of three
// that are drawn, by that of `place`.
func compare(w io.Writer, tenancy string, all [][len(orders)]*trial) error {
	if len(all) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n| tenancy | first-fit is left at | sets of %d models on %d GPUs | better than first-fit | within %g%% of it | worse | better in every replicate | worse in every one | within %g%% of the best there is | against first-fit, median (worst) | against random, mean | against the best, worst | in any order of the names: better | worse |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n", setSize, setGPUs, 100*placement.Near, 100*placement.Near)
	last := len(all) - 1
	for _, r := range rules {
		c := count(all, r)
		mean := 0.0
		for _, v := range c.over {
			mean += v / float64(len(all))
		}
		each := "one replicate | one replicate"
		if c.replicated {
			each = fmt.Sprintf("%d | %d", c.ahead, c.behind)
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %d | %d | %s | %d | %+.1f%% (%+.1f%%) | %+.1f%% | %+.1f%% | %d of %d | %d |\n", tenancy, r.name, len(all), c.better, len(all)-c.better-c.worse, c.worse, each, c.least, 100*c.gain[last/2], 100*c.gain[last], 100*mean, 100*c.regret[last], c.anyBetter, len(all)*len(orders), c.anyWorse)
	}
	b.WriteString("\n| set, drawn | proposed | measured: worst p99 over its own alone | first-fit | random, on average | the best there is |\n|---|---|---|---|---|---|\n")
	for i, at := range rand.New(rand.NewPCG(1, 0x736574)).Perm(len(all)) {
		if i == shown {
			break
		}
		t := all[at][0]
		x := rules[0].of(t.choice)
		fmt.Fprintf(&b, "| %d | %s | %.2f | %.2f (%s) | %.2f | %.2f |\n", i+1, t.groups(x), t.worst(x), t.firstFit, t.groups(t.choice.FirstFit), t.mean, t.best)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
