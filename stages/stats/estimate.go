package stats

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// An Estimate is a quantile of latencies with its 95% interval, in nanoseconds.
type Estimate struct {
	Q                float64
	Value, Low, High float64 // NaN where the samples do not carry them
	N                int
	Effective        float64 // independent samples that N are worth
	Method           string  // of the interval: order statistics or bootstrap
	Doubt            string  // why a number is missing; empty otherwise
}

// Dependent is the share of effective samples below which an interval that
// assumes independence is not given (rule 6).
const Dependent = 0.5

// Estimates returns quantiles of the replicates' pooled samples, in the order
// asked for: with intervals from order statistics, or, where samples depend on
// one another so much that fewer than the share Dependent of them count, from
// BootstrapQuantile (rules 6 and 7).
func Estimates(replicates [][]int64, qs []float64, b Bootstrap) ([]Estimate, error) {
	b = b.orDefault()
	all, err := Pool(replicates...)
	if err != nil {
		return nil, err
	}
	order, err := all.quantiles(qs, b.Confidence)
	if err != nil {
		return nil, err
	}
	out := make([]Estimate, len(qs))
	effective := EffectiveN(all.N(), Lag1(replicates))
	var dependent []int // of out: those that a bootstrap tells
	var resampled []float64
	for i, o := range order {
		out[i] = Estimate{
			Q: o.Q, Value: o.Value, Low: o.Low, High: o.High, N: o.N, Effective: effective,
			Method: "order statistics", Doubt: o.Doubt,
		}
		if o.Doubt == "" && effective < Dependent*float64(o.N) {
			dependent, resampled = append(dependent, i), append(resampled, o.Q)
		}
	}
	if len(dependent) == 0 {
		return out, nil
	}
	boots, err := bootstrapQuantiles(replicates, resampled, b)
	if err != nil {
		return nil, err
	}
	for k, boot := range boots {
		e := &out[dependent[k]]
		e.Low, e.High, e.Method, e.Doubt = boot.Low, boot.High, "bootstrap", boot.Doubt
	}
	return out, nil
}

// Milliseconds writes an estimate as "3.53 [3.51, 3.56]", or "n too small" where
// the samples carry no estimate.
func (e Estimate) Milliseconds() string {
	if math.IsNaN(e.Value) {
		return "n too small"
	}
	if math.IsNaN(e.Low) || math.IsNaN(e.High) {
		return Milliseconds(e.Value) + " [n too small]"
	}
	return fmt.Sprintf("%s [%s, %s]", Milliseconds(e.Value), Milliseconds(e.Low), Milliseconds(e.High))
}

// A Ratio is how many times one estimate is another.
type Ratio struct{ Value, Low, High float64 }

// Over returns how many times an estimate is a base that was taken from other samples.
// The interval is recovered from those of both (MOVER: Donner and Zou, "Closed-form
// confidence intervals for functions of the normal mean and standard deviation", 2012):
// on a scale of logarithms, distances of an end from its estimate add like deviations.
func (e Estimate) Over(base Estimate) Ratio {
	far := func(one, other float64) float64 { return math.Exp(math.Hypot(math.Log(one), math.Log(other))) }
	r := e.Value / base.Value
	return Ratio{r, r / far(e.Value/e.Low, base.High/base.Value), r * far(e.High/e.Value, base.Value/base.Low)}
}

// String writes a ratio as "1.05 [0.97, 1.11]", or "n too small".
func (r Ratio) String() string {
	switch {
	case math.IsNaN(r.Value):
		return "n too small"
	case math.IsNaN(r.Low) || math.IsNaN(r.High):
		return fmt.Sprintf("%.2f [n too small]", r.Value)
	}
	return fmt.Sprintf("%.2f [%.2f, %.2f]", r.Value, r.Low, r.High)
}

// MarshalJSON writes numbers that are not given as null.
func (e Estimate) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Q         float64  `json:"q"`
		N         int      `json:"n"`
		Effective float64  `json:"effective_n"`
		Value     *float64 `json:"value_ns"`
		Low       *float64 `json:"low_ns"`
		High      *float64 `json:"high_ns"`
		Method    string   `json:"method"`
		Doubt     string   `json:"doubt,omitempty"`
	}{e.Q, e.N, e.Effective, nullable(e.Value), nullable(e.Low), nullable(e.High), e.Method, e.Doubt})
}

// Milliseconds writes nanoseconds as milliseconds, to a thousandth below 10 and
// four digits above; below a hundredth to three digits, as far as the nanosecond. NaN is
// an estimate that too few samples carry.
func Milliseconds(ns float64) string {
	ms := ns / 1e6
	switch size := math.Abs(ms); {
	case math.IsNaN(ns):
		return "n too small"
	case size >= 0.5e-6 && size < 0.01:
		return strconv.FormatFloat(ms, 'f', min(6, 2-int(math.Floor(math.Log10(size)))), 64)
	case size < 10:
		return strconv.FormatFloat(ms, 'f', 3, 64)
	case math.Abs(ms) < 100:
		return strconv.FormatFloat(ms, 'f', 2, 64)
	}
	return strconv.FormatFloat(ms, 'f', 1, 64)
}
