package pair

import (
	"math"
	"slices"
)

// A Held predicts pairs of one tenancy that it has not learned from.
type Held struct{ *fitter }

// Models are those of the pairs, in order.
func (h *Held) Models() []string { return h.models }

// Apart returns p99 of a model beside another over its own alone, by replicate.
func (h *Held) Apart(model, beside string) map[string]float64 {
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
	l, errs, err := h.fit(inside)
	if err != nil {
		return nil, err
	}
	k := slices.Index(h.tried, l.Computing)
	u := &Unseen{Predicted: map[[2]string]float64{}, Measured: map[[2]string]float64{}, Errors: errs}
	const p99 = len(Quantiles) - 1
	for i, o := range h.outcomes {
		if !inside(o) {
			continue
		}
		two := [2]string{o.Own.Model, o.Beside[0].Model}
		by := math.Exp(l.effect(p99, o.Own, two[1:], h.simulated(0, k, i)))
		u.Predicted[two], u.Measured[two] = max(o.Own.Quantile(Quantiles[p99]), h.simulated(p99, k, i)*by), o.Measured[p99]
	}
	return u, nil
}
