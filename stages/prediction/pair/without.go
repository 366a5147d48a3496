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
func (h *Held) Apart(model, beside string) map[int64]float64 {
	for _, o := range h.outcomes {
		if o.Own.Model == model && o.Beside[0].Model == beside {
			return o.Apart
		}
	}
	return nil
}

// Without predicts the p99 of each model of a set beside each other one, from pairs that
// hold no two models of the set, and returns what was measured beside it: by model and
// neighbour. The error is [ErrFew] where too few such pairs are left.
func (h *Held) Without(set []string) (predicted, measured map[[2]string]float64, err error) {
	inside := func(o *Outcome) bool {
		return slices.Contains(set, o.Own.Model) && slices.Contains(set, o.Beside[0].Model)
	}
	l, err := h.fit(inside)
	if err != nil {
		return nil, nil, err
	}
	k := slices.Index(h.tried, l.Computing)
	predicted, measured = map[[2]string]float64{}, map[[2]string]float64{}
	for i, o := range h.outcomes {
		if !inside(o) {
			continue
		}
		two, p99 := [2]string{o.Own.Model, o.Beside[0].Model}, len(Quantiles)-1
		simulated := o.Measured[p99] * math.Exp(-h.gaps[p99][k][i])
		predicted[two] = max(o.Own.Quantile(Quantiles[p99]), simulated*math.Exp(l.effect(p99, two[0], two[1:])))
		measured[two] = o.Measured[p99]
	}
	return predicted, measured, nil
}
