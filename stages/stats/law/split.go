package law

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// A Split is two levels that use the link alike and yet differ in latency by
// more than an exponential through the data could make them. A function of
// utilisation has one value at one utilisation: whatever latency depends on at
// these levels, it is something else.
type Split struct {
	Levels      [2]string  `json:"levels"` // the slower last
	Utilisation [2]float64 `json:"utilisation"`
	Ratio       float64    `json:"ratio"`     // of their medians
	Low         float64    `json:"ratio_low"` // end of its one-sided 99% interval
	Explained   float64    `json:"explained"` // by an exponential, at most
}

const (
	alike       = 0.02 // difference of utilisation taken for none
	splitMargin = 1.25 // of Low over Explained, for what a calibration is wrong by
	splitLevel  = 0.99
)

// split returns the pair of levels that says so most clearly, or nil. All levels
// count, saturated ones as equally used; the most that an exponential can explain
// is the data's whole rise over its whole range of utilisation.
func split(points []Point) *Split {
	type level struct {
		name                string
		n, rho, ln, squares float64
	}
	var levels []*level
	byName := map[string]*level{}
	for _, p := range points {
		l := byName[p.Level]
		if l == nil {
			l = &level{name: p.Level}
			byName[p.Level] = l
			levels = append(levels, l)
		}
		l.n++
		l.rho += (math.Min(p.Utilisation, 1) - l.rho) / l.n
		d := math.Log(p.Median) - l.ln
		l.ln += d / l.n
		l.squares += d * (math.Log(p.Median) - l.ln)
	}
	if len(levels) < 2 {
		return nil
	}
	low, high := levels[0], levels[0]
	bottom, top, freedom, squares := levels[0].ln, levels[0].ln, 0.0, 0.0
	for _, l := range levels {
		if l.rho < low.rho {
			low = l
		}
		if l.rho > high.rho {
			high = l
		}
		bottom, top = math.Min(bottom, l.ln), math.Max(top, l.ln)
		freedom, squares = freedom+l.n-1, squares+l.squares
	}
	if freedom < 1 || high.rho-low.rho < alike {
		return nil
	}
	slope := (top - bottom) / (high.rho - low.rho)
	t := distuv.StudentsT{Sigma: 1, Nu: freedom}.Quantile(splitLevel)
	var found *Split
	for _, a := range levels {
		for _, b := range levels {
			saturated := a.rho >= Saturated && b.rho >= Saturated
			if a == b || b.ln < a.ln || math.Abs(a.rho-b.rho) > alike && !saturated {
				continue
			}
			s := &Split{
				Levels: [2]string{a.name, b.name}, Utilisation: [2]float64{a.rho, b.rho},
				Ratio:     math.Exp(b.ln - a.ln),
				Low:       math.Exp(b.ln - a.ln - t*math.Sqrt(squares/freedom*(1/a.n+1/b.n))),
				Explained: math.Exp(slope * math.Abs(a.rho-b.rho)),
			}
			if s.Low > splitMargin*s.Explained && (found == nil || s.Low/s.Explained > found.Low/found.Explained) {
				found = s
			}
		}
	}
	return found
}

// String says it in words.
func (s *Split) String() string {
	return fmt.Sprintf("%s and %s use the link alike (%.0f%% and %.0f%%), yet the median of the second is %.2f times the first's (at least %.2f with 99%% confidence): no exponential of utilisation does that (at most %.2f)",
		s.Levels[0], s.Levels[1], 100*s.Utilisation[0], 100*s.Utilisation[1], s.Ratio, s.Low, s.Explained)
}
