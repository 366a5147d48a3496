package stats

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sort"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
)

// A Bootstrap says how to resample.
type Bootstrap struct {
	Draws      int     // resamples; 0: 2000
	Block      int     // consecutive samples kept together; 0: chosen from the autocorrelation
	Confidence float64 // 0: 0.95
	// Within keeps every replicate and resamples blocks inside it only. It suits
	// replicates that do not differ by more than their samples explain; where
	// they do, its intervals are too short.
	Within bool
	Seed   uint64
	// Before is told what a resampling will cost before it starts, where that is
	// more than a second.
	Before func(cost string)
}

// An Interval is an estimate with its interval, in nanoseconds, or a number
// without unit where BootstrapRatio gave it.
type Interval struct {
	Value, Low, High float64
	Confidence       float64
	Block            int // samples kept together
	Doubt            string
}

// MarshalJSON writes numbers that are not given as null.
func (i Interval) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Value      *float64 `json:"value_ns"`
		Low        *float64 `json:"low_ns"`
		High       *float64 `json:"high_ns"`
		Confidence float64  `json:"confidence"`
		Block      int      `json:"block"`
		Doubt      string   `json:"doubt,omitempty"`
	}{nullable(i.Value), nullable(i.Low), nullable(i.High), i.Confidence, i.Block, i.Doubt})
}

// BootstrapQuantile returns quantile q of the pooled samples with an interval
// from a hierarchical bootstrap (rules 6 and 7).
//
// Replicates are drawn with replacement and kept whole: that alone carries the
// variance of every level below, dependence within a replicate included, while
// resampling inside as well would count the lower levels twice (Davison and
// Hinkley, "Bootstrap Methods and their Application", section 3.8). Few
// replicates show too little of their variance; so the standard error s of
// resamples gives value +- t s sqrt(R/(R-1)), with Student's t of R-1 degrees of
// freedom (Hesterberg, "What Teachers Should Know About the Bootstrap", The
// American Statistician 69, 2015, section 4).
//
// A single replicate is resampled in blocks of samples, in the order taken, that
// wrap round (Politis and Romano, "A Circular Block-Resampling Procedure for
// Stationary Data", 1992), and so are all of them with Within; the normal
// distribution then stands in for Student's.
func BootstrapQuantile(replicates [][]int64, q float64, b Bootstrap) (Interval, error) {
	all, err := bootstrapQuantiles(replicates, []float64{q}, b)
	if err != nil {
		return Interval{}, err
	}
	return all[0], nil
}

// bootstrapQuantiles returns what BootstrapQuantile does of each of several quantiles,
// from the same resamples.
func bootstrapQuantiles(replicates [][]int64, qs []float64, b Bootstrap) ([]Interval, error) {
	b = b.orDefault()
	s, err := newResampler(replicates, qs[0], b)
	for _, q := range qs {
		err = cmp.Or(err, checkQuantile(q, b.Confidence))
	}
	if err != nil {
		return nil, err
	}
	s.announce(b)
	rng := rand.New(rand.NewPCG(b.Seed, 0))
	v := make([]moments, len(qs))
	for range b.Draws {
		s.draw(rng)
		for k, q := range qs {
			v[k].add(s.remember(q, s.exactly))
		}
	}
	out := make([]Interval, len(qs))
	for k, q := range qs {
		if doubt := s.doubt(q, b); doubt != "" {
			out[k] = missing(s.block, doubt)
			continue
		}
		i := s.around(float64(s.all.Quantile(q)), v[k].variance()*s.widen(), s.freedom(), b.Confidence)
		sorted := s.all.sorted // an interval from order statistics would end there too
		i.Low, i.High = math.Max(i.Low, float64(sorted[0])), math.Min(i.High, float64(sorted[len(sorted)-1]))
		out[k] = i
	}
	return out, nil
}

// BootstrapRatio returns quantile q of after as a multiple of that of before, a
// number without unit, both resampled as BootstrapQuantile does and independently
// of one another. Its interval is that of the difference of the logarithms,
// so that it is positive, and that the inverse of the ratio has the inverse of
// the interval (Davison and Hinkley, as above, section 5.2). Samples are above 0.
func BootstrapRatio(before, after [][]int64, q float64, b Bootstrap) (Interval, error) {
	for _, replicates := range [][][]int64{before, after} {
		for _, samples := range replicates {
			for _, ns := range samples {
				if ns <= 0 {
					return Interval{}, fmt.Errorf("a ratio needs samples above 0, has %d", ns)
				}
			}
		}
	}
	b = b.orDefault()
	x, y, err := newResamplers(before, after, q, b)
	if err != nil {
		return Interval{}, err
	}
	rng := rand.New(rand.NewPCG(b.Seed, 0))
	var vx, vy moments
	for range b.Draws {
		x.draw(rng)
		y.draw(rng)
		vx.add(math.Log(x.remember(q, x.exactly)))
		vy.add(math.Log(y.remember(q, y.exactly)))
	}
	for _, s := range []*resampler{x, y} {
		if doubt := s.doubt(q, b); doubt != "" {
			return missing(s.block, doubt), nil
		}
	}
	value := math.Log(float64(y.all.Quantile(q))) - math.Log(float64(x.all.Quantile(q)))
	i := difference(x, y, value, vx, vy, b.Confidence)
	i.Value, i.Low, i.High = math.Exp(i.Value), math.Exp(i.Low), math.Exp(i.High)
	return i, nil
}

func newResamplers(before, after [][]int64, q float64, b Bootstrap) (x, y *resampler, err error) {
	b.Within = b.Within || len(before) == 1 || len(after) == 1 // one kind for both
	if x, err = newResampler(before, q, b); err != nil {
		return nil, nil, fmt.Errorf("before: %w", err)
	}
	if y, err = newResampler(after, q, b); err != nil {
		return nil, nil, fmt.Errorf("after: %w", err)
	}
	x.announce(b)
	y.announce(b)
	return x, y, nil
}

// moments gathers a mean and a variance (Welford, Technometrics 4, 1962).
type moments struct{ n, mean, square float64 }

func (m *moments) add(v float64) {
	m.n++
	d := v - m.mean
	m.mean += d / m.n
	m.square += d * (v - m.mean)
}

func (m moments) variance() float64 { return m.square / math.Max(1, m.n-1) }

// difference is the interval of y less x, with the degrees of freedom of Welch,
// "The Generalization of Student's Problem" (Biometrika 34, 1947).
func difference(x, y *resampler, value float64, vx, vy moments, confidence float64) Interval {
	a, b := vx.variance()*x.widen(), vy.variance()*y.widen()
	freedom := (a + b) * (a + b) / (a*a/x.freedom() + b*b/y.freedom())
	if a+b == 0 {
		freedom = 1
	}
	return y.around(value, a+b, freedom, confidence)
}

func missing(block int, doubt string) Interval {
	return Interval{Value: math.NaN(), Low: math.NaN(), High: math.NaN(), Block: block, Doubt: doubt}
}

func (b Bootstrap) orDefault() Bootstrap {
	if b.Draws == 0 {
		b.Draws = 2000
	}
	if b.Confidence == 0 {
		b.Confidence = Confidence
	}
	return b
}

// A resampler draws resamples and answers questions about the last one.
type resampler struct {
	all    *ECDF
	parts  []*ECDF // by replicate
	blocks bool
	block  int
	lag1   float64
	times  []int // how often each replicate was drawn
	total  int
	known  map[drawn]float64 // what was estimated of a draw before

	// Of blocks only: how often each sample was drawn, in sorted order, so that a
	// draw costs one pass and no sort.
	place [][]int32 // by replicate and time: index into all
	count []int32

	// Of Harrell and Davis's deciles only.
	origin  []int32 // the replicate of each of all
	upTo    []int   // for each of all, how many of the resample are at most it
	counted bool    // since the draw
	beta    map[size]*cumulation
}

func newResampler(replicates [][]int64, q float64, b Bootstrap) (*resampler, error) {
	if err := checkQuantile(q, b.Confidence); err != nil {
		return nil, err
	}
	if b.Draws < 100 || b.Block < 0 {
		return nil, fmt.Errorf("bootstrap with %d draws in blocks of %d: want at least 100 draws and a block of at least 0", b.Draws, b.Block)
	}
	n := 0
	for r, samples := range replicates {
		if len(samples) == 0 {
			return nil, fmt.Errorf("replicate %d: %w", r, errNoSamples)
		}
		n += len(samples)
	}
	switch {
	case n == 0:
		return nil, errNoSamples
	case n > math.MaxInt32:
		return nil, errors.New("more than 2^31-1 samples")
	}
	s := &resampler{blocks: b.Within || len(replicates) == 1, block: 1, total: n, times: make([]int, len(replicates))}
	for _, samples := range replicates {
		if !slices.IsSorted(samples) {
			samples = slices.Clone(samples)
			Sort(samples)
		}
		s.parts = append(s.parts, &ECDF{samples})
	}
	s.all = &ECDF{merged(s.parts)}
	if !s.blocks {
		return s, nil
	}
	s.lag1 = math.Max(0, Lag1(replicates))
	if s.block = b.Block; s.block == 0 {
		// All replicates together tell how samples hang together, so the block
		// suits their total; but a replicate must hold several.
		s.block = max(1, min(BlockLength(n, s.lag1), n/len(replicates)/4))
	}
	s.arrange(replicates)
	return s, nil
}

// A drawn is a quantile of a resample of whole replicates: few replicates can be drawn
// in few ways.
type drawn struct {
	q     float64
	times [mostKnown]uint8
}

const mostKnown = 8

// remember returns what estimate says of the resample that was drawn last.
func (s *resampler) remember(q float64, estimate func(float64) float64) float64 {
	if s.blocks || len(s.times) > mostKnown {
		return estimate(q)
	}
	d := drawn{q: q}
	for i, n := range s.times {
		d.times[i] = uint8(n)
	}
	v, ok := s.known[d]
	if !ok {
		if s.known == nil {
			s.known = map[drawn]float64{}
		}
		v = estimate(q)
		s.known[d] = v
	}
	return v
}

// merged returns all samples in ascending order.
func merged(parts []*ECDF) []int64 {
	switch len(parts) {
	case 1:
		return parts[0].sorted
	case 0:
		return nil
	}
	a, b := merged(parts[:len(parts)/2]), merged(parts[len(parts)/2:])
	out := make([]int64, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0] <= b[0] {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// arrange finds the place of every sample among all.
func (s *resampler) arrange(replicates [][]int64) {
	s.count = make([]int32, s.total)
	for _, samples := range replicates {
		place := make([]int32, len(samples))
		for i, v := range samples {
			place[i] = int32(below(s.all.sorted, v)) // equal samples share theirs
		}
		s.place = append(s.place, place)
	}
}

// below returns how many samples are less than x.
func below(sorted []int64, x int64) int {
	at, _ := slices.BinarySearch(sorted, x)
	return at
}

// BlockLength returns the block that suits n samples with lag-1 autocorrelation
// r: n^(1/3) (sqrt(6) r/(1-r^2))^(2/3), which Carlstein, "The Use of Subseries
// Values for Estimating the Variance of a General Statistic" (Annals of
// Statistics 14, 1986), derives for a first-order autoregression.
func BlockLength(n int, r float64) int {
	r = math.Min(math.Abs(r), 0.999)
	length := math.Cbrt(float64(n)) * math.Pow(math.Sqrt(6)*r/(1-r*r), 2.0/3)
	return min(max(1, int(math.Ceil(length))), max(1, n))
}

// pass is about what one sample of one draw in blocks costs.
const pass = 6 * time.Nanosecond

// announce says beforehand what resampling in blocks will cost.
func (s *resampler) announce(b Bootstrap) {
	if cost := time.Duration(b.Draws) * time.Duration(s.total) * pass; s.blocks && b.Before != nil && cost > time.Second {
		b.Before(fmt.Sprintf("bootstrap of %d samples in blocks of %d, %d draws: about %v", s.total, s.block, b.Draws, cost.Round(time.Second)))
	}
}

// draw makes a resample.
func (s *resampler) draw(rng *rand.Rand) {
	s.counted = false
	if !s.blocks {
		clear(s.times)
		s.total = 0
		for range s.parts {
			r := rng.IntN(len(s.parts))
			s.times[r]++
			s.total += s.parts[r].N()
		}
		return
	}
	clear(s.count)
	for _, place := range s.place {
		n := len(place)
		for left := n; left > 0; {
			at, block := rng.IntN(n), min(left, s.block)
			left -= block
			for block > 0 {
				drawn := place[at:min(at+block, n)]
				for _, i := range drawn {
					s.count[i]++
				}
				block -= len(drawn)
				at = 0
			}
		}
	}
}

func (s *resampler) exactly(q float64) float64 { return float64(s.quantile(q)) }

// quantile returns the sample of the resample that has rank ceil(q total).
func (s *resampler) quantile(q float64) int64 {
	rank := max(1, int(math.Ceil(q*float64(s.total)-1e-9)))
	sorted := s.all.sorted
	if s.blocks {
		last := len(s.count) - 1
		if left := int32(s.total - rank); left < int32(rank) { // nearer to the end, which as many exceed
			for i := range s.count {
				if left -= s.count[last-i]; left < 0 {
					return sorted[last-i]
				}
			}
			return sorted[0]
		}
		left := int32(rank)
		for i, c := range s.count {
			if left -= c; left <= 0 {
				return sorted[i]
			}
		}
		return sorted[last]
	}
	// The smallest of all samples that enough of the drawn ones do not exceed: found by
	// counting once a draw, or, where that takes longer, by asking each replicate.
	n, parts := len(sorted), len(s.parts)
	if n < 4*parts*bits.Len(uint(n))*bits.Len(uint(n/parts)) {
		if !s.counted {
			s.cumulate()
		}
		return sorted[min(sort.SearchInts(s.upTo, rank), n-1)]
	}
	at := sort.Search(len(sorted), func(i int) bool {
		upTo := 0
		for r, times := range s.times {
			if times > 0 {
				upTo += times * s.parts[r].Count(sorted[i])
			}
		}
		return upTo >= rank
	})
	return sorted[min(at, len(sorted)-1)]
}

// freedom returns the degrees of freedom of the variance between replicates.
func (s *resampler) freedom() float64 {
	if s.blocks {
		return math.Inf(1)
	}
	return float64(len(s.parts) - 1)
}

// widen is what the variance of resamples lacks: R replicates that share their
// own mean show (R-1)/R of it, and so do m blocks in each of them. Blocks of l
// also miss how samples on either side of an edge hang together: of a first-order
// autoregression the share 2r/((1-r^2)l) (Carlstein, as for BlockLength).
func (s *resampler) widen() float64 {
	if !s.blocks {
		r := float64(len(s.parts))
		return r / math.Max(r-1, 0.5)
	}
	m := float64(s.total) / float64(len(s.place)*s.block)
	r := math.Min(s.lag1, 0.999)
	edges := math.Min(0.5, 2*r/((1-r*r)*float64(s.block)))
	return m / math.Max(m-1, 0.5) / (1 - edges)
}

// doubt says why a quantile or its interval is not to be had or believed.
func (s *resampler) doubt(q float64, b Bootstrap) string {
	if need := Needed(q, b.Confidence); s.all.N() < need {
		return fmt.Sprintf("n too small: %s needs %d samples, has %d", Name(q), need, s.all.N())
	}
	return ""
}

// around is the interval that a variance with so many degrees of freedom puts
// around a value.
func (s *resampler) around(value, variance, freedom, confidence float64) Interval {
	tail := (1 - confidence) / 2
	t := distuv.UnitNormal.Quantile(1 - tail)
	if !math.IsInf(freedom, 1) {
		t = distuv.StudentsT{Sigma: 1, Nu: math.Max(freedom, 1)}.Quantile(1 - tail)
	}
	half := t * math.Sqrt(variance)
	return Interval{Value: value, Low: value - half, High: value + half, Confidence: confidence, Block: s.block}
}
