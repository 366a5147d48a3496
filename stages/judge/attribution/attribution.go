// Package attribution says what slows an inference beside a load: how much each
// cause adds, and by how much each knob of the load changes it.
package attribution

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/gonum/stat/distuv"
)

// The experiments of an attribution: what stands beside the inference. Each moves one
// knob of Reference, or stands for one resource alone.
const (
	Alone     = "none"      // no load
	Reference = "load"      // several copies in flight, another process
	Twice     = "twice"     // as many again
	Single    = "one"       // one copy in flight
	Little    = "small"     // one copy of an eighth of the size in flight
	Half      = "half"      // half the link's capacity
	Opposite  = "opposite"  // the other way
	Device    = "device"    // as many bytes within the device's memory
	Processor = "processor" // as many bytes within host memory, by the processors
	Thread    = "thread"    // in the inference's process
)

// Causes that an attribution names. What is left of a slowdown has no name.
const (
	ByTurns     = "turns"           // waiting for the turn of a process with more copies ready
	ByQueue     = "queued bytes"    // waiting for every copy that is ready
	ByCopy      = "copy in service" // waiting for the one copy that is being served
	ByCommands  = "commands"        // a link that is busy at all
	ByMemory    = "device memory"   //
	ByProcessor = "processor"       //
	ByReady     = "copies ready"    // turns or queued bytes, not told apart
	ByAny       = "any load"        // device memory, processor or commands, not told apart
)

// A Part is one cause's share of a slowdown, in nanoseconds, with its interval.
type Part struct {
	Cause string  `json:"cause"`
	Value float64 `json:"ns"`
	Low   float64 `json:"low_ns"`
	High  float64 `json:"high_ns"`
	From  string  `json:"from"` // the experiments that it is the difference of
}

// An Elasticity is by how many percent latency changes with a percent of a knob; of a
// knob that has two positions, the logarithm of how many times latency is in the
// second what it is in the first.
type Elasticity struct {
	Knob  string  `json:"knob"`
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	From  string  `json:"from"`
	To    string  `json:"to"`
}

// An Attribution says what slows an inference beside a load.
type Attribution struct {
	// Slowdown is the median beside the load less the one without, which Parts add up
	// to; Alone is the latter.
	Slowdown     Part         `json:"slowdown"`
	Alone        float64      `json:"alone_ns"`
	Parts        []Part       `json:"parts"` // largest first
	Elasticities []Elasticity `json:"elasticities"`
	// Cause is the part that is larger than all others, together with its interval, and
	// than what matters; empty if there is none, and why.
	Cause   string `json:"cause,omitempty"`
	Because string `json:"because"`
	// Untold are causes that no experiment tells from others: their part stands in those.
	Untold []string `json:"untold,omitempty"`
}

// Attribute takes a slowdown apart by what latency does when one knob is moved:
// medians, in nanoseconds, by experiment and replicate. Intervals, at 95%, rest on how
// replicates of all experiments scatter, taken as one relative scatter; they are of
// contrasts of means, by the distribution of Student. A change of less than negligible,
// as a share of the median without load, does not matter.
func Attribute(medians map[string][]float64, negligible float64) (*Attribution, error) {
	x := contrasts{mean: map[string]float64{}, n: map[string]float64{}}
	for _, need := range []string{Alone, Reference, Single} {
		if len(medians[need]) == 0 {
			return nil, fmt.Errorf("attribute: nothing was measured of %q", need)
		}
	}
	for name, of := range medians {
		for _, v := range of {
			if !(v > 0) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("attribute: a median of %q is %v", name, v)
			}
		}
		if len(of) > 0 {
			x.add(name, of)
		}
	}
	if x.freedom < 1 {
		return nil, errors.New("attribute: one replicate of each experiment says nothing of intervals")
	}
	a := &Attribution{Alone: x.mean[Alone], Slowdown: x.part("slowdown", Reference, Alone)}
	a.Parts = x.parts(a)
	a.Elasticities = x.elasticities()
	a.name(negligible * a.Alone)
	return a, nil
}

// contrasts are means of replicates with one relative scatter.
type contrasts struct {
	mean, n         map[string]float64
	square, freedom float64 // of deviations of logarithms
}

func (x *contrasts) add(name string, of []float64) {
	n := float64(len(of))
	mean, log := 0.0, 0.0
	for _, v := range of {
		mean += v / n
		log += math.Log(v) / n
	}
	for _, v := range of {
		x.square += (math.Log(v) - log) * (math.Log(v) - log)
	}
	x.freedom += n - 1
	x.mean[name], x.n[name] = mean, n
}

// half is half the width of an interval of a sum whose terms have such standard errors.
func (x *contrasts) half(variance float64) float64 {
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: x.freedom}.Quantile(0.975)
	return t * math.Sqrt(variance)
}

// variance of an experiment's mean, relative.
func (x *contrasts) variance(name string) float64 { return x.square / x.freedom / x.n[name] }

// has tells whether experiments were measured.
func (x *contrasts) has(names ...string) bool {
	return !slices.ContainsFunc(names, func(n string) bool { return x.n[n] == 0 })
}

// part is the difference of two experiments.
func (x *contrasts) part(cause, of, less string) Part {
	return x.sum(cause, map[string]float64{of: 1, less: -1}, of+" - "+less)
}

func (x *contrasts) sum(cause string, weights map[string]float64, from string) Part {
	p := Part{Cause: cause, From: from}
	variance := 0.0
	for _, name := range sorted(weights) { // in a fixed order
		w := weights[name]
		p.Value += w * x.mean[name]
		variance += w * w * x.mean[name] * x.mean[name] * x.variance(name)
	}
	h := x.half(variance)
	p.Low, p.High = p.Value-h, p.Value+h
	return p
}

// parts add up to the slowdown: each is what one experiment more brings about.
func (x *contrasts) parts(a *Attribution) (parts []Part) {
	// What any load does, to the memory and to the processors.
	rest := map[string]float64{Alone: -1}
	from := " - " + Alone
	for _, c := range []struct{ cause, experiment string }{{ByMemory, Device}, {ByProcessor, Processor}} {
		if !x.has(c.experiment) {
			a.Untold = append(a.Untold, c.cause)
			continue
		}
		parts = append(parts, x.part(c.cause, c.experiment, Alone))
		rest[c.experiment] -= 1
		rest[Alone]++
		from += fmt.Sprintf(" - (%s - %s)", c.experiment, Alone)
	}
	lowest := Single
	if x.has(Little) {
		lowest = Little
		parts = append(parts, x.part(ByCopy, Single, Little))
	} else {
		a.Untold = append(a.Untold, ByCommands)
	}
	rest[lowest]++
	cause := ByCommands
	if lowest == Single {
		cause = ByCopy
	}
	left := x.sum(cause, rest, lowest+from)
	if len(rest) > 2 && left.High < 0 {
		// A resource alone was stressed by more than a light load is of it: copies within a
		// device, for one, are made by its multiprocessors. What it took is no part then.
		parts = slices.DeleteFunc(parts, func(p Part) bool { return p.Cause == ByMemory || p.Cause == ByProcessor })
		a.Untold = append(a.Untold, fmt.Sprintf("which of %s, %s and %s, since each alone was stressed more than a light load does", ByMemory, ByProcessor, ByCommands))
		left = x.part(ByAny, lowest, Alone)
	}
	parts = append(parts, left)
	ready := x.part(x.kind(), Reference, Single)
	if ready.Cause == ByReady {
		a.Untold = append(a.Untold, "which of "+ByTurns+" and "+ByQueue)
	}
	parts = append(parts, ready)
	slices.SortStableFunc(parts, func(a, b Part) int {
		switch {
		case a.Value > b.Value:
			return -1
		case a.Value < b.Value:
			return 1
		}
		return 0
	})
	return parts
}

// kind tells a wait for turns, which does not depend on how many copies are ready, from
// one for all of them, which does.
func (x *contrasts) kind() string {
	if !x.has(Twice) {
		return ByReady
	}
	// ln(wait twice / wait) / ln 2, by the method of the delta.
	once, twice := x.mean[Reference]-x.mean[Alone], x.mean[Twice]-x.mean[Alone]
	if once <= 0 || twice <= 0 {
		return ByReady
	}
	e := math.Log(twice/once) / math.Ln2
	variance := 0.0
	slopes := map[string]float64{Twice: 1 / twice, Reference: -1 / once, Alone: 1/once - 1/twice}
	for _, name := range sorted(slopes) {
		d := slopes[name]
		variance += d * d * x.mean[name] * x.mean[name] * x.variance(name)
	}
	h := x.half(variance) / math.Ln2
	switch {
	case e+h < 0.5:
		return ByTurns
	case e-h > 0.5:
		return ByQueue
	}
	return ByReady
}

// elasticities of latency.
func (x *contrasts) elasticities() (out []Elasticity) {
	for _, k := range []struct {
		knob, from, to string
		times          float64 // of the knob; 0 for one of two positions
	}{
		{"share of the link", Half, Reference, 2},
		{"copies in flight, from one on", Single, Reference, 4},
		{"copies in flight, from several on", Reference, Twice, 2},
		{"bytes of a copy", Little, Single, 8},
		{"direction", Reference, Opposite, 0},
		{"a copy within the device", Alone, Device, 0},
		{"the processor", Alone, Processor, 0},
		{"process or thread", Reference, Thread, 0},
		{"MPS or not, without load", Alone, "mps", 0},
		{"MPS or not, beside the load", Reference, "mps-beside", 0},
		{"CUDA graph or not, without load", Alone, "launches", 0},
		{"CUDA graph or not, beside the load", Reference, "launches-beside", 0},
		{"size across the small path, without load", Alone, "larger", 0},
		{"size across the small path, beside the load", Reference, "larger-beside", 0},
	} {
		if !x.has(k.from, k.to) {
			continue
		}
		per := 1.0
		if k.times > 0 {
			per = math.Log(k.times)
		}
		e := Elasticity{Knob: k.knob, From: k.from, To: k.to, Value: math.Log(x.mean[k.to]/x.mean[k.from]) / per}
		h := x.half(x.variance(k.from)+x.variance(k.to)) / per
		e.Low, e.High = e.Value-h, e.Value+h
		out = append(out, e)
	}
	return out
}

// name says which part is the cause.
func (a *Attribution) name(matters float64) {
	s := a.Slowdown
	switch {
	case s.High < matters:
		a.Because = "the load slows nothing that matters"
		return
	case s.Low < matters:
		a.Because = "whether the load slows anything that matters cannot be told from the scatter of replicates"
		return
	}
	first, second := a.Parts[0], a.Parts[1]
	for _, p := range a.Parts {
		if p.High < -matters {
			a.Because = fmt.Sprintf("the parts do not belong together: %s would take %.3f ms away", p.Cause, -p.Value/1e6)
			return
		}
	}
	switch {
	case first.Cause == ByReady:
		a.Because = "turns and queued bytes cannot be told apart"
	case first.Low <= second.High:
		a.Because = fmt.Sprintf("%s and %s cannot be told apart", first.Cause, second.Cause)
	case first.Low < s.Value/2:
		a.Because = fmt.Sprintf("%s, the largest part, may be less than half", first.Cause)
	default:
		a.Cause = first.Cause
		a.Because = fmt.Sprintf("%s makes %.0f%% of the slowdown, at least %.0f%%", first.Cause, 100*first.Value/s.Value, 100*first.Low/s.Value)
	}
}

// Table returns the parts and what they add up to, as text.
func (a *Attribution) Table() [][]string {
	row := func(p Part) []string {
		return []string{p.Cause, fmt.Sprintf("%+.3f [%+.3f, %+.3f]", p.Value/1e6, p.Low/1e6, p.High/1e6), fmt.Sprintf("%.0f%%", 100*p.Value/a.Slowdown.Value), p.From}
	}
	rows := [][]string{{"blame", "ms [95%]", "share", "from"}}
	sum := 0.0
	for _, p := range a.Parts {
		rows = append(rows, row(p))
		sum += p.Value
	}
	left := a.Slowdown
	left.Cause, left.From = "left", "slowdown - parts"
	left.Low, left.High, left.Value = left.Low-sum, left.High-sum, left.Value-sum
	if math.Abs(left.Value) > 1e-9*a.Alone {
		rows = append(rows, row(left))
	}
	return append(rows, row(a.Slowdown))
}

// Numbers returns the parts and the slowdown in nanoseconds.
func (a *Attribution) Numbers() [][]string {
	rows := [][]string{{"cause", "ns", "low_ns", "high_ns", "from"}}
	for _, p := range append(slices.Clone(a.Parts), a.Slowdown) {
		rows = append(rows, []string{p.Cause, whole(p.Value), whole(p.Low), whole(p.High), p.From})
	}
	return rows
}

// Knobs returns the elasticities as text.
func (a *Attribution) Knobs() [][]string {
	rows := [][]string{{"knob", "from", "to", "elasticity [95%]"}}
	for _, e := range a.Elasticities {
		rows = append(rows, []string{e.Knob, e.From, e.To, fmt.Sprintf("%+.3f [%+.3f, %+.3f]", e.Value, e.Low, e.High)})
	}
	return rows
}

// whole writes nanoseconds.
func whole(ns float64) string { return strconv.FormatFloat(math.Round(ns), 'f', -1, 64) }

func sorted(m map[string]float64) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
