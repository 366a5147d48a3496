package stats

import (
	"fmt"
	"math"
)

// DriftMargin is the drift of the baseline beyond which a run is INVALID unless
// another is asked for, as a share of its median. It is the change that the
// study calls negligible: a baseline that moved by less cannot make an effect of
// substance out of nothing, and processors whose clocks follow their temperature
// move by a few percent on a good day.
const DriftMargin = 0.05

// A Drift compares the baselines of a run in the order they were measured
// (rule 9).
type Drift struct {
	// Medians holds each baseline's, with intervals for its effective n.
	Medians []Quantile
	// Left lists the baselines, from 0, whose interval has left the first one's.
	Left []int
	// Largest is the change of median against the first that is furthest from
	// nothing, as a share of the first; of those that left, if any did.
	Largest float64
	// Margin is the share beyond which a change is too much.
	Margin float64
	Doubt  string
}

// Drifted tells whether the run is INVALID: a baseline left the first one's
// interval, and by more than the margin.
func (d Drift) Drifted() bool { return d.Seen() > d.Margin }

// Seen returns the size of the drift that the intervals show, as a share of the
// first median; 0 where they show none. No smaller effect can be claimed.
func (d Drift) Seen() float64 {
	if len(d.Left) == 0 {
		return 0
	}
	return math.Abs(d.Largest)
}

// String says it in one line.
func (d Drift) String() string {
	later := len(d.Medians) - 1
	switch {
	case d.Doubt != "":
		return "baseline drift not tested: " + d.Doubt
	case d.Drifted():
		return fmt.Sprintf("baseline drifted: %d of %d later baselines left the first one's interval, by up to %+.2g%% of its median, more than the %.2g%% allowed", len(d.Left), later, 100*d.Largest, 100*d.Margin)
	case len(d.Left) > 0:
		return fmt.Sprintf("baseline moved: %d of %d later baselines left the first one's interval, by up to %+.2g%% of its median, and no smaller effect is claimed", len(d.Left), later, 100*d.Largest)
	}
	return fmt.Sprintf("baseline steady: medians of %d baselines within %+.2g%%", len(d.Medians), 100*d.Largest)
}

// BaselineDrift compares the medians of no-load replicates, samples in the
// order taken. A baseline has left the first one's interval when the two
// intervals have no point in common: the later median is as uncertain as the
// first, and asking only whether it lies inside the first interval would call
// 17 steady pairs in 100 drifted at 0.95. Intervals are widened for
// autocorrelation: their ranks are those of the effective n.
//
// A few hundred calls give an interval of a percent, less than any machine
// drifts in an hour. So leaving it is a doubt, and only leaving it by more than
// margin, a share of the first median such as [DriftMargin], makes a run INVALID.
func BaselineDrift(baselines [][]int64, confidence, margin float64) (Drift, error) {
	if err := checkConfidence(confidence); err != nil {
		return Drift{}, err
	}
	if !(margin >= 0) {
		return Drift{}, fmt.Errorf("drift margin %v is not a share of at least 0", margin)
	}
	d := Drift{Margin: margin}
	for i, samples := range baselines {
		e, err := NewECDF(samples)
		if err != nil {
			return Drift{}, fmt.Errorf("baseline %d: %w", i, err)
		}
		m, err := e.dependentInterval(0.5, confidence, EffectiveN(e.N(), Lag1([][]int64{samples})))
		if err != nil {
			return Drift{}, err
		}
		if m.Doubt != "" && d.Doubt == "" {
			d.Doubt = fmt.Sprintf("baseline %d: %s", i, m.Doubt)
		}
		d.Medians = append(d.Medians, m)
	}
	switch {
	case len(baselines) < 2:
		d.Doubt = fmt.Sprintf("%d baselines, where at least 2 are needed", len(baselines))
		return d, nil
	case d.Doubt != "":
		return d, nil
	}
	first := d.Medians[0]
	if first.Value <= 0 {
		return Drift{}, fmt.Errorf("baseline 0: median %v is not a positive time", first.Value)
	}
	for i, m := range d.Medians[1:] {
		left := m.Low > first.High || m.High < first.Low
		if left && len(d.Left) == 0 {
			d.Largest = 0
		}
		if left {
			d.Left = append(d.Left, i+1)
		}
		if change := m.Value/first.Value - 1; (left || len(d.Left) == 0) && math.Abs(change) > math.Abs(d.Largest) {
			d.Largest = change
		}
	}
	return d, nil
}

// dependentInterval is Interval for samples worth only effective independent
// ones: it takes the order statistics at the same shares of the sample.
func (e *ECDF) dependentInterval(q, confidence, effective float64) (Quantile, error) {
	r, err := e.Interval(q, confidence)
	if err != nil || r.Doubt != "" {
		return r, err
	}
	n, worth := float64(len(e.sorted)), max(1, int(effective))
	low, high, covered := ranks(worth, q, confidence)
	if covered < confidence {
		r.Doubt = fmt.Sprintf("n too small: %d samples are worth %d independent ones", len(e.sorted), worth)
		return r, nil
	}
	r.LowRank = max(1, int(float64(low)/float64(worth)*n))
	r.HighRank = min(len(e.sorted), int(float64(high)/float64(worth)*n+0.999))
	r.Low, r.High, r.Confidence = float64(e.sorted[r.LowRank-1]), float64(e.sorted[r.HighRank-1]), covered
	return r, nil
}
