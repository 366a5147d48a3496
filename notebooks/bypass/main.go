//go:build go1.21

// Bypass compares what a victim can do about contention by itself: p99 beside loads
// over that of a victim that copies without load, and what the loads still carry.
package main

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"barograph/notebooks/nb"
	"barograph/stages/figure"
	"barograph/stages/judge"
)

// A means is a victim with its inputs and results taken one way, beside loads.
type means struct {
	victim, level string
	set           *nb.Set
	ratio         nb.Ratio // the p99 over that of a victim that copies and has no load
	kept          float64  // of what the loads carry beside a victim that copies
}

// A scene is a model with loads in one direction, sharing the GPU in one way.
type scene struct {
	model, direction, sharing string
	all                       []means
}

func (s scene) String() string { return s.model + " " + s.place() }

func (s scene) place() string { return s.direction + " " + s.sharing }

func main() {
	// %% [markdown] What a victim does by itself
	//
	// A copy that waits behind the loads of other processes waits for whole turns of
	// the copy engine. A victim can go past the engine: its last kernel writes results
	// to host memory, its first reads inputs there, or inputs are sent in small pieces.
	samples := nb.Samples("samples.csv", "replicate", "latency_ns", "victim", "model", "axis_direction", "sharing", "level", "achieved_bytes_per_s")
	run := nb.Recording("run.json")
	untrusted := judge.Untrusted(run)
	scenes := stage(samples)
	if len(scenes) == 0 {
		nb.Check(errors.New("no victim that copies was measured without load: there is nothing to compare with"))
	}

	// %% Table
	rows := [][]string{{"model", "loads", "sharing", "victim", "number", "p50", "p99", "p99 over alone", "loads keep"}}
	numbers := [][]string{{"model", "direction", "sharing", "victim", "level", "calls", "p50_ns", "p99_ns", "p99_ratio", "p99_ratio_low", "p99_ratio_high", "kept"}}
	for _, s := range scenes {
		for _, m := range s.all {
			q := m.set.Quantiles(0.5, 0.99)
			kept := ""
			if m.level != "0" {
				kept = nb.Percent(m.kept)
			}
			rows = append(rows, []string{s.model, s.direction, s.sharing, m.victim, m.level, nb.Milliseconds(q[0].Value), nb.Milliseconds(q[1].Value), m.ratio.String(), kept})
			numbers = append(numbers, []string{s.model, s.direction, s.sharing, m.victim, m.level, fmt.Sprint(m.set.Len()), nb.Number(q[0].Value), nb.Number(q[1].Value),
				nb.Number(m.ratio.Value), nb.Number(m.ratio.Low), nb.Number(m.ratio.High), nb.Number(m.kept)})
		}
	}
	nb.Summary(nb.Title(run, "latencies in ms beside loads of other processes, by how inputs and results go") + "\n\n" + nb.Align(rows))
	nb.Table("summary.csv", numbers)

	// %% Verdict
	within, keeps := nb.Float("within", 0.05), nb.Float("keeps", 0.98)
	verdict, because := escaped(scenes, within, keeps)
	if untrusted != "" {
		verdict, because = nb.Invalid, untrusted
	}
	nb.Verdict("B1", verdict, because)
	nb.Concluded()

	// %% Figure
	victims, places := []string{}, []string{}
	known := map[string]bool{}
	for _, s := range scenes {
		if !known[s.place()] {
			known[s.place()] = true
			places = append(places, s.place())
		}
		for _, m := range s.all {
			if !known[m.victim] {
				known[m.victim] = true
				victims = append(victims, m.victim)
			}
		}
	}
	labels := loaded(scenes)
	panels := []figure.PointsSpec{}
	for _, place := range places {
		panels = append(panels, panel(scenes, place, victims, labels))
	}
	fig, err := figure.Panels(figure.PanelsSpec{
		Title:  "A victim's p99 beside loads of other processes, by how its inputs and results go",
		Panels: panels, Height: 20 + 7*float64(len(labels)),
		Caption:   nb.Caption("On " + run.Machine.Name + ": the p99 over that of a victim that copies and has no load, with 95% intervals of both."),
		Simulated: run.Simulated, Invalid: untrusted,
	})
	nb.Check(err)
	nb.Save(fig)
}

// stage sorts samples into scenes, in the order of the samples.
func stage(samples *nb.Set) []scene {
	scenes := []scene{}
	for _, model := range samples.By("model") {
		for _, direction := range model.By("axis_direction") {
			for _, sharing := range direction.By("sharing") {
				copied := sharing.Where("victim", "copied")
				alone := copied.Where("level", "0")
				if alone.Len() == 0 {
					continue
				}
				base := alone.Quantiles(0.99)[0]
				s := scene{model: model.Value, direction: direction.Value, sharing: sharing.Value}
				for _, victim := range sharing.By("victim") {
					for _, level := range victim.By("level") {
						m := means{victim: victim.Value, level: level.Value, set: level, ratio: level.Quantiles(0.99)[0].Over(base), kept: math.NaN()}
						if beside := copied.Where("level", level.Value); level.Value != "0" && beside.Len() > 0 {
							m.kept = level.Mean("achieved_bytes_per_s") / beside.Mean("achieved_bytes_per_s")
						}
						s.all = append(s.all, m)
					}
				}
				scenes = append(scenes, s)
			}
		}
	}
	return scenes
}

// loaded are the models with each number of loads, in the order of the scenes, which are
// the figure's rows.
func loaded(scenes []scene) []string {
	rows := []string{}
	known := map[string]bool{}
	for _, s := range scenes {
		for _, m := range s.all {
			if row := s.row(m); !known[row] {
				known[row] = true
				rows = append(rows, row)
			}
		}
	}
	return rows
}

func (s scene) row(m means) string {
	switch m.level {
	case "0":
		return s.model + ", alone"
	case "1":
		return s.model + ", 1 load"
	}
	return s.model + ", " + m.level + " loads"
}

// panel shows the scenes of a direction and a sharing.
func panel(scenes []scene, place string, victims, rows []string) figure.PointsSpec {
	p := figure.PointsSpec{Heading: place, XLabel: "p99 over alone", XScale: "log", Rows: rows}
	at := map[string]float64{}
	for i, row := range rows {
		at[row] = float64(i)
	}
	for _, v := range victims {
		one := figure.PointSeries{Label: v}
		for _, s := range scenes {
			if s.place() != place {
				continue
			}
			for _, m := range s.all {
				if m.victim == v {
					one.X, one.Y = append(one.X, m.ratio.Value), append(one.Y, at[s.row(m)])
					one.XLow, one.XHigh = append(one.XLow, m.ratio.Low), append(one.XHigh, m.ratio.High)
				}
			}
		}
		p.Series = append(p.Series, one)
	}
	return p
}

// escaped says whether beside every load of a scene some means keep p99 within a share of
// that without load, while the loads keep what they carry beside a victim that copies.
func escaped(scenes []scene, within, keeps float64) (verdict, because string) {
	holds, fails, doubts, few := []string{}, []string{}, []string{}, []string{}
	for _, s := range scenes {
		levels := []string{}
		known := map[string]bool{"0": true}
		for _, m := range s.all {
			if !known[m.level] {
				known[m.level] = true
				levels = append(levels, m.level)
			}
		}
		for _, level := range levels {
			near, open, short, others := "", false, false, 0
			for _, m := range s.all {
				if m.level != level || m.victim == "copied" {
					continue
				}
				others++
				switch {
				case m.ratio.Low > 1+within || m.kept < keeps:
				case math.IsNaN(m.ratio.High):
					short = true
				case m.ratio.High <= 1+within && m.kept >= keeps:
					near = m.victim
				default:
					open = true
				}
			}
			name := s.String() + " beside " + level
			switch {
			case others == 0:
			case near != "":
				holds = append(holds, name)
			case short:
				few = append(few, name)
			case open:
				doubts = append(doubts, name)
			default:
				fails = append(fails, name)
			}
		}
	}
	want := fmt.Sprintf("p99 lies within %s of that without load, and the loads keep %s of what they carry beside a victim that copies,", nb.Percent(within), nb.Percent(keeps))
	n := len(holds) + len(fails) + len(doubts) + len(few)
	switch {
	case n == 0:
		return nb.NotIdentified, "no victim was measured beside a load that does anything but copy"
	case len(fails) > 0:
		return nb.Refuted, fmt.Sprintf("%s for %d of %d, and not for %s", want, len(holds), n, strings.Join(fails, ", "))
	case len(holds) < n:
		because = fmt.Sprintf("%s for %d of %d", want, len(holds), n)
		if len(doubts) > 0 {
			because += "; the intervals leave it open for " + strings.Join(doubts, ", ")
		}
		if len(few) > 0 {
			because += "; calls are too few for a p99 of " + strings.Join(few, ", ")
		}
		return nb.NotIdentified, because
	}
	return nb.Reproduced, fmt.Sprintf("%s for all %d", want, n)
}
