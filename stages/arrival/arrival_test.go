package arrival

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/cell/unit"
	"barograph/stages/arrival/trace"
)

func TestSchedules(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"trace.txt": "0\n5\n5\n 900 \n1000\n", "loop.csv": "t,x\n10,1\n20,1\n50,1\n60,1\n90,1\n100,1\n130,1\n"} {
		filetest.Write(t, filepath.Join(dir, name), text)
	}
	ms := unit.Duration(time.Millisecond)
	for name, c := range map[string]struct {
		with  Pattern
		calls int
		want  []int64
	}{
		"closed":   {Pattern{Arrivals: "closed"}, 3, nil},
		"constant": {Pattern{Arrivals: "constant", Interval: ms}, 3, []int64{0, 1e6, 2e6}},
		"rate":     {Pattern{Arrivals: "constant", Rate: 500}, 3, []int64{0, 2e6, 4e6}},
		"bursts":   {Pattern{Arrivals: "bursts", Interval: ms, Burst: 2}, 5, []int64{0, 0, 2e6, 2e6, 4e6}},
		"trace":    {Pattern{Arrivals: "trace", Trace: "trace.txt"}, 4, []int64{0, 5, 5, 900}},
		"faster":   {Pattern{Arrivals: "trace", Trace: "trace.txt", Speed: 10, Unit: "us"}, 4, []int64{0, 500, 500, 90_000}},
		"loop":     {Pattern{Arrivals: "loop", Trace: "loop.csv", Column: "t"}, 9, []int64{0, 10, 40, 50, 80, 90, 120, 130, 160}},
	} {
		got, made, err := c.with.Schedule(dir, c.calls, 1)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		} else if made != nil && (made.Arrivals != c.with.Arrivals || (made.Trace != "") != (len(made.TraceSHA) == 64)) {
			t.Errorf("%s: recorded as %+v", name, made)
		}
	}
}

// schedule makes many calls a millisecond apart, on average.
func schedule(t *testing.T, p Pattern, calls int, seed uint64) ([]int64, *Made) {
	t.Helper()
	p.Interval = unit.Duration(time.Millisecond)
	due, made, err := p.Schedule("", calls, seed)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(due) || len(due) != calls {
		t.Fatalf("%s: %d arrivals, sorted: %v", p.Arrivals, len(due), slices.IsSorted(due))
	}
	if again, _, _ := p.Schedule("", calls, seed); !slices.Equal(due, again) {
		t.Errorf("%s: one seed gives two schedules", p.Arrivals)
	}
	if other, _, _ := p.Schedule("", calls, seed+1); made.Seed != seed || slices.Equal(due, other) {
		t.Errorf("%s: the schedule does not follow its seed, or the record lacks it", p.Arrivals)
	}
	return due, made
}

// Gaps of Poisson arrivals pass the test of Kolmogorov and Smirnov against an
// exponential distribution of the known mean, and counts that of their dispersion, as
// often as such tests let pass what is true. Those of bursts pass neither.
func TestPoissonPassesItsTests(t *testing.T) {
	const calls, seeds = 10_000, 40
	failed := map[string]int{}
	for seed := range uint64(seeds) {
		for _, p := range []Pattern{{Arrivals: "poisson"}, {Arrivals: "bursts", Dispersion: 4}} {
			due, _ := schedule(t, p, calls, seed+1)
			gaps := make([]float64, 0, calls-1)
			for i := range calls - 1 {
				gaps = append(gaps, float64(due[i+1]-due[i])/1e6)
			}
			slices.Sort(gaps)
			n, d := float64(len(gaps)), 0.0
			for i, g := range gaps {
				f := 1 - math.Exp(-g)
				d = max(d, f-float64(i)/n, float64(i+1)/n-f)
			}
			if d*math.Sqrt(n) > 1.358 { // 5%
				failed[p.Arrivals+" KS"]++
			}
			// (m - 1) times the index has a chi-squared distribution, near a normal one.
			index, m := trace.Index(due, int64(100*time.Millisecond))
			if math.Abs(float64(m-1)*(index-1)) > 1.96*math.Sqrt(2*float64(m-1)) {
				failed[p.Arrivals+" dispersion"]++
			}
		}
	}
	// Of 40 tests at 5% more than 6 fail with a chance of 1.4%.
	for _, test := range []string{"KS", "dispersion"} {
		if failed["poisson "+test] > 6 || failed["bursts "+test] < seeds-2 {
			t.Errorf("%s: failed for %d Poisson schedules and %d bursty ones of %d", test, failed["poisson "+test], failed["bursts "+test], seeds)
		}
	}
}

// Bursts have the mean and the dispersion that were asked for, in windows that hold
// many of them.
func TestBurstsDispersion(t *testing.T) {
	for _, want := range []float64{2, 10, 40} {
		mean, index := 0.0, 0.0
		const seeds = 5
		for seed := range uint64(seeds) {
			due, made := schedule(t, Pattern{Arrivals: "bursts", Dispersion: want}, 200_000, seed+1)
			mean += float64(due[len(due)-1]) / float64(len(due)) / seeds
			i, _ := trace.Index(due, int64(40*(made.BurstMean+1e6)*(made.Peak-between)/(1-between)))
			index += i / seeds
		}
		if math.Abs(mean/1e6-1) > 0.03 || math.Abs(index/want-1) > 0.15 {
			t.Errorf("gaps of %g ns and a dispersion of %g, want 1e6 and %g", mean, index, want)
		}
	}
}

// A camera's frames are off even ticks by what was asked for.
func TestCameraJitter(t *testing.T) {
	due, made := schedule(t, Pattern{Arrivals: "camera", Jitter: unit.Duration(50 * time.Microsecond)}, 10_000, 1)
	sd := 0.0
	for _, j := range (&trace.Trace{Times: due}).Jitter() {
		sd += j * j / float64(len(due))
	}
	if sd = math.Sqrt(sd); math.Abs(sd/50e3-1) > 0.03 || made.Jitter != 50e3 {
		t.Errorf("asked for a jitter of 50 us, got %g ns, recorded %g", sd, made.Jitter)
	}
}

func TestSchedulesRefused(t *testing.T) {
	t.Setenv("BAROGRAPH_CACHE", t.TempDir())
	dir := t.TempDir()
	for name, text := range map[string]string{"same": "1\n2\n3\n4\n5\n", "none": "t\n", "one": "5\n", "binned.csv": "0\n0\n0\n3\n3\n6\n6\n6\n6\n9\n", "short": "0\n1\n", "uneven": "0\n60\n71\n190\n199\n320\n333\n420\n481\n600\n", "back": "5\n4\n0\n", "word": "0\nsoon\n2\n", "swing": "0\n9\n11\n12\n", "far": "0\n9999999999999999\n19999999999999999\n20000000000000009\n"} {
		filetest.Write(t, filepath.Join(dir, name), text)
	}
	ms := unit.Duration(time.Millisecond)
	for says, w := range map[string]Pattern{
		`unknown arrivals "open"`:                  {Arrivals: "open"},
		"closed with interval":                     {Arrivals: "closed", Interval: ms},
		"no more than one a nanosecond":            {Arrivals: "poisson", Rate: 1e12},
		"dispersion is 1.0000000001: bursts would": {Arrivals: "bursts", Interval: ms, Dispersion: 1 + 1e-10},
		"dispersion is 1e+308: bursts would":       {Arrivals: "bursts", Interval: ms, Dispersion: 1e308},
		"uneven is no camera's":                    {Arrivals: "camera", Interval: ms, Trace: "uneven"},
		"all 3 calls would be due at once":         {Arrivals: "trace", Trace: "swing", Speed: 1e9},
		"constant with burst 2":                    {Arrivals: "constant", Interval: ms, Burst: 2},
		"poisson with trace x":                     {Arrivals: "poisson", Interval: ms, Trace: "x"},
		"poisson with jitter":                      {Arrivals: "poisson", Interval: ms, Jitter: ms},
		"trace with interval":                      {Arrivals: "trace", Interval: ms, Trace: "short"},
		"constant with speed 2":                    {Arrivals: "constant", Interval: ms, Speed: 2},
		"give one of them":                         {Arrivals: "constant", Interval: ms, Rate: 5},
		"constant of 3 calls, 0s apart":            {Arrivals: "constant"},
		"poisson of 3 calls, -1ns apart":           {Arrivals: "poisson", Interval: -1},
		"no more than 24h0m0s in all":              {Arrivals: "poisson", Interval: unit.Duration(9 * time.Hour)},
		"burst of 0 and a dispersion of 0":         {Arrivals: "bursts", Interval: ms},
		"burst of 2 and a dispersion of 4":         {Arrivals: "bursts", Interval: ms, Burst: 2, Dispersion: 4},
		"dispersion is 1: bursts have":             {Arrivals: "bursts", Interval: ms, Dispersion: 1},
		"peak is 1: want more than 1":              {Arrivals: "bursts", Interval: ms, Dispersion: 4, Peak: 1},
		"peak is 3: want":                          {Arrivals: "bursts", Interval: ms, Burst: 2, Peak: 3},
		"camera with a jitter of 0s":               {Arrivals: "camera", Interval: ms},
		"jitter is 1ms: want":                      {Arrivals: "camera", Interval: ms, Jitter: ms},
		"word:2: want a time":                      {Arrivals: "camera", Interval: ms, Trace: "word"},
		"far is no camera's":                       {Arrivals: "camera", Interval: ms, Trace: "far"},
		"speed is -1":                              {Arrivals: "trace", Trace: "short", Speed: -1},
		"holds 2 arrivals, fewer than 3":           {Arrivals: "trace", Trace: "short"},
		"back:2: 4 is before the line above":       {Arrivals: "trace", Trace: "back"},
		`found "soon"`:                             {Arrivals: "trace", Trace: "word"},
		"no such file":                             {Arrivals: "trace", Trace: "nowhere"},
		"no regular file":                          {Arrivals: "trace", Trace: "."},
		`"../x" is not inside`:                     {Arrivals: "trace", Trace: "../x"},
		"trace is not given":                       {Arrivals: "trace"},
		"same is no trace: it repeats one":         {Arrivals: "trace", Trace: "same"},
		"swing does not repeat":                    {Arrivals: "loop", Trace: "swing"},
		"none: it holds no times":                  {Arrivals: "trace", Trace: "none"},
		"one: it holds one time":                   {Arrivals: "trace", Trace: "one"},
		"far takes longer than":                    {Arrivals: "trace", Trace: "far"},
		`no column is named "when"`:                {Arrivals: "trace", Trace: "short", Column: "when"},
		`trace comma2k19 is not here`:              {Arrivals: "trace", Trace: "comma2k19"},
	} {
		if _, _, err := w.Schedule(dir, 3, 1); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", w, err, says)
		}
	}
}

// Arrivals whose clock has binned them are spread within the bins, by a seed that the
// record has.
func TestBinnedArrivalsAreSpread(t *testing.T) {
	dir := t.TempDir()
	filetest.Write(t, filepath.Join(dir, "binned.csv"), "0\n0\n0\n3\n3\n6\n6\n6\n6\n9\n")
	p := Pattern{Arrivals: "trace", Trace: "binned.csv", Unit: "s"}
	due, made, err := p.Schedule(dir, 10, 5)
	if err != nil {
		t.Fatal(err)
	}
	again, _, _ := p.Schedule(dir, 10, 5)
	other, _, _ := p.Schedule(dir, 10, 6)
	if made.Bin != 3e9 || made.Seed != 5 || !slices.Equal(due, again) || slices.Equal(due, other) || due[0] != 0 || due[1] == 0 {
		t.Errorf("%v, recorded %+v", due, made)
	}
}
