package law

import (
	"fmt"
	"math"
)

// Stairs compares what latency beside a full link may be of the own time: the own time
// rounded up to a turn, a straight line of it, among which are a fixed delay and a
// slowdown by a factor, or neither. A point is a model or a kernel beside a load, and its level names it; the rules
// are those of [Grow], with what is left out a model.
func Stairs(points []Point) (Comparison, error) {
	for i, p := range points {
		if !(p.Own > 0) || !(p.OwnP99 >= p.Own) || math.IsInf(p.OwnP99, 0) || !(p.Copy >= 0) || p.Copy >= p.Own || !(p.Loads >= 1) || math.IsInf(p.Loads, 0) {
			return Comparison{}, fmt.Errorf("stairs: point %d, %q: own time %v, at p99 %v, of which %v copying, beside %v loads", i, p.Level, p.Own, p.OwnP99, p.Copy, p.Loads)
		}
		if !(p.Median > 0) || math.IsInf(p.Median, 0) || p.P99 <= 0 || math.IsInf(p.P99, 0) {
			return Comparison{}, fmt.Errorf("stairs: point %d, %q: median %v or p99 %v is not a positive time", i, p.Level, p.Median, p.P99)
		}
	}
	levels := levelsOf(points)
	if len(levels) < minLevels {
		return Comparison{Levels: len(levels), Because: fmt.Sprintf("%d own times, where at least %d are needed", len(levels), minLevels)}, nil
	}
	return compare([]string{Constant, Line, Turns}, points), nil
}

// turnsKnown tells whether points say enough for the law of turns: how many loads have
// more than one copy ready, at some none and at some one at least.
func turnsKnown(points []Point) bool {
	without, with := false, false
	for _, p := range points {
		if math.IsNaN(p.Loads) {
			return false
		}
		without, with = without || p.Loads < 1, with || p.Loads >= 1
	}
	return without && with
}

// turned is the own time of a call, less its copy, rounded up to a turn of each load,
// and its copy.
func turned(p Point, turn float64) float64 {
	step := turn * p.Loads
	return math.Ceil((p.Own-p.Copy)/step)*step + p.Copy
}

// Turns are looked for between these shares of the longest latency, in so many steps.
const (
	shortestTurn = 1.0 / 16 // shorter, and rounding is a delay
	turnSteps    = 240
)

// turns tries turns, from the longest on, and refines the best: the sum of squares
// jumps where a call comes to need one turn more.
func (f *Fit) turns(observed []observation) {
	known := observed[0].Own > 0
	var loaded []observation
	longest := 0.0
	var n, mean, idle float64 // of levels without load
	for _, o := range observed {
		if o.Loads < 1 {
			n += o.weight
			mean += o.weight * o.ln
			continue
		}
		loaded = append(loaded, o)
		longest = math.Max(longest, math.Exp(o.ln)/o.Loads)
	}
	if !known {
		if mean /= n; n == 0 || len(loaded) == 0 { // all of one kind were left out
			f.A, f.B, f.RSS = math.Exp(mean), longest, math.Inf(1)
			return
		}
		f.A = math.Exp(mean)
		for _, o := range observed {
			if o.Loads < 1 {
				idle += o.weight * (o.ln - mean) * (o.ln - mean)
			}
		}
	}
	base := make([]float64, len(loaded))
	try := func(turn float64) (rss, a float64) {
		for i, o := range loaded {
			p := o.Point
			if !known {
				p.Own = f.A
			}
			base[i] = turned(p, turn)
		}
		if known {
			return offset(loaded, base)
		}
		for i, o := range loaded {
			d := o.ln - math.Log(base[i])
			rss += o.weight * d * d
		}
		return rss, f.A
	}
	best := math.Inf(1)
	search := func(from, to float64, steps int) {
		for i := range steps + 1 {
			turn := from * math.Pow(to/from, float64(i)/float64(steps))
			if rss, a := try(turn); rss < best*(1-perfect) {
				best, f.A, f.B = rss, a, turn
			}
		}
	}
	search(longest, longest*shortestTurn, turnSteps)
	width := math.Pow(1/shortestTurn, 1.0/turnSteps)
	for range 3 {
		at := f.B
		search(at*width, at/width, 20)
		width = math.Pow(width, 0.1)
	}
	f.RSS = idle + best
}

// offset returns the a >= 0 for which base + a comes nearest, in logarithms, by the
// method of Gauss and Newton.
func offset(observed []observation, base []float64) (rss, a float64) {
	at := func(a float64) (rss, down, across float64) {
		for i, o := range observed {
			y := base[i] + a
			d := o.ln - math.Log(y)
			rss += o.weight * d * d
			down += o.weight * d / y
			across += o.weight / (y * y)
		}
		return rss, down, across
	}
	rss, down, across := at(0)
	for range 6 {
		next := math.Max(0, a+down/across)
		r, d, c := at(next)
		if r >= rss {
			break
		}
		rss, a, down, across = r, next, d, c
	}
	return rss, a
}
