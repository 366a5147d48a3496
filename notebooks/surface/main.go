//go:build go1.21

// Surface draws latency over utilisation, block size and copies in flight, where
// a study varies them apart from one another.
package main

import (
	"fmt"
	"math"
	"sort"

	"barograph/notebooks/nb"
	"barograph/stages/figure"
)

func main() {
	// %% [markdown] The decoupled surface
	//
	// The paper's levels raise threads and blocks together, so that utilisation and
	// queued bytes grow as one. Here a line is one block size and number of copies in
	// flight, along the share of the link that was achieved. If latency depended on
	// utilisation alone, all lines would be one.
	samples := nb.Samples("samples.csv", "replicate", "latency_ns", "model", "batch", "sequence", "direction", "threads",
		"block_bytes", "outstanding", "utilisation", "seq")
	run := nb.Recording("run.json")
	if direction := nb.String("direction", ""); direction != "" {
		samples = samples.Where("direction", direction)
	}
	q := nb.Float("quantile", 0.5)

	// %% Lines
	lines := []figure.PointSeries{}
	for _, direction := range samples.By("direction") {
		for _, block := range direction.By("block_bytes") {
			for _, threads := range block.By("threads") {
				for _, depth := range threads.By("outstanding") {
					line := figure.PointSeries{Join: true}
					bytes := depth.Mean("block_bytes")
					flight := depth.Mean("threads") * depth.Mean("outstanding")
					line.Label = fmt.Sprintf("%.0f in flight of %s, %s", flight, size(bytes), direction.Value)
					if flight == 0 {
						line.Label = "no load"
					}
					trials := depth.By("seq")
					sort.SliceStable(trials, func(i, j int) bool { return trials[i].Mean("utilisation") < trials[j].Mean("utilisation") })
					for _, trial := range trials {
						e := trial.Quantiles(q)[0]
						line.X = append(line.X, 100*trial.Mean("utilisation"))
						line.Y = append(line.Y, e.Value/1e6)
						line.Low = append(line.Low, e.Low/1e6)
						line.High = append(line.High, e.High/1e6)
					}
					lines = append(lines, line)
				}
			}
		}
	}

	// %% Figure
	fig, err := figure.Points(figure.PointsSpec{
		Title:  "Latency over utilisation, block size and copies in flight",
		XLabel: "Achieved utilisation (%)",
		YLabel: fmt.Sprintf("p%g of inference time (ms)", 100*q),
		YScale: nb.String("scale", "auto", "auto", "linear", "log"),
		Caption: []string{
			fmt.Sprintf("%s, batch %s, sequence %s, on %s; a point is one trial.", samples.Only("model"), samples.Only("batch"), samples.Only("sequence"), run.Machine.Name),
			"Utilisation: achieved bandwidth over " + run.Of() + ".",
		},
		Simulated: run.Simulated,
		Series:    lines,
	})
	nb.Check(err)
	nb.Save(fig)
}

func size(bytes float64) string {
	if bytes >= 1<<20 {
		return fmt.Sprintf("%g MiB", math.Round(100*bytes/(1<<20))/100)
	}
	return fmt.Sprintf("%g KiB", bytes/(1<<10))
}
