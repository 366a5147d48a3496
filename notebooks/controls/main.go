//go:build go1.21

// Controls judges whether loads that leave the link idle change nothing, as they
// should.
package main

import (
	"strings"

	"barograph/notebooks/nb"
	"barograph/stages/judge"
)

func main() {
	// %% [markdown] Null controls
	//
	// Each level puts beside the inference something that leaves the link idle. That
	// it changes nothing is claimed only where the interval of the change of the
	// median, which holds together with all the others, lies within the share that
	// is taken for nothing: finding no difference is not enough.
	run := nb.Recording("run.json")
	report := nb.Judge("samples.csv", run, judge.Selection{}, judge.Options{
		// The change of the median that is taken for nothing, as a share of it.
		Negligible: nb.Float("negligible", judge.Defaults.Negligible),
		Sets:       -1,
	})

	// %% Table
	nb.Summary(nb.Title(run, strings.Join(report.About, ", ")) + "\n\n" + nb.Align(report.Rows()))
	nb.Summary("change against no load; intervals hold together\n" + nb.Align(report.Changes()))
	nb.Table("summary.csv", report.Numbers())

	// %% Verdicts
	for _, control := range [][]string{{"N1", "1"}, {"N2", "2"}, {"N3", "3"}, {"N4", "4"}} {
		verdict := report.Nothing("level=" + control[1])
		nb.Verdict(control[0], verdict.Verdict, verdict.Because)
	}
	harness := report.Harness()
	nb.Verdict("N5", harness.Verdict, harness.Because)
	nb.Concluded()
	nb.Doubted(report.Warnings())
}
