package traffic

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// A curve is a share of late requests that never falls with the rate: its logit is
// straight in the logarithm of the rate, near the rate at which it is what is allowed.
// Parameters are by maximum likelihood, and ends of intervals by its profile, that is
// where a test of the rate rejects (Venzon and Moolgavkar, Applied Statistics 37, 1988).
type curve struct {
	allowed   float64
	probes    []Probe   // near the crossing, by rate
	place     []int     // of each in the search
	influence []float64 // of each one's late requests on the rate
	from, to  float64   // the lowest and the highest rate that were tried
	low, high float64   // and their natural logarithms
	at, slope float64   // logarithm of the rate where it crosses, and slope of the logit
	best      float64   // log-likelihood there
	// By how much more the rate varies than if requests were independent, by the blocks
	// of probes and by how far probes are off the curve.
	within, between float64
}

const (
	steepest = 2000.0 // slope of the logit
	near     = 20.0   // by which factor a share may exceed what is allowed
	beyond   = 0.5    // by how much the logarithm of the rate may lie outside those that were tried
	around   = 0.5    // and by how much the logarithm of the rate may be off the crossing
)

// share returns the share of late requests at a rate, by its logarithm.
func (c *curve) share(rate float64) float64 {
	return expit(math.Log(c.allowed/(1-c.allowed)) + c.slope*(rate-c.at))
}

// likelihood returns the greatest log-likelihood if the curve crosses at a rate, and
// the slope that has it.
func (c *curve) likelihood(at float64) (l, slope float64) {
	base := math.Log(c.allowed / (1 - c.allowed))
	score := func(slope float64) (s float64) {
		for i := range c.probes {
			x := math.Log(c.probes[i].Rate) - at
			s += x * (float64(c.probes[i].Late) - float64(c.probes[i].Requests)*expit(base+slope*x))
		}
		return s
	}
	if score(0) > 0 {
		low, high := 0.0, 1.0
		for high < steepest && score(high) > 0 {
			low, high = high, 2*high
		}
		for range 40 {
			if slope = (low + high) / 2; score(slope) > 0 {
				low = slope
			} else {
				high = slope
			}
		}
	}
	for i := range c.probes {
		p := &c.probes[i]
		z := base + slope*(math.Log(p.Rate)-at)
		l -= float64(p.Late)*softplus(-z) + float64(p.Requests-p.Late)*softplus(z)
	}
	return l, slope
}

func expit(z float64) float64 { return 1 / (1 + math.Exp(-z)) }

// softplus returns log(1+exp(z)).
func softplus(z float64) float64 { return max(z, 0) + math.Log1p(math.Exp(-math.Abs(z))) }

// peak finds the rate with the greatest likelihood, from the best of those that were
// tried: its levels are intervals, but where no slope helps it is flat.
func (c *curve) peak() {
	rates := []float64{c.low - beyond}
	for i := range c.probes {
		rates = append(rates, math.Log(c.probes[i].Rate))
	}
	rates = slices.Compact(append(rates, c.high+beyond))
	of, best := 0, math.Inf(-1)
	for i, at := range rates {
		if l, _ := c.likelihood(at); l > best {
			of, best = i, l
		}
	}
	low, high := rates[max(0, of-1)], rates[min(of+1, len(rates)-1)]
	const golden = 0.6180339887498949
	a, b := high-golden*(high-low), low+golden*(high-low)
	fa, _ := c.likelihood(a)
	fb, _ := c.likelihood(b)
	for range 40 {
		if fa >= fb {
			high, b, fb = b, a, fa
			a = high - golden*(high-low)
			fa, _ = c.likelihood(a)
		} else {
			low, a, fa = a, b, fb
			b = low + golden*(high-low)
			fb, _ = c.likelihood(b)
		}
	}
	c.at = (low + high) / 2
	c.best, c.slope = c.likelihood(c.at)
}

// ends returns between which rates the likelihood is at most so far below the best;
// a little beyond the rates that were tried where it is not.
func (c *curve) ends(drop float64) (low, high float64) {
	end := func(far float64) float64 {
		in, out := c.at, far
		if l, _ := c.likelihood(out); l >= c.best-drop {
			return out
		}
		for range 40 {
			mid := (in + out) / 2
			if l, _ := c.likelihood(mid); l >= c.best-drop {
				in = mid
			} else {
				out = mid
			}
		}
		return in
	}
	return end(c.low - beyond), end(c.high + beyond)
}

// scatter sets by how much more the rate varies than if requests were independent. Each
// probe counts by its influence on the rate: scaled by this, the likelihood's ratio is
// distributed as chi-squared though some probes scatter more than others (Rotnitzky and
// Jewell, Biometrika 77, 1990).
func (c *curve) scatter() {
	weights := make([]float64, len(c.probes))
	s0, s1, s2 := 0.0, 0.0, 0.0
	for i := range c.probes {
		d := math.Log(c.probes[i].Rate) - c.at
		q := c.share(c.at + d)
		weights[i] = float64(c.probes[i].Requests) * q * (1 - q)
		s0, s1, s2 = s0+weights[i], s1+weights[i]*d, s2+weights[i]*d*d
	}
	within, between, all := 0.0, 0.0, 0.0
	c.influence = make([]float64, len(c.probes))
	for i := range c.probes {
		p := &c.probes[i]
		d := math.Log(p.Rate) - c.at
		if c.influence[i] = 1; s2 > 0 {
			c.influence[i] -= d * s1 / s2
		}
		square := c.influence[i] * c.influence[i]
		leverage := weights[i] / s0 // of the probe on what is fitted to it (MacKinnon and White, 1985)
		if spread := s2 - s1*s1/s0; spread > 0 {
			leverage += weights[i] * (d - s1/s0) * (d - s1/s0) / spread
		}
		n := float64(p.Requests)
		off := (float64(p.Late) - n*c.share(c.at+d)) / max(0.2, 1-leverage)
		between += square * off * off
		of := float64(p.Late) / n
		for _, b := range p.late() {
			off := b[0] - of*b[1]
			within += square * off * off * blocks / (blocks - 1)
		}
		all += square * weights[i]
	}
	c.within, c.between = max(1, within/all), between/all
}

// alike returns the correlation of the errors of two rates, whose probes were asked in
// turn with the same arrivals but for their pace: by how far blocks are off the curves
// together, or probes, whichever is less.
func (c *curve) alike(d *curve) float64 {
	by := math.Inf(1)
	for _, size := range []int{1, blocks} {
		of := [2]map[int]float64{c.off(size), d.off(size)}
		product, squares := 0.0, [2]float64{}
		for i, o := range of {
			for k, v := range o {
				squares[i] += v * v
				if i == 0 {
					product += v * of[1][k]
				}
			}
		}
		if squares[0] == 0 || squares[1] == 0 {
			return 0
		}
		by = min(by, product/math.Sqrt(squares[0]*squares[1]))
	}
	return by
}

// off returns how far stretches of so many blocks of probes are off the curve, as they
// move the rate, by their place in the search.
func (c *curve) off(size int) map[int]float64 {
	of := map[int]float64{}
	for i := range c.probes {
		q := c.share(math.Log(c.probes[i].Rate))
		for b, late := range c.probes[i].late() {
			of[(c.place[i]*blocks+b)/size] += c.influence[i] * (late[0] - q*late[1])
		}
	}
	return of
}

// curved fits a curve to probes near its crossing: those whose share, as pooled with
// that of neighbours, is near what is allowed, and the two next to it on either side.
func curved(probes []Probe, allowed float64) *curve {
	places := make([]int, len(probes))
	for i := range places {
		places[i] = i
	}
	slices.SortStableFunc(places, func(a, b int) int { return cmp.Compare(probes[a].Rate, probes[b].Rate) })
	c := &curve{allowed: allowed, from: probes[places[0]].Rate, to: probes[places[len(places)-1]].Rate}
	c.low, c.high = math.Log(c.from), math.Log(c.to)
	steps := fit(probes)
	under, at, _ := crossing(steps, allowed)
	below := 0
	for below < len(places) && probes[places[below]].Rate <= under {
		below++
	}
	for i, place := range places {
		p := probes[place]
		for p.Rate > steps[0].high {
			steps = steps[1:]
		}
		if share := steps[0].k / steps[0].n; share < allowed*near && math.Abs(math.Log(p.Rate/at)) < around || i >= below-2 && i < below+2 {
			c.probes, c.place = append(c.probes, p), append(c.place, place)
		}
	}
	c.peak()
	low, high := c.ends(1e-4) // where it is flat, the middle
	c.at = (low + high) / 2
	c.best, c.slope = c.likelihood(c.at)
	c.scatter()
	return c
}

// rate returns a rate by its logarithm, and none that was not tried.
func (c *curve) rate(at float64) float64 {
	switch {
	case at <= c.low:
		return c.from
	case at >= c.high:
		return c.to
	}
	return math.Exp(at)
}

// interval returns between which rates the curve crosses, with a confidence: by blocks
// or by probes, whichever is wider.
func (c *curve) interval(confidence float64) (low, high float64) {
	sure := distuv.UnitNormal.Quantile((1 + confidence) / 2)
	if n := len(c.probes); n >= least {
		sure = distuv.StudentsT{Sigma: 1, Nu: float64(n - 2)}.Quantile((1 + confidence) / 2)
	}
	drop := max(c.within, c.between) * sure * sure / 2
	return c.ends(drop)
}
