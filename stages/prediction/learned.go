package prediction

import (
	"cmp"
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"runtime"
	"slices"

	"barograph/stages/prediction/forecast"

	"golang.org/x/sync/errgroup"
)

// File returns where a machine's is kept, relative to the workspace.
func File(machine string) string { return filepath.Join("data", "twin", machine+".json") }

// ReadLesson reads what is kept for a machine; [Unlearned] where nothing is.
func ReadLesson(root, machine string) (*Lesson, error) {
	x, err := forecast.Read(filepath.Join(root, File(machine)))
	if errors.Is(err, fs.ErrNotExist) {
		return Unlearned, nil
	}
	return x, err
}

// candidates are what is tried for what is learned, part by part: about completions
// under a full link, and about loads below one.
func candidates() (notices, loads []Parameters) {
	for _, notice := range []float64{0, 1.5e3, 3e3, 4.5e3, 6e3} {
		for _, tail := range []float64{0, 25e3, 50e3, 100e3} {
			notices = append(notices, Parameters{Notice: notice, Tail: tail})
		}
	}
	for _, late := range []float64{5e3, 10e3, 20e3, 40e3} {
		for _, stalls := range []float64{0, 50, 200} {
			loads = append(loads, Parameters{Late: late, Stalls: stalls})
		}
	}
	return notices, loads
}

// A fitter holds how well each candidate does in each case, so that leaving out
// cases costs nothing.
type fitter struct {
	cases []*Case
	// By which each case's median lies above one simulated without, and by which single
	// calls are later still; NaN where it does not tell.
	fetch, held []float64
	// Losses by case and candidate; nil for cases of another class.
	notices, loads [][]float64
}

const tries = 2 // simulations of a candidate

func newFitter(m *Machine, cases []*Case) (*fitter, error) {
	f := &fitter{cases: cases, fetch: make([]float64, len(cases)), held: make([]float64, len(cases)), notices: make([][]float64, len(cases)), loads: make([][]float64, len(cases))}
	notices, loads := candidates()
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, c := range cases {
		g.Go(func() (err error) {
			f.fetch[i], err = delay(m, c)
			if f.held[i] = math.NaN(); !math.IsNaN(f.fetch[i]) && c.Condition.Wide() {
				f.held[i] = holding(c)
			}
			switch {
			case err != nil:
			case c.Condition.Class() == "full link":
				f.notices[i], err = losses(m, c, notices, max(0, f.fetch[i]))
			case c.Condition.Class() == "below a full link":
				f.loads[i], err = losses(m, c, loads, 0)
			}
			return err
		})
	}
	return f, g.Wait()
}

// delay is by how much a full link to the device delays calls none of whose copies
// waits for it.
func delay(m *Machine, c *Case) (float64, error) {
	if c.Condition.Direction != "h2d" || c.Condition.Class() != "full link" || slices.ContainsFunc(c.Own.In, func(b int64) bool { return b > m.Link.SmallBehind }) {
		return math.NaN(), nil
	}
	set, err := m.Simulate(c.Own, &c.Condition, &Parameters{}, 0)
	if err != nil {
		return 0, err
	}
	slices.Sort(set)
	alone, err := m.Simulate(c.Own, &Condition{Direction: "h2d", Share: 1, Arrivals: "closed"}, &Parameters{}, 0)
	if err != nil {
		return 0, err
	}
	slices.Sort(alone)
	// The simulated replicate stands for all of them.
	return forecast.Quantile(forecast.Pooled(c.Calls), 0.5) - c.Own.Quantile(0.5) - (forecast.Quantile(set, 0.5) - forecast.Quantile(alone, 0.5)), nil
}

// holding is by how much more, on average, one call of so many is held up than those
// around it. How many more calls than without load are late by a little tells, since how
// late they are varies exponentially; unless as many are late without.
func holding(c *Case) float64 {
	const by = 25e3
	own := late(c.Own.Calls, by) / forecast.Held
	more := late(c.Calls, by)/forecast.Held - own
	switch {
	case own > 0.5:
		return math.NaN()
	case more <= 0:
		return 0
	}
	return by / -math.Log(min(more, 0.9))
}

// late is the share of calls that are later by so much than the median of the six around.
func late(trials [][]int64, by int64) float64 {
	const beside = 3
	n, all := 0, 0
	for _, calls := range trials {
		for i := beside; i < len(calls)-beside; i++ {
			around := slices.Concat(calls[i-beside:i], calls[i+1:i+1+beside])
			slices.Sort(around)
			if all++; calls[i] > around[beside-1]+by {
				n++
			}
		}
	}
	return float64(n) / max(1, float64(all))
}

// weights are of errors: that of a median is allowed half of what those of tails are.
var weights = [3]float64{2, 1, 1}

// losses sums the errors of three quantiles, in logarithms, for each candidate.
func losses(m *Machine, c *Case, candidates []Parameters, fetch float64) ([]float64, error) {
	measured := forecast.Pooled(c.Calls)
	out := make([]float64, len(candidates))
	for k, x := range candidates {
		if !math.IsNaN(fetch) {
			x.Fetch = fetch
		}
		var sets [][]int64
		for draw := range tries {
			set, err := m.Simulate(c.Own, &c.Condition, &x, draw)
			if err != nil {
				return nil, err
			}
			sets = append(sets, set)
		}
		simulated := forecast.Pooled(sets)
		for i, q := range Quantiles {
			out[k] += weights[i] * math.Abs(math.Log(forecast.Quantile(simulated, q)/forecast.Quantile(measured, q)))
		}
	}
	return out, nil
}

// fit returns the best parameters without the cases that are left out.
func (f *fitter) fit(leaveOut func(*Case) bool) Parameters {
	x := Unlearned.Parameters
	usual := func(of []float64) float64 {
		var told []float64
		for i, v := range of {
			if !math.IsNaN(v) && !leaveOut(f.cases[i]) {
				told = append(told, v)
			}
		}
		if len(told) == 0 {
			return 0
		}
		slices.Sort(told)
		n := len(told)
		return math.Round(max(0, (told[(n-1)/2]+told[n/2])/2))
	}
	x.Fetch, x.FetchTail = usual(f.fetch), usual(f.held)
	best := func(losses [][]float64) int {
		var sums []float64
		for i, l := range losses {
			if l == nil || leaveOut(f.cases[i]) {
				continue
			}
			if sums == nil {
				sums = make([]float64, len(l))
			}
			for k, v := range l {
				sums[k] += v
			}
		}
		if sums == nil {
			return -1
		}
		return slices.Index(sums, slices.MinFunc(sums, cmp.Compare[float64]))
	}
	notices, loads := candidates()
	if k := best(f.notices); k >= 0 {
		x.Notice, x.Tail = notices[k].Notice, notices[k].Tail
	}
	if k := best(f.loads); k >= 0 {
		x.Late, x.Stalls = loads[k].Late, loads[k].Stalls
	}
	return x
}
