package prediction

import (
	"fmt"
	"math"
	"strings"

	"barograph/stages/stats"
)

// unslowed returns cases without the calls of slow times, beside loads and without.
func unslowed(cases []*Case) []*Case {
	owns := map[*Baseline]*Baseline{}
	left := func(calls [][]int64) (out [][]int64) {
		for _, of := range calls {
			out = append(out, stats.WithoutSlow(of))
		}
		return out
	}
	var out []*Case
	for _, c := range cases {
		if owns[c.Own] == nil {
			o := *c.Own
			o.Calls = left(o.Calls)
			owns[c.Own] = &o
		}
		without := *c
		without.Own, without.Calls = owns[c.Own], left(c.Calls)
		out = append(out, &without)
	}
	return out
}

// join puts scores without slow times beside those of all calls.
func join(scores, without []*Score) []*Score {
	for i, s := range without {
		scores[i].Steady = s
	}
	return scores
}

func count(trials [][]int64) (calls int) {
	for _, of := range trials {
		calls += len(of)
	}
	return calls
}

// A slowness counts slow times.
type slowness struct {
	trials, times, calls, slow int
	span, within               int64 // nanoseconds
}

func (s *slowness) add(trials [][]int64) {
	for _, calls := range trials {
		s.trials++
		s.calls += len(calls)
		for _, l := range calls {
			s.span += l
		}
		for _, t := range stats.SlowTimes(calls) {
			s.times++
			s.slow += t[1] - t[0]
			for _, l := range calls[t[0]:t[1]] {
				s.within += l
			}
		}
	}
}

// summariseSteady writes which slow times there are in the recordings, and what
// predictions are worth without them, beside what they are worth.
func summariseSteady(b *strings.Builder, scores []*Score) {
	fmt.Fprint(b, "\nSlow times, and what of the recordings they are:\n\n| study | calls | trials | slow times | calls within | share of the time |\n|---|---|---|---|---|---|\n")
	var studies []string
	found := map[string]*[2]slowness{} // without load, and beside one
	read := map[*Baseline]bool{}
	for _, s := range scores {
		if found[s.Study] == nil {
			studies, found[s.Study] = append(studies, s.Study), &[2]slowness{}
		}
		if !read[s.Own] {
			found[s.Study][0].add(s.Own.Calls)
		}
		read[s.Own] = true
		found[s.Study][1].add(s.Calls)
	}
	for _, study := range studies {
		for i, s := range found[study] {
			fmt.Fprintf(b, "| `%s` | %s | %d | %d | %d of %d | %.1f%% |\n", study, []string{"without load", "beside loads"}[i], s.trials, s.times, s.slow, s.calls, 100*float64(s.within)/float64(s.span))
		}
	}
	fmt.Fprint(b, "\nPredictions of all calls, and of calls and from calls without slow times:\n\n| loads | quantile | within what is allowed: all, without | worst: all, without | inside the 90% interval: all, without |\n|---|---|---|---|---|\n")
	for _, g := range groups {
		for i, q := range Quantiles {
			var n int
			var good, inside [2]int
			var worst [2]float64
			for _, s := range scores {
				if !g.holds(s) {
					continue
				}
				n++
				for k, s := range []*Score{s, s.Steady} {
					worst[k] = max(worst[k], math.Abs(s.Error(i)))
					if s.good(i) {
						good[k]++
					}
					if s.Inside(i) {
						inside[k]++
					}
				}
			}
			if n == 0 {
				continue
			}
			within := "none asked"
			if _, ok := allowed(g.class, i); ok {
				within = fmt.Sprintf("%d, %d of %d", good[0], good[1], n)
			}
			fmt.Fprintf(b, "| %s | %s | %s | %.1f%%, %.1f%% | %d, %d of %d |\n", g.name(), stats.Name(q), within, 100*worst[0], 100*worst[1], inside[0], inside[1], n)
		}
	}
	fmt.Fprint(b, "\nPredictions or intervals that miss; taken out are slow calls, in so many of the trials, without load and beside it:\n\n| study | model | load | quantile | measured, ms [95%] | predicted, ms [90%] | error | taken out | measured then | predicted then | error then | misses |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, s := range scores {
		w := s.Steady
		out := fmt.Sprintf("%d in %d of %d, %d in %d of %d", count(s.Own.Calls)-count(w.Own.Calls), slowTrials(s.Own.Calls), len(s.Own.Calls), count(s.Calls)-count(w.Calls), slowTrials(s.Calls), len(s.Calls))
		for i, q := range Quantiles {
			misses := ""
			switch {
			case s.misses(i) && w.misses(i):
				misses = "both"
			case s.misses(i):
				misses = "all"
			case w.misses(i):
				misses = "without"
			default:
				continue
			}
			fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s | %s | %s |\n", s.Study, s.model(), s.Load(), stats.Name(q), s.text(i), out, w.text(i), misses)
		}
	}
}

// text has what was measured, what predicted, and the error.
func (s *Score) text(i int) string {
	e, of := s.Prediction.Estimates[i], "n too small"
	if m := s.interval(i); m.Doubt == "" {
		of = fmt.Sprintf("%.3f, %.3f", m.Low/1e6, m.High/1e6)
	}
	return fmt.Sprintf("%.3f [%s] | %.3f [%.3f, %.3f] | %+.1f%%", s.Measured[i]/1e6, of, e.Value/1e6, e.Low/1e6, e.High/1e6, 100*s.Error(i))
}

// interval is what was measured with its 95% interval.
func (s *Score) interval(i int) stats.Estimate {
	of, err := stats.Estimates(s.Calls, Quantiles[i:i+1], stats.Bootstrap{Seed: 1})
	if err != nil {
		return stats.Estimate{Doubt: err.Error()}
	}
	return of[0]
}

// slowTrials counts trials that have slow times.
func slowTrials(trials [][]int64) (n int) {
	for _, calls := range trials {
		if len(stats.SlowTimes(calls)) > 0 {
			n++
		}
	}
	return n
}
