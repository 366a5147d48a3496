package stats

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"gonum.org/v1/gonum/mathext"
)

// A Shift is how a whole distribution differs from another: the shift function
// of Doksum, "Empirical Probability Plots and Statistical Inference for
// Nonlinear Models in the Two-Sample Case" (Annals of Statistics 2, 1974), at
// the deciles, as Wilcox, "Comparing Two Independent Groups via Multiple
// Quantiles" (The Statistician 44, 1995), estimates it (rule 8).
type Shift struct {
	Before  string   `json:"before"`
	After   string   `json:"after"`
	Deciles []Change `json:"deciles"`
	P99     Change   `json:"p99"`
	// Together is the confidence with which all intervals hold at once.
	Together float64 `json:"confidence_together"`
}

// A Change is the difference of one quantile, after less before.
type Change struct {
	Q      float64  `json:"q"`
	Before float64  `json:"-"`
	After  float64  `json:"-"`
	Change Interval `json:"change"`
}

// smooth is the number of samples up to which deciles are Harrell and Davis's;
// beyond, the sample quantile is as good and costs less.
const smooth = 20_000

// ShiftFunction compares the deciles and p99 of two loads. Deciles are Harrell
// and Davis's up to 20,000 samples and sample quantiles beyond; p99 is the sample
// quantile. Intervals come from the same resamples as BootstrapRatio's, and
// hold together: each is given at 1 - (1-confidence)/comparisons, Bonferroni's
// correction, where comparisons counts all intervals that are shown together, at
// least the ten of one shift.
func ShiftFunction(before, after [][]int64, comparisons int, b Bootstrap) (Shift, error) {
	b = b.orDefault()
	shift := Shift{Together: b.Confidence}
	x, y, err := newResamplers(before, after, 0.5, b)
	if err != nil {
		return Shift{}, err
	}
	each := 1 - (1-b.Confidence)/float64(max(10, comparisons))
	qs := []float64{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99}
	vx, vy := make([]moments, len(qs)), make([]moments, len(qs))
	rng := rand.New(rand.NewPCG(b.Seed, 0))
	for range b.Draws {
		x.draw(rng)
		y.draw(rng)
		for i, q := range qs {
			vx[i].add(x.remember(q, x.estimate))
			vy[i].add(y.remember(q, y.estimate))
		}
	}
	for i, q := range qs {
		c := Change{Q: q, Before: x.ofAll(q), After: y.ofAll(q)}
		c.Change = difference(x, y, c.After-c.Before, vx[i], vy[i], each)
		for _, v := range []*float64{&c.Change.Value, &c.Change.Low, &c.Change.High} {
			if math.Abs(*v) < 1e-3 { // nanoseconds: what the rounding of sums leaves of equal times
				*v = 0
			}
		}
		for _, s := range []*resampler{x, y} {
			if doubt := s.doubt(q, b); doubt != "" {
				c.Before, c.After, c.Change = math.NaN(), math.NaN(), missing(s.block, doubt)
			}
		}
		if q == 0.99 {
			shift.P99 = c
		} else {
			shift.Deciles = append(shift.Deciles, c)
		}
	}
	return shift, nil
}

// rough tells whether a quantile is taken as it stands in the sample.
func (s *resampler) rough(q float64) bool { return q == 0.99 || s.all.N() > smooth }

// ofAll returns a quantile of the samples themselves.
func (s *resampler) ofAll(q float64) float64 {
	if s.rough(q) {
		return float64(s.all.Quantile(q))
	}
	s.total = s.all.N()
	s.upTo = s.upTo[:0]
	for i := range s.total {
		s.upTo = append(s.upTo, i+1)
	}
	return s.harrellDavis(q)
}

// estimate returns a quantile of the resample that was drawn last.
func (s *resampler) estimate(q float64) float64 {
	if s.rough(q) {
		return s.exactly(q)
	}
	if !s.counted {
		s.cumulate()
	}
	return s.harrellDavis(q)
}

// cumulate counts how many of the resample are at most each of the sorted samples.
func (s *resampler) cumulate() {
	s.counted = true
	if !s.blocks && s.origin == nil {
		s.label()
	}
	s.upTo = s.upTo[:0]
	sum := 0
	for i := range s.all.N() {
		if s.blocks {
			sum += int(s.count[i])
		} else {
			sum += s.times[s.origin[i]]
		}
		s.upTo = append(s.upTo, sum)
	}
}

// label notes which replicate each of the sorted samples came from.
func (s *resampler) label() {
	type sample struct {
		value     int64
		replicate int32
	}
	var all []sample
	for r, p := range s.parts {
		for _, v := range p.sorted {
			all = append(all, sample{v, int32(r)})
		}
	}
	slices.SortStableFunc(all, func(a, b sample) int { return cmp.Compare(a.value, b.value) })
	s.origin = make([]int32, len(all))
	for i, v := range all {
		s.origin[i] = v.replicate
	}
}

// harrellDavis returns quantile q of the resample as a mean of all order
// statistics, weighted by the beta((n+1)q, (n+1)(1-q)) distribution: Harrell and
// Davis, "A New Distribution-Free Quantile Estimator" (Biometrika 69, 1982). The
// resample holds the i-th of all samples as often as upTo rises there.
func (s *resampler) harrellDavis(q float64) float64 {
	w := s.weights(q, s.total)
	first := sort.SearchInts(s.upTo, w.first+1)
	sum, before := 0.0, 0.0
	for i := first; i < len(s.upTo) && before < 1; i++ {
		after := w.at(s.upTo[i])
		sum += (after - before) * float64(s.all.sorted[i])
		before = after
	}
	return sum
}

// A cumulation is the weight of the first k order statistics, for k from first to
// last; 0 before and 1 after.
type cumulation struct {
	first, last int
	weight      []float64
}

func (c *cumulation) at(k int) float64 {
	switch {
	case k <= c.first:
		return 0
	case k >= c.last:
		return 1
	}
	return c.weight[k-c.first]
}

type size struct {
	q     float64
	total int
}

// weights returns the beta distribution that weights order statistics.
func (s *resampler) weights(q float64, total int) *cumulation {
	if w := s.beta[size{q, total}]; w != nil {
		return w
	}
	n := float64(total)
	w := &cumulation{}
	w.first, w.last = reach(q, n)
	for k := w.first; k <= w.last; k++ {
		w.weight = append(w.weight, mathext.RegIncBeta((n+1)*q, (n+1)*(1-q), float64(k)/n))
	}
	if s.beta == nil {
		s.beta = map[size]*cumulation{}
	}
	s.beta[size{q, total}] = w
	return w
}
