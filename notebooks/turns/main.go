//go:build go1.21

// Turns draws the staircase: what models take beside loads that fill the link,
// against what they take alone.
package main

import (
	"errors"
	"fmt"
	"math"

	"barograph/notebooks/nb"
	"barograph/stages/figure"
)

func main() {
	// %% [markdown] Rounded up to a turn
	//
	// While another process keeps the link full, a copy engine serves it for a turn
	// before it serves the model's copy. So a model whose calls follow one another
	// takes its own time, rounded up to a number of turns. Each dot is a model, a batch
	// and a sequence: across, the median of its calls alone; up, beside loads.
	run := nb.Recording("run.json")
	columns, others := []string{"replicate", "latency_ns", "point", "direction", "level"}, []string{}
	for _, axis := range []string{"share", "sharing"} { // of trials that are no stairs
		for _, t := range run.Trials {
			if _, has := t.Point.Get(axis); has {
				columns, others = append(columns, axis), append(others, axis)
				break
			}
		}
	}
	full := nb.Samples("samples.csv", columns...)
	for _, axis := range others {
		full = full.Where(axis, "")
	}
	bytes := map[string]map[string]float64{"h2d": {}, "d2h": {}}
	for _, t := range run.Trials {
		if point, ok := t.Point.Get("point"); ok {
			name := fmt.Sprint(point)
			bytes["h2d"][name], bytes["d2h"][name] = float64(t.Infer.In), float64(t.Infer.Out)
		}
	}
	capacity := map[string]float64{}
	for _, c := range run.Calibrations {
		for d, v := range c.Result.Capacity {
			capacity[d] = v
		}
	}

	// %% Alone
	alone := map[string]float64{}
	for _, p := range full.Where("level", "0").By("point") {
		alone[p.Value] = p.Quantiles(0.5)[0].Value
	}

	// %% Beside loads
	rows := [][]string{{"load", "point", "alone", "p50 beside", "p99 beside", "turns", "foretold", "off"}}
	numbers := [][]string{{"direction", "level", "point", "alone_p50_ns", "p50_ns", "p50_low", "p50_high", "p99_ns", "copy_ns", "turn_ns", "foretold_ns"}}
	panels := []figure.PointsSpec{}
	caption := []string{}
	for _, direction := range full.By("direction") {
		d := direction.Value
		if d == "" {
			continue // without a load
		}
		panel := figure.PointsSpec{XLabel: "alone (ms), load " + d, YLabel: "beside loads (ms)", XScale: "linear"}
		for _, level := range direction.By("level") {
			if level.Value == "0" {
				continue
			}
			s := figure.PointSeries{Label: level.Value + " loads"}
			if level.Value == "1" {
				s.Label = "1 load"
			}
			names := []string{}
			tails, copies := []float64{}, []float64{}
			for _, p := range level.By("point") {
				own, ok := alone[p.Value]
				if !ok {
					nb.Warn("%s was not measured alone", p.Value)
					continue
				}
				q := p.Quantiles(0.5, 0.99)
				names, tails = append(names, p.Value), append(tails, q[1].Value)
				copied := 0.0
				if d == "d2h" && capacity[d] > 0 { // the last thing a call does
					copied = bytes[d][p.Value] / capacity[d] * 1e9
				}
				copies = append(copies, copied)
				s.X, s.Y = append(s.X, own/1e6), append(s.Y, q[0].Value/1e6)
				s.Low, s.High = append(s.Low, q[0].Low/1e6), append(s.High, q[0].High/1e6)
			}
			turn, rest := 0.0, 0.0
			if level.Value == "1" && d == "d2h" {
				turn, rest = length(s.X, s.Y, copies)
			}
			for i, name := range names {
				foretold, n, off := "", "", ""
				told := math.NaN()
				if turn > 0 {
					k := math.Ceil((1e6*s.X[i] - copies[i] - rest) / turn)
					told = k*turn + rest + copies[i]
					n, foretold = fmt.Sprint(k), nb.Milliseconds(told)
					off = fmt.Sprintf("%+.1f%%", 100*(1e6*s.Y[i]/told-1))
				}
				rows = append(rows, []string{level.Value + " " + d, name, nb.Milliseconds(1e6 * s.X[i]), nb.Milliseconds(1e6 * s.Y[i]), tail(tails[i]), n, foretold, off})
				numbers = append(numbers, []string{d, level.Value, name, nb.Number(1e6 * s.X[i]), nb.Number(1e6 * s.Y[i]),
					nb.Number(1e6 * s.Low[i]), nb.Number(1e6 * s.High[i]), nb.Number(tails[i]), nb.Number(copies[i]), nb.Number(turn), nb.Number(told)})
			}
			panel.Series = append(panel.Series, s)
			if turn > 0 {
				panel.Curves = append(panel.Curves, stairs(turn, rest, s.X))
				caption = append(caption, fmt.Sprintf("Beside one load %s, medians fit turns of %.4f ms best, and %.4f ms beside them.", d, turn/1e6, rest/1e6))
			}
		}
		panels = append(panels, panel)
	}
	if len(panels) == 0 {
		nb.Check(errors.New("no calls beside a load: there is nothing to draw"))
	}
	nb.Table("summary.csv", numbers)
	simulated := ""
	if run.Simulated {
		simulated = "SIMULATED: "
	}
	nb.Summary(fmt.Sprintf("%sstudy %s on %s: medians in ms, beside loads that fill the link\n\n%s", simulated, run.Study, run.Machine.Name, nb.Align(rows)))

	// %% Figure
	fig, err := figure.Panels(figure.PanelsSpec{
		Title:  "Models beside loads that fill the link, against the same models alone",
		YScale: "linear",
		Panels: panels,
		Caption: nb.Caption(append([]string{
			"A dot is a model at a batch and a sequence, on " + run.Machine.Name + ": the median of its calls, with its 95% interval.",
		}, caption...)...),
		Simulated: run.Simulated,
		Invalid:   nb.WhyInvalid(),
		Width:     170,
		Height:    90,
	})
	nb.Check(err)
	nb.Save(fig)
}

// length is the turn, in nanoseconds, by which calls alone, rounded up to it, come
// nearest to calls beside a load, and what these take beside their turns and their
// copy: the number of turns by the least that calls are off, the length by the line
// through calls over these numbers. The times are in ms, those of copies in ns.
func length(alone, beside, copies []float64) (turn, rest float64) {
	best, least := 0.0, math.Inf(1)
	for turn := 0.2; turn < 5; turn *= 1.002 {
		sum := 0.0
		for i := range alone {
			own := alone[i] - copies[i]/1e6
			sum += math.Min(0.2, math.Abs(math.Ceil(own/turn)*turn+copies[i]/1e6-beside[i])/beside[i])
		}
		if sum < least {
			best, least = turn, sum
		}
	}
	n := float64(len(alone))
	var k, y, kk, ky float64
	for i := range alone {
		turns := math.Round((beside[i] - copies[i]/1e6) / best)
		ended := 1e6*beside[i] - copies[i]
		k, y, kk, ky = k+turns/n, y+ended/n, kk+turns*turns/n, ky+turns*ended/n
	}
	if kk-k*k <= 0 {
		return 1e6 * best, 0
	}
	turn = (ky - k*y) / (kk - k*k)
	return turn, y - k*turn
}

// stairs is what is rounded up to a turn.
func stairs(turn, rest float64, alone []float64) figure.Curve {
	most := 0.0
	for _, x := range alone {
		most = math.Max(most, 1e6*x)
	}
	c := figure.Curve{Label: "rounded up to a turn"}
	for from := 0.0; from+rest < most; from += turn {
		to := math.Min(from+turn+rest, most)
		c.X, c.Y = append(c.X, (from+rest)/1e6, to/1e6), append(c.Y, (from+turn+rest)/1e6, (from+turn+rest)/1e6)
	}
	return c
}

func tail(ns float64) string {
	if math.IsNaN(ns) {
		return "n too small"
	}
	return nb.Milliseconds(ns)
}
