package link

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/device"
	"barograph/stages/stats"
)

// A directedLoad is a load in a direction.
type directedLoad struct {
	Load
	direction device.Direction
}

func (l directedLoad) String() string {
	return fmt.Sprintf("%v, %d x %d x %d of %v", l.direction, l.Processes, l.Threads, l.Outstanding, unit.Size(l.Block))
}

// A rig is a device to measure a card of: a victim here, and loads in processes of
// their own.
type rig interface {
	// capacity is a study's calibration.
	capacity(ctx context.Context) (map[string]Estimate, error)
	// alone returns the bandwidth of a load without victim, in this process.
	alone(ctx context.Context, l directedLoad) (float64, error)
	// beside keeps a load up while f runs, and returns the bandwidth of each process.
	beside(ctx context.Context, l directedLoad, f func() error) ([]float64, error)
	// time makes and times a victim's calls beside whatever load there is.
	time(c device.Call, latencies []int64, limit time.Duration) ([]int64, error)
}

const (
	fullBlock  = 4 << 20              // bytes of a load's copies
	largeBlock = 64 << 20             // the largest of a study's
	smallCopy  = 4 << 10              // a victim's, whose own time hardly counts
	mostSmall  = 1 << 20              // the largest copy that is asked whether it takes the small path
	plainCopy  = 64 << 10             // one that takes none on any GPU known
	leastSweep = 5 * time.Millisecond // kernels are swept so far at least,
	mostSweep  = 20 * time.Millisecond
	steps      = 42               // in so many steps
	patience   = 10 * time.Second // for the calls of one point
)

// A sample is one timed call, and beside what it was made.
type sample struct {
	directedLoad
	call    device.Call
	latency int64
}

// full are the loads beside which a small copy waits. The staircase is that of the
// first; of several processes, that of those with two threads.
var full = []Load{
	{1, 1, 4, fullBlock}, {1, 1, 2, largeBlock},
	{2, 1, 4, fullBlock}, {2, 2, 1, largeBlock},
	{3, 1, 4, fullBlock}, {3, 2, 1, largeBlock},
}

// A measurement is a card in the making.
type measurement struct {
	rig     rig
	card    *Card
	say     func(string)
	samples []sample
	now     directedLoad // beside which calls are made
}

// measure fills in what a card says of the link.
func measure(ctx context.Context, r rig, directions []device.Direction, card *Card, say func(string)) (*measurement, error) {
	m := &measurement{rig: r, card: card, say: say}
	before := cell.Stops()
	m.say("capacity")
	var err error
	if card.Capacity, err = r.capacity(ctx); err != nil {
		return nil, err
	}
	card.Ways = map[string]*Way{}
	for _, d := range directions {
		w := &Way{}
		card.Ways[d.String()] = w
		if err := m.way(ctx, d, w); err != nil {
			return nil, fmt.Errorf("measure direction %v: %w", d, err)
		}
	}
	if n := cell.Stops() - before; n > 0 && !card.Simulated {
		card.warn("%s", cell.Stopped("what measures", n))
	}
	return m, nil
}

func (c *Card) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

// calls makes n of them, keeps them, and returns them in order of latency.
func (m *measurement) calls(c device.Call, n int) ([]int64, error) {
	l, err := m.rig.time(c, make([]int64, n), patience)
	if err != nil {
		return nil, err
	}
	for _, v := range l {
		m.samples = append(m.samples, sample{m.now, c, v})
	}
	slices.Sort(l)
	return l, nil
}

// beside measures beside a load.
func (m *measurement) beside(ctx context.Context, l directedLoad, f func() error) ([]float64, error) {
	m.say("beside " + l.String())
	m.now = l
	defer func() { m.now = directedLoad{} }()
	return m.rig.beside(ctx, l, f)
}

// at is quantile q of sorted samples.
func at(sorted []int64, q float64) int64 {
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func step(l Load, c device.Call, sorted []int64) Step {
	s := Step{
		Load: l, Kernel: int64(c.Kernel), Bytes: c.Bytes, Calls: len(sorted),
		P10: at(sorted, 0.1), P50: at(sorted, 0.5), P90: at(sorted, 0.9),
	}
	if len(sorted) >= stats.Needed(0.99, stats.Confidence) {
		s.P99 = at(sorted, 0.99)
	}
	return s
}

// way measures one direction.
func (m *measurement) way(ctx context.Context, d device.Direction, w *Way) error {
	small := device.Call{Bytes: smallCopy, Direction: d}
	kernel, idle := small, small
	kernel.Bytes, idle.Kernel = 0, -1
	m.say(fmt.Sprintf("%v without load", d))
	w.Alone.Bytes = smallCopy
	for _, a := range []struct {
		call device.Call
		into *int64
	}{{kernel, &w.Alone.Kernel}, {small, &w.Alone.Behind}, {idle, &w.Alone.Idle}} {
		if _, err := m.calls(a.call, 20); err != nil { // warm
			return err
		}
		l, err := m.calls(a.call, 200)
		if err != nil {
			return err
		}
		*a.into = at(l, 0.5)
	}
	if err := m.flight(ctx, d, &w.Flight); err != nil {
		return err
	}
	t := &w.Turn
	var calls []device.Call // of the steps
	point := func(kernel time.Duration) error {
		c := small
		c.Kernel = kernel
		l, err := m.calls(c, 30)
		if err != nil {
			return err
		}
		t.Steps, calls = append(t.Steps, step(m.now.Load, c, l)), append(calls, c)
		return nil
	}
	var one int64 // median wait beside one load
	for i, l := range full {
		var waits []int64
		each, err := m.beside(ctx, directedLoad{l, d}, func() (err error) {
			if waits, err = m.calls(small, 150); err != nil {
				return err
			}
			switch {
			case i == 0:
				one = max(0, at(waits, 0.5)-w.Alone.Behind)
				if err := m.stairs(d, t, time.Duration(one), point); err != nil {
					return err
				}
				return m.small(d, &w.Small)
			case l.Processes > 1 && l.Threads > 1 && l.Block == largeBlock:
				for _, turns := range []float64{0.5, 1.5, 2.5, 3.5, 4.5} {
					if err := point(time.Duration(turns * float64(one))); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		e, alone := median(waits), float64(w.Alone.Behind)
		t.Loads = append(t.Loads, Loads{l, Estimate{e.Value - alone, e.Low - alone, e.High - alone}, mean(each)})
	}
	victim := device.Call{Kernel: time.Millisecond, Bytes: smallCopy, Direction: d}
	for _, block := range []int64{fullBlock, largeBlock} {
		l := Load{1, 1, 1, block}
		var s Step
		each, err := m.beside(ctx, directedLoad{l, d}, func() error {
			waits, err := m.calls(victim, 300)
			if err == nil {
				s = step(l, victim, waits)
			}
			return err
		})
		if err != nil {
			return err
		}
		w.Flight.One = append(w.Flight.One, One{Block: block, Bandwidth: mean(each), Victim: s})
	}
	// What the same calls take without load.
	m.say(fmt.Sprintf("%v without load, once more", d))
	without := func(c device.Call, into *int64) error {
		l, err := m.calls(c, 11)
		if err == nil {
			*into = at(l, 0.5)
		}
		return err
	}
	var errs []error
	for i, c := range calls {
		errs = append(errs, without(c, &t.Steps[i].Alone))
	}
	errs = append(errs, without(device.Call{Kernel: time.Millisecond, Direction: d}, &t.Kernel.Alone))
	for i := range w.Flight.One {
		errs = append(errs, without(victim, &w.Flight.One[i].Victim.Alone))
	}
	for i, s := range w.Small.Sizes {
		errs = append(errs, without(s.call(d), &w.Small.Sizes[i].Alone))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	t.fit(float64(w.Alone.Behind - w.Alone.Kernel))
	return nil
}

// stairs makes the calls of the staircase, whose kernels go well past several waits,
// and those of a kernel without a copy.
func (m *measurement) stairs(d device.Direction, t *Turn, wait time.Duration, point func(kernel time.Duration) error) error {
	end := min(max(leastSweep, wait*17/4), mostSweep)
	t.UpTo = int64(end)
	for i := range steps {
		if err := point(time.Duration(i) * end / (steps - 1)); err != nil {
			return err
		}
	}
	c := device.Call{Kernel: time.Millisecond, Direction: d}
	l, err := m.calls(c, 100)
	if err == nil {
		t.Kernel = step(m.now.Load, c, l)
	}
	return err
}

// median is that of samples, with its interval.
func median(samples []int64) Estimate {
	q, err := stats.Quantiles(samples, []float64{0.5}, stats.Confidence)
	if err != nil || math.IsNaN(q[0].Low) {
		v := float64(at(slices.Sorted(slices.Values(samples)), 0.5))
		return Estimate{v, float64(slices.Min(samples)), float64(slices.Max(samples))}
	}
	return Estimate{q[0].Value, q[0].Low, q[0].High}
}

func mean(v []float64) (sum float64) {
	for _, x := range v {
		sum += x / float64(len(v))
	}
	return sum
}

// flight measures what so many copies in flight carry.
func (m *measurement) flight(ctx context.Context, d device.Direction, f *Flight) error {
	m.say(fmt.Sprintf("%v: copies in flight", d))
	f.Block = fullBlock
	for _, x := range []struct {
		block  int64
		depths []int
	}{{256 << 10, []int{1, 2, 4}}, {1 << 20, []int{1, 2, 4}}, {fullBlock, []int{1, 2, 3, 4, 8}}, {largeBlock, []int{1, 2}}} {
		for _, n := range x.depths {
			v, err := m.rig.alone(ctx, directedLoad{Load{1, 1, n, x.block}, d})
			if err != nil {
				return err
			}
			f.Depths = append(f.Depths, Depth{n, x.block, v})
		}
	}
	of := slices.DeleteFunc(slices.Clone(f.Depths), func(d Depth) bool { return d.Block != fullBlock })
	most := slices.MaxFunc(of, func(a, b Depth) int { return cmp.Compare(a.Bandwidth, b.Bandwidth) }).Bandwidth
	f.Saturate = of[slices.IndexFunc(of, func(d Depth) bool { return d.Bandwidth >= 0.97*most })].Outstanding
	return nil
}

// call is the one whose copy has a size.
func (s Size) call(d device.Direction) device.Call {
	c := device.Call{Bytes: s.Bytes, Direction: d, Kernel: -1}
	if s.Behind {
		c.Kernel = 0
	}
	return c
}

// small finds the largest copies that a load does not delay, beside it.
func (m *measurement) small(d device.Direction, s *Small) error {
	s.Most = mostSmall
	sizes := map[bool][]int64{}
	for _, behind := range []bool{false, true} {
		limit, err := m.limit(d, behind)
		if err != nil {
			return err
		}
		if behind {
			s.Behind = limit
		} else {
			s.Idle = limit
		}
		for b := int64(4); b <= mostSmall; b *= 2 {
			sizes[behind] = append(sizes[behind], b)
		}
		if limit > 0 {
			sizes[behind] = append(sizes[behind], limit, limit+1)
		}
		slices.Sort(sizes[behind])
		for _, b := range slices.Compact(sizes[behind]) {
			size := Size{Bytes: b, Behind: behind}
			l, err := m.calls(size.call(d), 25)
			if err != nil {
				return err
			}
			size.Calls, size.P10, size.P50, size.P90 = len(l), at(l, 0.1), at(l, 0.5), at(l, 0.9)
			s.Sizes = append(s.Sizes, size)
		}
	}
	return nil
}

// limit finds by bisection the largest copy that is not delayed, to the byte, and
// confirms it: of 40 calls nine in ten are not, and with a byte more nine in ten are.
func (m *measurement) limit(d device.Direction, behind bool) (int64, error) {
	if m.card.Device == "host" { // a CPU makes every copy by one path
		return -1, nil
	}
	// slow is the share of calls that take longer than halfway from the shortest
	// that there is to one that waits.
	delayed, err := m.calls(Size{Bytes: plainCopy, Behind: behind}.call(d), 25)
	if err != nil {
		return 0, err
	}
	w := m.card.Ways[d.String()]
	alone := w.Alone.Idle
	if behind {
		alone = w.Alone.Behind
	}
	halfway := (alone + at(delayed, 0.5)) / 2
	if at(delayed, 0.5) < 3*alone {
		m.card.warn("%v: a copy of %v beside a load takes %v, and %v alone: too little to tell who takes a small path",
			d, unit.Size(plainCopy), time.Duration(at(delayed, 0.5)), time.Duration(alone))
		return -1, nil
	}
	slow := func(bytes int64, n int) (float64, error) {
		l, err := m.calls(Size{Bytes: bytes, Behind: behind}.call(d), n)
		if err != nil {
			return 0, err
		}
		late := 0
		for _, v := range l {
			if v > halfway {
				late++
			}
		}
		return float64(late) / float64(len(l)), nil
	}
	var low, high int64
	for n := 7; n <= 63; n *= 3 { // more calls a size, where the first try is not confirmed
		low, high = 0, mostSmall
		if share, err := slow(high, n); err != nil || share < 0.5 {
			return -1, err
		}
		for high-low > 1 {
			middle := (low + high) / 2
			share, err := slow(middle, n)
			if err != nil {
				return 0, err
			}
			if share < 0.5 {
				low = middle
			} else {
				high = middle
			}
		}
		late, err := slow(high, 40)
		if err != nil {
			return 0, err
		}
		early := 0.0
		if low > 0 {
			if early, err = slow(low, 40); err != nil {
				return 0, err
			}
		}
		if late >= 0.9 && early <= 0.1 {
			return low, nil
		}
	}
	m.card.warn("%v: the small path's limit is not sharp: about %d bytes (behind a kernel: %v)", d, low, behind)
	return low, nil
}
