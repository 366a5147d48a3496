// Package turns judges what is claimed of the turns that a copy engine takes between
// processes, on recordings of several models beside a full link and on link cards:
//
//   - T1: latency beside a full link is the own time rounded up to a turn
//   - T2: the turn grows with the number of loads
//   - T3: a kernel alone is not delayed
//   - T4: MPS removes the small path
//
// Each can be refuted, as the paper's claims can.
package turns

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"

	"barograph/pipeline/cell"
	"barograph/pipeline/manifest"
	"barograph/stages/judge/command"
	"barograph/stages/link"
	"barograph/stages/prediction"
	"barograph/stages/stats"
	"barograph/stages/stats/law"
)

// Says are the claims, by ID.
var Says = map[string]string{
	"T1": "latency beside a full link is the own time rounded up to a turn",
	"T2": "the turn grows with the number of loads",
	"T3": "a kernel alone is not delayed",
	"T4": "MPS removes the small path",
}

// A Judgement is a verdict with the effect that it rests on: of T1 the turn over the
// card's, of T2 the wait beside the most loads over as many waits beside one, of T3 the
// kernel's median over the one without load, each less one. It is NaN where there is none.
type Judgement struct {
	cell.Verdict
	Effect float64
}

func judgement(id, verdict string, effect float64, format string, args ...any) Judgement {
	return Judgement{cell.Verdict{ID: id, Says: Says[id], Verdict: verdict, Because: fmt.Sprintf(format, args...)}, effect}
}

const (
	negligible = 0.05 // change that is taken for none
	sets       = 50   // simulated of each law
	seed       = 1
)

// Staircase judges T1 on models beside a full link of another process, each a step, in
// those directions in which a load delays them at all: on the small path nothing is
// rounded.
func Staircase(cases []*prediction.Case, card *link.Card) (Judgement, error) {
	say := func(verdict string, effect float64, format string, args ...any) (Judgement, error) {
		return judgement("T1", verdict, effect, format, args...), nil
	}
	m := prediction.FromCard(card, false)
	var points []law.Point
	for _, c := range cases {
		p, ok := step(m, c)
		if !ok {
			continue
		}
		replicates := c.Calls
		if len(slices.MinFunc(replicates, func(a, b []int64) int { return len(a) - len(b) })) < stats.Needed(0.99, stats.Confidence) {
			replicates = [][]int64{slices.Concat(replicates...)} // one alone has no p99
		}
		for _, calls := range replicates {
			e, err := stats.NewECDF(calls)
			if err != nil {
				return Judgement{}, err
			}
			p.Median = float64(e.Quantile(0.5))
			p99, err := e.Interval(0.99, stats.Confidence)
			if err != nil {
				return Judgement{}, err
			}
			p.P99 = p99.Value
			points = append(points, p)
		}
	}
	c, err := law.Stairs(points)
	if err != nil {
		return Judgement{}, err
	}
	if len(c.Median) == 0 {
		return say(cell.NotIdentified, math.NaN(), "%s", c.Because)
	}
	could := ""
	if d, ok := c.Design(); ok {
		m := d.Confuse(sets, seed)
		could = fmt.Sprintf("; were it true, %d own times like these would show turns in %.0f%% of simulated sets, and a line, were that true, in %.0f%%", c.Levels, 100*m.Share(law.Turns, law.Turns), 100*m.Share(law.Line, law.Line))
	}
	at := slices.IndexFunc(c.Median, func(f law.Fit) bool { return f.Law == law.Turns })
	turn := c.Median[at].B
	effect := math.NaN()
	for _, w := range card.Ways {
		if w.Turn.Seen {
			effect = turn/w.Turn.Length.Value - 1
		}
	}
	_, out := c.Behind(law.Turns)
	switch {
	case c.Law == law.Turns:
		return say(cell.Reproduced, effect, "%s: turns of %.4f ms, and a model left out is missed by %.1f%%%s", c.Because, turn/1e6, 100*math.Expm1(c.Median[0].CV), could)
	case c.Law != "" || out:
		return say(cell.Refuted, effect, "%s: %s%s", c.Because, c.Median[0], could)
	}
	return say(cell.NotIdentified, effect, "%s%s", c.Because, could)
}

// step is a case as a step of the staircase, without its latency; not ok where it is
// none.
func step(m *prediction.Machine, c *prediction.Case) (p law.Point, ok bool) {
	l := &c.Condition
	if l.Class() != "full link" || l.MPS || len(c.Own.Calls) == 0 {
		return p, false
	}
	for i, d := range prediction.Ways {
		if d.String() != l.Direction {
			continue
		}
		copies := c.Own.Out
		if i == 0 {
			copies = nil
			for _, b := range c.Own.In {
				if b > m.Link.SmallBehind {
					copies = append(copies, b)
				}
			}
		}
		if len(copies) == 0 {
			return p, false
		}
		p = law.Point{Level: c.Own.Model, Own: c.Own.Quantile(0.5), OwnP99: c.Own.Quantile(0.99), Loads: float64(l.Loads)}
		if c.Own.Sequence > 0 {
			p.Level += fmt.Sprintf(" %d x %d", c.Own.Batch, c.Own.Sequence)
		}
		for _, b := range copies {
			p.Copy += float64(b) / m.Capacity[i] * 1e9
		}
		return p, p.Copy < p.Own
	}
	return p, false
}

// Loads judges T2 on the waits beside one to several loads of one shape.
func Loads(card *link.Card) Judgement {
	say := func(verdict string, effect float64, format string, args ...any) Judgement {
		return judgement("T2", verdict, effect, format, args...)
	}
	if why := invalid(card); why != "" {
		return say(cell.Invalid, math.NaN(), "%s", why)
	}
	effect, because, seen := 0.0, "", 0
	verdict := cell.Reproduced
	for _, d := range prediction.Ways {
		w := card.Ways[d.String()]
		if w == nil || !w.Turn.Seen {
			continue
		}
		waits := alike(w.Turn.Loads)
		if len(waits) < 2 {
			continue
		}
		seen++
		first, last := waits[0], waits[len(waits)-1]
		n := float64(last.Processes) / float64(first.Processes)
		if e := last.Wait.Value/(n*first.Wait.Value) - 1; math.Abs(e) >= math.Abs(effect) {
			effect = e
		}
		because += fmt.Sprintf("; %v, ", d)
		for i, x := range waits {
			if i > 0 {
				because += ", "
			}
			because += fmt.Sprintf("%d: %.3f ms", x.Processes, x.Wait.Value/1e6)
			if i > 0 && x.Wait.Low <= waits[i-1].Wait.High {
				verdict = cell.NotIdentified
			}
		}
		if last.Wait.High < (1+negligible)*first.Wait.High {
			verdict = cell.Refuted
		}
	}
	if seen == 0 {
		return say(cell.NotIdentified, math.NaN(), "the card holds no turn, or one number of loads")
	}
	return say(verdict, effect, "waits by the number of loading processes%s", because)
}

// alike returns the loads that differ in nothing but how many processes they are, the
// shape of which most are, by number.
func alike(loads []link.Loads) (best []link.Loads) {
	for _, x := range loads {
		var like []link.Loads
		for _, y := range loads {
			shape := y.Load
			shape.Processes = x.Processes
			if shape == x.Load {
				like = append(like, y)
			}
		}
		if len(like) > len(best) {
			best = like
		}
	}
	slices.SortStableFunc(best, func(a, b link.Loads) int { return a.Processes - b.Processes })
	return best
}

// Kernel judges T3 on a kernel without a copy.
func Kernel(card *link.Card) Judgement {
	say := func(verdict string, effect float64, format string, args ...any) Judgement {
		return judgement("T3", verdict, effect, format, args...)
	}
	if why := invalid(card); why != "" {
		return say(cell.Invalid, math.NaN(), "%s", why)
	}
	effect, because, verdict := math.NaN(), "", cell.Reproduced
	for _, d := range prediction.Ways {
		w := card.Ways[d.String()]
		if w == nil || w.Turn.Kernel.Alone <= 0 || w.Turn.Kernel.P50 <= 0 {
			continue
		}
		k := w.Turn.Kernel
		over := func(v int64) float64 { return float64(v)/float64(k.Alone) - 1 }
		if e := over(k.P50); math.IsNaN(effect) || math.Abs(e) > math.Abs(effect) {
			effect = e
		}
		because += fmt.Sprintf("; beside a load %v %.3f ms, nine in ten below %.3f, and %.3f without (%d calls)", d, float64(k.P50)/1e6, float64(k.P90)/1e6, float64(k.Alone)/1e6, k.Calls)
		switch {
		case over(k.P10) > negligible:
			verdict = cell.Refuted
		case over(k.P90) > negligible && verdict != cell.Refuted:
			verdict = cell.NotIdentified
		}
	}
	if because == "" {
		return say(cell.NotIdentified, effect, "the card holds no kernel without a copy")
	}
	return say(verdict, effect, "%s", because[2:])
}

// SmallCopies judges T4 on models none of whose inputs is larger than the small path
// takes, beside a load towards the device: without MPS no replicate may be slower by
// what matters, and through it each has to be.
func SmallCopies(cases []*prediction.Case, card *link.Card) Judgement {
	limit := prediction.FromCard(card, false).Link.SmallBehind
	without, through := map[string][2]float64{}, map[string][2]float64{} // least and most change, by model
	for _, c := range cases {
		l := &c.Condition
		if l.Direction != "h2d" || l.Class() != "full link" || len(c.Own.In) == 0 || slices.Max(c.Own.In) > limit {
			continue
		}
		least, most := math.Inf(1), math.Inf(-1)
		for _, calls := range c.Calls {
			change := (&prediction.Baseline{Calls: [][]int64{calls}}).Quantile(0.5)/c.Own.Quantile(0.5) - 1
			least, most = min(least, change), max(most, change)
		}
		of := without
		if l.MPS {
			of = through
		}
		of[fmt.Sprintf("%s %d x %d", c.Own.Model, c.Own.Batch, c.Own.Sequence)] = [2]float64{least, most}
	}
	for _, model := range slices.Sorted(maps.Keys(through)) {
		a, ok := without[model]
		if !ok {
			continue
		}
		b := through[model]
		because := fmt.Sprintf("%s, whose inputs take the small path, beside a full link towards the device: without MPS %+.1f%% to %+.1f%%, through it %+.1f%% to %+.1f%%", model, 100*a[0], 100*a[1], 100*b[0], 100*b[1])
		switch {
		case a[1] < negligible && b[0] > negligible:
			return judgement("T4", cell.Reproduced, b[0], "%s", because)
		case b[1] < negligible:
			return judgement("T4", cell.Refuted, b[1], "%s", because)
		}
		return judgement("T4", cell.NotIdentified, b[0], "%s", because)
	}
	return judgement("T4", cell.NotIdentified, math.NaN(), "no model with small inputs was recorded beside a load towards the device, without MPS and through it")
}

// MPS judges T4 on two cards of a machine, measured without and through MPS; either may
// be nil.
func MPS(without, through *link.Card) Judgement {
	say := func(verdict, format string, args ...any) Judgement {
		return judgement("T4", verdict, math.NaN(), format, args...)
	}
	switch {
	case without == nil || through == nil || without.MPS || !through.MPS:
		return say(cell.NotIdentified, "it takes two cards, measured without MPS and through it")
	case invalid(without) != "" || invalid(through) != "":
		return say(cell.Invalid, "%s", invalid(without)+invalid(through))
	}
	a, b := without.Ways["h2d"], through.Ways["h2d"]
	if a == nil || b == nil || a.Small.Idle <= 0 || b.Small.Idle < 0 {
		return say(cell.NotIdentified, "no small path was told apart without MPS, or nothing through it")
	}
	because := fmt.Sprintf("the largest copy that no load delays: without MPS %d bytes with nothing pending and %d behind a kernel, through it %d and %d", a.Small.Idle, a.Small.Behind, b.Small.Idle, b.Small.Behind)
	switch {
	case b.Small.Idle == 0 && b.Small.Behind == 0:
		return say(cell.Reproduced, "%s", because)
	case b.Small.Idle >= a.Small.Idle && b.Small.Behind >= a.Small.Behind:
		return say(cell.Refuted, "%s", because)
	}
	return say(cell.NotIdentified, "%s: smaller, and not gone", because)
}

func invalid(card *link.Card) string {
	if len(card.Invalid) == 0 {
		return ""
	}
	return "the link card: " + card.Invalid[0]
}

// Judgings are for a manifest of claims.
func Judgings() map[string]command.Judging {
	of := map[string]command.Judging{}
	for id := range Says {
		of[id] = func(e manifest.Expectation) (string, float64, error) {
			j, err := Judge(".", id, e.Recording, e.Link)
			return j.Verdict.Verdict, j.Effect, err
		}
	}
	return of
}

// Judge judges one claim: T1 on a recording, by the card of its machine, T2 and T3 on a
// card, and T4 on either, where the other card is then the one through MPS. Paths are
// below root.
func Judge(root, claim, recording, card string) (Judgement, error) {
	if claim == "T1" || claim == "T4" && filepath.Ext(recording) != ".json" {
		of, err := link.Read(filepath.Join(root, card))
		if err != nil {
			return Judgement{}, err
		}
		_, cases, err := prediction.Read(root, filepath.Join(root, recording), "")
		if err != nil {
			return Judgement{}, err
		}
		if claim == "T4" {
			return SmallCopies(cases, of), nil
		}
		return Staircase(cases, of)
	}
	of, err := link.Read(filepath.Join(root, recording))
	if err != nil {
		return Judgement{}, err
	}
	switch claim {
	case "T2":
		return Loads(of), nil
	case "T3":
		return Kernel(of), nil
	case "T4":
		if card == "" {
			return MPS(of, nil), nil
		}
		through, err := link.Read(filepath.Join(root, card))
		if err != nil {
			return Judgement{}, err
		}
		return MPS(of, through), nil
	}
	return Judgement{}, fmt.Errorf("no claim %q of turns", claim)
}
