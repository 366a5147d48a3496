//go:build go1.21

// Neighbours shows what loads on the links of several GPUs of one computer leave of one
// another, and of an inference on the last of them.
package main

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"barograph/notebooks/nb"
	"barograph/stages/figure"
	"barograph/stages/stats"
)

// A level is what a link carried with so many links loaded: the median of the
// replicates, the least and the most.
type level struct {
	middle, low, high float64
}

func main() {
	// %% [markdown] GPUs of one computer
	//
	// Each GPU has a link of its own, as far as its plug. Whether links meet further up,
	// in a switch, a root or the memory of a NUMA node, shows when they are loaded at
	// once: each carries what it carries alone, or less.
	run := nb.Recording("run.json")
	found := run.Neighbours
	if found == nil {
		nb.Check(errors.New("no stage of kind neighbours is in the recording: name it in needs: of collect"))
	}
	within := nb.Float("within", 0.05)

	// %% What is declared, and what is observed of pairs
	rows := [][]string{{"GPUs", "nearest common ancestor", "PCIe path in common", "NUMA node", "both loaded, both ways"}}
	against, fits, unknown := []string{}, 0, 0
	for _, p := range found.Pairs {
		lost := 0.0
		least, seen := 0.0, false
		for _, g := range found.Together {
			if g.Direction != "both" || g.Node != nil || len(g.Links) != 2 || g.Links[0].GPU != p.GPUs[0] || g.Links[1].GPU != p.GPUs[1] {
				continue
			}
			for _, f := range g.Links {
				alone := levelOf(found.Carried(f.GPU, 1, "both", "both", nil))
				if l := 1 - f.Bandwidth/alone.middle; !seen || l > lost {
					lost = l
				}
				if l := 1 - f.Bandwidth/alone.low; !seen || l < least {
					least = l
				}
				seen = true
			}
		}
		name := fmt.Sprintf("%d and %d", p.GPUs[0], p.GPUs[1])
		says := "not measured"
		if seen {
			says = "lose " + nb.Percent(math.Max(0, lost)) + " at most"
		}
		node := "not told"
		if p.SameNode != nil {
			node = "another"
			if *p.SameNode {
				node = "the same"
			}
		}
		rows = append(rows, []string{name, told(p.Ancestor), told(p.Common), node, says})
		near := p.Ancestor == "internal" || p.Ancestor == "single switch" || p.Ancestor == "multiple switches"
		switch {
		case !seen || p.Ancestor == "" || lost > within && least <= within:
			unknown++
		case near == (lost > within):
			fits++
		default:
			against = append(against, name)
		}
	}
	cards := [][]string{{"GPU", "name", "at", "link", "node"}}
	for i, c := range found.GPUs {
		node := "not told"
		if c.NUMA != nil {
			node = fmt.Sprint(*c.NUMA)
		}
		link := "not told"
		if c.Generation > 0 {
			link = fmt.Sprintf("Gen%d x%d", c.Generation, c.Width)
		}
		cards = append(cards, []string{fmt.Sprint(i), c.Name, c.PCI, link, node})
	}
	nb.Summary(nb.Title(run, "what loads on several GPUs leave of one another") + "\n\n" + nb.Align(cards) + "\n" + nb.Align(rows))

	// %% Capacity against the number of loads
	numbers := [][]string{{"gpu", "direction", "way", "node", "loads", "replicates", "median_bytes_per_s", "low", "high"}}
	table := [][]string{{"links loaded", "GPU", "carries (GB/s)", "of what it carries alone"}}
	curves := []figure.PointSeries{}
	ways := map[string][]string{"h2d": {"h2d"}, "d2h": {"d2h"}, "both": {"both"}, "opposite": {"h2d", "d2h"}}
	worst, holds, fails, open := "", 0, 0, 0
	most := -1.0
	for _, direction := range []string{"h2d", "d2h", "both", "opposite"} {
		all := map[int][]float64{} // by the number of loads
		for gpu := range found.GPUs {
			for _, way := range ways[direction] {
				alone := levelOf(found.Carried(gpu, 1, way, way, nil))
				for loads := 1; loads <= len(found.GPUs); loads++ {
					of := found.Carried(gpu, loads, direction, way, nil)
					if len(of) == 0 {
						continue
					}
					l := levelOf(of)
					numbers = append(numbers, []string{fmt.Sprint(gpu), direction, way, "", fmt.Sprint(loads), fmt.Sprint(len(of)), nb.Number(l.middle), nb.Number(l.low), nb.Number(l.high)})
					all[loads] = append(all[loads], of...)
					if loads == 1 || math.IsNaN(alone.middle) {
						continue
					}
					share := l.middle / alone.middle
					name := fmt.Sprintf("GPU %d with %d links loaded %s", gpu, loads, direction)
					if 1-share > most {
						most, worst = 1-share, name
					}
					switch {
					case l.low >= (1-within)*alone.high:
						holds++
					case l.high < (1-within)*alone.low:
						fails++
					default:
						open++
					}
					if loads == len(found.GPUs) {
						table = append(table, []string{fmt.Sprintf("%d %s", loads, direction), fmt.Sprintf("%d %s", gpu, way), spread(l), nb.Percent(share)})
					}
				}
			}
		}
		curve := figure.PointSeries{Label: direction, Join: true}
		for loads := 1; loads <= len(found.GPUs); loads++ {
			if len(all[loads]) > 0 {
				l := levelOf(all[loads])
				curve.X, curve.Y = append(curve.X, float64(loads)), append(curve.Y, l.middle/1e9)
				curve.Low, curve.High = append(curve.Low, l.low/1e9), append(curve.High, l.high/1e9)
			}
		}
		if len(curve.X) > 0 {
			curves = append(curves, curve)
		}
	}
	nb.Summary("Medians over replicates, with the least and the most:\n\n" + nb.Align(table))

	// %% Host memory of one NUMA node or another
	if len(found.Nodes) > 1 {
		memory := [][]string{{"memory of node", "GPUs of node", "links loaded", "a link carries (GB/s)"}}
		for _, node := range found.Nodes {
			for _, direction := range []string{"h2d", "d2h"} {
				for _, loads := range []int{1, len(found.GPUs)} {
					for _, of := range found.Nodes {
						all := []float64{}
						for gpu, c := range found.GPUs {
							flows := found.Carried(gpu, loads, direction, direction, &node)
							if c.NUMA == nil || *c.NUMA != of || len(flows) == 0 {
								continue
							}
							l := levelOf(flows)
							numbers = append(numbers, []string{fmt.Sprint(gpu), direction, direction, fmt.Sprint(node), fmt.Sprint(loads), fmt.Sprint(len(flows)), nb.Number(l.middle), nb.Number(l.low), nb.Number(l.high)})
							all = append(all, flows...)
						}
						if len(all) > 0 {
							memory = append(memory, []string{fmt.Sprint(node), fmt.Sprint(of), fmt.Sprintf("%d %s", loads, direction), spread(levelOf(all))})
						}
					}
				}
			}
		}
		nb.Summary(nb.Align(memory))
	} else {
		nb.Summary("The computer shows one NUMA node: host memory of another was not to be had.")
	}
	nb.Table("summary.csv", numbers)

	// %% An inference on the last GPU
	samples := nb.Samples("samples.csv", "replicate", "latency_ns", "axis_direction", "level")
	calls := [][]string{{"loads next door", "number", "p50 (ms)", "p99 (ms)", "p50 over alone", "p99 over alone"}}
	latencies := []figure.PointsSpec{}
	kept, slowed, doubtful := 0, []string{}, 0
	for _, direction := range samples.By("axis_direction") {
		alone := direction.Where("level", "0")
		if alone.Len() == 0 {
			nb.Check(errors.New("no calls without loads next door: there is nothing to compare with"))
		}
		p50, p99 := figure.PointSeries{Label: "p50"}, figure.PointSeries{Label: "p99"}
		for _, l := range direction.By("level") {
			q := l.Quantiles(0.5, 0.99)
			x := 0.0
			fmt.Sscan(l.Value, &x)
			p50.X, p50.Y, p50.Low, p50.High = append(p50.X, x), append(p50.Y, q[0].Value/1e6), append(p50.Low, q[0].Low/1e6), append(p50.High, q[0].High/1e6)
			p99.X, p99.Y, p99.Low, p99.High = append(p99.X, x), append(p99.Y, q[1].Value/1e6), append(p99.Low, q[1].Low/1e6), append(p99.High, q[1].High/1e6)
			row := []string{direction.Value, l.Value, q[0].Milliseconds(), q[1].Milliseconds(), "", ""}
			if l.Value != "0" {
				for i, at := range []float64{0.5, 0.99} {
					r := nb.Slowdown(alone, l, at)
					row[4+i] = fmt.Sprintf("%.3f [%.3f, %.3f]", r.Value, r.Low, r.High)
					switch {
					case r.Low > 1+within:
						slowed = append(slowed, fmt.Sprintf("p%.0f beside %s loads %s", 100*at, l.Value, direction.Value))
					case r.High <= 1+within:
						kept++
					default:
						doubtful++
					}
				}
			}
			calls = append(calls, row)
		}
		latencies = append(latencies, figure.PointsSpec{Heading: direction.Value, XLabel: "loads next door", YLabel: "inference time (ms)", XScale: "linear", Series: []figure.PointSeries{p50, p99}})
	}
	nb.Summary(nb.Align(calls))

	// %% Verdicts
	allowed := nb.Percent(within)
	total := holds + fails + open
	because := fmt.Sprintf("%d of %d links with others loaded carry at least all but %s of what they carry alone; the most that one loses is %s, %s", holds, total, allowed, nb.Percent(math.Max(0, most)), worst)
	switch {
	case total == 0:
		nb.Verdict("N1", nb.NotIdentified, "no two links were loaded at once")
	case fails > 0:
		nb.Verdict("N1", nb.Refuted, because)
	case open > 0:
		nb.Verdict("N1", nb.NotIdentified, because)
	default:
		nb.Verdict("N1", nb.Reproduced, because)
	}
	because = fmt.Sprintf("%d of %d quantiles beside loads next door lie within %s of those without", kept, kept+len(slowed)+doubtful, allowed)
	switch {
	case len(slowed) > 0:
		nb.Verdict("N2", nb.Refuted, because+"; not "+strings.Join(slowed, ", "))
	case kept == 0 || doubtful > 0:
		nb.Verdict("N2", nb.NotIdentified, because)
	default:
		nb.Verdict("N2", nb.Reproduced, because)
	}
	because = fmt.Sprintf("of %d pairs %d lose as their nearest common ancestor lets expect: under a switch more than %s, else less", len(found.Pairs), fits, allowed)
	switch {
	case len(against) > 0:
		nb.Verdict("N3", nb.Refuted, because+"; not "+strings.Join(against, ", "))
	case unknown > 0 || fits == 0:
		nb.Verdict("N3", nb.NotIdentified, because)
	default:
		nb.Verdict("N3", nb.Reproduced, because)
	}
	nb.Concluded()
	for _, why := range found.Invalid {
		nb.Warn("INVALID: %s", why)
	}

	// %% Figures
	about := "On " + run.Machine.Name + fmt.Sprintf(", %d GPUs: ", len(found.GPUs))
	fig, err := figure.Points(figure.PointsSpec{
		Title:  "What the link of a GPU carries, with so many links loaded at once",
		XLabel: "links loaded at once", YLabel: "a link carries (GB/s)", XScale: "linear", YScale: "linear", Series: curves,
		Caption:   nb.Caption(about + "medians over GPUs and replicates, with the least and the most; opposite: every other link the other way."),
		Simulated: run.Simulated, Invalid: strings.Join(found.Invalid, "; "),
	})
	nb.Check(err)
	nb.Save(fig, "neighbours-capacity")
	fig, err = figure.Panels(figure.PanelsSpec{
		Title: "An inference on the last GPU beside loads on the links of the others", Panels: latencies, YScale: "linear", Height: 70,
		Caption:   nb.Caption(about + "inference time with 95% intervals, by direction and number of the loads."),
		Simulated: run.Simulated, Invalid: nb.WhyInvalid(),
	})
	nb.Check(err)
	nb.Save(fig, "neighbours-latency")
}

func told(text string) string {
	if text == "" {
		return "not told"
	}
	return text
}

func levelOf(values []float64) level {
	if len(values) == 0 {
		return level{math.NaN(), math.NaN(), math.NaN()}
	}
	low, high := nb.Range(values)
	return level{middle: nb.Quantile(values, 0.5, stats.Linear), low: low, high: high}
}

func spread(l level) string {
	return fmt.Sprintf("%.2f [%.2f, %.2f]", l.middle/1e9, l.low/1e9, l.high/1e9)
}
