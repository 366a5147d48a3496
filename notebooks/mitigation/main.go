//go:build go1.21

// Mitigation draws what policies do for a model, against what they leave its load of
// the link, and judges whether one of them protects and costs next to nothing.
package main

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"

	"barograph/notebooks/nb"
	"barograph/stages/figure"
	"barograph/stages/judge"
	"barograph/stages/stats"
)

// An outcome is a model beside a load under a policy.
type outcome struct {
	policy string
	set    *nb.Set
	kept   float64  // share of the link's capacity
	ratio  nb.Ratio // the p99 beside the load over that without it
}

// A promise is what guards said of a policy in one direction and place, and kept.
type promise struct {
	bound, usual, longest, copies, slow, violations float64

	none string // why there is no bound
}

// A scene is a model with a load in one direction and place.
type scene struct {
	model, direction, sharing string
	alone                     *nb.Set
	outcomes                  []outcome
}

func (s scene) String() string { return s.model + " " + s.place() }

func (s scene) place() string { return s.direction + " " + s.sharing }

func main() {
	// %% [markdown] What relieves a model, and at what price
	//
	// A load that fills the link is let onto it under policies. Each row is a policy: the
	// models' p99 beside the load, and what the load keeps of the link, over those without
	// load. The best have both a low p99 and a large share: those that no other beats in
	// both are the front.
	samples := nb.Samples("samples.csv", "replicate", "latency_ns", "policy", "model", "axis_direction", "sharing", "level", "utilisation")
	run := nb.Recording("run.json")
	untrusted := judge.Untrusted(run)
	scenes := stage(samples)
	if len(scenes) == 0 {
		nb.Check(errors.New("no calls beside a load: there is nothing to compare"))
	}

	// %% Table
	rows := [][]string{{"model", "load", "in", "policy", "link kept", "p50", "p99", "p99 over alone", "front"}}
	numbers := [][]string{{"model", "direction", "sharing", "policy", "calls", "share", "p50_ns", "p99_ns", "p99_ratio", "p99_ratio_low", "p99_ratio_high", "front"}}
	for _, s := range scenes {
		for _, o := range s.outcomes {
			q := o.set.Quantiles(0.5, 0.99)
			mark := ""
			if s.front(o) {
				mark = "*"
			}
			rows = append(rows, []string{s.model, s.direction, s.sharing, o.policy, nb.Percent(o.kept), nb.Milliseconds(q[0].Value), nb.Milliseconds(q[1].Value), o.ratio.String(), mark})
			numbers = append(numbers, []string{s.model, s.direction, s.sharing, o.policy, fmt.Sprint(o.set.Len()), nb.Number(o.kept), nb.Number(q[0].Value), nb.Number(q[1].Value),
				nb.Number(o.ratio.Value), nb.Number(o.ratio.Low), nb.Number(o.ratio.High), mark})
		}
	}
	nb.Summary(nb.Title(run, "latencies in ms beside loads under policies; * no other policy has both a lower p99 and more of the link") + "\n\n" + nb.Align(rows))
	nb.Table("summary.csv", numbers)

	// %% Models and policies
	within, keeps := nb.Float("within", 0.05), nb.Float("keeps", 0.95)
	apart, share := nb.Float("within_apart", 0.06), nb.Float("keeps_apart", 0.93)
	nb.Summary("p99 over that without load\n" + nb.Align(matrix(scenes)))
	if rows := steady(scenes); len(rows) > 1 {
		nb.Summary("the same without slow times, in which slow calls follow one another in a trial whatever it is of: of the card's link, or of the computer (no claim is judged by it)\n" + nb.Align(rows))
	}
	told := promises(run.Trials)
	seen := "measured"
	if run.Simulated {
		seen = "simulated"
	}
	texts := []string{"an architecture, by what was " + seen + " here: which policy to let copies go under, and its price"}
	advised := []advice{}
	for _, s := range scenes {
		limit := within
		if s.sharing != "process" {
			limit = apart
		}
		one := s.advise(limit, told)
		advised = append(advised, one)
		texts = append(texts, one.String())
	}
	nb.Summary(strings.Join(texts, "\n"))
	nb.Summary("what guards promised and saw\n" + nb.Align(kept(told)))

	// %% Verdicts
	conclude := func(claim, verdict, because string) {
		if untrusted != "" {
			verdict, because = nb.Invalid, untrusted
		}
		nb.Verdict(claim, verdict, because)
	}
	verdict, because := relieved(scenes, true, within, keeps)
	conclude("M1", verdict, because)
	verdict, because = relieved(scenes, false, apart, share)
	conclude("M2", verdict, because)
	verdict, because = paired(scenes, "chunks/1MiB", "none")
	conclude("M3", verdict, because)
	nb.Concluded()

	// %% Front
	labels := policies(scenes)
	panels, beyond := []figure.PointsSpec{}, []string{}
	for _, where := range places(scenes) {
		panel, left := p99s(scenes, where, labels)
		if drawn(panel) {
			panels = append(panels, panel)
		}
		beyond = append(beyond, left...)
	}
	if panel := shares(scenes, labels); drawn(panel) {
		panels = append(panels, panel)
	}
	if len(panels) == 0 {
		nb.Check(errors.New("neither a p99 nor a share of the link: too few calls, and no calibration"))
	}
	whose := "a model's"
	if alone := scenes[0].model; len(panels[0].Series) == 1 {
		whose = alone + "'s"
	}
	caption := []string{"On " + run.Machine.Name + ": " + whose + " p99 over that without load, with 95% intervals of both; policies stand in the order of what the load keeps."}
	if len(beyond) > 0 {
		caption = append(caption, fmt.Sprintf("Not drawn, above %d or of too few calls for a p99: %s.", most, strings.Join(beyond, ", ")))
	}
	fig, err := figure.Panels(figure.PanelsSpec{
		Title:  "A model's p99 under each policy, and the share of the link that its load keeps",
		Panels: panels, Width: 60 + 38*float64(len(panels)), Height: 22 + 6.5*float64(len(labels)),
		Caption:   nb.Caption(caption...),
		Simulated: run.Simulated, Invalid: untrusted,
	})
	nb.Check(err)
	name := nb.String("figures", "figures/mitigation")
	nb.Save(fig, name+"-front.svg", name+"-front.pdf", name+"-front.png", name+"-front.csv")

	// %% An architecture
	fig, err = figure.Architecture(figure.ArchitectureSpec{
		Title: "Which policy to let copies go under, by sharing", Frame: "at once", Parts: architecture(run.Machine.Name+", "+run.Machine.Link.Name, advised),
		Caption:   nb.Caption("By what was " + seen + " on " + run.Machine.Name + ": copies out of the GPU and into it, the share of the link that they keep, and each model's p99 over that without load, not what it is without a policy (open: its interval leaves open whether it is low enough)."),
		Simulated: run.Simulated, Invalid: untrusted,
	})
	nb.Check(err)
	nb.Save(fig, name+"-architecture.svg", name+"-architecture.pdf", name+"-architecture.png", name+"-architecture.csv")

	// %% The best policy beside none
	s := scenes[0]
	lines := []figure.Series{line("without load", s.alone)}
	best, found, _ := s.best(within)
	for _, o := range s.outcomes {
		if o.policy == "none" || found && o.policy == best.policy {
			lines = append(lines, line(o.policy, o.set))
		}
	}
	fig, err = figure.ECDF(figure.ECDFSpec{
		Title:     "Inference time without load, beside one, and beside one under the best policy",
		Series:    lines,
		Caption:   nb.Caption(s.model + ", load " + s.direction + ", sharing " + s.sharing + ", on " + run.Machine.Name + "."),
		Simulated: run.Simulated, Invalid: untrusted,
	})
	nb.Check(err)
	nb.Save(fig, name+"-ecdf.svg", name+"-ecdf.pdf", name+"-ecdf.png", name+"-ecdf.csv")
}

// stage sorts samples into scenes, in the order of the samples.
func stage(samples *nb.Set) []scene {
	scenes := []scene{}
	for _, model := range samples.By("model") {
		for _, direction := range model.By("axis_direction") {
			without := map[string]*nb.Set{}
			for _, sharing := range direction.Where("level", "0").By("sharing") {
				without[sharing.Value] = sharing
			}
			for _, sharing := range direction.Where("level", "1").By("sharing") {
				alone := without[""]
				if alone == nil { // beside a load that copies nothing
					alone = without["separate"]
				}
				if own := without["mps"]; own != nil && sharing.Value == "mps" { // MPS itself has a price
					if alone != nil {
						nb.Summary(fmt.Sprintf("%s, load %s: under MPS with no load a p99 of %v times that without MPS", model.Value, direction.Value, own.Quantiles(0.99)[0].Over(alone.Quantiles(0.99)[0])))
					}
					alone = own
				}
				if alone == nil {
					nb.Warn("%s, load %s, in %s: it was not measured without load", model.Value, direction.Value, sharing.Value)
					continue
				}
				base := alone.Quantiles(0.99)[0]
				s := scene{model: model.Value, direction: direction.Value, sharing: sharing.Value, alone: alone}
				for _, policy := range sharing.By("policy") {
					s.outcomes = append(s.outcomes, outcome{
						policy: policy.Value, set: policy, kept: policy.Mean("utilisation"), ratio: policy.Quantiles(0.99)[0].Over(base),
					})
				}
				scenes = append(scenes, s)
			}
		}
	}
	return scenes
}

func line(label string, s *nb.Set) figure.Series {
	_, n := s.Lag1()
	return figure.Series{Label: label, Latencies: s.Ints("latency_ns"), EffectiveN: n}
}

// front tells whether no other outcome has both a lower p99 and more of the link.
func (s scene) front(o outcome) bool {
	if math.IsNaN(o.ratio.Value) {
		return false
	}
	for _, other := range s.outcomes {
		if other.ratio.Value < o.ratio.Value && other.kept > o.kept {
			return false
		}
	}
	return true
}

// best is the outcome that keeps most of the link among those whose p99 lies within a
// share of that without load: by its interval, or where there is none such, by its estimate.
func (s scene) best(within float64) (best outcome, found, sure bool) {
	for _, o := range s.outcomes {
		if o.policy == "none" || !(o.ratio.Value <= 1+within) {
			continue
		}
		if safe := o.ratio.High <= 1+within; !found || safe && !sure || safe == sure && o.kept > best.kept {
			best, found, sure = o, true, safe
		}
	}
	return best, found, sure
}

// Advice is which policy to let a load's copies go under beside a model.
type advice struct {
	scene
	chosen outcome
	none   outcome // without a policy
	asked  bool    // whether that was measured
	// Why this one, and how long a copy waits under it.
	because, bound string
	state          string // whether p99 stays within what was asked for: empty where it does, open, or not enough
}

// advise says which policy to use, why, and its bound.
func (s scene) advise(within float64, told map[string]promise) advice {
	a := advice{scene: s, none: outcome{policy: "none", kept: math.NaN(), ratio: nb.Ratio{Value: math.NaN()}}}
	least := outcome{ratio: nb.Ratio{Value: math.Inf(1)}}
	for _, o := range s.outcomes {
		if o.policy == "none" {
			a.none, a.asked = o, true
		}
		if o.ratio.Value < least.ratio.Value {
			least = o
		}
	}
	best, found, sure := s.best(within)
	switch {
	case a.asked && a.none.ratio.High <= 1+within:
		a.chosen, a.because = a.none, "none is needed"
	case found && sure:
		a.chosen, a.because = best, "of those that keep p99 within "+nb.Percent(within)+" it leaves the load most"
	case found:
		a.chosen, a.state, a.because = best, "open", "it may keep p99 within "+nb.Percent(within)+", which its interval leaves open as it does for each, and leaves the load most"
	case math.IsInf(least.ratio.Value, 1):
		a.because = "too few calls for a p99"
	default:
		a.chosen, a.state, a.because = least, "not enough", "none measured has a p99 within "+nb.Percent(within)+", and this one's is the lowest: past the copy engine, if anything (study bypass)"
		if least.ratio.Low <= 1+within {
			a.state = "open"
		}
	}
	if p, ok := told[place(a.chosen.policy, s.direction, s.sharing)]; ok && p.bound > 0 {
		a.bound = "a copy waits for " + nb.Milliseconds(p.bound) + " ms at most"
		if p.usual > 0 && p.usual < p.bound {
			a.bound = "a copy waits for " + nb.Milliseconds(p.usual) + " ms at most, " + nb.Milliseconds(p.bound) + " while the link is slow"
		}
		if p.violations > 0 {
			a.bound = fmt.Sprintf("a copy is to wait for %s ms at most (%.0f of %.0f: longer in flight)", nb.Milliseconds(p.bound), p.violations, p.copies)
		}
	} else if ok {
		a.bound = p.none
	}
	return a
}

func (a advice) String() string {
	if a.chosen.policy == "" {
		return fmt.Sprintf("%v: %s", a.scene, a.because)
	}
	text := fmt.Sprintf("%v: %s: %s; p99 %v", a.scene, a.chosen.policy, a.because, a.chosen.ratio)
	if a.chosen.policy != "none" && a.asked {
		text += fmt.Sprintf(", and %v without", a.none.ratio)
	}
	if a.bound != "" {
		text += "; " + a.bound
	}
	return text + fmt.Sprintf("; the load gives up %s of the link", nb.Percent(1-a.chosen.kept))
}

// ways are what directions and sharings are called in a figure.
var ways = map[string]string{
	"d2h": "out", "h2d": "in", "process": "one process", "separate": "another process", "mps": "another, under MPS",
}

// architecture has the link, and below it two parts for each sharing: the copies, with their policies, and the
// models beside them.
func architecture(link string, all []advice) []figure.Part {
	parts := []figure.Part{{Name: link}}
	at := map[string]int{} // of a sharing's copies among parts; its models come after
	said := map[string]bool{}
	for _, a := range all {
		i, ok := at[a.sharing]
		if !ok {
			i = len(parts)
			at[a.sharing] = i
			models := "models, " + ways[a.sharing]
			parts = append(parts, figure.Part{Name: "copies, " + ways[a.sharing], Beside: models, Below: link}, figure.Part{Name: models})
		}
		if a.chosen.policy == "" {
			parts[i+1].Lines = append(parts[i+1].Lines, a.model+", "+ways[a.direction]+": "+a.because)
			continue
		}
		rule := ways[a.direction] + ": " + a.chosen.policy
		if !said[a.sharing+rule] {
			said[a.sharing+rule] = true
			parts[i].Lines = append(parts[i].Lines, rule, "keeps "+nb.Percent(a.chosen.kept))
			if a.bound != "" {
				parts[i].Lines = append(parts[i].Lines, a.bound)
			}
		}
		line := fmt.Sprintf("%s, %s: p99 %.2f", a.model, ways[a.direction], a.chosen.ratio.Value)
		if a.chosen.policy != "none" && !math.IsNaN(a.none.ratio.Value) {
			line += fmt.Sprintf(", not %.2f", a.none.ratio.Value)
		}
		if a.state != "" {
			line += ": " + a.state
		}
		parts[i+1].Lines = append(parts[i+1].Lines, line)
	}
	return parts
}

func place(policy, direction, sharing string) string { return policy + " " + direction + " " + sharing }

// promises joins what guards said, by policy, direction and place.
func promises(trials []*nb.Trial) map[string]promise {
	told := map[string]promise{}
	for _, t := range trials {
		at := map[string]string{}
		for _, c := range t.Point {
			at[c.Axis] = fmt.Sprint(c.Value)
		}
		if at["policy"] == "" || t.Stress == nil || t.Stress.Guard == nil {
			continue
		}
		g := t.Stress.Guard
		name := place(at["policy"], at["direction"], at["sharing"])
		p := told[name]
		p.bound, p.none = math.Max(p.bound, float64(g.Bound)), g.NoBound
		p.usual = math.Max(p.usual, float64(g.Usual))
		p.longest = math.Max(p.longest, float64(g.Longest))
		p.copies += float64(t.Stress.Copies)
		if g.Usual > 0 {
			p.copies += float64(g.Beside - t.Stress.Copies) // those beside calls, which are counted
		}
		p.slow += float64(g.Slow)
		p.violations += float64(g.Violations)
		told[name] = p
	}
	return told
}

// kept has a row for each promise: the bound at the link's capacity, and at its slowest.
// Copies beyond the first are slow, and those beyond the second broke the promise.
func kept(told map[string]promise) [][]string {
	names := []string{}
	for name := range told {
		names = append(names, name)
	}
	sort.Strings(names)
	rows := [][]string{{"policy, load, sharing", "bound, ms", "while slow, ms", "longest in flight, ms", "copies", "slow", "beyond"}}
	for _, name := range names {
		p := told[name]
		usual, bound, slow, beyond := "none", "", "", ""
		if p.bound > 0 {
			usual, beyond = nb.Milliseconds(p.bound), nb.Number(p.violations)
		}
		if p.usual > 0 {
			usual, bound, slow = nb.Milliseconds(p.usual), nb.Milliseconds(p.bound), nb.Number(p.slow)
		}
		rows = append(rows, []string{name, usual, bound, nb.Milliseconds(p.longest), nb.Number(p.copies), slow, beyond})
	}
	return rows
}

// most is the slowdown of a p99 up to which the figure goes.
const most = 3

// policies are those of all scenes, from that whose loads keep most of the link.
func policies(scenes []scene) []string {
	names := []string{}
	kept, seen := map[string]float64{}, map[string]float64{}
	for _, s := range scenes {
		for _, o := range s.outcomes {
			if seen[o.policy] == 0 {
				names = append(names, o.policy)
			}
			seen[o.policy]++
			if !math.IsNaN(o.kept) {
				kept[o.policy] += o.kept
			}
		}
	}
	sort.SliceStable(names, func(i, j int) bool { return kept[names[i]]/seen[names[i]] > kept[names[j]]/seen[names[j]] })
	return names
}

// row is the place of a policy among others.
func row(policy string, among []string) float64 {
	for i, p := range among {
		if p == policy {
			return float64(i)
		}
	}
	return math.NaN()
}

// drawn tells whether a panel has a point.
func drawn(panel figure.PointsSpec) bool {
	for _, s := range panel.Series {
		if len(s.X) > 0 {
			return true
		}
	}
	return false
}

// p99s is the panel of a direction and a sharing, and what has no place in it.
func p99s(scenes []scene, where string, labels []string) (panel figure.PointsSpec, beyond []string) {
	panel = figure.PointsSpec{Heading: where, XLabel: "p99 over alone", XScale: "log", Rows: labels}
	for _, s := range scenes {
		if s.place() != where {
			continue
		}
		series := figure.PointSeries{Label: s.model}
		for _, o := range s.outcomes {
			if !(o.ratio.Value <= most) {
				text := o.policy + " (" + s.String()
				if !math.IsNaN(o.ratio.Value) {
					text += fmt.Sprintf(": %.1f", o.ratio.Value)
				}
				beyond = append(beyond, text+")")
				continue
			}
			series.X, series.Y = append(series.X, o.ratio.Value), append(series.Y, row(o.policy, labels))
			series.XLow, series.XHigh = append(series.XLow, o.ratio.Low), append(series.XHigh, math.Min(o.ratio.High, most))
		}
		panel.Series = append(panel.Series, series)
	}
	if len(panel.Series) == 1 {
		panel.Series[0].Label = "" // the caption says which
	}
	return panel, beyond
}

// shares is the panel of what loads keep, by direction and sharing, the mean over models.
func shares(scenes []scene, labels []string) figure.PointsSpec {
	panel := figure.PointsSpec{Heading: "the load", XLabel: "link kept (%)", XScale: "linear", Rows: labels}
	for _, where := range places(scenes) {
		series := figure.PointSeries{Label: where}
		for i, p := range labels {
			kept, n := 0.0, 0.0
			for _, s := range scenes {
				for _, o := range s.outcomes {
					if s.place() == where && o.policy == p && !math.IsNaN(o.kept) {
						kept += o.kept
						n++
					}
				}
			}
			if n > 0 {
				series.X, series.Y = append(series.X, 100*kept/n), append(series.Y, float64(i))
			}
		}
		panel.Series = append(panel.Series, series)
	}
	return panel
}

// matrix has a row for each scene and a column for each policy.
func matrix(scenes []scene) [][]string {
	policies := policies(scenes)
	rows := [][]string{append([]string{"model"}, policies...)}
	for _, s := range scenes {
		row := []string{s.String()}
		for _, p := range policies {
			cell := ""
			for _, o := range s.outcomes {
				if o.policy == p && !math.IsNaN(o.ratio.Value) {
					cell = fmt.Sprintf("%.2f at %s", o.ratio.Value, nb.Percent(o.kept))
				}
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return rows
}

// relieved says whether each scene in one process, or in several, that needs a policy has
// one whose p99 lies within a share of that without load while it keeps so much of the link.
func relieved(scenes []scene, one bool, within, keeps float64) (verdict, because string) {
	holds, fails, doubts, few, free := 0, []string{}, []string{}, []string{}, []string{}
	for _, s := range scenes {
		if (s.sharing == "process") != one {
			continue
		}
		none, found := "", map[string]bool{}
		for _, o := range s.outcomes {
			if answer := o.relieves(within, keeps); o.policy == "none" {
				none = answer
			} else {
				found[answer] = true
			}
		}
		switch {
		case none == "yes":
			free = append(free, s.String())
		case len(found) == 0: // it was measured under no policy
		case found["yes"]:
			holds++
		case found["few"] || none == "few":
			few = append(few, s.String())
		case found["open"]:
			doubts = append(doubts, s.String())
		default:
			fails = append(fails, s.String())
		}
	}
	want := fmt.Sprintf("a policy keeps %s of the link and p99 within %s", nb.Percent(keeps), nb.Percent(within))
	if len(free) > 0 {
		want = "none is needed for " + strings.Join(free, ", ") + "; beside those " + want
	}
	all := holds + len(fails) + len(doubts) + len(few)
	switch {
	case all == 0 && len(free) > 0:
		return nb.NotIdentified, "none is needed for " + strings.Join(free, ", ")
	case all == 0:
		return nb.NotIdentified, "no such load was measured under a policy"
	case len(fails) > 0:
		return nb.Refuted, fmt.Sprintf("%s for %d of %d, and none for %s", want, holds, all, strings.Join(fails, ", "))
	case holds < all:
		because = fmt.Sprintf("%s for %d of %d", want, holds, all)
		if len(doubts) > 0 {
			because += "; the intervals leave it open for " + strings.Join(doubts, ", ")
		}
		if len(few) > 0 {
			because += "; calls are too few for a p99 of " + strings.Join(few, ", ")
		}
		return nb.NotIdentified, because
	}
	return nb.Reproduced, fmt.Sprintf("%s for all %d (chosen among policies on the same calls)", want, holds)
}

// relieves tells whether p99 lies within a share of that without load while the load keeps
// so much of the link: yes, no, open where the interval or a share that is not known leaves
// it so, or few where too few calls give no interval.
func (o outcome) relieves(within, keeps float64) string {
	switch {
	case o.kept < keeps || o.ratio.Low > 1+within:
		return "no"
	case math.IsNaN(o.ratio.High):
		return "few"
	case o.ratio.High <= 1+within && o.kept >= keeps:
		return "yes"
	}
	return "open"
}

// paired says whether calls beside one policy take longer than beside another, in one
// process: by the median ratio of their means, a pair for each model, direction and
// replicate, with the interval that its order statistics give (the sign test).
func paired(scenes []scene, slow, fast string) (verdict, because string) {
	ratios := []float64{}
	for _, s := range scenes {
		if s.sharing != "process" {
			continue
		}
		a, b := s.means(slow), s.means(fast)
		for i := range a {
			if i < len(b) {
				ratios = append(ratios, a[i]/b[i])
			}
		}
	}
	sort.Float64s(ratios)
	n := len(ratios)
	// Beyond the k-th ratio from either end the median lies with a chance of 5% at most.
	k, beyond, term := 0, 0.0, math.Exp2(-float64(n))
	for 2*(beyond+term) <= 0.05 {
		beyond += term
		term *= float64(n-k) / float64(k+1)
		k++
	}
	if k == 0 {
		return nb.NotIdentified, fmt.Sprintf("%d pairs of trials are too few: six would do", n)
	}
	middle, low, high := (ratios[(n-1)/2]+ratios[n/2])/2, ratios[k-1], ratios[n-k]
	text := fmt.Sprintf("calls beside %s take %.3g times [%.3g, %.3g] as long as beside %s, over %d pairs of trials", slow, middle, low, high, fast, n)
	switch {
	case low > 1:
		return nb.Reproduced, text
	case high < 1:
		return nb.Refuted, text
	}
	return nb.NotIdentified, text
}

// means are the mean latencies of a policy's replicates.
func (s scene) means(policy string) []float64 {
	means := []float64{}
	for _, o := range s.outcomes {
		if o.policy != policy {
			continue
		}
		for _, r := range o.set.Replicates("latency_ns") {
			means = append(means, float64(nb.Sum(r))/float64(len(r)))
		}
	}
	return means
}

// steady has a row for each scene and policy of which calls lie in slow times, or of whose
// calls without load some do: what is left out, and the p99 of the others over that of the
// others without load.
func steady(scenes []scene) [][]string {
	rows := [][]string{{"model", "load", "in", "policy", "link kept", "slow alone", "slow beside", "p99 over alone"}}
	for _, s := range scenes {
		alone, without := unhurried(s.alone)
		for _, o := range s.outcomes {
			beside, left := unhurried(o.set)
			if without+left > 0 {
				rows = append(rows, []string{s.model, s.direction, s.sharing, o.policy, nb.Percent(o.kept), nb.Percent(without), nb.Percent(left), beside.Over(alone).String()})
			}
		}
	}
	return rows
}

// unhurried estimates the p99 of calls that lie in no slow time of their trial, and tells
// the share of those that do.
func unhurried(s *nb.Set) (p99 nb.Estimate, slow float64) {
	trials, left := s.Replicates("latency_ns"), 0
	for i, calls := range trials {
		trials[i] = stats.WithoutSlow(calls)
		left += len(trials[i])
	}
	all, err := stats.Estimates(trials, []float64{0.99}, stats.Bootstrap{Seed: nb.Seed()})
	nb.Check(err)
	return all[0], 1 - float64(left)/float64(s.Len())
}

// places are the directions and sharings of scenes, each once.
func places(scenes []scene) []string {
	list := []string{}
	known := map[string]bool{}
	for _, s := range scenes {
		if !known[s.place()] {
			known[s.place()] = true
			list = append(list, s.place())
		}
	}
	return list
}
