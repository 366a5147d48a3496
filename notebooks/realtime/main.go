//go:build go1.21

// Realtime counts a camera's frames that were not answered in time, and draws how old
// the newest answer is.
package main

import (
	"errors"
	"fmt"
	"strings"

	"barograph/notebooks/nb"
	"barograph/stages/figure"
	"barograph/stages/stats"
)

// A stream is a model's frames under one condition.
type stream struct {
	model, condition string
	set              *nb.Set
	answers          nb.Answers
	ages             []int64
}

func main() {
	// %% [markdown] Frames in time
	//
	// A frame that is not answered by its deadline is an overrun; one that was dropped
	// for a newer one is skipped, and an overrun too. What a car acts on is the newest
	// answer: its age is how long ago its frame was due.
	samples := nb.Samples("samples.csv", "replicate", "scheduled_ns", "latency_ns", "deadline_ns", "answered_with", "policy", "model", "level")
	run := nb.Recording("run.json")
	streams := gather(samples)
	if len(streams) == 0 {
		nb.Check(errors.New("no frames"))
	}

	// %% Table
	rows := [][]string{{"model", "condition", "frames", "overruns", "share", "in a row", "skipped", "p50", "p99", "p99.9", "age p50", "age p99"}}
	numbers := [][]string{{"model", "condition", "frames", "overruns", "share", "share_low", "share_high", "in_a_row", "skipped", "p50_ns", "p99_ns", "p999_ns", "age_p50_ns", "age_p99_ns"}}
	for _, s := range streams {
		q := s.set.Quantiles(0.5, 0.99, 0.999)
		a := s.answers
		middle, old := age(s, 0.5), age(s, 0.99)
		rows = append(rows, []string{s.model, s.condition, fmt.Sprint(a.Requests), fmt.Sprint(a.Missed), fmt.Sprintf("%s [%s, %s]", nb.Percent(a.Share), nb.Percent(a.Low), nb.Percent(a.High)),
			fmt.Sprint(a.InARow), fmt.Sprint(a.Dropped), nb.Milliseconds(q[0].Value), nb.Milliseconds(q[1].Value), nb.Milliseconds(q[2].Value), nb.Milliseconds(middle), nb.Milliseconds(old)})
		numbers = append(numbers, []string{s.model, s.condition, fmt.Sprint(a.Requests), fmt.Sprint(a.Missed), nb.Number(a.Share), nb.Number(a.Low), nb.Number(a.High),
			fmt.Sprint(a.InARow), fmt.Sprint(a.Dropped), nb.Number(q[0].Value), nb.Number(q[1].Value), nb.Number(q[2].Value), nb.Number(middle), nb.Number(old)})
	}
	nb.Summary(nb.Title(run, "a camera's frames: overruns with exact 95% intervals, times in ms") + "\n\n" + nb.Align(rows))
	nb.Table("summary.csv", numbers)

	// %% Verdicts
	late := nb.Float("late", 0.001)
	for _, claim := range [][]string{{"F1", "full load"}, {"F2", "policy"}} {
		id, condition := claim[0], claim[1]
		verdict, because := judge(streams, late, condition)
		if why := run.Gates(); why != "" {
			verdict, because = nb.Invalid, why
		}
		nb.Verdict(id, verdict, because)
	}
	nb.Concluded()

	// %% Ages
	name := nb.String("figures", "figures/realtime")
	for _, of := range []string{"ages", "latency"} {
		lines := []figure.Series{}
		for _, s := range streams {
			times := s.ages
			if of == "latency" {
				times = s.set.Ints("latency_ns")
			}
			if len(times) > 0 {
				lines = append(lines, figure.Series{Label: s.model + ", " + s.condition, Latencies: times})
			}
		}
		title, label := "Age of the newest answer", "Age of the newest answer"
		if of == "latency" {
			title, label = "Frames' latency", "From when a frame was due"
		}
		fig, err := figure.ECDF(figure.ECDFSpec{
			Title: title, XLabel: label, NoBand: true, Series: lines,
			Caption:   nb.Caption("On " + run.Machine.Name + "."),
			Simulated: run.Simulated, Invalid: nb.WhyInvalid(),
		})
		nb.Check(err)
		path := name + "-" + of
		nb.Save(fig, path+".svg", path+".pdf", path+".png", path+".csv")
	}
}

// gather sorts samples into streams.
func gather(samples *nb.Set) []stream {
	streams := []stream{}
	for _, model := range samples.By("model") {
		for _, level := range model.By("level") {
			for _, policy := range level.By("policy") {
				s := stream{model: model.Value, condition: "policy " + policy.Value, set: policy, answers: policy.Answers(), ages: policy.Ages(2000)}
				if level.Value == "0" {
					s.condition = "without load"
				} else if policy.Value == "none" {
					s.condition = "full load"
				}
				streams = append(streams, s)
			}
		}
	}
	return streams
}

// age is a quantile of how old the newest answer is.
func age(s stream, q float64) float64 {
	values := []float64{}
	for _, a := range s.ages {
		values = append(values, float64(a))
	}
	if len(values) == 0 {
		return 0
	}
	return nb.Quantile(values, q, stats.Linear)
}

// judge says whether no more than a share of frames is late in each stream whose
// condition begins so.
func judge(streams []stream, late float64, condition string) (verdict, because string) {
	verdict, says := nb.Reproduced, []string{}
	for _, s := range streams {
		if !strings.HasPrefix(s.condition, condition) {
			continue
		}
		one, why := nb.Promise(s.answers, late)
		says = append(says, s.model+", "+s.condition+": "+why)
		if one == nb.Refuted || one == nb.NotIdentified && verdict == nb.Reproduced {
			verdict = one
		}
	}
	if len(says) == 0 {
		return nb.NotIdentified, "no frames were measured so"
	}
	return verdict, strings.Join(says, "; ")
}
