//go:build go1.21

// Contention judges the paper's claims from a recording: how latency changes
// with the load on the link, and by which law.
package main

import (
	"fmt"
	"math"
	"strings"

	"barograph/notebooks/nb"
	"barograph/stages/stats"
)

func main() {
	// %% [markdown] Latency under load
	//
	// Every sample is one timed call, from its scheduled arrival to its
	// completion. Samples are grouped by the pressure level that ran beside them;
	// the share of the link is the one that was achieved, not the one asked for.
	samples := nb.Samples("samples.csv", "level", "replicate", "latency_ns", "model", "batch", "sequence", "device",
		"direction", "threads", "outstanding", "block_bytes", "achieved_bytes_per_s", "utilisation", "simulated", "seq")
	run := nb.Recording("run.json")
	if model := nb.String("model", ""); model != "" {
		samples = samples.Where("model", model)
	}
	levels := samples.By("level")
	quantiles := []float64{0.5, 0.9, 0.99}

	// %% Table
	head := []string{"level", "achieved GB/s", "utilisation", "n"}
	columns := []string{"level", "achieved_bytes_per_s", "utilisation", "n", "effective_n", "lag1"}
	for _, q := range quantiles {
		name := stats.Name(q)
		head = append(head, name+" ms [95%]")
		columns = append(columns, name+"_ns", name+"_low_ns", name+"_high_ns", name+"_interval")
	}
	text := [][]string{head}
	table := [][]string{columns}
	doubts := []string{}
	for _, level := range levels {
		achieved := level.Mean("achieved_bytes_per_s")
		used := level.Mean("utilisation")
		lag1, effective := level.Lag1()
		name := level.Value
		line := []string{name, fmt.Sprintf("%.2f", achieved/1e9), nb.Percent(used), fmt.Sprint(level.Len())}
		row := []string{name, nb.Number(achieved), nb.Number(used), fmt.Sprint(level.Len()), nb.Number(math.Round(effective)), fmt.Sprintf("%.4f", lag1)}
		for _, e := range level.Quantiles(quantiles...) {
			line = append(line, e.Milliseconds())
			row = append(row, nb.Number(e.Value), nb.Number(e.Low), nb.Number(e.High), e.Method)
			if e.Doubt != "" {
				doubts = append(doubts, fmt.Sprintf("%s, %s: %s", level.Label, stats.Name(e.Q), e.Doubt))
			}
		}
		if effective < float64(level.Len())/2 {
			doubts = append(doubts, fmt.Sprintf("%s: samples depend on one another (lag-1 %.2f): %d are worth %.0f, and intervals come from a block bootstrap",
				level.Label, lag1, level.Len(), effective))
		}
		text = append(text, line)
		table = append(table, row)
	}
	nb.Table("summary.csv", table)

	simulated := ""
	if run.Simulated {
		simulated = "SIMULATED: "
	}
	direction := []string{}
	for _, d := range samples.By("direction") {
		if d.Value != "" {
			direction = append(direction, d.Value)
		}
	}
	nb.Summary(fmt.Sprintf("%sstudy %s on %s: %s, batch %s, sequence %s, load %s\n\n%s\nutilisation: achieved bandwidth over %s",
		simulated, run.Study, run.Machine.Name, samples.Only("model"), samples.Only("batch"), samples.Only("sequence"),
		strings.Join(direction, " and "), nb.Align(text), run.Of()))

	// %% Validity
	//
	// A baseline that moved between the start and the end of the run says that
	// something other than the load changed. By more than drift_margin, no claim
	// can be judged; by less, no effect that is as small can be claimed. The same
	// holds where the processor was another's for most of what was timed.
	invalid := ""
	drifted := 0.0
	if base := samples.Where("level", "0"); base.Len() > 0 {
		drift := nb.Drift(base, nb.Float("drift_margin", stats.DriftMargin))
		drifted = drift.Seen()
		if drift.Drifted() {
			invalid = drift.String()
		} else if drift.Doubt != "" || drifted > 0 {
			doubts = append(doubts, drift.String())
		}
	} else {
		doubts = append(doubts, "no baseline (level 0) was measured, so drift cannot be seen")
	}
	extreme := nb.Float("extreme", 0.5)
	if lost := run.Lost(); lost > extreme {
		invalid = fmt.Sprintf("for %s of the time that was timed, the inference waited for its processor, which ran something else", nb.Percent(lost))
	}
	unsteady := run.Unsteady()

	// %% C1: the more load, the longer inference takes
	//
	// The medians of replicates are independent of one another where calls are
	// not: the trend is tested on those. A trend that is no trend of substance is
	// not one: the difference between the two ends must be above zero, too, and
	// above what the baseline drifted by.
	alpha := nb.Float("alpha", 0.05)
	negligible := nb.Float("negligible", 0.05)
	switch {
	case invalid != "":
		nb.Verdict("C1", nb.Invalid, simulated+invalid)
	case len(levels) < 2:
		nb.Verdict("C1", nb.NotIdentified, simulated+"one level was measured, and a trend needs two")
	default:
		lowest := levels[0]
		highest := levels[len(levels)-1]
		trend := nb.Trend(levels)
		change := nb.Difference(lowest, highest, 0.5)
		base := lowest.Quantiles(0.5)[0].Value
		because := fmt.Sprintf("%smedian latency changes by %+.1f%% [%+.1f%%, %+.1f%%] from %s to %s; %s on replicate medians: p = %.2g (%s, n = %d)",
			simulated, 100*change.Value/base, 100*change.Low/base, 100*change.High/base, lowest.Label, highest.Label,
			trend.Test, trend.P, trend.Method, trend.N)
		verdict := nb.NotIdentified
		if trend.P < alpha && change.Low/base > drifted {
			verdict = nb.Reproduced
		} else if change.High/base+drifted < negligible {
			verdict = nb.Refuted
		}
		nb.Verdict("C1", verdict, because)
	}

	// %% C2: inference time grows exponentially with the share of the link used
	known := true
	for _, level := range levels {
		known = known && !math.IsNaN(level.Mean("utilisation"))
	}
	switch {
	case invalid != "":
		nb.Verdict("C2", nb.Invalid, simulated+invalid)
	case unsteady > extreme:
		nb.Verdict("C2", nb.Invalid, fmt.Sprintf("%sthe bandwidth of %s of the loads was not steady, so their utilisation is no number", simulated, nb.Percent(unsteady)))
	case !known:
		nb.Verdict("C2", nb.NotIdentified, simulated+"utilisation is unknown, since the link was not calibrated")
	default:
		growth := nb.Growth(levels)
		verdict := nb.NotIdentified
		if growth.Law == stats.Exponential {
			verdict = nb.Reproduced
		} else if growth.Law != "" {
			verdict = nb.Refuted
		}
		nb.Verdict("C2", verdict, simulated+growth.Because)
		if len(growth.Saturated) > 0 {
			doubts = append(doubts, "saturated levels are left out of laws in utilisation: "+strings.Join(growth.Saturated, ", "))
		}
	}

	// %% Verdicts
	lines := []string{}
	for _, v := range nb.Verdicts() {
		lines = append(lines, fmt.Sprintf("%s %s: %s", v.ID, v.Verdict, v.Because))
	}
	if len(lines) > 0 {
		nb.Summary(strings.Join(lines, "\n"))
	}
	doubts = nb.Fold(append(doubts, run.Warnings...))
	if len(doubts) > 0 {
		nb.Summary("warning: " + strings.Join(doubts, "\nwarning: "))
	}
}
