package calls

import (
	"slices"
	"testing"
)

// A call whose result comes with those of others is complete when they are.
func TestCollected(t *testing.T) {
	for group, want := range map[int][]int64{0: {1, 2, 3, 4, 5, 6, 7}, 3: {3, 3, 3, 6, 6, 6, 7}, 7: {7, 7, 7, 7, 7, 7, 7}, 8: {1, 2, 3, 4, 5, 6, 7}} {
		samples := make([]Sample, 7)
		for i := range samples {
			samples[i] = Sample{Scheduled: int64(i), End: int64(i + 1)}
		}
		Collected(samples, group)
		var ends []int64
		for _, s := range samples {
			ends = append(ends, s.End)
		}
		if !slices.Equal(ends, want) {
			t.Errorf("groups of %d: ends %v, want %v", group, ends, want)
		}
	}
}
