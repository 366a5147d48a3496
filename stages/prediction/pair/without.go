package pair

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// A Held predicts pairs of one tenancy that it has not learned from.
type Held struct{ *fitter }

// Models are those of the pairs, in order.
func (h *Held) Models() []string { return h.models }

// Apart returns p99 of a model beside another over its own alone, by replicate.
func (h *Held) Apart(model, beside string) map[int64]float64 {
	for _, o := range h.outcomes {
		if o.Own.Model == model && o.Beside[0].Model == beside {
			return o.Apart
		}
	}
	return nil
}

// An Unseen value is what is predicted of a set of models from pairs that hold no two of
// them, and what was measured: the p99 of each beside each, by model and neighbour. Errors
// are those about the values predicted of the pairs learned from, each left out in turn, in
// logarithms.
type Unseen struct {
	Predicted, Measured map[[2]string]float64
	Errors              []float64
}

// Without predicts a set of models. The error is [ErrFew] where too few pairs are left to
// learn from.
func (h *Held) Without(set []string) (*Unseen, error) {
	inside := func(o *Outcome) bool {
		return slices.Contains(set, o.Own.Model) && slices.Contains(set, o.Beside[0].Model)
	}
	l, err := h.fit(inside)
	if err != nil {
		return nil, err
	}
	k := slices.Index(h.tried, l.Computing)
	u := &Unseen{Predicted: map[[2]string]float64{}, Measured: map[[2]string]float64{}}
	const p99 = len(Quantiles) - 1
	var seen []int
	for i, o := range h.outcomes {
		if !inside(o) {
			seen = append(seen, i)
			continue
		}
		two := [2]string{o.Own.Model, o.Beside[0].Model}
		simulated := o.Measured[p99] * math.Exp(-h.gaps[p99][k][i])
		u.Predicted[two] = max(o.Own.Quantile(Quantiles[p99]), simulated*math.Exp(l.effect(p99, two[0], two[1:])))
		u.Measured[two] = o.Measured[p99]
	}
	shrinkage := l.Effects[p99].Shrinkage
	if shrinkage < 0 {
		shrinkage = math.Inf(1)
	}
	_, fitted, err := h.solve(seen, shrinkage)
	if err != nil {
		return nil, err
	}
	gaps, beyond := h.clipped(p99, seen)
	var errs mat.VecDense
	errs.MulVec(h.leaver(seen, fitted), gaps.ColView(k))
	errs.AddVec(&errs, beyond.ColView(k))
	u.Errors = errs.RawVector().Data
	return u, nil
}
