//go:build go1.21

// Timeline draws what the link carried while each inference of one trial ran.
package main

import (
	"fmt"

	"barograph/notebooks/nb"
	"barograph/stages/figure"
)

func main() {
	// %% [markdown] One trial
	//
	// The line is the bandwidth of the stressor's copies, in slices of time; a copy
	// counts in each slice by the share of its duration there. Stripes are the calls
	// that ran meanwhile, each from its scheduled arrival to its completion. The
	// trial is the one that is named, or else the one that used most of the link.
	run := nb.Recording("run.json")
	id := nb.String("trial", "")
	direction := nb.String("direction", "")
	var trial *nb.Trial
	used := 0.0
	known := []string{}
	for _, t := range run.Trials {
		if t.Timeline == nil || direction != "" && t.Stress.Direction != direction {
			continue
		}
		known = append(known, t.ID)
		share := 0.0
		if t.Utilisation != nil {
			share = *t.Utilisation
		}
		if t.ID == id || id == "" && (trial == nil || share > used) {
			trial, used = t, share
		}
	}
	if trial == nil {
		nb.Check(fmt.Errorf("run.json holds no timeline of the trial %q; it has those of %q", id, known))
	}
	line := trial.Timeline

	// %% Calls
	calls := nb.Samples("samples.csv", "seq", "call", "scheduled_ns", "latency_ns", "model", "batch", "sequence").Where("seq", fmt.Sprint(trial.Seq))
	scheduled, latency := calls.Ints("scheduled_ns"), calls.Ints("latency_ns")
	spans := []figure.Span{}
	for i := 0; i < line.Calls && i < len(scheduled); i++ {
		start := float64(scheduled[i]-line.Start) / 1e6
		spans = append(spans, figure.Span{Start: start, End: start + float64(latency[i])/1e6})
	}

	// %% Bandwidth
	carried := []float64{}
	for _, bytes := range line.Bytes {
		carried = append(carried, float64(bytes)/float64(line.Slice))
	}

	// %% Figure
	fig, err := figure.Timeline(figure.TimelineSpec{
		Title:  "What the link carried while each inference ran",
		XLabel: "Time (ms)",
		YLabel: "Bandwidth of the load (GB/s)",
		Caption: nb.Caption(
			fmt.Sprintf("%s, batch %s, sequence %s, on %s.", calls.Only("model"), calls.Only("batch"), calls.Only("sequence"), run.Machine.Name),
			fmt.Sprintf("The first %d of %d calls of %s, beside %d x %d copies of %.4g MiB in flight (%s).", len(spans), calls.Len(), trial.ID,
				trial.Stress.Threads, trial.Stress.Outstanding, float64(trial.Stress.Block)/(1<<20), trial.Stress.Direction),
			fmt.Sprintf("The load used %s of the link over the whole trial; slices of %.3g ms.", nb.Percent(used), float64(line.Slice)/1e6),
		),
		Simulated: run.Simulated,
		Invalid:   nb.WhyInvalid(),
		Slice:     float64(line.Slice) / 1e6,
		Load:      carried,
		Capacity:  trial.Capacity / 1e9,
		Calls:     spans,
	})
	nb.Check(err)
	nb.Save(fig)
}
