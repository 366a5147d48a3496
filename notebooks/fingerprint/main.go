//go:build go1.21

// Fingerprint tells how much each model suffers from pressure on the link, against
// the bytes that it moves for each request.
package main

import (
	"fmt"
	"math"
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

func main() {
	// %% [markdown] The fingerprint of a model
	//
	// Slowdown is a quantile of inference time under load over the same quantile
	// without load, in the same direction and at the same batch. Its interval is
	// that of the ratio, by a bootstrap over replicates. Where that quantile moved while all was
	// measured, the GPU failed a gate, or the inference had to wait for its processor
	// half of the time, the measurement is INVALID, and says so. The bytes are those of one request's
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
	series := map[string]*figure.PointSeries{}
	order := []string{}
	cells := map[string]float64{}
	doubts := []string{}
	invalid := []string{}
	if why := run.Gates(); why != "" {
		invalid = append(invalid, "INVALID: "+why)
	}
	if lost := run.Lost(); lost > judge.Defaults.Extreme {
		invalid = append(invalid, fmt.Sprintf("INVALID: for %s of the time that was timed, the inference waited for its processor", nb.Percent(lost)))
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
				if d := nb.Drift(baseline, stats.DriftMargin); d.Drifted() {
					invalid = append(invalid, "INVALID, "+key+" "+direction.Value+": "+d.String())
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
						if series[name] == nil {
							series[name] = &figure.PointSeries{Label: name}
							order = append(order, name)
						}
						s := series[name]
						s.X, s.Y = append(s.X, in[key]+out[key]), append(s.Y, times.Value)
						s.Low, s.High = append(s.Low, times.Low), append(s.High, times.High)
						cells[key+" "+name] = times.Value
					}
					rows, numbers = append(rows, row), append(numbers, line)
				}
			}
		}
	}
	nb.Table("summary.csv", numbers)

	// %% Table
	simulated := ""
	if run.Simulated {
		simulated = "SIMULATED: "
	}
	if len(invalid) > 0 {
		nb.Summary(strings.Join(invalid, "\n"))
	}
	nb.Summary(fmt.Sprintf("%sstudy %s on %s: slowdown under load, with 95%% intervals\n\n%s", simulated, run.Study, run.Machine.Name, nb.Align(rows)))
	if len(doubts) > 0 {
		nb.Summary("warning: " + strings.Join(doubts, "\nwarning: "))
	}

	// %% Figure
	spec := figure.PointsSpec{
		Title:     "Slowdown against the bytes of a request",
		XLabel:    "bytes in and out of one request",
		YLabel:    "slowdown under load",
		XScale:    "log",
		Caption:   []string{"One point for each model and batch, on " + run.Machine.Name + "; bars: 95% intervals."},
		Simulated: run.Simulated,
	}
	spec.Caption = append(spec.Caption, invalid...)
	for _, name := range order {
		spec.Series = append(spec.Series, *series[name])
	}
	fig, err := figure.Points(spec)
	nb.Check(err)
	nb.Save(fig, "fingerprint")

	// %% Heat map
	heat := figure.HeatSpec{
		Title:     "Slowdown of each model under load",
		Columns:   order,
		Least:     1,
		Caption:   []string{"Slowdown under load, on " + run.Machine.Name + ": a quantile over the same without load. After each model, its batch."},
		Simulated: run.Simulated,
		Width:     170,
	}
	heat.Caption = append(heat.Caption, invalid...)
	for _, model := range samples.By("model") {
		for _, batch := range model.By("batch") {
			values := []float64{}
			for _, name := range order {
				value, ok := cells[model.Value+" "+batch.Value+" "+name]
				if !ok {
					value = math.NaN()
				}
				values = append(values, value)
			}
			heat.Rows, heat.Values = append(heat.Rows, model.Value+", "+batch.Value), append(heat.Values, values)
		}
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
