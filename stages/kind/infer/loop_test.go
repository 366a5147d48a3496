package infer

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/arrival"
)

// The simulated inference is a closed loop.
func TestArrivalsOnSim(t *testing.T) {
	var h *cell.Error
	with := &With{Batch: 1, Sequence: 1, Calls: 1, Pattern: arrival.Pattern{Arrivals: "poisson"}}
	if err := check(t.TempDir(), "sim", with); !errors.As(err, &h) || !strings.Contains(err.Error(), "closed loop") {
		t.Errorf("on sim: %v", err)
	}
}

// A stall of 100 ms injected once shows in every arrival scheduled inside it, by
// what was left of it then; calls before it are sent when they are due.
func TestOpenLoopShowsStall(t *testing.T) {
	const stall, every = 100 * time.Millisecond, 10 * time.Millisecond
	w := arrival.Pattern{Arrivals: "constant", Interval: unit.Duration(every)}
	due, _, err := w.Schedule("", 30, 1)
	if err != nil {
		t.Fatal(err)
	}
	samples := newSamples(len(due))
	var done atomic.Int64
	i := 0
	if err := loop(t.Context(), samples, at(due), &done, func() error {
		if i++; i == 6 {
			time.Sleep(stall)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for k, s := range samples {
		if s.Scheduled-samples[0].Scheduled != due[k] {
			t.Errorf("call %d is scheduled %d ns after the first, want %d", k+1, s.Scheduled-samples[0].Scheduled, due[k])
		}
		if s.Start < s.Scheduled {
			t.Errorf("call %d was sent before it was due", k+1)
		}
		// The sixth began no earlier than it was due, and whoever came while it
		// stalled waited for the rest. A busy machine only adds to that.
		if left := int64(stall) - int64(k-5)*int64(every); k >= 5 && left > 0 && s.Latency() < left {
			t.Errorf("call %d was due inside the stall and took %v, want at least %v", k+1, time.Duration(s.Latency()), time.Duration(left))
		}
	}
}

func TestAwaitStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	samples := newSamples(2)
	var done atomic.Int64
	err := loop(ctx, samples, at([]int64{0, int64(time.Hour)}), &done, func() error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || done.Load() != 1 {
		t.Errorf("%v after %d calls", err, done.Load())
	}
}

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
