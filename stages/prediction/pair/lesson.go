package pair

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"barograph/pipeline/source"
	"barograph/stages/device/twin"
	"barograph/stages/prediction"
	"barograph/stages/prediction/forecast"

	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/mat"
)

// A Lesson is what a machine's recordings of pairs teach.
type Lesson struct {
	Machine   string              `json:"machine"`
	From      string              `json:"from"` // the recording
	Card      string              `json:"card"` // that predictions were made from
	Tenancies map[string]*Learned `json:"tenancies"`
}

// A Learned value is what pairs of one tenancy teach.
type Learned struct {
	Pairs     int            `json:"pairs"`
	Computing twin.Computing `json:"computing"`
	// Effects are, by quantile, in logarithms, what a model's latency lies above the
	// simulated one, and a neighbour's beside it.
	Effects [2]Effects `json:"effects"`
	// Product is by which share p50 lies above that alone, in logarithms: of models that compute
	// at once what one suffers times what the other disturbs, with nothing simulated. Weights are,
	// by quantile, how much counts of what it says of p50 against the simulation with its effects.
	Product Effects    `json:"product"`
	Weights [2]float64 `json:"product_weights"`
	// Errors are of pairs that were left out, by quantile; Unseen of models no pair of
	// which was seen.
	Errors [2]Errors `json:"errors"`
	Unseen [2]Errors `json:"unseen_errors"`
}

// An Effects value holds what every pair has in common, and what is a model's own.
type Effects struct {
	All       float64            `json:"all"`
	Suffers   map[string]float64 `json:"suffers"`
	Disturbs  map[string]float64 `json:"disturbs"`
	Shrinkage float64            `json:"shrinkage"` // to nothing, of the models' own
	// Pairs are what is left of each recorded pair: a model's name and its one neighbour's,
	// with a + between.
	Pairs map[string]float64 `json:"pairs,omitempty"`
}

// Unlearned is for a machine of which no pairs were recorded: what was probed on an H100
// of two and of four BERT-Base.
var Unlearned = &Lesson{Tenancies: map[string]*Learned{
	"process": {Computing: twin.Computing{Slice: 2e6, Switch: 120e3}},
	"mps":     {Computing: twin.Computing{Weight: 0.68, Power: crowdingPower}},
	"thread":  {Computing: twin.Computing{Weight: 0.68, Power: crowdingPower}},
}}

// File returns where a machine's is kept, relative to the workspace.
func File(machine string) string { return filepath.Join("data", "twin", machine+"-pairs.json") }

// ReadLesson reads what is kept for a machine; [Unlearned] where nothing is. What cannot
// have been learned is refused at its place: file:line:column.
func ReadLesson(root, machine string) (*Lesson, error) {
	x := &Lesson{}
	n, err := source.ReadJSON(filepath.Join(root, File(machine)), x)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Unlearned, nil
	case err != nil:
		return nil, err
	}
	for _, p := range n.At("tenancies").Pairs {
		if e := x.Tenancies[p.Key.Val.(string)].check(p.Val); e != nil {
			return nil, e
		}
	}
	return x, nil
}

// check refuses parameters from which nothing, or anything, would be predicted.
func (l *Learned) check(n *source.Node) *source.Error {
	c, computing := &l.Computing, n.At("computing")
	for _, v := range []struct {
		key         string
		value, most float64
	}{{"slice_ns", float64(c.Slice), 1e9}, {"switch_ns", float64(c.Switch), 1e9}, {"crowding", c.Weight, 10}, {"crowding_power", c.Power, 2}} {
		if err := forecast.Between(computing.At(v.key), v.key, v.value, 0, v.most); err != nil {
			return err
		}
	}
	for q, w := range l.Weights {
		if !(w >= 0 && w <= 1) {
			return n.At("product_weights", q).Errorf("", "product_weights is %g: want 0 to 1", w)
		}
	}
	for q := range len(l.Effects) + 1 {
		e, effects := &l.Product, n.At("product")
		if q < len(l.Effects) {
			e, effects = &l.Effects[q], n.At("effects", q)
		}
		for _, of := range []struct {
			values map[string]float64
			at     *source.Node
		}{{map[string]float64{"all": e.All}, effects}, {e.Suffers, effects.At("suffers")}, {e.Disturbs, effects.At("disturbs")}, {e.Pairs, effects.At("pairs")}} {
			for _, name := range slices.Sorted(maps.Keys(of.values)) {
				if err := forecast.InLogarithms(of.at.At(name), name, of.values[name]); err != nil {
					return err
				}
			}
		}
	}
	for q := range Quantiles {
		for _, of := range []struct {
			*Errors
			key string
		}{{&l.Errors[q], "errors"}, {&l.Unseen[q], "unseen_errors"}} {
			if err := of.check(n.At(of.key, q)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *Errors) check(n *source.Node) *source.Error {
	for end, errs := range [][]float64{e.Below, e.Above, e.About} {
		key := [...]string{"of_low", "of_high", "of_value"}[end]
		if len(errs) != len(e.Below) {
			return n.Errorf("", "of_low holds %d errors, and %s %d", len(e.Below), key, len(errs))
		}
		if err := forecast.Ascending(n.At(key), key, errs); err != nil {
			return err
		}
	}
	return nil
}

func (x *Lesson) of(tenancy string) (l *Learned, doubts []string) {
	if l = x.Tenancies[tenancy]; l == nil {
		l = Unlearned.Tenancies[tenancy]
	}
	if l.Pairs == 0 {
		doubts = append(doubts, fmt.Sprintf("no recorded pair of this machine tells how models share it (%s): what BERT-Base on an H100 showed is taken, and intervals reach from what calls take alone to what all take one after another", tenancy))
	}
	return l, doubts
}

// unseen returns those models that no recorded pair holds.
func (l *Learned) unseen(model string, others []string) (names []string) {
	for _, name := range append([]string{model}, others...) {
		if _, ok := l.Effects[0].Suffers[name]; !ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (e *Effects) sum(model string, others []string) float64 {
	sum := e.All + e.Suffers[model]
	for _, o := range others {
		sum += e.Disturbs[o]
	}
	return sum
}

// effect is by how much a quantile lies above the simulated one, in logarithms; middle is the
// simulated p50.
func (l *Learned) effect(q int, own *prediction.Baseline, others []string, middle float64) float64 {
	sum := l.Effects[q].sum(own.Model, others)
	if len(others) > 1 { // what a pair's models do in larger groups it does not tell
		return sum
	}
	if l.Weights[q] > 0 && len(l.unseen(own.Model, others)) == 0 {
		product := own.Quantile(Quantiles[0]) * (1 + math.Exp(l.Product.sum(own.Model, others)))
		sum += l.Weights[q] * (math.Log(product/middle) - l.Effects[0].sum(own.Model, others))
	}
	return sum + l.Effects[q].Pairs[own.Model+"+"+others[0]]
}

// An Outcome is what was measured of a model beside others.
type Outcome struct {
	Tenancy  string
	Own      *prediction.Baseline
	Beside   []*prediction.Baseline
	Measured [2]float64 // by quantile
	// Apart is p99 over that alone in the same replicate, by replicate.
	Apart map[string]float64
}

// group is the outcome's model and those beside it.
func (o *Outcome) group() []*prediction.Baseline {
	return append([]*prediction.Baseline{o.Own}, o.Beside...)
}

// Group names the outcome's models, in whatever order they are.
func (o *Outcome) Group() string { return key(o.group()) }

// key names a group, in whatever order its models are.
func key(group []*prediction.Baseline) string {
	all := make([]string, len(group))
	for i, own := range group {
		all[i] = own.Model
	}
	slices.Sort(all)
	return strings.Join(all, "+")
}

// crowdingPower is by how much less than others' sum requests that are computed at once
// slow one another, as four BERT-Base beside two told on an H100: pairs cannot tell.
const crowdingPower = 0.8

// candidates are what is tried for how a device computes for several: in turns, or at
// once; the last for each as if it were alone.
func candidates() (all []twin.Computing) {
	for _, slice := range []int64{1e6, 15e5, 2e6, 25e5, 3e6, 4e6} {
		for _, change := range []int64{0, 60e3, 120e3, 180e3} {
			all = append(all, twin.Computing{Slice: slice, Switch: change})
		}
	}
	for _, weight := range []float64{0.1, 0.2, 0.4, 0.6, 0.8, 1.1} {
		all = append(all, twin.Computing{Weight: weight, Power: crowdingPower})
	}
	return append(all, twin.Computing{})
}

// weights are what is tried for how much what the product says of p50 counts.
var weights = []float64{0, 0.5, 1}

// shrinkages are what is tried; the last has models' own effects vanish.
var shrinkages = []float64{0.3, 1, 3, 10, 30, math.Inf(1)}

// outlier is how much an error in logarithms counts at most: between two ways in which
// calls may interlock a median can fall on either.
const outlier = 0.3

// A fitter holds the simulations of every outcome of one tenancy under every candidate.
type fitter struct {
	outcomes []*Outcome
	models   []string
	tried    []twin.Computing
	gaps     [2][][]float64 // by quantile, candidate and outcome: ln(measured/simulated)
}

func newFitter(m *prediction.Machine, tenancy string, outcomes []*Outcome) (*fitter, error) {
	f := &fitter{outcomes: outcomes, tried: candidates()}
	for _, o := range outcomes {
		for _, own := range o.group() {
			if !slices.Contains(f.models, own.Model) {
				f.models = append(f.models, own.Model)
			}
		}
	}
	slices.Sort(f.models)
	for q := range f.gaps {
		f.gaps[q] = make([][]float64, len(f.tried))
		for k := range f.tried {
			f.gaps[q][k] = make([]float64, len(outcomes))
		}
	}
	together := map[string][]int{} // outcomes of one group, which one simulation tells of
	for i, o := range outcomes {
		together[key(o.group())] = append(together[key(o.group())], i)
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, of := range together {
		g.Go(func() error { return f.try(m, tenancy, of) })
	}
	return f, g.Wait()
}

// try simulates outcomes of one group under every candidate.
func (f *fitter) try(m *prediction.Machine, tenancy string, of []int) error {
	group := f.outcomes[of[0]].group()
	for k, c := range f.tried {
		sorted, err := simulate(m, group, tenancy, c, 2)
		if err != nil {
			return err
		}
		for _, i := range of {
			at := slices.Index(group, f.outcomes[i].Own)
			for q := range Quantiles {
				f.gaps[q][k][i] = math.Log(f.outcomes[i].Measured[q] / quantile(sorted[at], Quantiles[q]))
			}
		}
	}
	return nil
}

// row is an outcome's place among what is fitted: what all have in common, who suffers
// and who disturbs.
func (f *fitter) row(o *Outcome) []float64 {
	x := make([]float64, 1+2*len(f.models))
	x[0] = 1
	x[1+slices.Index(f.models, o.Own.Model)] = 1
	for _, beside := range o.Beside {
		x[1+len(f.models)+slices.Index(f.models, beside.Model)]++
	}
	return x
}

// solve returns the matrix that makes effects of gaps, by ridge regression, and the one
// that makes fitted gaps of gaps.
func (f *fitter) solve(seen []int, shrinkage float64) (effects, fitted *mat.Dense, err error) {
	n, p := len(seen), 1+2*len(f.models)
	x := mat.NewDense(n, p, nil)
	for r, i := range seen {
		x.SetRow(r, f.row(f.outcomes[i]))
	}
	if math.IsInf(shrinkage, 1) {
		shrinkage = 1e9
	}
	var normal, inverse mat.Dense
	normal.Mul(x.T(), x)
	for k := range p {
		penalty := shrinkage
		if k == 0 {
			penalty = 1e-6
		}
		normal.Set(k, k, normal.At(k, k)+penalty)
	}
	if err := inverse.Inverse(&normal); err != nil {
		var condition mat.Condition
		if !errors.As(err, &condition) || math.IsInf(float64(condition), 1) {
			return nil, nil, fmt.Errorf("learn from pairs: %w", err)
		}
	}
	effects, fitted = &mat.Dense{}, &mat.Dense{}
	effects.Mul(&inverse, x.T())
	fitted.Mul(x, effects)
	return effects, fitted, nil
}

// leaver returns the matrix that makes, of gaps, those that would remain of each pair,
// had it been left out of the fit: (I-H)^-1 times what remains in it, on its rows.
func (f *fitter) leaver(seen []int, fitted *mat.Dense) *mat.Dense {
	n := len(seen)
	remains := mat.NewDense(n, n, nil)
	remains.Scale(-1, fitted)
	rows := map[string][]int{}
	for r, i := range seen {
		remains.Set(r, r, 1+remains.At(r, r))
		name := key(f.outcomes[i].group())
		rows[name] = append(rows[name], r)
	}
	left := mat.NewDense(n, n, nil)
	for _, of := range rows {
		within, all := mat.NewDense(len(of), len(of), nil), mat.NewDense(len(of), n, nil)
		for u, r := range of {
			for v, c := range of {
				within.Set(u, v, remains.At(r, c))
			}
			all.SetRow(u, remains.RawRowView(r))
		}
		var e mat.Dense
		if e.Solve(within, all) != nil { // a pair that alone decides an effect
			e.CloneFrom(all)
		}
		for u, r := range of {
			left.SetRow(r, e.RawRowView(u))
		}
	}
	return left
}

// clipped returns the gaps by outcome and candidate, none further than an outlier from
// the candidate's median, so that one is not taken for a model's effect, and what was
// cut off.
func (f *fitter) clipped(q int, seen []int) (gaps, beyond *mat.Dense) {
	gaps, beyond = mat.NewDense(len(seen), len(f.tried), nil), mat.NewDense(len(seen), len(f.tried), nil)
	column := make([]float64, len(seen))
	for k := range f.tried {
		for r, i := range seen {
			column[r] = f.gaps[q][k][i]
		}
		m := middle(column)
		for r, v := range column {
			kept := min(max(v, m-outlier), m+outlier)
			gaps.Set(r, k, kept)
			beyond.Set(r, k, v-kept)
		}
	}
	return gaps, beyond
}

// excess is what p50 of outcomes lies above that alone, as a share and in logarithms.
func (f *fitter) excess(seen []int) *mat.VecDense {
	y := mat.NewVecDense(len(seen), nil)
	for r, i := range seen {
		o := f.outcomes[i]
		y.SetVec(r, math.Log(max(o.Measured[0]/o.Own.Quantile(Quantiles[0])-1, least)))
	}
	return y
}

const least = 0.01 // of an excess: what is shorter beside others than alone has none

// fit learns from the outcomes that are not left out, and tells by how much p99 of each other
// lies above what is predicted of it once it is left out too, in logarithms.
func (f *fitter) fit(leaveOut func(*Outcome) bool) (*Learned, []float64, error) {
	var seen []int
	pairs := map[string]bool{}
	known := map[string]bool{}
	for i, o := range f.outcomes {
		if !leaveOut(o) {
			seen = append(seen, i)
			pairs[key(o.group())], known[o.Own.Model] = true, true
		}
	}
	if len(pairs) < 3 {
		return nil, nil, ErrFew
	}
	gaps, beyond := [2]*mat.Dense{}, [2]*mat.Dense{} // by outcome and candidate: what effects are made of, and the rest
	for q := range gaps {
		gaps[q], beyond[q] = f.clipped(q, seen)
	}
	// By candidate: which shrinkage loses least, how much, and by how much each outcome lies above
	// what is predicted of it once its pair is left out.
	best, losses, errs := [2][]int{}, [2][]float64{}, [2]*mat.Dense{}
	for q := range losses {
		best[q], losses[q] = make([]int, len(f.tried)), slices.Repeat([]float64{math.Inf(1)}, len(f.tried))
		errs[q] = mat.NewDense(len(seen), len(f.tried), nil)
	}
	excess := f.excess(seen)
	products, product, of := math.Inf(1), 0, make([]float64, len(seen)) // the same of the product
	var solved []*mat.Dense
	for s, shrinkage := range shrinkages {
		effects, fitted, err := f.solve(seen, shrinkage)
		if err != nil {
			return nil, nil, err
		}
		solved = append(solved, effects)
		left := f.leaver(seen, fitted)
		for q := range Quantiles {
			var e mat.Dense
			e.Mul(left, gaps[q])
			e.Add(&e, beyond[q])
			for k := range f.tried {
				if loss := lost(e.ColView(k)); loss < losses[q][k] {
					losses[q][k], best[q][k] = loss, s
					errs[q].SetCol(k, mat.Col(nil, k, &e))
				}
			}
		}
		var e mat.VecDense
		e.MulVec(left, excess)
		for r := range seen {
			y := excess.AtVec(r)
			e.SetVec(r, math.Log1p(math.Exp(y))-math.Log1p(math.Exp(y-e.AtVec(r))))
		}
		if loss := lost(&e); loss < products {
			products, product = loss, s
			copy(of, e.RawVector().Data)
		}
	}
	// What is left of a quantile's errors where the product counts.
	mixed := func(q, k int, weight float64) *mat.VecDense {
		v := mat.NewVecDense(len(seen), nil)
		for r := range seen {
			v.SetVec(r, errs[q].At(r, k)-weight*(errs[0].At(r, k)-of[r]))
		}
		return v
	}
	chosen, fewest := 0, math.Inf(1)
	for k := range f.tried { // an error of p50 counts twice, since half of that of p99 is asked of it
		if loss := 2*losses[0][k] + losses[1][k]; loss < fewest {
			chosen, fewest = k, loss
		}
	}
	// Weights come after: larger groups, of which the product tells nothing, rest on what was
	// chosen without it.
	l := &Learned{Pairs: len(pairs), Computing: f.tried[chosen]}
	for q := range Quantiles {
		of := math.Inf(1)
		for _, w := range weights {
			if loss := lost(mixed(q, chosen, w)); loss < of {
				of, l.Weights[q] = loss, w
			}
		}
	}
	named := func(s int, of mat.Vector) Effects {
		var v mat.VecDense
		v.MulVec(solved[s], of)
		e := Effects{All: round(v.AtVec(0)), Suffers: map[string]float64{}, Disturbs: map[string]float64{}, Shrinkage: shrinkages[s]}
		if math.IsInf(e.Shrinkage, 1) {
			e.Shrinkage = -1
		}
		for i, name := range f.models {
			if known[name] {
				e.Suffers[name], e.Disturbs[name] = round(v.AtVec(1+i)), round(v.AtVec(1+len(f.models)+i))
			}
		}
		return e
	}
	l.Product = named(product, excess)
	for q := range Quantiles {
		l.Effects[q] = named(best[q][chosen], gaps[q].ColView(chosen))
	}
	for q := range Quantiles {
		own := map[string]float64{}
		for _, i := range seen {
			o := f.outcomes[i]
			own[o.Own.Model+"+"+o.Beside[0].Model] = round(f.gaps[q][chosen][i] - l.effect(q, o.Own, []string{o.Beside[0].Model}, f.simulated(0, chosen, i)))
		}
		l.Effects[q].Pairs = own
	}
	return l, mixed(len(Quantiles)-1, chosen, l.Weights[len(Quantiles)-1]).RawVector().Data, nil
}

// simulated is a quantile of an outcome under a candidate, in nanoseconds.
func (f *fitter) simulated(q, k, outcome int) float64 {
	return f.outcomes[outcome].Measured[q] * math.Exp(-f.gaps[q][k][outcome])
}

// lost is what errors in logarithms lose.
func lost(errs mat.Vector) (sum float64) {
	for r := range errs.Len() {
		sum += min(math.Abs(errs.AtVec(r)), outlier)
	}
	return sum
}

func round(v float64) float64 { return math.Round(1e5*v) / 1e5 }
