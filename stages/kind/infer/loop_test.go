package infer

import "testing"

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
