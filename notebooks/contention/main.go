//go:build go1.21

// Contention judges the paper's claims from a recording: how latency changes
// with the load on the link, and by which law.
package main

import (
	"strings"

	"barograph/notebooks/nb"
	"barograph/stages/judge"
)

func main() {
	// %% [markdown] Latency under load
	//
	// Every sample is one timed call, from its scheduled arrival to its
	// completion. Samples are grouped by the pressure level that ran beside them;
	// the share of the link is the one that was achieved, not the one asked for.
	// `barograph judge` does the same for any file, and says more.
	run := nb.Recording("run.json")
	report := nb.Judge("samples.csv", run, judge.Selection{}, judge.Options{
		// A trend counts below this p-value, and a change of the median above this
		// share of it.
		Alpha:      nb.Float("alpha", judge.Defaults.Alpha),
		Negligible: nb.Float("negligible", judge.Defaults.Negligible),
		// A baseline that moved by more than this share makes every verdict INVALID;
		// by less, no effect as small is claimed.
		DriftMargin: nb.Float("drift_margin", judge.Defaults.DriftMargin),
		// So does losing the processor to others for more than this share of the time.
		Extreme: nb.Float("extreme", judge.Defaults.Extreme),
		// So many sets are simulated for each law, to see what the design can tell.
		Sets: nb.Int("sets", judge.Defaults.Sets),
	})

	// %% Table
	nb.Summary(nb.Title(run, strings.Join(report.About, ", ")) + "\n\n" + nb.Align(report.Rows()) + "\nutilisation: achieved bandwidth over " + run.Of())
	nb.Table("summary.csv", report.Numbers())

	// %% Verdicts
	//
	// C1: the more load, the longer inference takes. C2: it grows exponentially
	// with the share of the link used, where the law must beat every rival.
	for _, v := range report.Verdicts {
		nb.Verdict(v.ID, v.Verdict, v.Because)
	}
	nb.Concluded()
	if report.Confusion != nil {
		nb.Summary(report.Confusion.String())
	}
	nb.Doubted(report.Warnings())
}
