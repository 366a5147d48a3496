package nb

import (
	"cmp"
	"errors"
	"math"
	"strconv"

	"barograph/stages/recording"
	"barograph/stages/stats"
	"barograph/stages/stats/law"
)

// An Estimate is a quantile of latencies with its interval, in nanoseconds; Over gives
// how many times another it is.
type Estimate = stats.Estimate

// A Ratio is how many times one estimate is another, with an interval.
type Ratio = stats.Ratio

// Replicates returns a column of whole numbers split by replicate, in order of
// replicates, samples in the order taken.
func (s *Set) Replicates(name string) [][]int64 {
	return called("Set.Replicates", name).replicates(s, name)
}

func (c call) replicates(s *Set, column string) [][]int64 {
	split, err := s.table.Split("replicate", column)
	c.check(err)
	return split
}

// Lag1 returns the lag-1 autocorrelation of latency_ns within replicates, and
// how many independent samples the set is worth.
func (s *Set) Lag1() (r, effective float64) {
	r = stats.Lag1(called("Set.Lag1").replicates(s, "latency_ns"))
	return r, stats.EffectiveN(s.Len(), r)
}

// Quantiles estimates quantiles of latency_ns with their 95% intervals, in the
// order asked for: from order statistics, or, where samples depend on one another
// so much that fewer than half of them count, from a bootstrap (rules 6 and 7).
func (s *Set) Quantiles(qs ...float64) []Estimate {
	c := called("Set.Quantiles", qs)
	estimates, err := stats.Estimates(c.replicates(s, "latency_ns"), qs, stats.Bootstrap{Seed: c.seed()})
	c.check(err)
	return estimates
}

// Milliseconds writes nanoseconds as milliseconds, to a thousandth below 10 and
// four digits above, and NaN as "n too small".
func Milliseconds(ns float64) string { return stats.Milliseconds(ns) }

// Number writes a number so that it reads back exactly, and NaN as nothing.
func Number(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// Percent writes a share from 0 to 1 as "38%", and NaN as "unknown".
func Percent(share float64) string {
	if math.IsNaN(share) {
		return "unknown"
	}
	return strconv.FormatFloat(100*share, 'f', 0, 64) + "%"
}

// Drift compares no-load samples measured at several times of a run (rule 9), by
// the drawn order of their cells; margin is the share of the first median by
// which later ones may differ before the run is INVALID.
func Drift(baseline *Set, margin float64) stats.Drift {
	latencies := try(baseline.table.Split("seq", "latency_ns")).or("Drift")
	return try(stats.BaselineDrift(latencies, stats.Confidence, margin)).or("Drift")
}

// Trend tests whether the medians of replicates grow from group to group, the
// groups in the order given.
func Trend(groups []*Set) stats.Trend {
	c := called("Trend")
	medians := make([][]float64, len(groups))
	for i, g := range groups {
		for _, r := range c.replicates(g, "latency_ns") {
			ecdf := try(stats.NewECDF(r)).or("Trend")
			medians[i] = append(medians[i], float64(ecdf.Quantile(0.5)))
		}
	}
	return try(stats.JonckheereTerpstra(medians, 10000, c.seed())).or("Trend")
}

// Slowdown returns how many times quantile q of one set is that of another, with
// the 95% interval of the ratio from a bootstrap over replicates (rules 6 and 7).
func Slowdown(before, after *Set, q float64) stats.Interval {
	c := called("Slowdown", q)
	return try(stats.BootstrapRatio(c.replicates(before, "latency_ns"), c.replicates(after, "latency_ns"), q,
		stats.Bootstrap{Confidence: stats.Confidence, Seed: c.seed()})).or("Slowdown", q)
}

// Growth says which law latency follows as the link fills, from one point for
// each replicate of each level (rule 12).
func Growth(levels []*Set) law.Growth {
	var points []law.Point
	for _, level := range levels {
		for _, r := range try(level.table.By("replicate")).or("Growth") {
			points = append(points, try(point(level.Label, r)).or("Growth"))
		}
	}
	return try(law.Grow(points)).or("Growth")
}

func point(label string, r *recording.Table) (p law.Point, err error) {
	mean := func(column string) float64 {
		m, bad := r.Mean(column)
		err = cmp.Or(err, bad)
		return m
	}
	p = law.Point{Level: label, Utilisation: mean("utilisation")}
	if err == nil && math.IsNaN(p.Utilisation) {
		return p, errors.New(label + ": utilisation is unknown, since the link was not calibrated")
	}
	if p.Utilisation > 0 {
		capacity := mean("achieved_bytes_per_s") / p.Utilisation
		p.Service = mean("block_bytes") / capacity * 1e9
		p.Queued = mean("threads") * mean("outstanding") * p.Service
	}
	if err != nil {
		return p, err
	}
	latencies, err := r.Ints("latency_ns")
	if err != nil {
		return p, err
	}
	ecdf, err := stats.NewECDF(latencies)
	if err != nil {
		return p, err
	}
	p.Median = float64(ecdf.Quantile(0.5))
	p99, err := ecdf.Interval(0.99, stats.Confidence)
	p.P99 = p99.Value
	return p, err
}
