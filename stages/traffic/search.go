package traffic

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/arrival"
)

// A Search looks for the highest rate at which a server still answers in time: with
// its p99 within a limit, or with no more than a share of requests late. Each probe is
// a queue of requests at one rate, begun once the one before is settled.
type Search struct {
	P99    unit.Duration `json:"p99,omitempty" doc:"latency that one request in a hundred may exceed"`
	Miss   float64       `json:"miss,omitempty" min:"0" max:"1" doc:"in place of p99: share of requests that may miss their deadline, such as 0.001"`
	From   float64       `json:"from" min:"0" doc:"rate of the first probe, requests a second"`
	To     float64       `json:"to" min:"0" doc:"highest rate that is tried"`
	Within float64       `json:"within,omitempty" min:"0" max:"1" doc:"the search ends once the interval is no wider than this share of the rate; default 0.05"`
	Probes int           `json:"probes,omitempty" min:"0" max:"1000" doc:"probes at most; default 24"`
}

const (
	usualWithin = 0.05
	usualProbes = 24
	warmIn      = 10   // one of so many requests of a probe is not counted: it met an empty queue
	blocks      = 20   // of a probe, over which the dependence of its requests is seen
	confidence  = 0.95 // of each test, one-sided, and of the interval
	drifts      = 0.1  // share by which medians of a probe and its repeat differ, at least, where there is a drift
	scattered   = 5.0  // and by how many standard errors
	closes      = 1.1  // ratio of rates between which the share crosses, from which on probes lie near the crossing
	least       = 6    // probes that tell by how much they scatter
	apart       = 0.2  // by which the logarithms of their rates are off the crossing, at most
	spread      = 3.0  // factor by which shares of those differ from what is allowed, as fitted
)

// Most returns how many probes there are at most.
func (s *Search) Most() int { return cmp.Or(s.Probes, usualProbes) }

// limit returns the latency that is late, where the deadline does not say, and the
// share of requests that may be.
func (s *Search) limit() (late int64, allowed float64) {
	if s.P99 > 0 {
		return int64(s.P99), 0.01
	}
	return 0, s.Miss
}

// check reports what is wrong with a search; the pattern has no rate of its own.
func (s *Search) check(root string, p *Params) error {
	pattern := p.Pattern
	switch {
	case !slices.Contains([]string{"constant", "poisson", "bursts", "camera"}, p.Arrivals):
		return cell.Hint(fmt.Errorf("carries with arrivals %s: they have no rate that could be sought", p.Arrivals), "set arrivals: poisson")
	case p.Rate != 0 || p.Interval != 0:
		return fmt.Errorf("carries with a rate of its own: leave out rate and interval, and say carries: from and to")
	case (s.P99 > 0) == (s.Miss > 0) || s.P99 < 0 || s.Miss >= 1:
		return cell.Hint(fmt.Errorf("carries has p99 %v and miss %g: want one of them", s.P99, s.Miss), "give p99: a time such as 10ms, or miss: a share such as 0.001 beside a deadline:")
	case s.Miss > 0 && p.Deadline == 0:
		return cell.Hint(fmt.Errorf("carries has miss %g without a deadline: none is ever missed", s.Miss), "give deadline: a time such as 33ms")
	case !(s.From > 0) || !(s.To > s.From) || math.IsInf(s.To, 0):
		return cell.Hint(fmt.Errorf("carries from %g to %g requests a second: want more than 0, and more than that", s.From, s.To), "such as from: 50, to: 2000")
	case s.Probes < 0 || s.Probes > 0 && s.Probes < least:
		return fmt.Errorf("carries with %d probes: want at least %d", s.Probes, least)
	case s.Within < 0 || s.Within >= 1:
		return fmt.Errorf("carries within %g: want a share such as 0.05", s.Within)
	}
	_, allowed := s.limit()
	counted := p.Calls - p.Calls/warmIn
	if _, high := shareOf(0, float64(counted), confidence); high > allowed {
		least := int(math.Ceil(math.Log(1-confidence)/math.Log(1-allowed)*warmIn/(warmIn-1))) + 1
		return cell.Hint(fmt.Errorf("calls is %d: with none of them late it still would not be known whether a share of %g is", p.Calls, allowed), "each probe needs %d at least", least)
	}
	pattern.Rate = s.From
	_, _, err := pattern.Schedule(root, min(p.Calls, 2), 0)
	return err
}

// A Carried is the rate that a server carries, and how that was found.
type Carried struct {
	Limit   int64   `json:"limit_ns,omitempty"` // that p99 was held to; 0: the deadline counts
	Allowed float64 `json:"allowed"`            // share of requests that may be late
	// Rate is where the fitted share of late requests, which never falls with the rate,
	// reaches what is allowed; Low and High are the ends of its 95% interval. Open says
	// that the highest rate tried still holds, and Below that the lowest does not.
	Rate   float64 `json:"rate_per_s"`
	Low    float64 `json:"low_per_s"`
	High   float64 `json:"high_per_s"`
	Open   bool    `json:"open,omitempty"`
	Below  bool    `json:"below,omitempty"`
	Drift  string  `json:"drift,omitempty"` // what a repeated probe found otherwise
	Probes []Probe `json:"probes"`
}

// A Probe is what requests at one rate came to.
type Probe struct {
	Rate     float64 `json:"rate_per_s"`
	Requests int     `json:"requests"` // that count: the first tenth does not
	Late     int     `json:"late"`
	Effect   float64 `json:"design_effect"` // by how much more their number varies than if requests were independent
	Median   int64   `json:"p50_ns"`
	P99      int64   `json:"p99_ns"`
	Repeat   bool    `json:"repeat,omitempty"`
	Says     string  `json:"says"` // holds, fails, or open, by itself
	// Blocks are the late requests of each twentieth of those that count, in turn.
	Blocks []int `json:"late_by_block"`

	noise float64 // standard error of the median, by those of blocks
}

// judged sums a probe up.
func (s *Search) judged(q *Queue, rate float64) Probe {
	p := Probe{Rate: rate, Blocks: make([]int, blocks)}
	limit, allowed := s.limit()
	all := q.Requests[len(q.Requests)/warmIn:]
	latencies := make([]int64, len(all))
	for i := range all {
		r := &all[i]
		late := r.Late()
		if latencies[i] = r.Done - r.Due; !r.Answered() {
			latencies[i] = math.MaxInt64
		}
		if limit > 0 {
			late = latencies[i] > limit
		}
		if late {
			p.Late++
			p.Blocks[i*blocks/len(all)]++
		}
	}
	p.noise = scatter(latencies)
	slices.Sort(latencies)
	p.Median = latencies[(len(latencies)-1)/2]
	p.Requests, p.P99 = len(all), latencies[(99*len(all)+99)/100-1]
	p.Effect = effect(p.late())
	p.Says = says(float64(p.Late), float64(p.Requests), p.Effect, allowed)
	return p
}

// late returns the late requests of each block, and all of them.
func (p *Probe) late() [][2]float64 {
	late := make([][2]float64, len(p.Blocks))
	for i, k := range p.Blocks {
		late[i] = [2]float64{float64(k), float64(((i+1)*p.Requests+blocks-1)/blocks - (i*p.Requests+blocks-1)/blocks)}
	}
	return late
}

// scatter returns the standard error of the median of latencies in the order taken, by
// the medians of their blocks.
func scatter(latencies []int64) float64 {
	var medians [blocks]float64
	mean, square := 0.0, 0.0
	for b := range medians {
		of := slices.Clone(latencies[b*len(latencies)/blocks : (b+1)*len(latencies)/blocks])
		slices.Sort(of)
		medians[b] = float64(of[(len(of)-1)/2])
		mean += medians[b] / blocks
	}
	for _, m := range medians {
		square += (m - mean) * (m - mean)
	}
	return math.Sqrt(square / (blocks - 1) / blocks)
}

// effect returns by how much more a share varies between blocks than it would if
// requests were independent; at least 1.
func effect(late [][2]float64) float64 {
	k, n := 0.0, 0.0
	for _, b := range late {
		k, n = k+b[0], n+b[1]
	}
	share := k / n
	if share == 0 || share == 1 {
		return 1
	}
	square := 0.0
	for _, b := range late {
		square += (b[0] - share*b[1]) * (b[0] - share*b[1])
	}
	m := float64(len(late))
	return max(1, square*m/(m-1)/(n*share*(1-share)))
}

// says tells whether a share of late requests is at most what is allowed.
func says(k, n, effect, allowed float64) string {
	low, high := shareOf(k/effect, n/effect, confidence)
	switch {
	case high <= allowed:
		return "holds"
	case low > allowed:
		return "fails"
	}
	return "open"
}

// A step is a stretch of rates over which the fitted share is the same.
type step struct {
	low, high float64 // rates
	blocks    [][2]float64
	k, n      float64
}

// fit pools probes by rate, and those whose share falls with the rate with their
// neighbours: the isotonic regression of shares (Barlow and others, 1972).
func fit(probes []Probe) []step {
	sorted := slices.Clone(probes)
	slices.SortStableFunc(sorted, func(a, b Probe) int { return cmp.Compare(a.Rate, b.Rate) })
	var steps []step
	for i := range sorted {
		p := &sorted[i]
		s := step{low: p.Rate, high: p.Rate, blocks: p.late()}
		for _, b := range s.blocks {
			s.k, s.n = s.k+b[0], s.n+b[1]
		}
		steps = append(steps, s)
		for n := len(steps); n > 1; n-- {
			a, b := &steps[n-2], steps[n-1]
			if b.low > a.high && b.k/b.n > a.k/a.n {
				break
			}
			a.high, a.k, a.n, a.blocks = b.high, a.k+b.k, a.n+b.n, append(a.blocks, b.blocks...)
			steps = steps[:n-1]
		}
	}
	return steps
}

// crossing returns the highest rate whose fitted share is allowed, and the lowest whose
// is not; 0 and infinity where there is none. Between them lies the rate at which the
// share, straight in the logarithm of the rate, is what is allowed.
func crossing(steps []step, allowed float64) (low, at, high float64) {
	high = math.Inf(1)
	share := [2]float64{}
	for _, s := range steps {
		if s.k/s.n <= allowed {
			low, share[0] = s.high, s.k/s.n
		} else if math.IsInf(high, 1) {
			high, share[1] = s.low, s.k/s.n
		}
	}
	switch {
	case low == 0:
		return low, high, high
	case math.IsInf(high, 1):
		return low, low, high
	}
	return low, low * math.Pow(high/low, (allowed-share[0])/(share[1]-share[0])), high
}

// proven returns the highest rate that tests say holds, and the lowest that they say
// fails, by the shares of the fit.
func proven(steps []step, allowed float64) (low, high float64) {
	high = math.Inf(1)
	below := true
	for _, s := range steps {
		switch says(s.k, s.n, effect(s.blocks), allowed) {
		case "holds":
			if below {
				low = s.high
			}
		case "fails":
			high = min(high, s.low)
			below = false
		default:
			below = false
		}
	}
	return low, high
}

// A searching is a course of probes.
type searching struct {
	*Search
	params *Params
	root   string
	seed   uint64
	queue  *Queue
	rate   float64
	repeat bool
	probes []Probe
	err    error
}

// Next judges the probe before, and begins another where one is needed.
func (s *searching) Next(now int64) *Queue {
	if s.queue != nil {
		p := s.judged(s.queue, s.rate)
		p.Repeat = s.repeat
		s.probes = append(s.probes, p)
	}
	var ok bool
	if s.rate, s.repeat, ok = s.decide(); !ok {
		return nil
	}
	pattern := s.params.Pattern
	pattern.Rate = s.rate
	due, _, err := pattern.Schedule(s.root, s.params.Calls, s.seed+uint64(len(s.probes)))
	if err != nil {
		s.err = err
		return nil
	}
	s.queue = NewQueue(due, now, s.params.Rule, s.params.Batch)
	return s.queue
}

// decide returns the rate of the next probe, and whether it repeats one.
func (s *searching) decide() (rate float64, repeat, more bool) {
	most := s.Most()
	n := len(s.probes)
	switch {
	case n == 0:
		return s.From, false, true
	case n >= most:
		return 0, false, false
	}
	rate, more = s.fresh()
	// Earlier probes are made again, now and then, and before all is over.
	since := s.since()
	doubles := n > 1 && rate > s.probes[n-1].Rate && !slices.ContainsFunc(s.probes, func(p Probe) bool { return p.Says == "fails" })
	if end, ok := s.earlier(); ok && (!more || since >= 4 && !doubles || n == most-1 && since == n && !doubles) {
		return end, true, true
	}
	return rate, rate == s.From, more
}

// since returns how many probes were made since the last repeat.
func (s *searching) since() (n int) {
	for i := len(s.probes) - 1; i >= 0 && !s.probes[i].Repeat; i-- {
		n++
	}
	return n
}

// earlier returns the highest rate that holds and was not tried again.
func (s *searching) earlier() (rate float64, ok bool) {
	repeats := 0
	for i := range s.probes {
		p := &s.probes[i]
		if p.Repeat {
			repeats++
		}
		if p.Says == "holds" && p.Rate > rate && !slices.ContainsFunc(s.probes, func(r Probe) bool { return r.Rate == p.Rate && r.Repeat }) {
			rate = p.Rate
		}
	}
	return rate, rate > 0 && repeats < 3
}

// fresh returns the rate of a probe that tells most, and whether one is needed.
func (s *searching) fresh() (rate float64, more bool) {
	_, allowed := s.limit()
	steps := fit(s.probes)
	low, high := proven(steps, allowed)
	highest := 0.0
	for i := range s.probes {
		highest = max(highest, s.probes[i].Rate)
	}
	switch {
	case high <= s.From: // below the first, there is nothing to be tried
		return s.From, len(s.probes) < least
	case low == 0 && len(s.probes) < 3: // it may come out
		return s.From, true
	case math.IsInf(high, 1) && highest < s.To:
		return min(2*highest, s.To), true
	case math.IsInf(high, 1) && low >= s.To:
		return 0, false
	}
	under, _, over := crossing(steps, allowed)
	under, over = max(under, s.From), min(over, s.To)
	if over > under*closes {
		return math.Sqrt(under * over), true
	}
	c := curved(s.probes, allowed)
	if low, high := c.interval(confidence); len(c.probes) >= least && low > c.low && high < c.high && high-low < math.Log1p(cmp.Or(s.Within, usualWithin)) {
		return 0, false
	}
	off := min(math.Log(spread)/c.slope, apart) * float64(len(s.probes)%3-1)
	return min(max(math.Exp(c.at+off), s.From), s.To), true
}

// Carried returns what the search has found.
func (s *searching) Carried() (*Carried, error) {
	if s.err != nil || len(s.probes) == 0 {
		return nil, cmp.Or(s.err, fmt.Errorf("no probe was answered"))
	}
	late, allowed := s.limit()
	c := &Carried{Limit: late, Allowed: allowed, Probes: s.probes}
	k := curved(s.probes, allowed)
	low, high := k.interval(confidence)
	c.Open, c.Below = high > k.high, low < k.low
	c.Rate, c.Low, c.High = k.rate(k.at), k.rate(low), k.rate(high)
	if c.Open {
		c.High = 0
	}
	if c.Below {
		c.Low = 0
	}
	c.Drift = s.drift()
	return c, nil
}

// Alike returns the correlation, from -1 to 1, of the errors of two rates that were
// sought with the same draw of arrivals: a search that met harder arrivals finds a lower
// rate, and so does the other. 0 where a record says nothing of the blocks of probes.
func (c *Carried) Alike(d *Carried) float64 {
	for _, of := range []*Carried{c, d} {
		if len(of.Probes) == 0 || slices.ContainsFunc(of.Probes, func(p Probe) bool { return len(p.Blocks) != blocks }) {
			return 0
		}
	}
	return curved(c.Probes, c.Allowed).alike(curved(d.Probes, d.Allowed))
}

// drift says what a repeated probe found otherwise; empty where none did. Beyond what
// is carried queues grow, and near it late requests come in bursts, so that shares
// differ from one probe to the next for no other reason; what counts are medians, where
// one of the probes holds.
func (s *searching) drift() string {
	for i := range s.probes {
		first := &s.probes[i]
		for j := i + 1; j < len(s.probes); j++ {
			again := &s.probes[j]
			if again.Rate != first.Rate || !again.Repeat {
				continue
			}
			apart, noise := math.Abs(float64(first.Median-again.Median)), math.Hypot(first.noise, again.noise)
			if (first.Says == "holds" || again.Says == "holds") && apart > drifts*float64(first.Median) && apart > scattered*noise {
				return fmt.Sprintf("at %.4g requests a second the median was %v in probe %d, and %v in probe %d", first.Rate, time.Duration(first.Median).Round(time.Microsecond), i+1, time.Duration(again.Median).Round(time.Microsecond), j+1)
			}
		}
	}
	return ""
}

// String tells a rate to a person.
func (c *Carried) String() string {
	what := "no more than " + fmt.Sprintf("%g%%", 100*c.Allowed) + " late"
	if c.Limit > 0 {
		what = fmt.Sprintf("p99 within %v", time.Duration(c.Limit))
	}
	switch {
	case c.Below && c.Open:
		least, most := math.Inf(1), 0.0
		for _, p := range c.Probes {
			least, most = min(least, p.Rate), max(most, p.Rate)
		}
		return fmt.Sprintf("it is not known which rate is carried with %s: neither that %.4g requests a second are, nor that %.4g are not", what, least, most)
	case c.Below:
		return fmt.Sprintf("fewer than %.4g requests a second are carried with %s", c.High, what)
	case c.Open:
		return fmt.Sprintf("at least %.4g requests a second are carried with %s", c.Low, what)
	}
	return fmt.Sprintf("%.4g [%.4g, %.4g] requests a second are carried with %s", c.Rate, c.Low, c.High, what)
}

// made says how the schedules of the probes were made.
func (s *searching) made() *arrival.Made {
	pattern := s.params.Pattern
	pattern.Rate = s.From
	_, made, err := pattern.Schedule(s.root, 1, s.seed)
	if err != nil {
		return nil
	}
	made.Rate, made.Seed = 0, s.seed // each probe's rate is its own, and its seed is one more
	return made
}
