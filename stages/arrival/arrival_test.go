package arrival

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell/unit"
)

func TestSchedules(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "trace.txt"), []byte("0\n5\n5\n 900 \n1000\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	ms := unit.Duration(time.Millisecond)
	for name, c := range map[string]struct {
		with  Pattern
		calls int
		want  []int64
	}{
		"closed":   {Pattern{Arrivals: "closed"}, 3, nil},
		"constant": {Pattern{Arrivals: "constant", Interval: ms}, 3, []int64{0, 1e6, 2e6}},
		"bursts":   {Pattern{Arrivals: "bursts", Interval: ms, Burst: 2}, 5, []int64{0, 0, 2e6, 2e6, 4e6}},
		"trace":    {Pattern{Arrivals: "trace", Trace: "trace.txt"}, 4, []int64{0, 5, 5, 900}},
	} {
		got, err := c.with.Schedule(dir, c.calls, 1)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}

	// Gaps of Poisson arrivals have their mean, and a standard deviation as large.
	poisson := Pattern{Arrivals: "poisson", Interval: ms}
	one, err := poisson.Schedule(dir, 20_000, 1)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := poisson.Schedule(dir, 20_000, 1)
	other, _ := poisson.Schedule(dir, 20_000, 2)
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
	for says, w := range map[string]Pattern{
		`unknown arrivals "open"`:        {Arrivals: "open"},
		"closed with an interval":        {Arrivals: "closed", Interval: ms},
		"constant with a burst":          {Arrivals: "constant", Interval: ms, Burst: 2},
		"poisson with the trace":         {Arrivals: "poisson", Interval: ms, Trace: "x"},
		"trace with an interval":         {Arrivals: "trace", Interval: ms, Trace: "short"},
		"constant of 3 calls, 0s apart":  {Arrivals: "constant"},
		"no more than 24h0m0s in all":    {Arrivals: "poisson", Interval: unit.Duration(9 * time.Hour)},
		"bursts with a burst of 0":       {Arrivals: "bursts", Interval: ms},
		"holds 2 arrivals, fewer than 3": {Arrivals: "trace", Trace: "short"},
		"back:2: 4 is before":            {Arrivals: "trace", Trace: "back"},
		`word:2: want whole nanosecond`:  {Arrivals: "trace", Trace: "word"},
		"negative:1: want":               {Arrivals: "trace", Trace: "negative"},
		"far:2: want":                    {Arrivals: "trace", Trace: "far"},
		"no such file":                   {Arrivals: "trace", Trace: "none"},
		"no regular file":                {Arrivals: "trace", Trace: "."},
		`"../x" is not inside`:           {Arrivals: "trace", Trace: "../x"},
		`"" is not inside`:               {Arrivals: "trace"},
	} {
		if _, err := w.Schedule(dir, 3, 1); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", w, err, says)
		}
	}
}
