package judge

import (
	"math"

	"barograph/pipeline/cell"
)

// Nothing judges the claim that a level, as in level=2, changes the median by less
// than is taken for nothing (rule 14). It is a test of equivalence (Schuirmann, "A
// Comparison of the Two One-Sided Tests Procedure and the Power Approach for
// Assessing the Equivalence of Average Bioavailability", Journal of
// Pharmacokinetics and Biopharmaceutics 15, 1987): the whole interval, widened by
// what the baseline moved, lies within that share. The interval holds together
// with those of the other levels, so that verdicts on several do too.
func (r *Report) Nothing(level string) cell.Verdict {
	say := func(verdict, format string, args ...any) cell.Verdict {
		return r.verdict("", "", verdict, format, args...)
	}
	if r.Invalid != "" {
		return say(cell.Invalid, "%s", r.Invalid)
	}
	for _, s := range r.Shifts {
		if s.After != level {
			continue
		}
		median := s.Deciles[4]
		if median.Change.Doubt != "" {
			return say(cell.NotIdentified, "%s", median.Change.Doubt)
		}
		low, high := median.Change.Low/median.Before, median.Change.High/median.Before
		floor := 0.0
		if r.Drift != nil {
			floor = r.Drift.Seen()
		}
		most := r.options.Negligible
		verdict := cell.NotIdentified
		switch {
		case math.Max(-low, high)+floor < most:
			verdict = cell.Reproduced
		case low-floor > most || high+floor < -most:
			verdict = cell.Refuted
		}
		return say(verdict, "the median changes by %+.2f%% [%+.2f%%, %+.2f%%] from %s to %s, where %g%% is taken for nothing; the baseline moved by %.2g%%; intervals of %d levels hold together",
			100*median.Change.Value/median.Before, 100*low, 100*high, s.Before, level, 100*most, 100*floor, len(r.Shifts))
	}
	return say(cell.NotIdentified, "%s was not measured", level)
}

// Harness judges the claim that timing adds nothing to a call: what the harness
// takes for an empty one is less than a hundredth of the median without load.
func (r *Report) Harness() cell.Verdict {
	base := r.Levels[0].Quantiles[0].Value
	switch {
	case r.Invalid != "":
		return r.verdict("", "", cell.Invalid, "%s", r.Invalid)
	case r.jitter == 0 || math.IsNaN(base):
		return r.verdict("", "", cell.NotIdentified, "what the harness takes for an empty call was not recorded, or there is no median to set beside it")
	case r.jitter < base/100:
		return r.verdict("", "", cell.Reproduced, "an empty call takes %.0f ns, %.2g%% of the median at %s", r.jitter, 100*r.jitter/base, r.Levels[0].Label)
	}
	return r.verdict("", "", cell.Refuted, "an empty call takes %.0f ns, %.2g%% of the median at %s", r.jitter, 100*r.jitter/base, r.Levels[0].Label)
}
