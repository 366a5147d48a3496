package link

import (
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// decisive is the difference in AICc from which one law of two stands.
const decisive = 10

// fit finds the turn from the steps beside one load. A step's calls end with a turn:
// their median is a number of turns and the call's own time, so that the slope of
// medians over numbers is the turn, whatever the call does beside it. own is a first
// guess of that time, in nanoseconds.
func (t *Turn) fit(own float64) {
	type point struct{ alone, median, number float64 }
	var points []point
	var wait float64 // the shortest kernel's
	for _, s := range t.Steps {
		if s.Processes != 1 {
			continue
		}
		if wait == 0 {
			wait = float64(s.P50) - max(0, own)
		}
		p := point{float64(s.Alone), float64(s.P50), math.Round((float64(s.P50) - max(0, own)) / wait)}
		// Next to a step calls take one turn more or less, and their median says
		// nothing of its length.
		if p.number >= 1 && float64(s.P90-s.P10) <= 0.1*wait {
			points = append(points, p)
		}
	}
	n := len(points)
	numbers, medians := make([]float64, n), make([]float64, n)
	over := 0.0 // the line: what a call takes alone, and a constant
	for i, p := range points {
		numbers[i], medians[i] = p.number, p.median
		over += (p.median - p.alone) / float64(n)
	}
	if n < 6 || stat.Variance(numbers, nil) == 0 {
		return
	}
	intercept, length := stat.LinearRegression(numbers, medians, nil, false)
	// How turns foretell each median from what the call takes alone, beside how the
	// line does.
	var turns, line []float64
	var squares float64
	for _, p := range points {
		squares += (p.median - intercept - length*p.number) * (p.median - intercept - length*p.number)
		ready := (p.alone - intercept) / length
		if math.Abs(ready-math.Round(ready)) < 0.05 {
			continue // either side of the step
		}
		turns = append(turns, p.median-(max(1, math.Ceil(ready))*length+intercept))
		line = append(line, p.median-p.alone-over)
	}
	if len(turns) < 6 || length <= 0 {
		return
	}
	t.Line = aicc(line, 1) - aicc(turns, 2)
	mean, variance := stat.MeanVariance(numbers, nil)
	sum, deviation := variance*float64(n-1), math.Sqrt(squares/float64(n-2))
	student := distuv.StudentsT{Sigma: 1, Nu: float64(n - 2)}.Quantile(0.975)
	of := func(v, error float64) Estimate { return Estimate{v, v - student*error, v + student*error} }
	t.Length = of(length, deviation/math.Sqrt(sum))
	t.Own = of(intercept, deviation*math.Sqrt(1/float64(n)+mean*mean/sum))
	if t.Seen = t.Line >= decisive && t.Length.Low > 0; !t.Seen {
		t.Length, t.Own = Estimate{}, Estimate{}
	}
}

// aicc is Akaike's criterion of residuals, corrected for few of them, of a law with
// so many parameters beside their variance.
func aicc(residuals []float64, parameters int) float64 {
	n, k := float64(len(residuals)), float64(parameters+1)
	sum := 0.0
	for _, r := range residuals {
		sum += r * r
	}
	// No clock tells less than a nanosecond.
	return n*math.Log(max(sum/n, 1)) + 2*k + 2*k*(k+1)/(n-k-1)
}
