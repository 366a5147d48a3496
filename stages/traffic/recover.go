package traffic

import "math"

// A Recovery is the share of the rate that a load takes which a policy gives back, with
// its 95% interval.
type Recovery struct {
	Share, Low, High float64
	Alike            float64 // correlation of the errors of the rates without load and under the policy
}

// Recovery compares the rate that is carried without load with those beside a full load
// and beside the same load under a policy. None is open, and of the full load's the upper
// end may be all that is known. Their intervals are joined as variances are (Zou and
// Donner, Statistics in Medicine 27, 2008): with the same draw of arrivals their errors go
// together, and that of the share is the smaller. NaN where the load takes nothing that
// can be told.
func (c *Carried) Recovery(full, guarded *Carried, draw bool) Recovery {
	rates := []*Carried{c, full, guarded}
	at := [3]float64{c.Rate, full.Rate, guarded.Rate}
	if full.Below {
		at[1] = full.High
	}
	if full.High >= c.Low {
		return Recovery{math.NaN(), math.NaN(), math.NaN(), 0}
	}
	given := func(r [3]float64) float64 { return (r[2] - r[1]) / (r[0] - r[1]) }
	with := func(i int, rate float64) float64 {
		r := at
		r[i] = rate
		return given(r)
	}
	r := Recovery{Share: given(at)}
	var down, up, sign [3]float64 // what each rate's interval alone makes of the share
	for i, of := range rates {
		low, high := with(i, of.Low)-r.Share, with(i, of.High)-r.Share
		if sign[i] = 1; low > high {
			low, high, sign[i] = high, low, -1
		}
		down[i], up[i] = max(0, -low), max(0, high)
	}
	below, above := 0.0, 0.0
	for i := range rates {
		for j := range rates {
			alike := 1.0
			if i != j {
				if alike = 0; draw {
					alike = sign[i] * sign[j] * rates[i].Alike(rates[j])
				}
			}
			below, above = below+alike*down[i]*down[j], above+alike*up[i]*up[j]
		}
	}
	if draw {
		r.Alike = c.Alike(guarded)
	}
	r.Low, r.High = r.Share-math.Sqrt(max(0, below)), r.Share+math.Sqrt(max(0, above))
	return r
}
