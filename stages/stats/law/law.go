// Package law says which law of growth latency follows as a link fills, with its
// rivals, and whether a design could have told them apart (rules 11 to 13 of
// stages/README.md).
//
// It promises what package stats does: what the data cannot tell is not named, and
// the same input, seed included, gives the same output. Latencies are nanoseconds,
// utilisations shares from 0.
package law

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"
)

// A Point is one replicate of one level: what the link carried, and what
// latency it went with.
type Point struct {
	Level       string  // points of one name are left out together by cross-validation
	Utilisation float64 // achieved, as a share of a named denominator (rule 11)
	// Queued is the bytes in flight (threads x outstanding x block) over the
	// link's bandwidth, and Service one block over it, both in nanoseconds; 0
	// where unknown. They tell queued bytes and M/D/1 from laws in utilisation.
	Queued, Service float64
	// Loads is how many processes load the link with more than one copy ready, NaN
	// where that is unknown: what a law of turns depends on. For [Stairs] alone, Own and
	// OwnP99 are the median and p99 without load, in nanoseconds, and Copy how long of
	// them the call itself copies in the load's direction.
	Loads, Own, OwnP99, Copy float64
	Median, P99              float64 // latency in nanoseconds; P99 NaN if too few samples
}

// The growth laws, each with a > 0 and b >= 0. rho is achieved utilisation.
const (
	Constant    = "constant"         // a, the rival that every law must beat
	Linear      = "linear"           // a + b rho
	Exponential = "exponential"      // a exp(b rho)
	Queue       = "queueing"         // a + b rho/(1-rho): waiting in M/M/1
	MD1         = "M/D/1"            // a + b s rho/(2(1-rho)), s the service time of one block
	HockeyStick = "hockey stick"     // a up to c, then a + b (rho-c)
	QueuedBytes = "queued bytes"     // a + b queued bytes/bandwidth
	Turns       = "turns"            // a, beside n loads rounded up to n b; or a + own time, less its copy, rounded up, and its copy
	Line        = "line"             // a + b own time
	Saturated   = 0.95               // utilisation from which a level is left out (rule 12)
	Margin      = 10.0               // of AICc over every rival (rule 12)
	minLevels   = 4                  // below this a three-parameter law passes through every level
	fair        = 0.1                // cross-validation error up to which a law describes the data,
	scatter     = 4.0                // or this many times the scatter of replicates where that is more
	perfect     = 1e-9               // relative residual taken for none, so that its logarithm stays finite
	steepest    = 16.0               // ln(1 + b/a) at most, in units of the law's largest abscissa
	goldenRatio = 0.6180339887498949 // 2/(1+sqrt 5)
)

// A Fit is one law fitted to one statistic.
type Fit struct {
	Law  string  `json:"law"`
	A    float64 `json:"a_ns"`
	B    float64 `json:"b"` // nanoseconds per unit of the law's abscissa; for exponential, per unit of rho
	C    float64 `json:"c,omitempty"`
	RSS  float64 `json:"rss"` // of ln y
	AICc float64 `json:"aicc"`
	BIC  float64 `json:"bic"`
	// CV is the root mean square error of ln y at a level left out of the fit:
	// about the relative error of predicting it.
	CV float64 `json:"cv"`
}

// A Comparison says which of several laws latency follows, if one can be named
// (rule 12).
type Comparison struct {
	// Law is the law that beat every rival by Margin in AICc and had the best
	// cross-validation error, on the median and on p99; empty if none did.
	Law     string `json:"law,omitempty"`
	Because string `json:"because"`
	Median  []Fit  `json:"median"` // best AICc first
	P99     []Fit  `json:"p99"`
	Levels  int    `json:"levels"` // used
	// Noise is how far replicates of a level scatter in ln latency, as a standard
	// deviation: of the median and of p99.
	Noise [2]float64 `json:"noise"`

	design []observation // the levels used, replicates together
}

// A Growth says which law of growth latency follows below a full link.
type Growth struct {
	Comparison
	// Whole compares those laws that say something of a full link, turns among them,
	// over every level; nil where no level fills the link, or nothing is known of turns.
	Whole *Comparison `json:"whole,omitempty"`
	// Split is what shows that latency is no exponential of utilisation, nor any
	// function near it; nil for nothing.
	Split *Split `json:"split,omitempty"`

	Saturated   []string `json:"saturated,omitempty"`
	Unavailable []string `json:"unavailable,omitempty"` // laws not tried, and why
}

// abscissa returns g, for which every law but the exponential is a + b g.
func (f Fit) abscissa(p Point) float64 {
	switch rho := p.Utilisation; f.Law {
	case Linear, Exponential:
		return rho
	case Queue:
		return rho / (1 - rho)
	case MD1:
		return p.Service * rho / (2 * (1 - rho))
	case HockeyStick:
		return math.Max(0, rho-f.C)
	case QueuedBytes:
		return p.Queued
	case Line:
		return p.Own
	}
	return 0
}

// At returns the law's latency at a point, in nanoseconds.
func (f Fit) At(p Point) float64 {
	switch f.Law {
	case Exponential:
		return f.A * math.Exp(f.B*p.Utilisation)
	case Turns:
		switch {
		case p.Own > 0:
			return f.A + turned(p, f.B)
		case p.Loads < 1:
			return f.A
		}
		p.Own = f.A
		return turned(p, f.B)
	}
	return f.A + f.B*f.abscissa(p)
}

// parameters counts what was estimated, the residual variance included.
func (f Fit) parameters() float64 {
	switch f.Law {
	case Constant:
		return 2
	case HockeyStick:
		return 4
	}
	return 3
}

// Grow fits every law to the median and to p99 and names the one that both
// identify, or none.
//
// Laws are fitted by least squares on the logarithm of latency, that is with
// relative errors, the same for every law so that their criteria compare. AICc
// is n ln(RSS/n) + 2k + 2k(k+1)/(n-k-1) (Hurvich and Tsai, "Regression and Time
// Series Model Selection in Small Samples", Biometrika 76, 1989) and BIC
// n ln(RSS/n) + k ln n (Schwarz, 1978), k counting the variance. Levels at
// Saturated or more are left out of the comparison, since no law in rho speaks
// of them.
func Grow(points []Point) (Growth, error) {
	var g Growth
	for i, p := range points {
		if !finite(p.Utilisation) || p.Utilisation < 0 || !finite(p.Queued) || p.Queued < 0 || !finite(p.Service) || p.Service < 0 {
			return g, fmt.Errorf("growth law: point %d of level %q: utilisation %v, queued %v or service %v is negative or not a number", i, p.Level, p.Utilisation, p.Queued, p.Service)
		}
		if !(p.Median > 0) || math.IsInf(p.Median, 0) || p.P99 <= 0 || math.IsInf(p.P99, 0) {
			return g, fmt.Errorf("growth law: point %d of level %q: median %v or p99 %v is not a positive time", i, p.Level, p.Median, p.P99)
		}
	}
	all := levelsOf(points)
	full := map[string]bool{} // a level as a whole: its replicates lie on either side
	for _, o := range together(points, all) {
		if full[o.Level] = o.Utilisation >= Saturated; full[o.Level] {
			g.Saturated = append(g.Saturated, o.Level)
		}
	}
	used := slices.DeleteFunc(slices.Clone(points), func(p Point) bool { return full[p.Level] })
	levels := levelsOf(used)
	g.Levels = len(levels)
	g.Split = split(points)
	if whole := len(all); whole >= minLevels && len(g.Saturated) > 0 && turnsKnown(points) {
		laws := []string{Constant, Linear, Exponential, HockeyStick, Turns}
		if distinguishable(points, func(p Point) float64 { return p.Queued }, false) == "" {
			laws = append(laws, QueuedBytes)
		}
		c := compare(laws, points)
		g.Whole = &c
	}
	if g.Levels < minLevels {
		g.Because = fmt.Sprintf("%d levels below %.0f%% utilisation, where at least %d are needed", g.Levels, 100*Saturated, minLevels)
		return g, nil
	}
	laws := []string{Constant, Linear, Exponential, Queue, HockeyStick}
	if reason := distinguishable(used, func(p Point) float64 { return p.Service }, true); reason == "" {
		laws = append(laws, MD1)
	} else {
		g.Unavailable = append(g.Unavailable, MD1+": "+reason)
	}
	if reason := distinguishable(used, func(p Point) float64 { return p.Queued }, false); reason == "" {
		laws = append(laws, QueuedBytes)
	} else {
		g.Unavailable = append(g.Unavailable, QueuedBytes+": "+reason)
	}
	if turnsKnown(used) {
		laws = append(laws, Turns)
	}
	g.Comparison = compare(laws, used)
	return g, nil
}

// compare fits laws to points and names the one that both statistics identify.
func compare(laws []string, used []Point) Comparison {
	levels := levelsOf(used)
	c := Comparison{Levels: len(levels), design: together(used, levels)}
	median := observe(used, func(p Point) float64 { return p.Median })
	c.Median = fits(laws, median)
	c.Noise[0] = noise(median)
	if !slices.ContainsFunc(used, func(p Point) bool { return math.IsNaN(p.P99) }) {
		tails := slices.Clone(used)
		for i := range tails {
			tails[i].Own = tails[i].OwnP99
		}
		p99 := observe(tails, func(p Point) float64 { return p.P99 })
		c.P99 = fits(laws, p99)
		c.Noise[1] = noise(p99)
	}
	c.Law, c.Because = verdict(c.Median, c.P99, c.Noise)
	return c
}

// An observation is what one or several replicates at one place say.
type observation struct {
	Point
	ln     float64 // mean of ln latency
	weight float64 // replicates
	square float64 // sum of their squared deviations from the mean
}

// observe takes one statistic of points; those of a level at one place make one
// observation, which gives the same fits for less work.
func observe(points []Point, y func(Point) float64) (out []observation) {
	type place struct {
		level                                    string
		utilisation, queued, service, own, loads float64
	}
	index := map[place]int{}
	for _, p := range points {
		at := place{p.Level, p.Utilisation, p.Queued, p.Service, p.Own, max(p.Loads, -1)}
		i, seen := index[at]
		if !seen {
			i = len(out)
			index[at] = i
			out = append(out, observation{Point: p})
		}
		o := &out[i]
		d := math.Log(y(p)) - o.ln
		o.weight++
		o.ln += d / o.weight
		o.square += d * (math.Log(y(p)) - o.ln)
	}
	return out
}

// together returns one observation a level, where its replicates are on average.
func together(points []Point, levels []string) []observation {
	out := make([]observation, len(levels))
	for i, level := range levels {
		o := &out[i]
		o.Level = level
		for _, p := range points {
			if p.Level == level {
				o.weight++
				o.Utilisation += (p.Utilisation - o.Utilisation) / o.weight
				o.Queued += (p.Queued - o.Queued) / o.weight
				o.Service += (p.Service - o.Service) / o.weight
				o.Own += (p.Own - o.Own) / o.weight
				o.OwnP99 += (p.OwnP99 - o.OwnP99) / o.weight
				o.Copy += (p.Copy - o.Copy) / o.weight
				o.Loads = p.Loads
			}
		}
	}
	return out
}

// noise returns the standard deviation of ln latency within levels.
func noise(observed []observation) float64 {
	type sums struct{ n, mean, square float64 }
	byLevel := map[string]*sums{}
	for _, o := range observed {
		s := byLevel[o.Level]
		if s == nil {
			s = &sums{}
			byLevel[o.Level] = s
		}
		// Joining groups: Chan, Golub and LeVeque, "Algorithms for Computing the
		// Sample Variance" (The American Statistician 37, 1983).
		d := o.ln - s.mean
		n := s.n + o.weight
		s.square += o.square + d*d*s.n*o.weight/n
		s.mean += d * o.weight / n
		s.n = n
	}
	var square, freedom float64
	for _, o := range observed { // in a fixed order
		if s := byLevel[o.Level]; s != nil {
			square, freedom = square+s.square, freedom+s.n-1
			delete(byLevel, o.Level)
		}
	}
	if freedom == 0 {
		return 0
	}
	return math.Sqrt(square / freedom)
}

// verdict names the law that both statistics identify.
func verdict(median, p99 []Fit, noise [2]float64) (law, because string) {
	law, because = winner(median, noise[0])
	switch {
	case law == "":
		return "", "on the median " + because
	case p99 == nil:
		return "", fmt.Sprintf("on the median %s, but p99 is missing: n too small", because)
	}
	tail, why := winner(p99, noise[1])
	switch tail {
	case law:
		return law, fmt.Sprintf("on the median %s; on p99 %s", because, why)
	case "":
		return "", fmt.Sprintf("on the median %s, but on p99 %s", because, why)
	}
	return "", fmt.Sprintf("the median says %s and p99 %s", law, tail)
}

// winner returns the law that beats every rival, or none, with the numbers. The
// fits are sorted by AICc. The best of laws that all miss is none.
func winner(fits []Fit, noise float64) (law, because string) {
	best, next := fits[0], fits[1]
	margin := next.AICc - best.AICc
	because = fmt.Sprintf("%s leads %s by %.1f in AICc", best.Law, next.Law, margin)
	if best.Law == Constant {
		return "", because + ", so nothing grows"
	}
	if margin < Margin {
		return "", because + fmt.Sprintf(", less than %g", Margin)
	}
	for _, f := range fits[1:] {
		if f.CV <= best.CV {
			return "", because + fmt.Sprintf(", yet %s predicts a level left out better (%.2g against %.2g)", f.Law, f.CV, best.CV)
		}
	}
	if !best.describes(noise) {
		return "", because + fmt.Sprintf(", yet misses a level left out by %.0f%%, so none of the laws describes it", 100*math.Expm1(best.CV))
	}
	return best.Law, because
}

// describes reports whether a fit predicts levels left out about as well as
// replicates of a level agree.
func (f Fit) describes(noise float64) bool { return f.CV <= math.Max(fair, scatter*noise) }

// Behind says how far a law lies behind the one that fits best, in AICc, on the
// median and on p99; NaN where it was not fitted. The law is out if it lies behind
// by Margin on both, with a worse error at levels left out, and the best describes
// them: then latency follows another law, even if several are left and none is
// named.
func (g *Comparison) Behind(law string) (behind [2]float64, out bool) {
	behind, out = [2]float64{math.NaN(), math.NaN()}, true
	for i, fits := range [][]Fit{g.Median, g.P99} {
		at := slices.IndexFunc(fits, func(f Fit) bool { return f.Law == law })
		if at < 0 {
			out = false
			continue
		}
		best, f := fits[0], fits[at]
		behind[i] = f.AICc - best.AICc
		out = out && behind[i] >= Margin && f.CV > best.CV && best.describes(g.Noise[i])
	}
	return behind, out
}

func levelsOf(points []Point) (levels []string) {
	for _, p := range points {
		if !slices.Contains(levels, p.Level) {
			levels = append(levels, p.Level)
		}
	}
	return levels
}

// distinguishable returns why a law that depends on v cannot be told from its
// rivals, or nothing. Where loaded is set, only points under load count.
func distinguishable(points []Point, v func(Point) float64, loaded bool) (reason string) {
	low, high := math.Inf(1), 0.0
	for _, p := range points {
		if loaded && p.Utilisation == 0 {
			continue
		}
		low, high = math.Min(low, v(p)), math.Max(high, v(p))
	}
	switch {
	case high == 0:
		return "what it depends on was not recorded"
	case high-low < 0.01*high:
		return "what it depends on was not varied"
	}
	return ""
}

// fits returns all laws fitted to one statistic, best AICc first, with the
// cross-validation error.
func fits(laws []string, observed []observation) []Fit {
	v := leaveOut(observed)
	out := v.ranked(laws)
	var all sync.WaitGroup
	for i := range out {
		all.Go(func() { out[i].CV = v.error(out[i].Law, math.Inf(1)) })
	}
	all.Wait()
	return out
}

// identified returns the law that [winner] names of fits, or none, for less work: levels
// are left out only as far as they decide.
func identified(laws []string, observed []observation, noise float64) string {
	v := leaveOut(observed)
	ranked := v.ranked(laws)
	best := ranked[0]
	if best.Law == Constant || ranked[1].AICc-best.AICc < Margin {
		return ""
	}
	if best.CV = v.error(best.Law, math.Inf(1)); !best.describes(noise) {
		return ""
	}
	for _, f := range ranked[1:] {
		if v.error(f.Law, best.CV) <= best.CV {
			return ""
		}
	}
	return best.Law
}

// A leavingOut is what one statistic says, whole and without each level.
type leavingOut struct {
	observed []observation
	n        float64 // replicates
	levels   []string
}

func leaveOut(observed []observation) *leavingOut {
	v := &leavingOut{observed: observed}
	for _, o := range observed {
		v.n += o.weight
		if !slices.Contains(v.levels, o.Level) {
			v.levels = append(v.levels, o.Level)
		}
	}
	return v
}

// ranked returns all laws fitted to the whole, best AICc first.
func (v *leavingOut) ranked(laws []string) []Fit {
	out := make([]Fit, len(laws))
	for i, law := range laws {
		f := fit(law, v.observed)
		k := f.parameters()
		likelihood := v.n * math.Log(math.Max(f.RSS/v.n, perfect*perfect))
		f.AICc = likelihood + 2*k
		if v.n > k+1 {
			f.AICc += 2 * k * (k + 1) / (v.n - k - 1)
		} else {
			f.AICc = math.MaxFloat64
		}
		f.BIC = likelihood + k*math.Log(v.n)
		out[i] = f
	}
	slices.SortStableFunc(out, func(a, b Fit) int { return cmp.Compare(a.AICc, b.AICc) })
	return out
}

// error returns the cross-validation error of a law, or, once that is sure to be above
// a limit, what is above it.
func (v *leavingOut) error(law string, limit float64) float64 {
	square, rest := 0.0, make([]observation, 0, len(v.observed))
	for _, level := range v.levels {
		rest = rest[:0]
		for _, o := range v.observed {
			if o.Level != level {
				rest = append(rest, o)
			}
		}
		f := fit(law, rest)
		for _, o := range v.observed {
			if o.Level == level {
				d := o.ln - math.Log(f.At(o.Point))
				square += o.weight*d*d + o.square
			}
		}
		if soFar := math.Sqrt(square / v.n); soFar > limit {
			return soFar
		}
	}
	return math.Sqrt(square / v.n)
}

// fit minimises the squared residuals of the logarithms of latency.
func fit(law string, observed []observation) Fit {
	f := Fit{Law: law}
	switch law {
	case Exponential:
		f.exponential(observed)
	case HockeyStick:
		f.hockeyStick(observed)
	case Turns:
		f.turns(observed)
	default:
		f.proportional(observed)
	}
	for _, o := range observed { // no law in a level's place explains these
		f.RSS += o.square
	}
	return f
}

// exponential is a straight line through the logarithms.
func (f *Fit) exponential(observed []observation) {
	var n, mx, my, xx, xy float64
	for _, o := range observed {
		n += o.weight
		mx += o.weight * o.Utilisation
		my += o.weight * o.ln
	}
	mx, my = mx/n, my/n
	for _, o := range observed {
		d := o.Utilisation - mx
		xx += o.weight * d * d
		xy += o.weight * d * (o.ln - my)
	}
	if xx > 0 {
		f.B = math.Max(0, xy/xx)
	}
	f.A = math.Exp(my - f.B*mx)
	for _, o := range observed {
		d := o.ln - my - f.B*(o.Utilisation-mx)
		f.RSS += o.weight * d * d
	}
}

// proportional fits a + b g. Given the ratio b/a the best ln a is a mean, so
// what is left is one dimension: theta = ln(1 + largest g times b/a), from flat
// to all but the intercept gone. Gauss-Newton steps, halved where they overshoot
// (Nocedal and Wright, "Numerical Optimization", section 10.3), start from the
// best of a few.
func (f *Fit) proportional(observed []observation) {
	g := make([]float64, len(observed))
	n := 0.0
	for i, o := range observed {
		g[i] = f.abscissa(o.Point)
		n += o.weight
	}
	largest := slices.Max(g)
	if largest == 0 {
		largest = 1
	}
	residual := make([]float64, len(observed))
	at := func(theta float64) (rss, lnA float64) {
		ratio := math.Expm1(theta) / largest
		for i, x := range g {
			residual[i] = observed[i].ln - math.Log1p(ratio*x)
			lnA += observed[i].weight * residual[i] / n
		}
		for i, r := range residual {
			rss += observed[i].weight * (r - lnA) * (r - lnA)
		}
		return rss, lnA
	}
	theta := 0.0
	rss, lnA := at(theta)
	for _, t := range []float64{0.1, 1, 4} {
		if r, l := at(t); r < rss {
			theta, rss, lnA = t, r, l
		}
	}
	slope := make([]float64, len(observed)) // of each logarithm of the law, by theta
	for range 50 {
		var mean, down, across float64
		ratio := math.Expm1(theta) / largest
		for i, x := range g {
			slope[i] = math.Exp(theta) / largest * x / (1 + ratio*x)
			mean += observed[i].weight * slope[i] / n
		}
		for i, x := range g {
			d := slope[i] - mean
			down += observed[i].weight * d * (observed[i].ln - lnA - math.Log1p(ratio*x))
			across += observed[i].weight * d * d
		}
		if across == 0 {
			break
		}
		step := math.Min(math.Max(theta+down/across, 0), steepest) - theta
		r, l := at(theta + step)
		for r > rss && math.Abs(step) > 1e-9 {
			step /= 2
			r, l = at(theta + step)
		}
		if r > rss {
			break
		}
		theta, rss, lnA = theta+step, r, l
		if math.Abs(step) < 1e-8 {
			break
		}
	}
	f.A, f.RSS = math.Exp(lnA), rss
	f.B = f.A * math.Expm1(theta) / largest
}

// hockeyStick tries bends between the second and the last but one utilisation:
// a stick needs two levels to lie flat and two to rise, or it is another name
// for a straight line.
func (f *Fit) hockeyStick(observed []observation) {
	mean := map[string][2]float64{}
	for _, o := range observed {
		m := mean[o.Level]
		mean[o.Level] = [2]float64{m[0] + o.weight*o.Utilisation, m[1] + o.weight}
	}
	var rho []float64
	for _, m := range mean {
		rho = append(rho, m[0]/m[1])
	}
	slices.Sort(rho)
	low, high := rho[min(1, len(rho)-1)], rho[max(0, len(rho)-2)]
	if high < low {
		low, high = high, low
	}
	bent := func(c float64) Fit {
		b := Fit{Law: HockeyStick, C: c}
		b.proportional(observed)
		return b
	}
	const steps = 8
	width := (high - low) / steps
	best := bent(low)
	for i := 1; i <= steps; i++ {
		if b := bent(low + width*float64(i)); b.RSS < best.RSS {
			best = b
		}
	}
	c := minimum(func(c float64) float64 { return bent(c).RSS }, math.Max(low, best.C-width), math.Min(high, best.C+width))
	if b := bent(c); b.RSS < best.RSS {
		best = b
	}
	*f = best
}

// minimum returns where f, with one valley between low and high, is lowest: the
// golden section search of Kiefer, "Sequential Minimax Search for a Maximum"
// (Proceedings of the AMS 4, 1953).
func minimum(f func(float64) float64, low, high float64) float64 {
	a, b := high-goldenRatio*(high-low), low+goldenRatio*(high-low)
	fa, fb := f(a), f(b)
	for high-low > 1e-4 {
		if fa <= fb {
			high, b, fb = b, a, fa
			a = high - goldenRatio*(high-low)
			fa = f(a)
		} else {
			low, a, fa = a, b, fb
			b = low + goldenRatio*(high-low)
			fb = f(b)
		}
	}
	return (low + high) / 2
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// String writes a fit as a formula with its parameters, latency in milliseconds.
func (f Fit) String() string {
	a, b := f.A/1e6, f.B/1e6
	switch f.Law {
	case Constant:
		return fmt.Sprintf("%.4g ms", a)
	case Exponential:
		return fmt.Sprintf("%.4g ms exp(%.3g rho)", a, f.B)
	case HockeyStick:
		return fmt.Sprintf("%.4g ms, from rho = %.2g on + %.3g ms (rho - %.2g)", a, f.C, b, f.C)
	case MD1:
		return fmt.Sprintf("%.4g ms + %.3g s rho/(2(1-rho))", a, f.B)
	case QueuedBytes:
		return fmt.Sprintf("%.4g ms + %.3g queued/bandwidth", a, f.B)
	case Turns:
		return fmt.Sprintf("%.4g ms, and turns of %.4g ms", a, b)
	case Line:
		return fmt.Sprintf("%.4g ms + the own time x %.3g", a, f.B)
	case Queue:
		return fmt.Sprintf("%.4g ms + %.3g ms rho/(1-rho)", a, b)
	}
	return fmt.Sprintf("%.4g ms + %.3g ms rho", a, b)
}
