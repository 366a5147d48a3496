//go:build go1.21

// Laws draws latency against the share of the link that the load achieved, with
// the growth laws fitted to it.
package main

import (
	"fmt"
	"strings"

	"barograph/notebooks/nb"
	"barograph/stages/figure"
	"barograph/stages/judge"
	"barograph/stages/stats/law"
)

func main() {
	// %% [markdown] Latency against achieved utilisation
	//
	// One point for each level: the quantile with its 95% interval, at the share of
	// the link that the load achieved. Curves are laws fitted to the median below
	// 95% utilisation; a law is named in the caption only if it beats every rival.
	run := nb.Recording("run.json")
	report := nb.Judge("samples.csv", run, judge.Selection{}, judge.Options{Sets: -1})

	// %% Points
	median := figure.PointSeries{Label: "p50"}
	tail := figure.PointSeries{Label: "p99"}
	levels := []string{}
	known := 0
	for _, level := range report.Levels {
		if level.Utilisation == nil {
			continue
		}
		known++
		levels = append(levels, strings.TrimPrefix(level.Label, "level="))
		median.X = append(median.X, 100**level.Utilisation)
		median.Y = append(median.Y, level.Quantiles[0].Value/1e6)
		median.Low = append(median.Low, level.Quantiles[0].Low/1e6)
		median.High = append(median.High, level.Quantiles[0].High/1e6)
		if level.Quantiles[2].Doubt != "" {
			continue
		}
		tail.X = append(tail.X, 100**level.Utilisation)
		tail.Y = append(tail.Y, level.Quantiles[2].Value/1e6)
		tail.Low = append(tail.Low, level.Quantiles[2].Low/1e6)
		tail.High = append(tail.High, level.Quantiles[2].High/1e6)
	}
	if known == 0 {
		nb.Warn("utilisation is unknown: there is nothing to draw latency against")
	}

	// %% Laws
	//
	// Those that depend on utilisation alone can be drawn against it.
	curves := []figure.Curve{}
	note := "No law is fitted: utilisation is unknown."
	if report.Growth != nil {
		note = "No law is identified: " + report.Growth.Because + "."
		if report.Growth.Law != "" {
			note = "Law: " + report.Growth.Because + "."
		}
		for _, fit := range report.Growth.Median {
			if fit.Law != law.Linear && fit.Law != law.Exponential && fit.Law != law.Queue && fit.Law != law.HockeyStick {
				continue
			}
			c := figure.Curve{Label: fit.Law}
			for i := 0; i <= 95; i++ {
				c.X = append(c.X, float64(i))
				c.Y = append(c.Y, fit.At(law.Point{Utilisation: float64(i) / 100})/1e6)
			}
			curves = append(curves, c)
		}
	}

	series := []figure.PointSeries{median}
	if len(tail.X) > 0 {
		series = append(series, tail)
	}

	// %% Figure
	fig, err := figure.Points(figure.PointsSpec{
		Title:  "Latency against the share of the link that is used",
		XLabel: "Achieved utilisation (%)",
		YLabel: "Inference time (ms)",
		YScale: nb.String("scale", "auto", "auto", "linear", "log"),
		Caption: nb.Caption(
			fmt.Sprintf("%s, on %s. Levels %s.", strings.Join(report.About, ", "), run.Machine.Name, strings.Join(levels, ", ")),
			"Utilisation: achieved bandwidth over "+run.Of()+".", note,
		),
		Simulated: run.Simulated,
		Invalid:   report.Invalid,
		Series:    series,
		Curves:    curves,
	})
	nb.Check(err)
	nb.Save(fig)
}
