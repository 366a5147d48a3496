//go:build go1.21

// Figure2 draws the paper's Figure 2: the distribution of inference time under
// each load.
package main

import (
	"fmt"
	"math"

	"barograph/notebooks/nb"
	"barograph/stages/figure"

	"github.com/go-gota/gota/series"
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
	//
	// A data frame holds the levels, and one for each every step of its line.
	levels, points := samples.Curves("level")
	labels := levels.Col("level").Records()
	known := false
	for i, used := range levels.Col("utilisation").Float() {
		labels[i] = "L=" + labels[i]
		if !math.IsNaN(used) {
			labels[i] += " (" + nb.Percent(used) + ")"
			known = true
		}
	}
	lines, err := figure.Lines(levels.Mutate(series.New(labels, series.String, "label")), points)
	nb.Check(err)

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
