// Package axis settles what an axis shows: its scale, its range and its ticks.
package axis

import (
	"fmt"
	"math"
	"strconv"

	"gonum.org/v1/plot"
)

// The scales an axis can have.
const (
	Auto   = "auto" // logarithmic where the bulk of the data spans more than a decade
	Linear = "linear"
	Log    = "log"
)

// Scale returns Auto for an empty name and refuses an unknown one.
func Scale(name string) (string, error) {
	switch name {
	case "":
		return Auto, nil
	case Auto, Linear, Log:
		return name, nil
	}
	return "", fmt.Errorf("figure: unknown scale %q; want auto, linear or log", name)
}

// Decade is the ratio from which Auto chooses a logarithmic axis.
const Decade = 10

// A Position maps values to where they stand on their axis: themselves, or on a
// logarithmic axis their logarithms. gonum's LogScale panics at zero and puts
// the axis title off centre, so axes are linear throughout and the values move.
type Position struct{ Log bool }

// Of returns where a value stands.
func (p Position) Of(v float64) float64 {
	switch {
	case !p.Log:
		return v
	case v <= 0:
		return math.Inf(-1)
	}
	return math.Log10(v)
}

// An Extent is what an axis must show.
type Extent struct {
	Low, High float64
	least     float64 // of the positive values
	Position
}

// NewExtent returns the extent of no values.
func NewExtent() Extent {
	return Extent{Low: math.Inf(1), High: math.Inf(-1), least: math.Inf(1)}
}

// Known tells whether a value can be drawn: it is neither NaN nor infinite.
func Known(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// Add makes the extent hold values; those that are not known are left out.
func (e *Extent) Add(values ...float64) {
	for _, v := range values {
		if !Known(v) {
			continue
		}
		e.Low, e.High = math.Min(e.Low, v), math.Max(e.High, v)
		if v > 0 {
			e.least = math.Min(e.least, v)
		}
	}
}

// Choose settles the scale; a logarithmic one needs positive values, and Auto
// takes it only where all are.
func (e *Extent) Choose(scale string) {
	e.Log = scale == Log && e.High > 0 || scale == Auto && e.Low > 0 && e.High > Decade*e.Low
	if e.Log {
		e.Low = e.least
	}
}

// Widen makes room on both sides: a share of the extent as it is drawn.
func (e *Extent) Widen(share float64) {
	if e.Log {
		by := math.Pow(e.High/e.Low, share)
		e.Low, e.High = e.Low/by, e.High*by
		return
	}
	by := share * (e.High - e.Low)
	e.Low, e.High = e.Low-by, e.High+by
}

// Has tells whether a value lies within the extent.
func (e Extent) Has(v float64) bool { return v >= e.Low && v <= e.High }

// SetRange gives an axis its range and at most most labelled ticks. A range
// without width is widened around its value.
func SetRange(a *plot.Axis, low, high float64, p Position, most int) {
	if p.Log {
		if low == high {
			low, high = low/1.1, high*1.1
		}
		pad := math.Pow(high/low, 0.03)
		low, high = low/pad, high*pad
		a.Min, a.Max = p.Of(low), p.Of(high)
		ticks := logTicks(low, high, most)
		for i := range ticks {
			ticks[i].Value = p.Of(ticks[i].Value)
		}
		a.Tick.Marker = Marks(ticks)
		return
	}
	if low == high {
		low, high = low-math.Max(0.05*math.Abs(low), 1e-9), high+math.Max(0.05*math.Abs(high), 1e-9)
	}
	pad := 0.03 * (high - low)
	a.Min, a.Max = low-pad, high+pad
	if low >= 0 {
		a.Min = math.Max(a.Min, 0) // times and shares have no negative half
	}
	a.Tick.Marker = Marks(LinearTicks(a.Min, a.Max, most))
}

// Marks are ticks that have been chosen already.
type Marks []plot.Tick

func (m Marks) Ticks(float64, float64) []plot.Tick { return m }

// LinearTicks returns ticks at multiples of 1, 2 or 5 times a power of ten, at
// most most of them labelled, with minor ones between.
func LinearTicks(low, high float64, most int) (ticks []plot.Tick) {
	span := high - low
	power := math.Floor(math.Log10(span / float64(most)))
	step, minor, digits := 0.0, 0, 0
	for _, s := range []struct {
		times float64
		minor int
		power float64
	}{{1, 5, 0}, {2, 4, 0}, {5, 5, 0}, {10, 5, 1}} {
		step, minor = s.times*math.Pow(10, power), s.minor
		digits = int(math.Max(0, -power-s.power))
		if math.Floor(high/step)-math.Ceil(low/step)+1 <= float64(most) {
			break
		}
	}
	small := step / float64(minor)
	for i := math.Ceil(low/small - 1e-9); i*small <= high+1e-9*span; i++ {
		t := plot.Tick{Value: i * small}
		if math.Mod(i, float64(minor)) == 0 {
			t.Value = i / float64(minor) * step
			t.Label = strconv.FormatFloat(t.Value+0, 'f', digits, 64) // +0 rids -0 of its sign
			if whole, err := strconv.ParseFloat(t.Label, 64); err == nil && math.Abs(whole) >= 1e6 {
				t.Label = number(whole)
			}
		}
		ticks = append(ticks, t)
	}
	return ticks
}

// logTicks returns ticks at 1 to 9 times powers of ten, labelled at each power,
// or where the range is short also between.
func logTicks(low, high float64, most int) (ticks []plot.Tick) {
	decades := math.Log10(high / low)
	first, last := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	every := math.Max(1, math.Ceil(decades/float64(most)))
	labelled := map[int]bool{1: true}
	for _, more := range [][]int{{3}, {2, 5}, {2, 3, 4, 5, 7}, {2, 3, 4, 5, 6, 7, 8, 9}} {
		set := map[int]bool{1: true}
		for _, m := range more {
			set[m] = true
		}
		n := 0
		for p := first; p <= last; p++ {
			for m := range set {
				if v := float64(m) * math.Pow(10, p); v >= low && v <= high {
					n++
				}
			}
		}
		if n <= most {
			labelled = set
		}
	}
	labels := 0
	for p := first; p <= last; p++ {
		for m := 1; m <= 9; m++ {
			v := float64(m) * math.Pow(10, p)
			if v < low || v > high || m > 1 && decades > 6 {
				continue
			}
			t := plot.Tick{Value: v}
			if labelled[m] && (every == 1 || math.Mod(p, every) == 0) {
				t.Label = number(v)
				labels++
			}
			ticks = append(ticks, t)
		}
	}
	if labels < 2 { // less than a factor of two: tick it as a linear axis is
		return LinearTicks(low, high, most)
	}
	return ticks
}

// number writes a tick's value in full, or as a power of ten where that is long.
func number(v float64) string {
	// Three times a tenth is no 0.3 to a computer.
	if short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 12, 64), 64); err == nil {
		v = short
	}
	if v != 0 && (math.Abs(v) >= 1e6 || math.Abs(v) < 1e-4) {
		s := strconv.FormatFloat(v, 'e', -1, 64)
		var mantissa, exponent string
		for i := range s {
			if s[i] == 'e' {
				mantissa, exponent = s[:i], s[i+1:]
			}
		}
		e, err := strconv.Atoi(exponent)
		if err != nil {
			return s
		}
		return mantissa + "e" + strconv.Itoa(e)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}
