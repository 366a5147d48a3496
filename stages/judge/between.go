package judge

import (
	"fmt"
	"math"
	"slices"

	"barograph/stages/stats"
)

// A Between compares the GPUs that trials without load ran on, as a drift does the
// order in which they ran: the first GPU is the one with the most calls.
type Between struct {
	GPUs  []string    `json:"gpus"` // their UUIDs
	Drift stats.Drift `json:"medians"`
}

// between compares the GPUs of trials; nil where they do not tell of several. What
// replicates on one GPU scatter by, twice, is no difference, and up to a margin one is
// allowed.
func between(trials []*Trial, scatter, margin float64) (*Between, error) {
	by := map[string][]int64{}
	b := &Between{}
	for _, t := range trials {
		if by[t.GPU] == nil {
			b.GPUs = append(b.GPUs, t.GPU)
		}
		by[t.GPU] = append(by[t.GPU], t.Latencies...)
	}
	if len(b.GPUs) < 2 || slices.Contains(b.GPUs, "") {
		return nil, nil
	}
	slices.SortStableFunc(b.GPUs, func(x, y string) int { return len(by[y]) - len(by[x]) })
	var samples [][]int64
	for _, gpu := range b.GPUs {
		samples = append(samples, by[gpu])
	}
	var err error
	b.Drift, err = stats.BaselineDrift(samples, stats.Confidence, margin)
	if math.Abs(b.Drift.Largest) <= 2*scatter {
		b.Drift.Left = nil
	}
	return b, err
}

// String says it in one line.
func (b *Between) String() string {
	d := b.Drift
	switch {
	case d.Doubt != "":
		return fmt.Sprintf("whether the %d GPUs differ is not tested: %s", len(b.GPUs), d.Doubt)
	case d.Drifted():
		return fmt.Sprintf("the GPUs differ: without load, the median on %s is %+.2g%% from that on %s, more than the %.2g%% allowed", b.GPUs[b.farthest()], 100*d.Largest, b.GPUs[0], 100*d.Margin)
	case len(d.Left) > 0:
		return fmt.Sprintf("the %d GPUs differ little: without load, medians lie up to %.2g%% apart, and %.2g%% is allowed", len(b.GPUs), 100*math.Abs(d.Largest), 100*d.Margin)
	}
	return fmt.Sprintf("%d GPUs that do not differ (without load medians lie within %.2g%%)", len(b.GPUs), 100*math.Abs(d.Largest))
}

// farthest is the place of the GPU whose median is furthest from the first one's.
func (b *Between) farthest() (at int) {
	first := b.Drift.Medians[0].Value
	for i, m := range b.Drift.Medians {
		if most := b.Drift.Medians[at].Value; max(m.Value-first, first-m.Value) > max(most-first, first-most) {
			at = i
		}
	}
	return at
}
