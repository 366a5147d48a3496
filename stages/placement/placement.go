// Package placement says which models to put on which of several alike GPUs, so that what
// they do to one another's tails is least, or stays within limits. It knows of no GPU:
// what calls take that share one is foretold to it, such as by package pair.
package placement

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// A Model is one to be placed.
type Model struct {
	Name   string
	Memory int64   // bytes that it takes of a GPU's; 0: not known
	Alone  float64 // p99 of its calls without others, nanoseconds
	Limit  float64 // that p99 is to keep; 0: none
}

// want is what a model's p99 is held against: its limit, or, without one, what it is
// without others.
func (m *Model) want() float64 { return cmp.Or(m.Limit, m.Alone) }

// A Fleet is what models are placed on.
type Fleet struct {
	GPUs   int
	Memory int64 // bytes of each that models may take; 0: not known, and not planned for
	Most   int   // models on one GPU
}

const most = 16 // models that are placed: what is tried grows as 2 to their number

// A Foretell returns the p99 of the calls of each model of a group that shares a GPU,
// in its order, in nanoseconds. Groups are models by their place, ascending.
type Foretell func(group []int) ([]float64, error)

// A Placement has models, by their place, in groups that share a GPU each. Groups are
// ordered by their first model; GPUs that are left over have none.
type Placement struct {
	Groups [][]int
	P99    [][]float64 // of each model of a group
	// Excess is the largest p99 over its limit, at least 1: that, where all are kept. Worst
	// is the largest p99 over what is wanted of it, and Mean that of all models.
	Excess, Worst, Mean float64
}

// Keeps tells whether every model that has a limit keeps it.
func (p *Placement) Keeps() bool { return p.Excess <= 1 }

// A plan is what a search has learned of groups.
type plan struct {
	models   []Model
	fleet    Fleet
	foretell Foretell
	known    map[uint]*Placement // of one group each; nil: it does not fit
}

// fits tells whether a group's memory does.
func (p *plan) fits(set uint) bool {
	if bits.OnesCount(set) > p.fleet.Most {
		return false
	}
	sum := int64(0)
	for i := range p.models {
		if set>>i&1 == 1 {
			sum += p.models[i].Memory
		}
	}
	return p.fleet.Memory == 0 || sum <= p.fleet.Memory
}

// group is a placement of one group; nil where it does not fit.
func (p *plan) group(set uint) (*Placement, error) {
	if of, ok := p.known[set]; ok {
		return of, nil
	}
	if !p.fits(set) {
		p.known[set] = nil
		return nil, nil
	}
	var group []int
	for i := range p.models {
		if set>>i&1 == 1 {
			group = append(group, i)
		}
	}
	p99, err := p.foretell(group)
	if err != nil {
		return nil, err
	}
	of := &Placement{Groups: [][]int{group}, P99: [][]float64{p99}, Excess: 1}
	for i, m := range group {
		if l := p.models[m].Limit; l > 0 {
			of.Excess = max(of.Excess, p99[i]/l)
		}
		of.Worst = max(of.Worst, p99[i]/p.models[m].want())
		of.Mean += p99[i] / p.models[m].want() / float64(len(p.models))
	}
	p.known[set] = of
	return of, nil
}

func newPlan(models []Model, fleet Fleet, foretell Foretell) (*plan, error) {
	switch {
	case len(models) == 0:
		return nil, errors.New("place models: there are none")
	case len(models) > most:
		return nil, fmt.Errorf("place %d models: want at most %d at once", len(models), most)
	case fleet.GPUs < 1:
		return nil, fmt.Errorf("place models on %d GPUs: want at least 1", fleet.GPUs)
	case fleet.Most < 1:
		return nil, fmt.Errorf("place at most %d models on a GPU: want at least 1", fleet.Most)
	}
	for _, m := range models {
		if fleet.Memory > 0 && m.Memory > fleet.Memory {
			return nil, fmt.Errorf("place %s: it takes %s of a GPU's memory, and %s can be given", m.Name, gib(m.Memory), gib(fleet.Memory))
		}
	}
	return &plan{models, fleet, foretell, map[uint]*Placement{}}, nil
}

// gib writes bytes.
func gib(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }

// better orders placements: by how well limits are kept, then by the worst of their
// models, and then by the mean.
func better(a, b *Placement) bool {
	if b == nil {
		return true
	}
	for _, by := range [][2]float64{{a.Excess, b.Excess}, {a.Worst, b.Worst}} {
		if math.Abs(by[0]-by[1]) > 1e-9*by[1] {
			return by[0] < by[1]
		}
	}
	return a.Mean < b.Mean
}

func (p *Placement) with(o *Placement) *Placement {
	return &Placement{
		Groups: append(slices.Clone(p.Groups), o.Groups...), P99: append(slices.Clone(p.P99), o.P99...),
		Excess: max(p.Excess, o.Excess), Worst: max(p.Worst, o.Worst), Mean: p.Mean + o.Mean,
	}
}

// Search returns the placement that keeps limits best and whose worst model is then best
// off: of all that there are, each of whose groups fits. It fails where none does.
func Search(models []Model, fleet Fleet, foretell Foretell) (*Placement, error) {
	p, err := newPlan(models, fleet, foretell)
	if err != nil {
		return nil, err
	}
	// best holds, by the set of models that are placed, the best placement on so many
	// GPUs.
	all := uint(1)<<len(models) - 1
	best := make([]*Placement, all+1)
	best[0] = &Placement{Excess: 1}
	var found *Placement
	for range fleet.GPUs {
		next := make([]*Placement, all+1)
		for placed, of := range best {
			if of == nil || uint(placed) == all {
				continue
			}
			rest := all &^ uint(placed)
			first := rest & -rest // is in the next group, so that groups are tried in one order
			for others := rest &^ first; ; others = (others - 1) & (rest &^ first) {
				set := first | others
				if p.fits(set) {
					g, err := p.group(set)
					if err != nil {
						return nil, err
					}
					if x := of.with(g); better(x, next[uint(placed)|set]) {
						next[uint(placed)|set] = x
					}
				}
				if others == 0 {
					break
				}
			}
		}
		best = next
		if x := best[all]; x != nil && better(x, found) {
			found = x
		}
	}
	if found == nil {
		return nil, fmt.Errorf("place %d models on %d GPUs: in no way does every group fit, of at most %d models and, where memory is known, %s", len(models), fleet.GPUs, fleet.Most, gib(fleet.Memory))
	}
	return found, nil
}

// Near is the share by which what counts as the same may differ.
const Near = 0.02

// worse tells whether a placement keeps limits less well than another, or, where both keep
// them alike, has a worst model that is worse off: by more than what is near.
func worse(a, b *Placement) bool {
	for _, by := range [][2]float64{{a.Excess, b.Excess}, {a.Worst, b.Worst}} {
		switch {
		case by[0] > (1+Near)*by[1]:
			return true
		case by[1] > (1+Near)*by[0]:
			return false
		}
	}
	return false
}

// A Draw foretells a group with errors: what may be measured, each time another.
type Draw func(group []int, rng *rand.Rand) ([]float64, error)

// A Choice is between the placement that is foretold best and first-fit. What errs may make
// of a small gain a loss, and the best of several is one of which the error is likely to
// flatter: so the gain has to carry it.
type Choice struct {
	Best, FirstFit *Placement // FirstFit is nil where one model fits on no GPU
	// Risk is the probability that the best is worse than first-fit: the share of draws, in
	// which a group that both have takes the same.
	Risk float64
}

// At returns the placement that is foretold best, where it is worse than first-fit with at
// most a probability, or keeps limits that first-fit is foretold not to; first-fit otherwise.
func (c *Choice) At(risk float64) *Placement {
	if c.FirstFit == nil || c.Risk <= risk || c.Best.Keeps() && !c.FirstFit.Keeps() {
		return c.Best
	}
	return c.FirstFit
}

const chances = 1000 // draws of a risk: 5% is told within 0.7%

// Choose searches, and tells how large the risk is to leave first-fit for what it found.
func Choose(models []Model, fleet Fleet, foretell Foretell, draw Draw) (*Choice, error) {
	best, err := Search(models, fleet, foretell)
	if err != nil {
		return nil, err
	}
	first, err := FirstFit(models, fleet, foretell)
	if err != nil || first == nil {
		return &Choice{Best: best}, err
	}
	lost := 0
	rng := rand.New(rand.NewPCG(1, 0x7269736b))
	for range chances {
		p, err := newPlan(models, fleet, func(group []int) ([]float64, error) { return draw(group, rng) })
		if err != nil {
			return nil, err
		}
		var of [2]*Placement
		for i, x := range []*Placement{best, first} {
			if of[i], err = p.of(x.sets()); err != nil {
				return nil, err
			}
		}
		if worse(of[0], of[1]) {
			lost++
		}
	}
	return &Choice{best, first, float64(lost) / chances}, nil
}

// sets are a placement's groups as sets of models.
func (p *Placement) sets() (sets []uint) {
	for _, g := range p.Groups {
		set := uint(0)
		for _, m := range g {
			set |= 1 << m
		}
		sets = append(sets, set)
	}
	return sets
}

// even is how many models each GPU has where they are divided evenly.
func (f *Fleet) even(models int) int { return (models + f.GPUs - 1) / f.GPUs }

// FirstFit puts each model, in the order given, on the first GPU on which it fits: in
// memory, and among so many models as an even division gives. Nil where one fits on none.
func FirstFit(models []Model, fleet Fleet, foretell Foretell) (*Placement, error) {
	p, err := newPlan(models, fleet, foretell)
	if err != nil {
		return nil, err
	}
	p.fleet.Most = min(fleet.Most, fleet.even(len(models)))
	sets := make([]uint, fleet.GPUs)
	for i := range models {
		at := slices.IndexFunc(sets, func(set uint) bool { return p.fits(set | 1<<i) })
		if at < 0 {
			return nil, nil
		}
		sets[at] |= 1 << i
	}
	return p.of(sets)
}

// of is the placement with the groups given, empty ones left out.
func (p *plan) of(sets []uint) (*Placement, error) {
	x := &Placement{Excess: 1}
	for _, set := range sets {
		if set == 0 {
			continue
		}
		g, err := p.group(set)
		if err != nil || g == nil {
			return nil, err
		}
		x = x.with(g)
	}
	return x, nil
}

// Random returns so many placements that divide the models evenly, drawn by a seed; fewer,
// where some do not fit.
func Random(models []Model, fleet Fleet, foretell Foretell, draws int, seed uint64) (all []*Placement, err error) {
	p, err := newPlan(models, fleet, foretell)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(seed, 0x706c616365))
	for range draws {
		sets := make([]uint, fleet.GPUs)
		for i, m := range rng.Perm(len(models)) {
			sets[i%fleet.GPUs] |= 1 << m
		}
		x, err := p.of(sets)
		if err != nil {
			return nil, err
		}
		if x != nil {
			all = append(all, x)
		}
	}
	return all, nil
}
