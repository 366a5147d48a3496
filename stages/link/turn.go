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
	var kernels, medians []float64
	var wide []bool
	for _, s := range t.Steps {
		if s.Loads == 1 && s.Kernel >= 0 {
			kernels, medians = append(kernels, float64(s.Alone)), append(medians, float64(s.P50))
			wide = append(wide, false)
		}
	}
	if len(medians) < 4 {
		return
	}
	own = max(0, own)
	length := medians[0] - own
	if length <= 0 {
		return
	}
	// The line: what a call takes alone, and a constant.
	var over []float64
	for i := range medians {
		over = append(over, medians[i]-kernels[i])
	}
	constant := stat.Mean(over, nil)
	var numbers, ended []float64
	i := 0
	for _, s := range t.Steps {
		if s.Loads != 1 || s.Kernel < 0 {
			continue
		}
		n := math.Round((medians[i] - own) / length)
		// Next to a step calls take one turn more or less, and their median says
		// nothing of its length.
		wide[i] = float64(s.P90-s.P10) > 0.1*length || n < 1
		if !wide[i] {
			numbers, ended = append(numbers, n), append(ended, medians[i])
		}
		i++
	}
	spread := 0.0
	if len(numbers) > 0 {
		spread = stat.Variance(numbers, nil)
	}
	if len(numbers) < 4 || spread == 0 {
		return
	}
	intercept, slope := stat.LinearRegression(numbers, ended, nil, false)
	if slope <= 0 {
		return
	}
	// How a turn foretells each median from the call's own time alone, beside how the
	// line does: both with what is not next to a step.
	var turns, line []float64
	for i := range medians {
		if wide[i] {
			continue
		}
		ready := (kernels[i] - intercept) / slope
		if near := ready - math.Round(ready); math.Abs(near) < 0.05 {
			continue
		}
		turns = append(turns, medians[i]-(max(1, math.Ceil(ready))*slope+intercept))
		line = append(line, over[i]-constant)
	}
	if len(turns) < 6 {
		return
	}
	t.Line = aicc(line, 1) - aicc(turns, 2)
	n := float64(len(numbers))
	var residual float64
	for i := range numbers {
		r := ended[i] - intercept - slope*numbers[i]
		residual += r * r
	}
	student := distuv.StudentsT{Sigma: 1, Nu: n - 2}.Quantile(0.975)
	deviation := math.Sqrt(residual / (n - 2))
	sum := spread * (n - 1)
	center := stat.Mean(numbers, nil)
	of := func(v, error float64) Estimate { return Estimate{v, v - student*error, v + student*error} }
	t.Length = of(slope, deviation/math.Sqrt(sum))
	t.Own = of(intercept, deviation*math.Sqrt(1/n+center*center/sum))
	t.Seen = t.Line >= decisive && t.Length.Low > 0
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
