//go:build go1.21

// Attribution takes the slowdown of a model beside a load apart: how much each knob
// moves it, and which cause is to blame for how much.
package main

import (
	"fmt"
	"sort"

	"barograph/notebooks/nb"
	"barograph/stages/judge"
	"barograph/stages/judge/attribution"
)

func main() {
	// %% [markdown] Attribution
	//
	// Each knob was moved alone. The parts of the slowdown are differences between
	// trials, so they add up to it; their intervals rest on how replicates scatter.
	run := nb.Recording("run.json")
	medians := map[string][]float64{}
	for _, knob := range nb.Samples("samples.csv").By("knob") {
		name := knob.Only("knob")
		for _, calls := range knob.Replicates("latency_ns") {
			sort.Slice(calls, func(i, j int) bool { return calls[i] < calls[j] })
			medians[name] = append(medians[name], float64(calls[(len(calls)-1)/2]))
		}
	}

	// %% Blame
	a, err := attribution.Attribute(medians, nb.Float("negligible", judge.Defaults.Negligible))
	nb.Check(err)
	simulated := ""
	if run.Simulated {
		simulated = "SIMULATED: "
	}
	cause := "not identified"
	if a.Cause != "" {
		cause = a.Cause
	}
	nb.Summary(fmt.Sprintf("%sstudy %s on %s: p50 without load %s ms\n\n%s", simulated, run.Study, run.Machine.Name, nb.Milliseconds(a.Alone), nb.Align(a.Table())))
	nb.Summary(fmt.Sprintf("cause: %s (%s)", cause, a.Because))
	for _, untold := range a.Untold {
		nb.Warn("no experiment tells %s", untold)
	}
	nb.Summary("elasticities: percent of latency for a percent of the knob, or of two positions the logarithm of the ratio\n" + nb.Align(a.Knobs()))

	// %% Tables
	nb.Table("figures/blame.csv", a.Table())
	nb.Table("figures/elasticities.csv", a.Knobs())
	nb.Table("summary.csv", a.Numbers())
}
