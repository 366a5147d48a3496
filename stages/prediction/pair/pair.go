// Package pair says how long models' calls take that share a GPU, from what each takes
// without the others and from the link card of the machine. A prediction is computed and
// never measured: it carries its interval, and says what it rests on.
//
// Three things make one. The simulation of package twin lets the models meet at the
// copy engines and at the computing, in time slices between processes or at once under
// MPS. What a machine's recordings of pairs teach beside that is how long a slice is, or
// by how much requests that are computed at once slow one another, and for each model by
// how much more or less than simulated it suffers from others and they from it; of p50 of
// requests that are computed at once that product says more than the simulation. And how
// far predictions err of pairs that were left out makes the interval.
package pair

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"barograph/stages/device/twin"
	"barograph/stages/prediction"
)

// Quantiles are those that are predicted.
var Quantiles = [2]float64{0.5, 0.99}

// Tenancies are the ways to share a GPU: processes that take turns, processes under MPS,
// and threads of one process.
var Tenancies = []string{"process", "mps", "thread"}

// Check reports a tenancy that there is not.
func Check(tenancy string) error {
	if !slices.Contains(Tenancies, tenancy) {
		return fmt.Errorf("unknown tenancy %q: want %s", tenancy, strings.Join(Tenancies, ", "))
	}
	return nil
}

const (
	calls   = 300 // of each model in a simulation,
	warm    = 30  // and before them
	draws   = 4   // simulations of a prediction
	lead    = int64(1e6)
	enough  = int64(120e9) // of virtual time
	missed  = 0.05         // of measured points on either side of an interval
	perCall = 0.02         // how far apart calls begin at first, as a share of one
)

// A Prediction is what one model's calls would take, in the order of [Quantiles].
type Prediction struct {
	Model     string
	Estimates [2]prediction.Estimate
	Alone     [2]float64
	bands     [2]band
	misses    [2][]float64 // errors of other pairs about the value; nil: nothing tells of any
	recorded  bool         // the pair was, and its value is what was measured
}

// Draw returns what might be measured in the place of an estimate: as far from it as others
// were that were left out, or, where none tells, anywhere in its interval. Of a pair that was
// recorded it is what was measured.
func (p *Prediction) Draw(q int, rng *rand.Rand) float64 {
	e := &p.Estimates[q]
	switch {
	case p.recorded || e.Low == e.High:
		return e.Value
	case len(p.misses[q]) == 0:
		return e.Low * math.Pow(e.High/e.Low, rng.Float64())
	}
	return Miss(e.Value, p.Alone[q], p.misses[q], rng)
}

// Miss draws one of the errors about a value, below which nothing can be measured that is less
// than what a model takes alone.
func Miss(value, alone float64, errs []float64, rng *rand.Rand) float64 {
	return max(alone, value*math.Exp(errs[rng.IntN(len(errs))]))
}

// A band is what was simulated of quantiles about one: where calls interlock in ways that
// alternate, a median can fall on one way or the other, and either is in its band.
type band struct{ low, high float64 }

// about is how far a band's quantiles lie from that which is predicted.
var about = [2]float64{0.1, 0.005}

// Predict says what the calls of each model of a group take that share a GPU, each in
// a closed loop, and what to doubt of it. A group of one is a model without others.
func Predict(m *prediction.Machine, group []*prediction.Baseline, tenancy string, x *Lesson) ([]Prediction, []string, error) {
	if err := Check(tenancy); err != nil {
		return nil, nil, err
	}
	learned, doubts := x.of(tenancy)
	all := make([]Prediction, len(group))
	if len(group) == 1 {
		all[0] = alone(group[0])
		return all, nil, nil
	}
	sorted, err := simulate(m, group, tenancy, learned.Computing, draws)
	if err != nil {
		return nil, nil, err
	}
	if len(group) > 2 {
		doubts = append(doubts, "how far predictions err is known of two models on a GPU, and not of more")
	}
	for i, own := range group {
		p := &all[i]
		p.Model = own.Model
		var others []string
		for k, o := range group {
			if k != i {
				others = append(others, o.Model)
			}
		}
		unseen := learned.unseen(own.Model, others)
		if _, ok := learned.Effects[0].Pairs[own.Model+"+"+others[0]]; ok && len(others) == 1 {
			p.recorded = true
		}
		if learned.Pairs > 0 && len(unseen) > 0 {
			doubts = append(doubts, fmt.Sprintf("no recorded pair holds %s: intervals are those of models that were left out", strings.Join(unseen, ", ")))
		}
		middle := quantile(sorted[i], Quantiles[0])
		for q := range Quantiles {
			p.Alone[q] = own.Quantile(Quantiles[q])
			at := func(quantileOf float64) float64 {
				return max(p.Alone[q], quantile(sorted[i], quantileOf)*math.Exp(learned.effect(q, own, others, middle)))
			}
			value := at(Quantiles[q])
			if q > 0 {
				value = max(value, p.Estimates[q-1].Value)
			}
			b := band{min(value, at(Quantiles[q]-about[q])), max(value, at(Quantiles[q]+about[q]))}
			errs := learned.Errors[q]
			if len(unseen) > 0 {
				errs = learned.Unseen[q]
			}
			e := errs.about(value, b)
			if e.Low = max(e.Low, p.Alone[q]); len(errs.Below) == 0 {
				e.Low, e.High = p.Alone[q], max(value, inTurn(group, Quantiles[q]))
			}
			p.Estimates[q], p.bands[q], p.misses[q] = e, b, errs.About
		}
	}
	slices.Sort(doubts)
	return all, slices.Compact(doubts), nil
}

// inTurn is what the models of a group take one after another.
func inTurn(group []*prediction.Baseline, q float64) (sum float64) {
	for _, own := range group {
		sum += own.Quantile(q)
	}
	return sum
}

// alone is a model without others: nothing is predicted.
func alone(own *prediction.Baseline) (p Prediction) {
	p.Model = own.Model
	for q := range Quantiles {
		v := own.Quantile(Quantiles[q])
		p.Alone[q], p.Estimates[q] = v, prediction.Estimate{Value: v, Low: v, High: v}
	}
	return p
}

// Errors are by how much measured quantiles lay above either end of their band and above the
// value that was predicted, in logarithms and ascending.
type Errors struct {
	Below []float64 `json:"of_low"`
	Above []float64 `json:"of_high"`
	About []float64 `json:"of_value"`
}

func (e *Errors) add(measured, value float64, b band) {
	for _, of := range []struct {
		errs *[]float64
		from float64
	}{{&e.Below, b.low}, {&e.Above, b.high}, {&e.About, value}} {
		*of.errs = append(*of.errs, round(math.Log(measured/of.from)))
	}
}

func (e *Errors) sort() {
	slices.Sort(e.Below)
	slices.Sort(e.Above)
	slices.Sort(e.About)
}

// about returns an estimate with the interval that nine in ten of another such value fall
// into, if they may be exchanged for one another (Romano, Patterson and Candès,
// "Conformalized Quantile Regression", 2019).
func (e *Errors) about(value float64, b band) prediction.Estimate {
	n := len(e.Below)
	if n == 0 {
		return prediction.Estimate{Value: value, Low: b.low, High: b.high}
	}
	i := int(missed * float64(n+1))
	low, high := e.Below[max(0, i-1)], e.Above[min(n-1, n-i)]
	return prediction.Estimate{Value: value, Low: min(value, b.low*math.Exp(low)), High: max(value, b.high*math.Exp(high))}
}

// simulate returns the latencies of each model of a group, ascending. Models that are
// alike share theirs.
func simulate(m *prediction.Machine, group []*prediction.Baseline, tenancy string, c twin.Computing, draws int) ([][]int64, error) {
	all := make([][]int64, len(group))
	for draw := range draws {
		l := m.Link
		if l.Computing = c; tenancy == "mps" {
			l.SmallIdle, l.SmallBehind = 0, 0
		}
		rng := rand.New(rand.NewPCG(uint64(draw), 0x70616972))
		short := len(group)
		services := make([]*twin.Service, len(group))
		for i, own := range group {
			of := own.Calls[draw%len(own.Calls)]
			copies := l.Copies(own.In, own.Out, true)
			made := 0
			s := &twin.Service{
				Start: lead + int64(rng.Float64()*perCall*own.Quantile(0.5)), In: own.In, Out: own.Out, Behind: true, Occupancy: 1,
				Compute: func(int64) int64 { return max(1, of[rng.IntN(len(of))]-copies) },
				Done: func(call twin.Call) bool {
					if made++; made > warm {
						all[i] = append(all[i], call.Latency)
					}
					if made == warm+calls {
						short--
					}
					return short > 0
				},
			}
			if tenancy != "thread" {
				s.Process = i
			}
			services[i] = s
		}
		l.Run(nil, services, enough, uint64(draw))
		if short > 0 {
			return nil, fmt.Errorf("predict %s: not all had made %d calls within %d s", key(group), calls, enough/1e9)
		}
	}
	for i, own := range group {
		for k := range i {
			if group[k] == own {
				all[k] = append(all[k], all[i]...)
				break
			}
		}
	}
	for i, own := range group {
		slices.Sort(all[i])
		all[i] = all[slices.Index(group, own)]
	}
	return all, nil
}

// quantile returns the nearest rank of ascending values.
func quantile(sorted []int64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return float64(sorted[min(len(sorted)-1, max(0, int(math.Ceil(q*float64(len(sorted))))-1))])
}

// ErrFew is that of too few pairs to learn from.
var ErrFew = errors.New("fewer than three pairs: nothing can be learned from them")
