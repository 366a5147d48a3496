package infer

import (
	"slices"
	"testing"
)

// TestDelayWithin: only what the calls waited is part of their time.
func TestDelayWithin(t *testing.T) {
	samples := []Sample{{Scheduled: 1000}, {End: 1160}}
	for _, c := range []struct{ delay, begun, ended, want int64 }{
		{0, 1000, 1160, 0}, {50, 1000, 1161, 49}, // all but what may have passed outside
		{772, 228, 1160, 0}, // lost before the first call: 482.5% of the window
		{872, 228, 1160, 100},
		{500, 1000, 1660, 0},   // after the last
		{900, 1000, 1160, 160}, // accounted late
	} {
		if got := within(c.delay, c.begun, c.ended, samples); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// A call whose result comes with those of others is complete when they are.
func TestCollected(t *testing.T) {
	for group, want := range map[int][]int64{0: {1, 2, 3, 4, 5, 6, 7}, 3: {3, 3, 3, 6, 6, 6, 7}, 7: {7, 7, 7, 7, 7, 7, 7}, 8: {1, 2, 3, 4, 5, 6, 7}} {
		samples := make([]Sample, 7)
		for i := range samples {
			samples[i] = Sample{Scheduled: int64(i), End: int64(i + 1)}
		}
		collected(samples, group)
		var ends []int64
		for _, s := range samples {
			ends = append(ends, s.End)
		}
		if !slices.Equal(ends, want) {
			t.Errorf("groups of %d: ends %v, want %v", group, ends, want)
		}
	}
}
