//go:build go1.21

// Surface draws latency over utilisation, block size and copies in flight, where
// a study varies them apart from one another.
package main

import (
	"fmt"
	"math"

	"barograph/notebooks/nb"
	"barograph/stages/figure"
)

// The columns that describe a load.
var factors = []string{"rate_bytes_per_s", "block_bytes", "threads", "outstanding"}

func main() {
	// %% [markdown] The decoupled surface
	//
	// The paper's levels raise threads and blocks together, so that utilisation and
	// queued bytes grow as one. Here each panel varies one of them: the share of the
	// link, the size of a copy, the copies in flight. Along a line the others stay as
	// they are. If latency depended on utilisation alone, the other two would be flat.
	samples := nb.Samples("samples.csv", "replicate", "latency_ns", "model", "batch", "sequence", "direction", "threads",
		"block_bytes", "outstanding", "rate_bytes_per_s", "utilisation")
	run := nb.Recording("run.json")
	about := fmt.Sprintf("%s, batch %s, sequence %s, on %s", samples.Only("model"), samples.Only("batch"), samples.Only("sequence"), run.Machine.Name)
	if directions := samples.By("direction"); len(directions) == 1 {
		about += ", copies " + directions[0].Value
	}
	q := nb.Float("quantile", 0.5)

	// %% Panels
	share := panel(samples, "rate_bytes_per_s", q, func(s *nb.Set) float64 { return 100 * s.Mean("utilisation") })
	share.XLabel = "Achieved utilisation (%)"
	share.XScale = "linear"
	block := panel(samples, "block_bytes", q, func(s *nb.Set) float64 { return s.Mean("block_bytes") / (1 << 20) })
	block.XLabel = "Bytes of a copy (MiB)"
	depth := panel(samples, "outstanding", q, func(s *nb.Set) float64 { return s.Mean("threads") * s.Mean("outstanding") })
	depth.XLabel = "Copies in flight"
	panels := []figure.PointsSpec{}
	for _, p := range []figure.PointsSpec{share, block, depth} {
		p.YLabel = fmt.Sprintf("p%g of inference time (ms)", 100*q)
		if len(p.Series) > 0 {
			panels = append(panels, p)
		}
	}
	if len(panels) == 0 {
		nb.Check(fmt.Errorf("no load was varied in one thing alone: there is nothing to draw"))
	}

	// %% Figure
	fig, err := figure.Panels(figure.PanelsSpec{
		Title:  "Latency over utilisation, block size and copies in flight",
		YScale: nb.String("scale", "auto", "auto", "linear", "log"),
		Panels: panels,
		Caption: nb.Caption(
			about+"; a point is all replicates of one load, bars are 95% intervals.",
			"Utilisation: achieved bandwidth over "+run.Of()+". In each panel one thing varies; its lines say what does not.",
		),
		Simulated: run.Simulated,
		Invalid:   nb.WhyInvalid(),
	})
	nb.Check(err)
	nb.Save(fig)
}

// panel returns a line for each set of loads that differ in one factor alone.
func panel(samples *nb.Set, vary string, q float64, x func(*nb.Set) float64) figure.PointsSpec {
	groups := []*nb.Set{samples}
	for _, name := range factors {
		if name == vary {
			continue
		}
		split := []*nb.Set{}
		for _, g := range groups {
			split = append(split, g.By(name)...)
		}
		groups = split
	}
	spec := figure.PointsSpec{}
	for _, g := range groups {
		loads := g.By(vary)
		if len(loads) < 2 {
			continue
		}
		line := figure.PointSeries{Label: label(g, loads, vary), Join: true}
		for _, l := range loads {
			e := l.Quantiles(q)[0]
			line.X, line.Y = append(line.X, x(l)), append(line.Y, e.Value/1e6)
			line.Low, line.High = append(line.Low, e.Low/1e6), append(line.High, e.High/1e6)
		}
		spec.Series = append(spec.Series, line)
	}
	return spec
}

// label says what does not vary along a line.
func label(g *nb.Set, loads []*nb.Set, vary string) string {
	block := size(g.Mean("block_bytes"))
	flight := fmt.Sprintf("%.0f", g.Mean("threads")*g.Mean("outstanding"))
	low, high := math.Inf(1), 0.0
	for _, l := range loads {
		used := l.Mean("utilisation")
		low, high = math.Min(low, used), math.Max(high, used)
	}
	used := "at " + nb.Percent(low)
	if nb.Percent(high) != nb.Percent(low) {
		used += " to " + nb.Percent(high)
	}
	switch vary {
	case "block_bytes":
		return flight + " in flight " + used
	case "outstanding":
		return block + " " + used
	}
	return flight + " x " + block + " in flight"
}

func size(bytes float64) string {
	if bytes >= 1<<20 {
		return fmt.Sprintf("%g MiB", math.Round(100*bytes/(1<<20))/100)
	}
	return fmt.Sprintf("%g KiB", bytes/(1<<10))
}
