//go:build go1.21

// Fingerprint tells how much each model suffers from pressure on the link, against
// the bytes that it moves for each request.
package main

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"

	"barograph/notebooks/nb"
	"barograph/stages/figure"
	"barograph/stages/judge"
	"barograph/stages/stats"
)

// A trial is what run.json says of one infer cell, as far as it matters here.
type trial struct {
	Infer struct {
		Model string  `json:"model"`
		Batch int     `json:"batch"`
		In    float64 `json:"in_bytes"`
		Out   float64 `json:"out_bytes"`
	} `json:"infer"`
}

// A point is a slowdown of a model at a batch.
type point struct {
	model, series           string
	bytes, value, low, high float64
	invalid                 bool
}

func main() {
	// %% [markdown] The fingerprint of a model
	//
	// Slowdown is a quantile of inference time under load over the same quantile
	// without load, in the same direction and at the same batch. Its interval is
	// that of the ratio, by a bootstrap over replicates. Where that quantile moved while all was
	// measured, the GPU failed a gate, or the inference had to wait for its processor
	// half of the time, the measurement is INVALID, and says so; what is INVALID is in
	// the table and left out of the figures, but where nothing else is left. The bytes are those of one request's
	// inputs and outputs; weights cross the link once, before anything is timed.
	samples := nb.Samples("samples.csv", "level", "replicate", "latency_ns", "model", "batch", "direction", "utilisation", "seq")
	run := nb.Recording("run.json")
	var recording struct {
		Trials []trial `json:"trials"`
	}
	nb.JSON("run.json", &recording)
	in, out := map[string]float64{}, map[string]float64{}
	for _, t := range recording.Trials {
		key := fmt.Sprintf("%s %d", t.Infer.Model, t.Infer.Batch)
		in[key], out[key] = t.Infer.In, t.Infer.Out
	}

	// %% Slowdowns
	rows := [][]string{{"model", "batch", "direction", "level", "in", "out", "load", "p50", "p50 slowdown", "p99 slowdown"}}
	numbers := [][]string{{"model", "batch", "direction", "level", "in_bytes", "out_bytes", "utilisation", "baseline_p50_ns",
		"p50_slowdown", "p50_low", "p50_high", "p99_slowdown", "p99_low", "p99_high"}}
	points := []point{}
	order, seen := []string{}, map[string]bool{} // of series
	sound := false                               // a point at least is not INVALID
	doubts := []string{}
	invalid := []string{}                  // all of it
	drifted, why := []string{}, []string{} // parts of it
	if why := run.Gates(); why != "" {
		invalid = append(invalid, why)
	}
	if lost := run.Lost(); lost > judge.Defaults.Extreme {
		invalid = append(invalid, fmt.Sprintf("for %s of the time that was timed, the inference waited for its processor", nb.Percent(lost)))
	}
	for _, model := range samples.By("model") {
		for _, batch := range model.By("batch") {
			key := model.Value + " " + batch.Value
			for _, direction := range batch.By("direction") {
				baseline := direction.Where("level", "0")
				if baseline.Len() == 0 {
					doubts = append(doubts, direction.Label+" of "+key+" has no level 0")
					continue
				}
				d := nb.Drift(baseline, stats.DriftMargin)
				if d.Drifted() {
					drifted = append(drifted, key+" "+direction.Value)
					why = append(why, "INVALID: "+key+" "+direction.Value+": "+d.String())
				}
				if d.Doubt != "" {
					doubts = append(doubts, key+" "+direction.Value+": "+d.String())
				}
				before := baseline.Quantiles(0.5)[0].Value
				for _, level := range direction.By("level") {
					if level.Value == "0" {
						continue
					}
					row := []string{model.Value, batch.Value, direction.Value, level.Value, size(in[key]), size(out[key]),
						nb.Percent(level.Mean("utilisation")), nb.Milliseconds(before)}
					line := []string{model.Value, batch.Value, direction.Value, level.Value, nb.Number(in[key]), nb.Number(out[key]),
						nb.Number(level.Mean("utilisation")), nb.Number(before)}
					for _, q := range []float64{0.5, 0.99} {
						times := nb.Slowdown(baseline, level, q)
						row = append(row, text(times.Value, times.Low, times.High))
						line = append(line, nb.Number(times.Value), nb.Number(times.Low), nb.Number(times.High))
						name := fmt.Sprintf("p%g, %s, L=%s", 100*q, direction.Value, level.Value)
						if !seen[name] {
							seen[name] = true
							order = append(order, name)
						}
						points = append(points, point{
							model.Value + ", " + batch.Value, name, in[key] + out[key], times.Value, times.Low, times.High, d.Drifted(),
						})
						sound = sound || !d.Drifted()
					}
					rows, numbers = append(rows, row), append(numbers, line)
				}
			}
		}
	}
	if len(points) == 0 {
		nb.Check(errors.New("nothing can be compared: " + strings.Join(append(doubts, "no level is a load"), "; ")))
	}
	nb.Table("summary.csv", numbers)

	// %% Table
	simulated := ""
	if run.Simulated {
		simulated = "SIMULATED: "
	}
	for _, all := range invalid {
		why = append(why, "INVALID: "+all)
	}
	if len(why) > 0 {
		nb.Summary(strings.Join(why, "\n"))
	}
	nb.Summary(fmt.Sprintf("%sstudy %s on %s: slowdown under load, with 95%% intervals\n\n%s", simulated, run.Study, run.Machine.Name, nb.Align(rows)))
	if len(doubts) > 0 {
		nb.Summary("warning: " + strings.Join(doubts, "\nwarning: "))
	}

	// %% Points
	//
	// What is INVALID is left out, unless nothing else is left: then all of it is
	// drawn, and stamped.
	notes := []string{}
	if len(drifted) > 0 {
		which := "since the baseline drifted: " + strings.Join(drifted, ", ")
		if sound {
			notes = append(notes, "Left out, INVALID "+which+".")
		} else {
			invalid = append(invalid, which)
		}
	}
	stamp := strings.Join(invalid, "; ")
	sort.SliceStable(points, func(i, j int) bool { return points[i].bytes < points[j].bytes })
	series := map[string]*figure.PointSeries{}
	cells := map[string]float64{}
	models := []string{}
	for _, p := range points {
		if p.invalid && sound {
			continue
		}
		s := series[p.series]
		if s == nil {
			s = &figure.PointSeries{Label: p.series}
			series[p.series] = s
		}
		s.X, s.Y = append(s.X, p.bytes), append(s.Y, p.value)
		s.Low, s.High = append(s.Low, p.low), append(s.High, p.high)
		cells[p.model+" "+p.series] = p.value
		if name := p.model + ": " + size(p.bytes); len(models) == 0 || models[len(models)-1] != name {
			models = append(models, name)
		}
	}

	// %% Figure
	spec := figure.PointsSpec{
		Title:  "Slowdown against the bytes of a request",
		XLabel: "bytes in and out of one request",
		YLabel: "slowdown under load",
		XScale: "log",
		Caption: nb.Caption(append([]string{
			"One point for each model and batch, on " + run.Machine.Name + "; bars: 95% intervals.",
			"From left to right: " + strings.Join(models, "; ") + ".",
		}, notes...)...),
		Simulated: run.Simulated,
		Invalid:   stamp,
	}
	columns := []string{}
	for _, name := range order {
		if s := series[name]; s != nil {
			spec.Series, columns = append(spec.Series, *s), append(columns, name)
		}
	}
	fig, err := figure.Points(spec)
	nb.Check(err)
	nb.Save(fig, "fingerprint")

	// %% Heat map
	heat := figure.HeatSpec{
		Title:     "Slowdown of each model under load",
		Columns:   columns,
		Least:     1,
		Caption:   nb.Caption(append([]string{"Slowdown under load, on " + run.Machine.Name + ": a quantile over the same without load. After each model, its batch."}, notes...)...),
		Simulated: run.Simulated,
		Invalid:   stamp,
		Width:     170,
	}
	missing := false
	for _, model := range samples.By("model") {
		for _, batch := range model.By("batch") {
			values := []float64{}
			for _, name := range columns {
				value, ok := cells[model.Value+", "+batch.Value+" "+name]
				if !ok {
					value = math.NaN()
				}
				missing = missing || math.IsNaN(value)
				values = append(values, value)
			}
			heat.Rows, heat.Values = append(heat.Rows, model.Value+", "+batch.Value), append(heat.Values, values)
		}
	}
	if missing {
		heat.Caption = append(heat.Caption, "–: too few calls, not measured, or INVALID.")
	}
	picture, err := figure.Heat(heat)
	nb.Check(err)
	nb.Save(picture, "heat")
}

// text writes a slowdown as "1.31 [1.28, 1.35]".
func text(value, low, high float64) string {
	switch {
	case math.IsNaN(value):
		return "n too small"
	case math.IsNaN(low) || math.IsNaN(high):
		return fmt.Sprintf("%.2f", value)
	}
	return fmt.Sprintf("%.2f [%.2f, %.2f]", value, low, high)
}

// size writes bytes in the largest unit that leaves a number above 1.
func size(n float64) string {
	for _, unit := range []string{"B", "KB", "MB"} {
		if n < 1000 {
			return fmt.Sprintf("%.3g %s", n, unit)
		}
		n /= 1000
	}
	return fmt.Sprintf("%.3g GB", n)
}
