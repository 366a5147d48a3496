//go:build go1.21

// Traffic draws latency and goodput against the rate of requests, and judges how much of
// the rate that a load takes its policy gives back.
package main

import (
	"errors"
	"fmt"
	"math"

	"barograph/notebooks/nb"
	"barograph/stages/figure"
)

// A point is what requests at one rate came to.
type point struct {
	offered float64
	set     *nb.Set
	answers nb.Answers
}

// A line is a condition under one kind of arrivals, by ascending rates.
type line struct {
	condition, pattern string
	points             []point
}

func (l line) String() string { return l.condition + ", " + l.pattern }

// A rate is one that is carried.
type rate struct {
	trial         *nb.Trial
	condition     string
	at, low, high float64
	found, below  bool // with an interval, or with its upper end alone
	says          string
	limit         float64 // that p99 was held to, ns; 0: the deadline counted
	tried         []probe
}

func (r rate) String() string {
	if r.below {
		return fmt.Sprintf("fewer than %.4g", r.at)
	}
	return fmt.Sprintf("%.4g", r.at)
}

// A probe is the p99 of one rate that a search tried, ns.
type probe struct{ offered, p99 float64 }

func main() {
	// %% [markdown] What a rate of requests costs
	//
	// Requests come by themselves. Each is counted from when it was due, so that what it
	// waits counts; one that was dropped lasts until the end of its trial.
	samples := nb.Samples("samples.csv", "replicate", "scheduled_ns", "latency_ns", "deadline_ns", "answered_with", "policy", "pattern", "offered", "level")
	run := nb.Recording("run.json")
	lines := gather(samples)
	if len(lines) == 0 {
		nb.Check(errors.New("no requests at a rate that was offered: there is nothing to draw"))
	}

	// %% Table
	rows := [][]string{{"condition", "arrivals", "offered/s", "p50", "p99", "p99.9", "goodput/s", "missed", "dropped"}}
	numbers := [][]string{{"condition", "arrivals", "offered_per_s", "requests", "p50_ns", "p99_ns", "p999_ns", "goodput_per_s", "missed_share", "missed_low", "missed_high", "dropped"}}
	for _, l := range lines {
		for _, p := range l.points {
			q := p.set.Quantiles(0.5, 0.99, 0.999)
			a := p.answers
			rows = append(rows, []string{l.condition, l.pattern, nb.Number(p.offered), tell(q[0].Value), tell(q[1].Value), tell(q[2].Value), fmt.Sprintf("%.4g", a.Goodput),
				fmt.Sprintf("%s [%s, %s]", nb.Percent(a.Share), nb.Percent(a.Low), nb.Percent(a.High)), fmt.Sprint(a.Dropped)})
			numbers = append(numbers, []string{l.condition, l.pattern, nb.Number(p.offered), fmt.Sprint(a.Requests), nb.Number(q[0].Value), nb.Number(q[1].Value), nb.Number(q[2].Value),
				nb.Number(a.Goodput), nb.Number(a.Share), nb.Number(a.Low), nb.Number(a.High), fmt.Sprint(a.Dropped)})
		}
	}
	nb.Summary(nb.Title(run, "latencies in ms from when requests were due, by how many a second were offered") + "\n\n" + nb.Align(rows))
	nb.Table("summary.csv", numbers)

	// %% The rate that is carried
	rates := carried(run.Trials)
	text := "rates that are carried"
	for _, r := range rates {
		text += "\n" + r.condition + ": " + r.says
	}
	nb.Summary(text)
	back := nb.Float("back", 0.9)
	verdict, because := judge(rates, back)
	if why := run.Gates(); why != "" {
		verdict, because = nb.Invalid, why
	}
	nb.Verdict("R1", verdict, because)
	nb.Concluded()

	// %% Latency and goodput
	name := nb.String("figures", "figures/traffic")
	panels := []figure.PointsSpec{}
	for _, l := range lines {
		panels = append(panels, latency(l, rates))
	}
	fig, err := figure.Panels(figure.PanelsSpec{
		Title: "Latency against the rate of requests", Panels: panels, YScale: "log", Height: 65, Width: math.Max(2*figure.ColumnWidth, float64(45*len(panels))),
		Caption:   nb.Caption("From when a request was due, with 95% intervals, on " + run.Machine.Name + "."),
		Simulated: run.Simulated, Invalid: nb.WhyInvalid(),
	})
	nb.Check(err)
	nb.Save(fig, name+"-latency.svg", name+"-latency.pdf", name+"-latency.png", name+"-latency.csv")

	good := figure.PointsSpec{
		Title: "Goodput against the rate of requests", XLabel: "offered (1/s)", YLabel: "answered in time (1/s)", XScale: "linear", YScale: "linear", Dodge: true,
		Caption:   nb.Caption("Requests answered by their deadline, on " + run.Machine.Name + "."),
		Simulated: run.Simulated, Invalid: nb.WhyInvalid(),
	}
	for _, l := range lines {
		s := figure.PointSeries{Label: l.String()}
		for _, p := range l.points {
			s.X, s.Y = append(s.X, p.offered), append(s.Y, p.answers.Goodput)
		}
		good.Series = append(good.Series, s)
	}
	fig, err = figure.Points(good)
	nb.Check(err)
	nb.Save(fig, name+"-goodput.svg", name+"-goodput.pdf", name+"-goodput.png", name+"-goodput.csv")

	// %% A burst
	of := worst(lines)
	fig, err = figure.Points(burst(of, run.Simulated, run.Machine.Name))
	nb.Check(err)
	nb.Save(fig, name+"-burst.svg", name+"-burst.pdf", name+"-burst.png", name+"-burst.csv")
}

// gather sorts samples into lines, those without load first.
func gather(samples *nb.Set) []line {
	lines := []line{}
	for _, level := range samples.By("level") {
		for _, policy := range level.By("policy") {
			name := "policy " + policy.Value
			if level.Value == "0" {
				name = "without load"
			} else if policy.Value == "none" {
				name = "full load"
			}
			for _, pattern := range policy.By("pattern") {
				l := line{condition: name, pattern: pattern.Value}
				for _, offered := range pattern.By("offered") {
					if offered.Value == "" { // a search's
						continue
					}
					x := 0.0
					fmt.Sscan(offered.Value, &x)
					l.points = append(l.points, point{offered: x, set: offered, answers: offered.Answers()})
				}
				if len(l.points) > 0 {
					lines = append(lines, l)
				}
			}
		}
	}
	return lines
}

// carried reads the rates that were sought.
func carried(trials []*nb.Trial) []rate {
	rates := []rate{}
	for _, t := range trials {
		if t.Infer.Traffic == nil || t.Infer.Traffic.Carried == nil {
			continue
		}
		c := t.Infer.Traffic.Carried
		r := rate{trial: t, condition: "without load", at: c.Rate, low: c.Low, high: c.High, found: !c.Open && !c.Below && c.Drift == "", says: c.String(), limit: float64(c.Limit)}
		if c.Below && !c.Open && c.Drift == "" { // from 0 to the end of its interval, which is the least for what is given back
			r.at, r.below = c.High, true
		}
		for _, p := range c.Probes {
			r.tried = append(r.tried, probe{offered: p.Rate, p99: float64(p.P99)})
		}
		for _, axis := range t.Point {
			if axis.Axis == "policy" {
				r.condition = fmt.Sprint("policy ", axis.Value)
			}
		}
		if r.condition == "policy none" {
			r.condition = "full load"
		}
		if c.Drift != "" {
			r.says += "; INVALID: " + c.Drift
		}
		rates = append(rates, r)
	}
	return rates
}

// judge says whether a policy gives back a share of the rate that the load takes.
func judge(rates []rate, back float64) (verdict, because string) {
	var alone, full, guarded *rate
	for i := range rates {
		r := &rates[i]
		switch {
		case !r.found && !r.below:
			return nb.NotIdentified, r.condition + ": " + r.says
		case r.condition == "without load" && alone == nil:
			alone = r
		case r.condition == "full load" && full == nil:
			full = r
		case r.condition != "without load" && r.condition != "full load" && (guarded == nil || r.at > guarded.at):
			guarded = r
		}
	}
	if alone == nil || full == nil || guarded == nil {
		return nb.NotIdentified, "it takes a rate without load, one beside a full load, and one under a policy"
	}
	if full.high >= alone.low {
		return nb.NotIdentified, fmt.Sprintf("the load takes nothing of the rate that can be told: %.4g [%.4g, %.4g] without it, %.4g [%.4g, %.4g] with it", alone.at, alone.low, alone.high, full.at, full.low, full.high)
	}
	draw := seed(alone) == seed(full) && seed(alone) == seed(guarded)
	r := alone.trial.Infer.Traffic.Carried.Recovery(full.trial.Infer.Traffic.Carried, guarded.trial.Infer.Traffic.Carried, draw)
	text := fmt.Sprintf("%s gives back %s [%s, %s] of the rate that the load takes: %v without load, %v beside it, %v under the policy", guarded.condition, nb.Percent(r.Share), nb.Percent(r.Low), nb.Percent(r.High), *alone, *full, *guarded)
	if draw {
		text += fmt.Sprintf("; asked alike, so that errors without load and under the policy go together (correlation %.2f)", r.Alike)
	}
	switch {
	case r.Low >= back:
		return nb.Reproduced, text
	case r.High < back:
		return nb.Refuted, text
	}
	return nb.NotIdentified, text
}

// seed is what the arrivals of a search were drawn by.
func seed(r *rate) uint64 {
	if r.trial.Infer.Schedule == nil {
		return 0
	}
	return r.trial.Infer.Schedule.Seed
}

// latency draws three quantiles of a line against the rate, what the search for the
// rate that is carried tried, and that rate: the knee.
func latency(l line, rates []rate) figure.PointsSpec {
	p := figure.PointsSpec{Heading: l.String(), XLabel: "offered (1/s)", YLabel: "latency (ms)", XScale: "linear"}
	labels := []string{"p50", "p99", "p99.9"}
	for i, q := range []float64{0.5, 0.99, 0.999} {
		s := figure.PointSeries{Label: labels[i]}
		for _, at := range l.points {
			e := at.set.Quantiles(q)[0]
			if math.IsNaN(e.Value) {
				continue
			}
			s.X, s.Y = append(s.X, at.offered), append(s.Y, e.Value/1e6)
			s.Low, s.High = append(s.Low, e.Low/1e6), append(s.High, e.High/1e6)
		}
		if len(s.X) > 0 {
			p.Series = append(p.Series, s)
		}
	}
	for _, r := range rates {
		if r.condition != l.condition || l.pattern != "poisson" {
			continue
		}
		s := figure.PointSeries{Label: "p99, search"}
		for _, t := range r.tried {
			s.X, s.Y = append(s.X, t.offered), append(s.Y, t.p99/1e6)
		}
		p.Series = append(p.Series, s)
		if r.found && r.limit > 0 {
			p.Series = append(p.Series, figure.PointSeries{Label: "carried", X: []float64{r.at}, Y: []float64{r.limit / 1e6}, XLow: []float64{r.low}, XHigh: []float64{r.high}})
		}
	}
	return p
}

// worst is the point with the slowest request among those that keep most deadlines:
// beyond them all is queue.
func worst(lines []line) point {
	best, slowest := lines[0].points[0], int64(0)
	for _, l := range lines {
		for _, p := range l.points {
			longest := int64(0)
			for _, took := range p.set.Ints("latency_ns") {
				if took > longest {
					longest = took
				}
			}
			if longest > slowest && p.answers.Share < 0.5 {
				best, slowest = p, longest
			}
		}
	}
	return best
}

// burst draws requests around the slowest one: latency against when they were due.
func burst(p point, simulated bool, machine string) figure.PointsSpec {
	first := p.set.By("replicate")[0]
	due, took := first.Ints("scheduled_ns"), first.Ints("latency_ns")
	at := 0
	for i := range took {
		if took[i] > took[at] {
			at = i
		}
	}
	from, to := at-100, at+100
	if from < 0 {
		from = 0
	}
	if to > len(due) {
		to = len(due)
	}
	s := figure.PointSeries{Label: "requests"}
	for i := from; i < to; i++ {
		s.X, s.Y = append(s.X, float64(due[i]-due[at])/1e6), append(s.Y, float64(took[i])/1e6)
	}
	return figure.PointsSpec{
		Title: "A burst: latency of requests around the slowest one", XLabel: "due, from the slowest request on (ms)", YLabel: "latency (ms)", XScale: "linear", YScale: "linear",
		Caption:   nb.Caption(fmt.Sprintf("%s, %s, %s requests a second offered, on %s.", first.Only("pattern"), "level "+first.Only("level"), first.Only("offered"), machine)),
		Simulated: simulated, Invalid: nb.WhyInvalid(), Series: []figure.PointSeries{s},
	}
}

func tell(ns float64) string { return nb.Milliseconds(ns) }
