//go:build go1.21

// Fingerprint tells how much each model suffers from pressure on the link, against
// the bytes that it moves for each request.
package main

import (
	"math"
	"strings"

	"barograph/notebooks/nb"
	"barograph/stages/figure"
)

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
	run := nb.Recording("run.json")
	slow := nb.Samples("samples.csv", "level", "replicate", "latency_ns", "model", "batch", "direction", "utilisation", "seq").Slow(run)
	nb.Table("summary.csv", slow.Frame())

	// %% Table
	if len(slow.Why) > 0 {
		nb.Summary(strings.Join(slow.Why, "\n"))
	}
	nb.Summary(nb.Title(run, "slowdown under load, with 95% intervals") + "\n\n" + nb.Align(slow.Rows()))
	nb.Doubted(slow.Doubts)

	// %% Points
	//
	// What is INVALID is left out, unless nothing else is left: then all of it is
	// drawn, and stamped.
	points := slow.Points()
	notes := []string{}
	stamps := slow.Invalid
	if len(slow.Drifted) > 0 {
		which := "since the baseline drifted: " + strings.Join(slow.Drifted, ", ")
		if slow.Sound() {
			notes = append(notes, "Left out, INVALID "+which+".")
		} else {
			stamps = append(stamps, which)
		}
	}
	stamp := strings.Join(stamps, "; ")

	// %% Figure
	//
	// A panel for each direction, with the names of the models at the medians. Points
	// that would hide one another stand side by side.
	panels := []figure.PointsSpec{}
	for _, direction := range nb.Groups(points, "direction") {
		drawn := distinct(direction.Frame.Col("line").Records())
		lines, err := figure.PointLines(direction.Frame, "line", drawn, "bytes", "value", "low", "high")
		nb.Check(err)
		for i := range lines {
			for k := range lines[i].X {
				lines[i].X[k] /= 1e6
			}
		}
		lines[0].Names = nb.Filter(direction.Frame, "line", "==", drawn[0]).Col("name").Records()
		panels = append(panels, figure.PointsSpec{
			Heading: "Load " + headings[direction.Values[0]],
			XLabel:  "In and out of one request (MB)",
			YLabel:  "Slowdown under load",
			XScale:  "log",
			Dodge:   true,
			Series:  lines,
		})
	}
	fig, err := figure.Panels(figure.PanelsSpec{
		Title:  "Slowdown of each model against the bytes of a request",
		Panels: panels,
		Width:  float64(85 * len(panels)),
		Height: 75,
		Caption: nb.Caption(append([]string{
			"A quantile of inference time under load (" + strings.Join(levels(slow.Series()), ", ") + ") over the same without load, on " + run.Machine.Name + "; bars: 95% intervals. Points that would hide one another stand side by side.",
		}, notes...)...),
		Simulated: run.Simulated,
		Invalid:   stamp,
	})
	nb.Check(err)
	nb.Save(fig, "fingerprint")

	// %% Heat map
	cells, err := figure.Cells(points, "model", slow.Models, "series", slow.Series(), "value")
	nb.Check(err)
	caption := nb.Caption(append([]string{"Slowdown under load, on " + run.Machine.Name + ": a quantile over the same without load. After each model, its batch."}, notes...)...)
	missing := false
	for _, row := range cells {
		for _, value := range row {
			missing = missing || math.IsNaN(value)
		}
	}
	if missing {
		caption = append(caption, "–: too few calls, not measured, or INVALID.")
	}
	picture, err := figure.Heat(figure.HeatSpec{
		Title:     "Slowdown of each model under load",
		Rows:      slow.Models,
		Columns:   slow.Series(),
		Values:    cells,
		Least:     1,
		Caption:   caption,
		Simulated: run.Simulated,
		Invalid:   stamp,
		Width:     170,
	})
	nb.Check(err)
	nb.Save(picture, "heat")
}

// headings say where a load copies, by its direction.
var headings = map[string]string{"h2d": "from host to device", "d2h": "from device to host", "both": "both ways", "": "on the link"}

// levels returns the loads that series such as "p50, h2d, L=16" name.
func levels(series []string) []string {
	all := []string{}
	for _, name := range series {
		all = append(all, name[strings.LastIndex(name, "L="):])
	}
	return distinct(all)
}

// distinct returns each text once, in order.
func distinct(texts []string) []string {
	once := []string{}
	for _, t := range texts {
		known := false
		for _, o := range once {
			known = known || o == t
		}
		if !known {
			once = append(once, t)
		}
	}
	return once
}
