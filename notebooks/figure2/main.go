//go:build go1.21

// Figure2 draws the paper's Figure 2: the distribution of inference time under
// each load.
package main

import (
	"fmt"
	"math"

	"barograph/notebooks/nb"
	"barograph/stages/figure"
)

func main() {
	// %% [markdown] Figure 2: inference time under load
	//
	// One line for each pressure level: the share of calls that took at most so
	// long. The band holds the true distribution with 95% confidence, and is wider
	// where calls depend on one another. The percentage is the share of the link
	// that the load achieved while those calls were timed.
	samples := nb.Samples("samples.csv",
		"level", "replicate", "latency_ns", "model", "batch", "sequence", "utilisation")
	run := nb.Recording("run.json")

	// %% Lines
	lines := []figure.Series{}
	known := false
	for _, level := range samples.By("level") {
		label := "L=" + level.Value
		if used := level.Mean("utilisation"); !math.IsNaN(used) {
			label += " (" + nb.Percent(used) + ")"
			known = true
		}
		_, effective := level.Lag1()
		lines = append(lines, figure.Series{Label: label, Latencies: level.Ints("latency_ns"), EffectiveN: effective})
	}

	// %% Figure
	caption := []string{fmt.Sprintf("%s, batch %s, sequence %s, on %s.",
		samples.Only("model"), samples.Only("batch"), samples.Only("sequence"), run.Machine.Name)}
	if known {
		caption = append(caption, "Percentages: achieved bandwidth over "+run.Of()+".")
	}
	fig, err := figure.ECDF(figure.ECDFSpec{
		Title:     "Figure 2: inference time under each load",
		Scale:     nb.String("scale", "auto", "auto", "linear", "log"),
		Caption:   nb.Caption(caption...),
		Simulated: run.Simulated,
		Invalid:   nb.WhyInvalid(),
		Series:    lines,
	})
	nb.Check(err)
	nb.Save(fig)
}
