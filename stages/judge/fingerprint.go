package judge

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"barograph/stages/recording"
	"barograph/stages/stats"

	"github.com/go-gota/gota/dataframe"
)

// A Fingerprint is how much each model of a recording suffers from a load, against
// the bytes that one of its requests moves.
type Fingerprint struct {
	Slowdowns []Slowdown
	Models    []string // with their batches, whether or not they have a slowdown
	Invalid   []string // why nothing here can be trusted, what drifted apart
	Drifted   []string // models, batches and directions whose baseline did
	Why       []string // a line for each of both
	Doubts    []string
}

// A Slowdown is what a load does to the latency of a model at a batch: quantiles
// under it as multiples of those without load, in the same direction.
type Slowdown struct {
	Model, Batch, Direction, Level string
	In, Out                        float64 // bytes of one request
	Utilisation                    float64
	Before                         float64 // median without load, nanoseconds
	P50, P99                       stats.Interval
	Drifted                        bool // INVALID: the baseline did
}

// Slow compares the levels of each model, batch and direction of a recording with
// level 0 of the same. Intervals are those of the ratio, by a bootstrap over
// replicates that the seed decides (rules 6 and 7 of stages/README.md). The table
// holds level, replicate, latency_ns, model, batch, direction, utilisation and seq.
func Slow(t *recording.Table, run *recording.Run, seed uint64) (*Fingerprint, error) {
	f := &Fingerprint{}
	if why := Untrusted(run); why != "" {
		f.Invalid = append(f.Invalid, why)
	}
	bytes := map[string][2]float64{}
	for _, t := range run.Trials {
		bytes[fmt.Sprintf("%s %d", t.Infer.Model, t.Infer.Batch)] = [2]float64{float64(t.Infer.In), float64(t.Infer.Out)}
	}
	err := t.Groups([]string{"model", "batch", "direction"}, func(g *recording.Table, at []string) error {
		key := at[0] + " " + at[1]
		if name := at[0] + ", " + at[1]; !slices.Contains(f.Models, name) {
			f.Models = append(f.Models, name)
		}
		s := Slowdown{Model: at[0], Batch: at[1], Direction: at[2], In: bytes[key][0], Out: bytes[key][1]}
		return f.compare(g, key, s, seed)
	})
	if err != nil {
		return nil, fmt.Errorf("judge: %w", err)
	}
	if len(f.Slowdowns) == 0 {
		return nil, errors.New("nothing can be compared: " + strings.Join(append(f.Doubts, "no level is a load"), "; "))
	}
	for _, all := range f.Invalid {
		f.Why = append(f.Why, "INVALID: "+all)
	}
	return f, nil
}

// compare adds the slowdowns of one model, batch and direction.
func (f *Fingerprint) compare(g *recording.Table, key string, s Slowdown, seed uint64) error {
	baseline, err := g.Where("level", "0")
	if err != nil {
		return err
	}
	if baseline.Len() == 0 {
		f.Doubts = append(f.Doubts, "direction="+s.Direction+" of "+key+" has no level 0")
		return nil
	}
	trials, err := baseline.Split("seq", "latency_ns")
	if err != nil {
		return err
	}
	d, err := stats.BaselineDrift(trials, stats.Confidence, stats.DriftMargin)
	if err != nil {
		return err
	}
	if s.Drifted = d.Drifted(); s.Drifted {
		f.Drifted = append(f.Drifted, key+" "+s.Direction)
		f.Why = append(f.Why, "INVALID: "+key+" "+s.Direction+": "+d.String())
	}
	if d.Doubt != "" {
		f.Doubts = append(f.Doubts, key+" "+s.Direction+": "+d.String())
	}
	before, err := baseline.Split("replicate", "latency_ns")
	if err != nil {
		return err
	}
	resampling := stats.Bootstrap{Confidence: stats.Confidence, Seed: seed}
	median, err := stats.Estimates(before, []float64{0.5}, resampling)
	if err != nil {
		return err
	}
	s.Before = median[0].Value
	return g.Groups([]string{"level"}, func(level *recording.Table, at []string) error {
		if s.Level = at[0]; s.Level == "0" {
			return nil
		}
		after, err := level.Split("replicate", "latency_ns")
		if err != nil {
			return err
		}
		if s.Utilisation, err = level.Mean("utilisation"); err != nil {
			return err
		}
		if s.P50, err = stats.BootstrapRatio(before, after, 0.5, resampling); err != nil {
			return err
		}
		s.P99, err = stats.BootstrapRatio(before, after, 0.99, resampling)
		f.Slowdowns = append(f.Slowdowns, s)
		return err
	})
}

// Sound tells whether a slowdown at least is not INVALID for its own baseline.
func (f *Fingerprint) Sound() bool {
	return slices.ContainsFunc(f.Slowdowns, func(s Slowdown) bool { return !s.Drifted })
}

// Frame returns the slowdowns as a data frame, a row for each: model, batch,
// direction and level, in_bytes and out_bytes of a request, utilisation,
// baseline_p50_ns, and for p50 and p99 the slowdown with its interval.
func (f *Fingerprint) Frame() dataframe.DataFrame {
	s := f.Slowdowns
	return frame(
		texts("model", s, func(s Slowdown) string { return s.Model }), texts("batch", s, func(s Slowdown) string { return s.Batch }),
		texts("direction", s, func(s Slowdown) string { return s.Direction }), texts("level", s, func(s Slowdown) string { return s.Level }),
		floats("in_bytes", s, func(s Slowdown) float64 { return s.In }), floats("out_bytes", s, func(s Slowdown) float64 { return s.Out }),
		floats("utilisation", s, func(s Slowdown) float64 { return s.Utilisation }), floats("baseline_p50_ns", s, func(s Slowdown) float64 { return s.Before }),
		floats("p50_slowdown", s, func(s Slowdown) float64 { return s.P50.Value }), floats("p50_low", s, func(s Slowdown) float64 { return s.P50.Low }), floats("p50_high", s, func(s Slowdown) float64 { return s.P50.High }),
		floats("p99_slowdown", s, func(s Slowdown) float64 { return s.P99.Value }), floats("p99_low", s, func(s Slowdown) float64 { return s.P99.Low }), floats("p99_high", s, func(s Slowdown) float64 { return s.P99.High }),
	)
}

// Rows returns the same as a person reads it.
func (f *Fingerprint) Rows() dataframe.DataFrame {
	s := f.Slowdowns
	return frame(
		texts("model", s, func(s Slowdown) string { return s.Model }), texts("batch", s, func(s Slowdown) string { return s.Batch }),
		texts("direction", s, func(s Slowdown) string { return s.Direction }), texts("level", s, func(s Slowdown) string { return s.Level }),
		texts("in", s, func(s Slowdown) string { return size(s.In) }), texts("out", s, func(s Slowdown) string { return size(s.Out) }),
		texts("load", s, func(s Slowdown) string { return percent(s.Utilisation) }), texts("p50", s, func(s Slowdown) string { return stats.Milliseconds(s.Before) }),
		texts("p50 slowdown", s, func(s Slowdown) string { return times(s.P50) }), texts("p99 slowdown", s, func(s Slowdown) string { return times(s.P99) }),
	)
}

// Points returns the slowdowns as a figure draws them, a row for each quantile of
// each: model with its batch, name without the batch where all have one, request with
// its bytes, direction, line (the quantile, with the level where there are several),
// series (the three together), bytes, value, low and high; the lightest requests
// first. What is INVALID is left out, unless nothing else is left.
func (f *Fingerprint) Points() dataframe.DataFrame {
	type point struct {
		Slowdown
		name, quantile string
		at             stats.Interval
	}
	var points []point
	batches, levels := map[string]bool{}, map[string]bool{}
	for _, s := range f.Slowdowns {
		if s.Drifted && f.Sound() {
			continue
		}
		for _, q := range []struct {
			name string
			at   stats.Interval
		}{{"p50", s.P50}, {"p99", s.P99}} {
			points = append(points, point{s, fmt.Sprintf("%s, %s, L=%s", q.name, s.Direction, s.Level), q.name, q.at})
		}
		batches[s.Batch], levels[s.Level] = true, true
	}
	slices.SortStableFunc(points, func(a, b point) int { return cmp.Compare(a.In+a.Out, b.In+b.Out) })
	return frame(
		texts("model", points, func(p point) string { return p.Model + ", " + p.Batch }),
		texts("name", points, func(p point) string {
			if len(batches) == 1 {
				return p.Model
			}
			return p.Model + ", " + p.Batch
		}),
		texts("direction", points, func(p point) string { return p.Direction }),
		texts("line", points, func(p point) string {
			if len(levels) == 1 {
				return p.quantile
			}
			return p.quantile + ", L=" + p.Level
		}),
		texts("request", points, func(p point) string { return p.Model + ", " + p.Batch + ": " + size(p.In+p.Out) }),
		texts("series", points, func(p point) string { return p.name }), floats("bytes", points, func(p point) float64 { return p.In + p.Out }),
		floats("value", points, func(p point) float64 { return p.at.Value }), floats("low", points, func(p point) float64 { return p.at.Low }), floats("high", points, func(p point) float64 { return p.at.High }),
	)
}

// Series returns the names of the series that Points has, in the order of the
// slowdowns.
func (f *Fingerprint) Series() (names []string) {
	there := f.Points().Col("series").Records()
	for _, s := range f.Slowdowns {
		for _, q := range []string{"p50", "p99"} {
			if name := fmt.Sprintf("%s, %s, L=%s", q, s.Direction, s.Level); slices.Contains(there, name) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// times writes a slowdown as "1.31 [1.28, 1.35]".
func times(i stats.Interval) string {
	switch {
	case math.IsNaN(i.Value):
		return "n too small"
	case math.IsNaN(i.Low) || math.IsNaN(i.High):
		return fmt.Sprintf("%.2f", i.Value)
	}
	return fmt.Sprintf("%.2f [%.2f, %.2f]", i.Value, i.Low, i.High)
}

func percent(share float64) string {
	if math.IsNaN(share) {
		return "unknown"
	}
	return fmt.Sprintf("%.0f%%", 100*share)
}

// size writes bytes in the largest unit that leaves a number above 1.
func size(n float64) string {
	for _, unit := range []string{"B", "KB", "MB"} {
		if n < 1000 {
			return fmt.Sprintf("%.3g %s", n, unit)
		}
		n /= 1000
	}
	return fmt.Sprintf("%.3g GB", n)
}
