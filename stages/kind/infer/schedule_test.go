package infer

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
)

func TestSchedules(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "trace.txt"), []byte("0\n5\n5\n 900 \n1000\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	ms := unit.Duration(time.Millisecond)
	for name, c := range map[string]struct {
		with With
		want []int64
	}{
		"closed":   {With{Arrivals: "closed", Calls: 3}, nil},
		"constant": {With{Arrivals: "constant", Calls: 3, Open: Open{Interval: ms}}, []int64{0, 1e6, 2e6}},
		"bursts":   {With{Arrivals: "bursts", Calls: 5, Open: Open{Interval: ms, Burst: 2}}, []int64{0, 0, 2e6, 2e6, 4e6}},
		"trace":    {With{Arrivals: "trace", Calls: 4, Open: Open{Trace: "trace.txt"}}, []int64{0, 5, 5, 900}},
	} {
		got, err := c.with.Schedule(dir, 1)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}

	// Gaps of Poisson arrivals have their mean, and a standard deviation as large.
	poisson := With{Arrivals: "poisson", Calls: 20_000, Open: Open{Interval: ms}}
	one, err := poisson.Schedule(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := poisson.Schedule(dir, 1)
	other, _ := poisson.Schedule(dir, 2)
	if !slices.Equal(one, again) || slices.Equal(one, other) || !slices.IsSorted(one) {
		t.Error("Poisson arrivals do not follow their seed, or not one another")
	}
	mean := float64(one[len(one)-1]) / float64(len(one))
	square, last := 0.0, int64(0)
	for _, at := range one {
		square += (float64(at-last) - mean) * (float64(at-last) - mean)
		last = at
	}
	if deviation := math.Sqrt(square / float64(len(one))); math.Abs(mean/1e6-1) > 0.03 || math.Abs(deviation/1e6-1) > 0.05 {
		t.Errorf("gaps of %g ns on average, deviating by %g", mean, deviation)
	}
}

func TestSchedulesRefused(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"short": "0\n1\n", "back": "5\n4\n0\n", "word": "0\nsoon\n2\n", "negative": "-1\n2\n3\n", "far": "0\n99999999999999999\n3\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	ms := unit.Duration(time.Millisecond)
	for says, w := range map[string]With{
		`unknown arrivals "open"`:        {Arrivals: "open"},
		"closed with an interval":        {Arrivals: "closed", Open: Open{Interval: ms}},
		"constant with a burst":          {Arrivals: "constant", Open: Open{Interval: ms, Burst: 2}},
		"poisson with the trace":         {Arrivals: "poisson", Open: Open{Interval: ms, Trace: "x"}},
		"trace with an interval":         {Arrivals: "trace", Open: Open{Interval: ms, Trace: "short"}},
		"constant of 3 calls, 0s apart":  {Arrivals: "constant"},
		"no more than 24h0m0s in all":    {Arrivals: "poisson", Open: Open{Interval: unit.Duration(9 * time.Hour)}},
		"bursts with a burst of 0":       {Arrivals: "bursts", Open: Open{Interval: ms}},
		"holds 2 arrivals, fewer than 3": {Arrivals: "trace", Open: Open{Trace: "short"}},
		"back:2: 4 is before":            {Arrivals: "trace", Open: Open{Trace: "back"}},
		`word:2: want whole nanosecond`:  {Arrivals: "trace", Open: Open{Trace: "word"}},
		"negative:1: want":               {Arrivals: "trace", Open: Open{Trace: "negative"}},
		"far:2: want":                    {Arrivals: "trace", Open: Open{Trace: "far"}},
		"no such file":                   {Arrivals: "trace", Open: Open{Trace: "none"}},
		"no regular file":                {Arrivals: "trace", Open: Open{Trace: "."}},
		`"../x" is not inside`:           {Arrivals: "trace", Open: Open{Trace: "../x"}},
		`"" is not inside`:               {Arrivals: "trace"},
	} {
		w.Calls = 3
		if _, err := w.Schedule(dir, 1); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", w, err, says)
		}
	}
	var h *cell.Error
	if err := check(dir, "sim", &With{Batch: 1, Sequence: 1, Calls: 1, Arrivals: "poisson"}); !errors.As(err, &h) || !strings.Contains(err.Error(), "closed loop") {
		t.Errorf("on sim: %v", err)
	}
}

// A stall of 100 ms injected once shows in every arrival scheduled inside it, by
// what was left of it then; calls before it are sent when they are due.
func TestOpenLoopShowsStall(t *testing.T) {
	const stall, every = 100 * time.Millisecond, 10 * time.Millisecond
	w := With{Arrivals: "constant", Calls: 30, Open: Open{Interval: unit.Duration(every)}}
	due, err := w.Schedule("", 1)
	if err != nil {
		t.Fatal(err)
	}
	samples := newSamples(w.Calls)
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
