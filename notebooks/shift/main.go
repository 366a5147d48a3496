//go:build go1.21

// Shift draws how the whole distribution of inference time moves under each load.
package main

import (
	"fmt"
	"strings"

	"barograph/notebooks/nb"
	"barograph/stages/figure"
	"barograph/stages/judge"
)

func main() {
	// %% [markdown] The shift function
	//
	// How much longer each decile of inference time is under a load than without
	// one. A flat line says that every call is delayed alike; one that rises, that
	// slow calls suffer more. All intervals hold at once with 95% confidence.
	run := nb.Recording("run.json")
	report := nb.Judge("samples.csv", run, judge.Selection{}, judge.Options{Sets: -1})

	// %% Lines
	//
	// Deciles of one level stand a little apart from those of the next, so that
	// their intervals can be told apart.
	lines := []figure.PointSeries{}
	base := ""
	for i, s := range report.Shifts {
		base = s.Before
		line := figure.PointSeries{Label: strings.Replace(s.After, "level=", "L=", 1), Join: true}
		for _, c := range s.Deciles {
			line.X = append(line.X, 100*c.Q+0.8*(float64(i)-float64(len(report.Shifts)-1)/2))
			line.Y = append(line.Y, c.Change.Value/1e6)
			line.Low = append(line.Low, c.Change.Low/1e6)
			line.High = append(line.High, c.Change.High/1e6)
		}
		lines = append(lines, line)
	}

	// %% Figure
	fig, err := figure.Points(figure.PointsSpec{
		Title:  "Shift function of inference time under load",
		XLabel: "Percentile of inference time",
		YLabel: "Longer by (ms)",
		XScale: "linear",
		YScale: "linear",
		Caption: nb.Caption(fmt.Sprintf("%s, on %s, each load against %s.", strings.Join(report.About, ", "), run.Machine.Name, base),
			"Harrell-Davis deciles; bars: 95% for all of them together."),
		Simulated: run.Simulated,
		Invalid:   report.Invalid,
		Series:    lines,
	})
	nb.Check(err)
	nb.Save(fig)
}
