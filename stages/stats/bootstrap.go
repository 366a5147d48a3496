package stats

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// A Bootstrap says how to resample.
type Bootstrap struct {
	Draws      int     // resamples; 0: 2000
	Block      int     // consecutive samples kept together; 0: chosen from the autocorrelation
	Confidence float64 // 0: 0.95
	// Within keeps every replicate and resamples inside it only. It suits
	// replicates that do not differ by more than their samples explain; where
	// they do, its intervals are too short.
	Within bool
	Seed   uint64
}

// An Interval is an estimate with its interval, in nanoseconds.
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

// fewReplicates is the number below which resampling whole replicates is known
// to give intervals that are too short: Cameron, Gelbach and Miller,
// "Bootstrap-Based Improvements for Inference with Clustered Errors" (Review of
// Economics and Statistics 90, 2008), find it at 5 to 30.
const fewReplicates = 10

// BootstrapQuantile returns quantile q of the pooled samples with a percentile
// interval from a hierarchical bootstrap (rules 6 and 7): replicates are drawn
// with replacement, and within each its samples, in the order taken, in blocks
// that wrap round (Politis and Romano, "A Circular Block-Resampling Procedure
// for Stationary Data", 1992). A single replicate is resampled in blocks alone.
//
// Resampling on both levels errs on the safe side: where replicates do not
// differ, intervals are up to a factor sqrt(2) too wide (Davison and Hinkley,
// "Bootstrap Methods and their Application", section 3.8).
func BootstrapQuantile(replicates [][]int64, q float64, b Bootstrap) (Interval, error) {
	b = b.orDefault()
	s, err := newResampler(replicates, q, b)
	if err != nil {
		return Interval{}, err
	}
	rng := rand.New(rand.NewPCG(b.Seed, 0))
	values := make([]float64, b.Draws)
	for i := range values {
		values[i] = s.draw(rng)
	}
	return s.interval(s.value, values, b), nil
}

// BootstrapDifference returns quantile q of after less that of before, both
// resampled as BootstrapQuantile does and independently of one another.
func BootstrapDifference(before, after [][]int64, q float64, b Bootstrap) (Interval, error) {
	b = b.orDefault()
	x, err := newResampler(before, q, b)
	if err != nil {
		return Interval{}, fmt.Errorf("before: %w", err)
	}
	y, err := newResampler(after, q, b)
	if err != nil {
		return Interval{}, fmt.Errorf("after: %w", err)
	}
	rng := rand.New(rand.NewPCG(b.Seed, 0))
	values := make([]float64, b.Draws)
	for i := range values {
		values[i] = y.draw(rng) - x.draw(rng)
	}
	d := y.interval(y.value-x.value, values, b)
	if d.Doubt == "" {
		d.Doubt = x.interval(x.value, values, b).Doubt
	}
	return d, nil
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

// A resampler draws quantiles of resamples. It counts how often each sample was
// drawn, in sorted order, so that a draw costs one pass and no sort.
type resampler struct {
	sorted []int64
	place  [][]int32 // by replicate and time: index into sorted
	count  []int32
	within bool
	q      float64
	block  int
	value  float64
}

func newResampler(replicates [][]int64, q float64, b Bootstrap) (*resampler, error) {
	if err := checkQuantile(q, b.Confidence); err != nil {
		return nil, err
	}
	if b.Draws < 100 || b.Block < 0 {
		return nil, fmt.Errorf("bootstrap with %d draws in blocks of %d: want at least 100 draws and a block of at least 0", b.Draws, b.Block)
	}
	type taken struct{ replicate, call int32 }
	var order []taken
	s := &resampler{q: q, within: b.Within}
	for r, samples := range replicates {
		if len(samples) == 0 {
			return nil, fmt.Errorf("replicate %d: %w", r, errNoSamples)
		}
		s.place = append(s.place, make([]int32, len(samples)))
		for i := range samples {
			order = append(order, taken{int32(r), int32(i)})
		}
	}
	switch {
	case len(order) == 0:
		return nil, errNoSamples
	case len(order) > math.MaxInt32:
		return nil, errors.New("more than 2^31-1 samples")
	}
	at := func(t taken) int64 { return replicates[t.replicate][t.call] }
	slices.SortStableFunc(order, func(a, b taken) int {
		switch x, y := at(a), at(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	s.sorted, s.count = make([]int64, len(order)), make([]int32, len(order))
	for i, t := range order {
		s.sorted[i] = at(t)
		s.place[t.replicate][t.call] = int32(i)
	}
	if s.block = b.Block; s.block == 0 {
		// All replicates together tell how samples hang together, so the block
		// suits their total; but a replicate must hold several.
		s.block = max(1, min(BlockLength(len(order), Lag1(replicates)), len(order)/len(replicates)/4))
	}
	e := ECDF{s.sorted}
	s.value = float64(e.Quantile(q))
	return s, nil
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

// draw returns the quantile of one resample.
func (s *resampler) draw(rng *rand.Rand) float64 {
	clear(s.count)
	total := 0
	for r := range s.place {
		if !s.within {
			r = rng.IntN(len(s.place))
		}
		place := s.place[r]
		n := len(place)
		total += n
		for left := n; left > 0; {
			at := rng.IntN(n)
			for range min(left, s.block) {
				s.count[place[at]]++
				if at++; at == n {
					at = 0
				}
			}
			left -= min(left, s.block)
		}
	}
	rank := int32(max(1, math.Ceil(s.q*float64(total)-1e-9)))
	for i, c := range s.count {
		if rank -= c; rank <= 0 {
			return float64(s.sorted[i])
		}
	}
	return float64(s.sorted[len(s.sorted)-1])
}

func (s *resampler) interval(value float64, values []float64, b Bootstrap) Interval {
	slices.Sort(values)
	at := func(p float64) float64 { return values[min(len(values)-1, int(p*float64(len(values))))] }
	alpha := 1 - b.Confidence
	i := Interval{Value: value, Low: at(alpha / 2), High: at(1 - alpha/2), Confidence: b.Confidence, Block: s.block}
	if s.within {
		// m blocks that share their replicate's own mean show (m-1)/m of the
		// variance, as m samples do.
		m := float64(len(s.sorted)) / float64(len(s.place)*s.block)
		widen := math.Sqrt(m / math.Max(m-1, 0.5))
		i.Low, i.High = value-widen*(value-i.Low), value+widen*(i.High-value)
	}
	if need := Needed(s.q, b.Confidence); len(s.sorted) < need {
		i = Interval{Value: math.NaN(), Low: math.NaN(), High: math.NaN(), Block: s.block,
			Doubt: fmt.Sprintf("n too small: %s needs %d samples, has %d", Name(s.q), need, len(s.sorted))}
	} else if r := len(s.place); !s.within && r < fewReplicates {
		i.Doubt = fmt.Sprintf("%d replicates: an interval over fewer than %d tends to be too short", r, fewReplicates)
	}
	return i
}
