// Package forecast says how long a model's calls take beside a load, from what is known
// of a machine's link and from calls without load. A prediction is computed, by the
// simulation of package twin, and never measured: it carries its interval, and says what
// it rests on. It knows of no recordings, so that notebooks have it too; package prediction
// reads those and link cards for it.
package forecast

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"barograph/pipeline/cell/unit"
	"barograph/stages/device"
	"barograph/stages/device/twin"
	"barograph/stages/stats"
)

// Quantiles are those that are predicted.
var Quantiles = [3]float64{0.5, 0.9, 0.99}

// A Condition is the load that a prediction is made for, and how requests arrive.
type Condition struct {
	Direction   string  `json:"direction"`
	Share       float64 `json:"share"`       // of the link's capacity, all loads together; 1: no limit
	Loads       int     `json:"loads"`       // how many there are, a process each
	Threads     int     `json:"threads"`     // of each load
	Outstanding int     `json:"outstanding"` // copies in flight of each thread
	Block       int64   `json:"block_bytes"`
	Within      bool    `json:"same_process"` // loads are threads of the model's process
	MPS         bool    `json:"mps"`
	Arrivals    string  `json:"arrivals"`
	Due         []int64 `json:"-"` // when requests are due, from the first; nil in a closed loop
}

// Class names conditions whose predictions err alike.
func (c *Condition) Class() string {
	switch {
	case c.Within:
		return "same process"
	case c.Share >= 1 && c.Threads*c.Outstanding > 1:
		return "full link"
	}
	return "below a full link"
}

// Wide tells whether loads copy from much memory. On two H100 and an H200 calls beside loads
// from 256 MiB and more to the device have a tail that they have not beside those from 128 MiB
// and less.
func (c *Condition) Wide() bool {
	return c.Direction != device.D2H.String() && int64(c.Loads*c.Threads*c.Outstanding)*c.Block >= 256<<20
}

// A Baseline is what a model's calls take without load.
type Baseline struct {
	Model           string
	Batch, Sequence int
	Precision       string    // float16; empty: float32, or the file's
	In, Out         []int64   // bytes of each copy of a call
	Calls           [][]int64 // latencies by replicate, nanoseconds
	From            string    // the recording; empty: assumed
	Machine         string    // of the recording
	Doubts          []string  // what its trials warned of
}

// Quantile is of the own latencies, replicates together, in nanoseconds.
func (o *Baseline) Quantile(q float64) float64 { return Quantile(Pooled(o.Calls), q) }

// Fits tells whether the calls were of a batch, a sequence and a precision; 0 and an empty
// one ask for none.
func (o *Baseline) Fits(batch, sequence int, precision string) bool {
	return (batch == 0 || o.Batch == batch) && (sequence == 0 || o.Sequence == sequence) && (precision == "" || cmp.Or(o.Precision, "float32") == precision)
}

// A Parameters value is what recordings teach of a machine beyond its card. Times
// are nanoseconds.
type Parameters struct {
	// Fetch is by how much a load that fills the link to the device holds up a
	// request's commands and small copies, and FetchTail by how much more, on average,
	// those of one call of twenty-five, if the load copies from much memory.
	Fetch     float64 `json:"fetch_ns"`
	FetchTail float64 `json:"fetch_tail_ns"`
	// Notice is how much later, on average, a process sees that its outputs have come
	// where a load fills the link to the host, and Tail how much later still in one
	// call of fifty.
	Notice float64 `json:"notice_ns"`
	Tail   float64 `json:"tail_ns"`
	// Late is by how much the wake-ups of a load's threads scatter, and Stalls how
	// often in a second of sleep one is held up by Stall more.
	Late   float64 `json:"late_ns"`
	Stalls float64 `json:"stalls_per_s"`
}

const (
	draws = 20  // simulations of a prediction,
	again = 99  // recordings that are put together of them,
	Calls = 300 // and the calls of each, as a replicate of a study has
	Warm  = 30  // and before them
	lead  = int64(300e6)
	last  = int64(20e9) // for which requests are answered
	stall = int64(300e3)
	tails = 0.02
	Held  = 0.04 // of calls, beside loads from much memory
	// slower is by how much longer a link takes in slow times: its bandwidth halves. Then it
	// comes back, which calls of GPT-2 without load show best, for that long.
	slower  = 2
	back    = int64(45e6)
	deepest = 0.7         // of how late calls are at most, if the link is slowest
	apart   = int64(10e6) // between slow times
	// owed is how far a load is behind its rate at first: it begins while the other
	// process opens its model, and its bucket holds no more.
	owed = int64(50e6)
)

// Longest is the longest call that is predicted: some are simulated after those that
// warm up.
const Longest = time.Duration(last / (Warm + 10))

// An Estimate is a predicted quantile in nanoseconds, with the interval that holds
// nine in ten of those measured.
type Estimate struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// A Prediction is what calls would take, in the order of [Quantiles].
type Prediction struct {
	Estimates [3]Estimate
	Alone     [3]float64
	Doubts    []string
	Simulated []int64 // every call, ascending, nanoseconds
}

// Predict simulates a model beside a load on a machine. The same arguments give the
// same prediction.
func Predict(m *Machine, o *Baseline, c *Condition, x *Lesson) (*Prediction, error) {
	if len(o.Calls) == 0 {
		return nil, errors.New("no calls without load")
	}
	if p50 := time.Duration(o.Quantile(0.5)); p50 > Longest {
		return nil, fmt.Errorf("a call takes %v without load: want %v at most", p50, Longest)
	}
	if err := m.holds(c); err != nil {
		return nil, err
	}
	var sets [draws][]int64
	for i := range sets {
		var err error
		if sets[i], err = m.Simulate(o, c, &x.Parameters, i); err != nil {
			return nil, err
		}
		if len(sets[i]) == 0 {
			return nil, errors.New("not one request was answered within 20 s: the load lets none through")
		}
		slices.Sort(sets[i])
	}
	p := &Prediction{Simulated: Pooled(sets[:])}
	of := recordings(sets[:], len(o.Calls))
	errs, doubt := x.Bounds(c)
	p.Doubts = append(slices.Clone(m.Assumed), doubt...)
	ways, _ := device.Directions(c.Direction) // which was simulated
	for _, d := range ways {
		of := m.Blocks[d]
		if len(of) == 0 {
			continue
		}
		nearest, than := of[0], "smaller"
		if last := of[len(of)-1]; c.Block > last.Bytes {
			nearest, than = last, "larger"
		} else if c.Block >= nearest.Bytes {
			continue
		}
		p.Doubts = append(p.Doubts, fmt.Sprintf("copies of %v, %v, are %s than any of which it is known what they cost beside their bytes: that of %v is taken", unit.Size(c.Block), d, than, unit.Size(nearest.Bytes)))
	}
	if n := len(o.Doubts); n > 0 {
		p.Doubts = append(p.Doubts, "without load: "+o.Doubts[0])
		if n > 1 {
			p.Doubts[len(p.Doubts)-1] += fmt.Sprintf(" (and %d more like it)", n-1)
		}
	}
	if slices.ContainsFunc(o.Calls, func(of []int64) bool { return len(stats.SlowTimes(of)) > 0 }) {
		p.Doubts = append(p.Doubts, "the link was slow at times without load, and is taken to be so as often: a card's slow times come and go, and a p99 hangs on them")
	}
	if o.From == "" {
		p.Doubts = append(p.Doubts, "what calls take without load is assumed, not measured")
	}
	for i, q := range Quantiles {
		e := Estimate{Value: of[i][again/2], Low: of[i][again/20], High: of[i][again-1-again/20]}
		if m.unsure() { // every turn that there may be
			each := make([]float64, draws)
			for k := range sets {
				each[k] = Quantile(sets[k], q)
			}
			e = Estimate{Value: Quantile(p.Simulated, q), Low: slices.Min(each), High: slices.Max(each)}
		}
		p.Estimates[i], p.Alone[i] = e, o.Quantile(q)
	}
	p.Widen(errs)
	return p, nil
}

// Widen has intervals hold what bounds, of the logarithm of measured over predicted, say
// by quantile.
func (p *Prediction) Widen(bounds [3][2]float64) {
	lower := Estimate{}
	for i, e := range p.Estimates {
		e.Low, e.High = min(e.Low, e.Value*math.Exp(bounds[i][0])), max(e.High, e.Value*math.Exp(bounds[i][1]))
		// A quantile is no less than a lower one, and neither is what it is at least.
		lower = Estimate{max(e.Value, lower.Value), max(e.Low, lower.Low), max(e.High, lower.High)}
		p.Estimates[i] = lower
	}
}

// recordings returns quantiles, ascending, of recordings that are put together of so many
// of the simulated replicates each. In some replicates there are slow times, or tails of
// the model's own, and in others not: a recording's p99 is of those that it happens to
// have.
func recordings(sets [][]int64, replicates int) (of [len(Quantiles)][]float64) {
	type call struct {
		latency int64
		set     int
	}
	var calls []call
	for i, set := range sets {
		for _, l := range set {
			calls = append(calls, call{l, i})
		}
	}
	slices.SortFunc(calls, func(a, b call) int { return cmp.Compare(a.latency, b.latency) })
	rng := rand.New(rand.NewPCG(1, 0x7265636f))
	for range again {
		times, n := make([]int, len(sets)), 0
		for range replicates {
			set := rng.IntN(len(sets))
			times[set]++
			n += len(sets[set])
		}
		at, rank := len(calls), n+1 // of the calls from there on, the lowest
		for i := len(Quantiles) - 1; i >= 0; i-- {
			for wanted := max(1, int(math.Ceil(Quantiles[i]*float64(n)))); rank > wanted; {
				at--
				rank -= times[calls[at].set]
			}
			of[i] = append(of[i], float64(calls[at].latency))
		}
	}
	for i := range of {
		slices.Sort(of[i])
	}
	return of
}

// unsure tells whether the turn lies anywhere in a wide range.
func (m *Machine) unsure() bool {
	return m.Turn[0][1] > 1.1*m.Turn[0][0] || m.Turn[1][1] > 1.1*m.Turn[1][0]
}

// loads are those of a condition.
func (m *Machine) loads(c *Condition, x *Parameters) ([]twin.Load, error) {
	directions, err := device.Directions(c.Direction)
	if err != nil {
		return nil, err
	}
	capacity := 0.0
	for _, d := range directions {
		if d.OffLink() {
			return nil, fmt.Errorf("copies %v leave the link idle", d)
		}
		capacity += m.Capacity[d]
	}
	if m.Link.Both > 0 && len(directions) > 1 {
		capacity = min(capacity, m.Link.Both)
	}
	cost := m.Block(int(directions[0]), c.Block)
	load := twin.Load{
		Threads: c.Threads, Block: c.Block, Outstanding: c.Outstanding, Directions: directions,
		Overhead: max(0, int64(cost.Busy-m.Link.Overhead)),
		Gap:      int64(cost.Gap), Serial: true, // threads of one process wait for one another at the driver
		Late: x.Late, Stalls: x.Stalls, Stall: stall,
	}
	if c.Share < 1 {
		load.Rate, load.Owed = c.Share*capacity/float64(c.Loads), owed
	}
	loads := make([]twin.Load, c.Loads)
	for i := range loads {
		if loads[i] = load; !c.Within {
			loads[i].Process = i + 1
		}
	}
	return loads, nil
}

// Simulate returns the latencies of one replicate of so many, by number.
func (m *Machine) Simulate(o *Baseline, c *Condition, x *Parameters, draw int) ([]int64, error) {
	loads, err := m.loads(c, x)
	if err != nil {
		return nil, err
	}
	l := m.Link
	l.Fetch = int64(x.Fetch)
	for i, d := range Ways {
		if low, high := m.Turn[i][0], m.Turn[i][1]; high > 0 {
			l.Turn[d] = int64(low + (high-low)*(float64(draw)+0.5)/draws)
		}
	}
	if m.HalfSmall && draw%2 == 1 {
		l.SmallIdle, l.SmallBehind = 0, 0
	}
	rng := rand.New(rand.NewPCG(uint64(draw), 0x70726564))
	own := o.Calls[draw%len(o.Calls)]
	compute, start := computing(&l, o, own, rng), lead
	if l.Slow.Every > 0 { // replicates of the same calls begin at times all over
		start += (int64(draw/len(o.Calls))*2 + 1) * l.Slow.Every * int64(len(o.Calls)) / (2 * draws)
	}
	out := make([]int64, 0, Calls)
	left := Warm
	s := &twin.Service{
		Start: start, Due: c.Due, In: o.In, Out: o.Out, Behind: true, Compute: compute,
		Done: func(call twin.Call) bool {
			if left--; left < 0 {
				out = append(out, call.Latency)
			}
			return len(out) < Calls
		},
	}
	if x.FetchTail > 0 && c.Wide() {
		s.Held = func() int64 { return int64(tail(rng, Held, x.FetchTail)) }
	}
	if x.Notice > 0 && c.Direction != device.H2D.String() { // what the host sees comes that way
		s.Notice = func() int64 {
			return int64(x.Notice*rng.ExpFloat64() + tail(rng, tails, x.Tail))
		}
	}
	until := start + last
	if n := len(c.Due); n > 0 {
		until += c.Due[n-1]
	}
	l.Run(loads, []*twin.Service{s}, until, uint64(draw))
	return out, nil
}

// tail draws what comes to a share of calls, on average of those.
func tail(rng *rand.Rand, share, average float64) float64 {
	if rng.Float64() < share {
		return average * rng.ExpFloat64()
	}
	return 0
}

// computing returns how long a model computes, drawn from its calls without load less
// what they copy. Where there are slow times among the calls the link has as many and as
// long ones, whatever their load makes of that, and calls are drawn from those that came
// when it was as slow.
func computing(l *twin.Link, o *Baseline, own []int64, rng *rand.Rand) func(now int64) int64 {
	copies := l.Copies(o.In, o.Out, true)
	bare := *l
	bare.Overhead = 0
	bytes := float64(bare.Copies(o.In, o.Out, true)) // of the copies' time
	phase := func(depth float64) int {
		switch depth {
		case 0:
			return 0 // the link is as it is,
		case 1:
			return 1 // slowest,
		}
		return 2 // or comes back
	}
	var of [3][]int64
	for i, depth := range depths(l, own) {
		k := phase(depth)
		of[k] = append(of[k], max(1, own[i]-copies-int64(depth*(slower-1)*bytes)))
	}
	return func(now int64) int64 {
		from := of[phase(l.Slow.Depth(now))]
		for k := 0; len(from) == 0; k++ {
			from = of[k]
		}
		return from[rng.IntN(len(from))]
	}
}

// depths tells how slow the link was in each of a trial's calls, and has the link be so
// as often and for as long.
func depths(l *twin.Link, own []int64) []float64 {
	of := make([]float64, len(own))
	times := stats.SlowTimes(own)
	if len(times) == 0 {
		return of
	}
	steady := stats.WithoutSlow(own)
	if len(steady) == 0 {
		steady = own
	}
	usual := Quantile(Pooled([][]int64{steady}), 0.5)
	ends := make([]int64, len(own)) // of calls
	for i, n := range own {
		ends[i] = n
		if i > 0 {
			ends[i] += ends[i-1]
		}
	}
	n, last, slowest := int64(0), int64(-1), int64(0)
	for _, t := range times {
		late := Quantile(Pooled([][]int64{own[t[0]:t[1]]}), 0.75) - usual
		for i := t[0]; i < t[1]; i++ {
			if float64(own[i])-usual < deepest*late { // a call that copies much is late while the link comes back, too
				continue
			}
			of[i] = 1
			if last < 0 || ends[i]-own[i] > last+apart {
				n++
			}
			last = ends[i]
			slowest += own[i]
		}
	}
	l.Slow = twin.Slow{Every: ends[len(own)-1] / n, For: slowest / n, Times: slower}
	l.Slow.Back = min(back, l.Slow.Every-l.Slow.For)
	since := int64(math.MaxInt64 / 2)
	for i := range own {
		if of[i] == 1 {
			since = ends[i]
		} else if left := l.Slow.Back - (ends[i] - own[i] - since); since < ends[i] && left > 0 {
			of[i] = l.Slow.Depth(l.Slow.Every - left)
		}
	}
	return of
}

// Quantile returns the nearest rank of ascending values.
func Quantile(sorted []int64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return float64(sorted[min(len(sorted)-1, max(0, int(math.Ceil(q*float64(len(sorted))))-1))])
}

// Pooled returns the values of all sets, ascending.
func Pooled(sets [][]int64) []int64 {
	all := slices.Concat(sets...)
	slices.Sort(all)
	return all
}
