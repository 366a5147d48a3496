package judge

import (
	"fmt"
	"slices"

	"barograph/pipeline/cell"
	"barograph/stages/recording"
	"barograph/stages/stats/law"
)

// The claims of the paper.
const (
	C1 = "the more load is applied, the longer inference takes on average"
	C2 = "inference time grows exponentially with the share of the link's bandwidth that is used"
)

func (r *Report) verdict(id, says, verdict, format string, args ...any) cell.Verdict {
	because := fmt.Sprintf(format, args...)
	if r.Simulated {
		because = "SIMULATED: " + because
	}
	return cell.Verdict{ID: id, Says: says, Verdict: verdict, Because: because}
}

// c1 judges the first claim. Calls are not independent of one another and
// medians of replicates are, so the trend is tested on those. A trend that is
// none of substance is not one: the change between the two ends must lie above
// zero, above what the baseline drifted by, and above the harness's own jitter, and
// nowhere between may the median fall by as much. It is refuted where there is no
// trend and no change that would matter anywhere, where latency falls from the
// lowest level to the highest, and where it falls on the way by more than it rises.
func (r *Report) c1() cell.Verdict {
	say := func(verdict, format string, args ...any) cell.Verdict {
		return r.verdict("C1", C1, verdict, format, args...)
	}
	switch {
	case r.Invalid != "":
		return say(cell.Invalid, "%s", r.Invalid)
	case len(r.Levels) < 2:
		return say(cell.NotIdentified, "one level was measured, and a trend needs two")
	case r.Effect == nil:
		return say(cell.NotIdentified, "n too small: there is no median of %s or %s with an interval", r.Levels[0].Label, r.Levels[len(r.Levels)-1].Label)
	}
	value, low, high := r.Effect.Share()
	because := fmt.Sprintf("median latency changes by %+.1f%% [%+.1f%%, %+.1f%%] from %s to %s; %s on replicate medians: p = %.2g (%s, n = %d)",
		100*value, 100*low, 100*high, r.Effect.From, r.Effect.To, r.Trend.Test, r.Trend.P, r.Trend.Method, r.Trend.N)
	if len(r.Tests) > 1 {
		because += fmt.Sprintf("; %s", r.differing())
	}
	if e := r.Loaded; e != nil {
		value, low, high := e.Share()
		because += fmt.Sprintf("; among loads, %+.1f%% [%+.1f%%, %+.1f%%] from %s to %s", 100*value, 100*low, 100*high, e.From, e.To)
	}
	because += r.shape()
	floor := r.floor()
	falls := r.falls(floor)
	switch {
	case high < -floor && value <= -r.options.Negligible:
		return say(cell.Refuted, "%s: latency is shorter under more load", because)
	case falls && r.Fall.Ratio.High*(1+value) < 1:
		return say(cell.Refuted, "%s: it falls by more than it rises from end to end", because)
	case r.Trend.P < r.options.Alpha && low > floor && high+floor < r.options.Negligible:
		return say(cell.Reproduced, "%s: it is there, and less than the %g%% that would matter", because, 100*r.options.Negligible)
	case r.Trend.P < r.options.Alpha && low > floor:
		return say(cell.Reproduced, "%s", because)
	case r.Trend.P >= r.options.Alpha && low <= 0 && high+floor < r.options.Negligible && !r.fell():
		return say(cell.Refuted, "%s: less than the %g%% that would matter", because, 100*r.options.Negligible)
	case floor > 0 && low > 0 && low <= floor:
		return say(cell.NotIdentified, "%s, which may be no more than the %.1f%% that the baseline drifted by or the harness jitters", because, 100*floor)
	}
	return say(cell.NotIdentified, "%s", because)
}

// falls tells whether the median falls somewhere by what matters, beyond chance and
// beyond a floor.
func (r *Report) falls(floor float64) bool {
	return r.Fall != nil && r.Fall.Ratio.High < 1-max(r.options.Negligible, floor)
}

// fell tells whether the median fell somewhere by what would matter, by chance or not.
func (r *Report) fell() bool { return r.Fall != nil && r.Fall.Ratio.Value <= 1-r.options.Negligible }

// shape says whether latency is monotone in the load, where there are more levels
// than two and it is known.
func (r *Report) shape() string {
	if len(r.Levels) < 3 {
		return ""
	}
	medians := make([]float64, len(r.Levels))
	for i, l := range r.Levels {
		medians[i] = l.Quantiles[0].Value
	}
	rises := slices.IsSorted(medians)
	slices.Reverse(medians)
	switch {
	case rises:
		return "; the medians are monotone"
	case r.Fall == nil: // a level has too few samples
		return ""
	case slices.IsSorted(medians):
		return "; the medians are monotone, and falling"
	}
	value, low, high := r.Fall.Share()
	says := "monotone but for"
	switch {
	case r.falls(0):
		says = "not monotone:"
	case r.fell():
		says = "whether it is monotone is open:"
	}
	return fmt.Sprintf("; %s %+.1f%% [%+.1f%%, %+.1f%%] from %s to %s", says, 100*value, 100*low, 100*high, r.Fall.From, r.Fall.To)
}

// differing says how many levels differ from the lowest each by itself.
func (r *Report) differing() string {
	var these []string
	possible := false
	for _, t := range r.Tests {
		possible = possible || t.Least*float64(len(r.Tests)) < r.options.Alpha
		if t.Holm < r.options.Alpha {
			these = append(these, t.Level)
		}
	}
	which := "none"
	switch {
	case !possible:
		return fmt.Sprintf("%d replicates cannot say which levels differ from %s by themselves (Mann-Whitney, Holm's correction for %d levels)", r.Levels[0].Replicates, r.Levels[0].Label, len(r.Tests))
	case len(these) > 0:
		which = list(these)
	}
	return fmt.Sprintf("differing from %s by themselves: %s (Mann-Whitney, p below %g after Holm's correction for %d levels)", r.Levels[0].Label, which, r.options.Alpha, len(r.Tests))
}

// floor is the share of the baseline's median below which an effect is none.
func (r *Report) floor() float64 {
	floor := 0.0
	if r.Drift != nil {
		floor = r.Drift.Seen()
	}
	return max(floor, r.jitter/r.Effect.Base)
}

// c2 judges the second claim, which says that latency grows and by which law: if
// it does not grow it does not grow exponentially.
func (r *Report) c2(run *recording.Run) cell.Verdict {
	say := func(verdict, format string, args ...any) cell.Verdict {
		return r.verdict("C2", C2, verdict, format, args...)
	}
	g := r.Growth
	unsteady := run.Unsteady()
	trails, out := r.trails()
	switch {
	case r.Invalid != "":
		return say(cell.Invalid, "%s", r.Invalid)
	case unsteady > r.options.Extreme:
		return say(cell.Invalid, "the bandwidth of %.0f%% of the loads was not steady, so their utilisation is no number", 100*unsteady)
	case len(r.Levels) < 2:
		return say(cell.NotIdentified, "one level was measured, and growth needs several")
	case g == nil:
		return say(cell.NotIdentified, "utilisation is unknown: the link was not calibrated, or the file has no such column")
	case r.overdriven():
		return say(cell.NotIdentified, "loads used more than %.0f%% of the calibrated capacity, so utilisation is no share of anything", 100*most)
	case g.Law == law.Exponential:
		return say(cell.Reproduced, "%s: %s", g.Because, g.Median[0])
	case g.Law != "":
		return say(cell.Refuted, "%s: %s", g.Because, g.Median[0])
	case g.Whole != nil && g.Whole.Law == law.Turns:
		behind, _ := g.Whole.Behind(law.Exponential)
		return say(cell.Refuted, "by the law of turns, over every level with those that fill the link: %s; exponential lies behind by %.1f on the median and %.1f on p99; %s",
			g.Whole.Because, behind[0], behind[1], g.Whole.Median[0])
	case g.Split != nil:
		return say(cell.Refuted, "%s", g.Split)
	case out:
		return say(cell.Refuted, "%s, but %s", g.Because, trails)
	case r.c1().Verdict == cell.Refuted:
		_, _, high := r.Effect.Share()
		highest := 0.0
		for _, l := range r.Levels {
			highest = max(highest, *l.Utilisation)
		}
		verdict := cell.Refuted
		if highest < reach {
			verdict = cell.NotIdentified
		}
		return say(verdict, "nothing grows: the median changes by at most %+.1f%% up to %.0f%% of the link, the heaviest load", 100*high, 100*highest)
	}
	because := g.Because
	if trails != "" {
		because += "; " + trails
	}
	if len(g.Median) == 0 && len(g.Saturated) > 0 {
		because += fmt.Sprintf(": %s fill the link, and more of them would say nothing about what lies below; loads with a limited rate would", list(g.Saturated))
	}
	if r.Advice != "" {
		because += "; " + r.Advice
	}
	return say(cell.NotIdentified, "%s", because)
}

// trails says how far the exponential lies behind the laws that fit best, and
// whether that rules it out; nothing where it is one of the two best.
func (r *Report) trails() (says string, out bool) {
	g := r.Growth
	if g == nil || len(g.Median) == 0 {
		return "", false
	}
	behind, out := g.Behind(law.Exponential)
	if !out && (g.Median[0].Law == law.Exponential || g.Median[1].Law == law.Exponential) {
		return "", false
	}
	says = fmt.Sprintf("exponential lies behind %s by %.1f in AICc on the median", g.Median[0].Law, behind[0])
	if g.P99 != nil {
		says += fmt.Sprintf(", and behind %s by %.1f on p99", g.P99[0].Law, behind[1])
	}
	return says, out
}

func (r *Report) overdriven() bool {
	return slices.ContainsFunc(r.Levels, func(l *Level) bool { return *l.Utilisation > most })
}
