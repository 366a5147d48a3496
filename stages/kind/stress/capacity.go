package stress

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gonum.org/v1/gonum/floats"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/device"
	"barograph/stages/device/host"
	"barograph/stages/device/sim"
	"barograph/stages/kind/stress/drive"
	"barograph/stages/result"
)

// A gauge measures the bandwidth, in bytes per second, of a load whose threads
// are spread over CPUs: for a while, or, where that is 0, until it is steady.
type gauge func(l device.Load, cpus []int, while time.Duration) (float64, error)

// capacity calibrates a real device.
func (t *task) capacity(ctx context.Context) error {
	dev, err := open(t.Machine.Device)
	if err != nil {
		return err
	}
	own, all, err := place()
	if err != nil {
		return err
	}
	t.result.CPUs = own
	directions := t.with.Directions
	if dev.OnePath() {
		directions = directions[:1]
	}
	begun := cell.Now()
	var taken []float64 // share of the CPUs that others had, by load
	err = t.calibrate(directions, own, all, dev.Fit, func(l device.Load, cpus []int, while time.Duration) (float64, error) {
		t.result.Notes = dev.Notes(l)
		d, err := drive.Start(ctx, dev, l, nil, 0, 0, cpus)
		if err != nil {
			return 0, err
		}
		watch, err := host.NewWatch(own)
		if err != nil {
			return 0, errors.Join(err, d.Stop())
		}
		from, to, err := t.hold(ctx, d, while)
		if share, failed := watch.Others(); len(cpus) == len(own) {
			taken = append(taken, share)
			err = errors.Join(err, failed)
		}
		if stopped := d.Stop(); err == nil {
			err = stopped
		}
		if err != nil || to <= from {
			return 0, err
		}
		return d.Bandwidth(from, to), nil
	})
	if err != nil {
		return err
	}
	t.crowded(floats.Sum(taken) / float64(len(taken)))
	if dev.OnePath() {
		for _, found := range []map[string]float64{t.result.Capacity, t.result.AllCPUs} {
			for _, direction := range []string{"h2d", "d2h", "both"} {
				if v, ok := found[directions[0]]; ok {
					found[direction] = v
				}
			}
		}
	}
	t.result.Window = [2]int64{begun, cell.Now()}
	t.Measured(t.result.Window[0], t.result.Window[1])
	return nil
}

// hold keeps a load up as a gauge wants it, and returns the interval to judge
// it by.
func (t *task) hold(ctx context.Context, d *drive.Drive, while time.Duration) (from, to int64, err error) {
	if while == 0 {
		from, to, ok, err := d.Settle(ctx, time.Duration(t.with.Settle), nil)
		if err == nil && !ok {
			t.result.Steady = false
			said := fmt.Sprintf("%d threads with blocks of %v were not steady after %v", d.Load.Threads, unit.Size(d.Load.Block), t.with.Settle)
			t.result.Warnings = append(t.result.Warnings, said)
			t.Unsteady("%s", said)
		}
		return from, to, err
	}
	from = drive.Warm(while)
	err = d.Sleep(ctx, while)
	return from, d.Frontier(), err
}

// calibrate sweeps each direction, and measures the fastest point again, until it is
// steady. That is the capacity, and not what the sweep found: of a dozen short windows,
// each with copies that straddle its edges, the fastest says too much. Where it is less,
// something may have disturbed it, so it is measured once more, and the larger of the two
// counts. Where nothing is steady, the sweep's is as good. The same load with as many
// threads on each CPU of the machine is noted beside it.
func (t *task) calibrate(directions []string, own, all []int, fit func(device.Load) error, measure gauge) error {
	t.result.Capacity, t.result.AllCPUs = map[string]float64{}, map[string]float64{}
	done := 0
	for i, direction := range directions {
		loads, err := t.with.sweep(direction, len(own))
		if err != nil {
			return err
		}
		try := func(l device.Load, cpus []int, while time.Duration) (float64, error) {
			v, err := measure(l, cpus, while)
			if err != nil {
				return 0, fmt.Errorf("calibrate %s with %d threads and blocks of %v: %w", direction, l.Threads, unit.Size(l.Block), err)
			}
			t.result.Sweep = append(t.result.Sweep, result.Point{
				Direction: direction, Threads: l.Threads, Block: l.Block, CPUs: len(cpus), Bandwidth: v,
			})
			done++
			t.Progress(done, len(directions)*(len(loads)+3), fmt.Sprintf("%s, %d x %v: %.2f GB/s", direction, l.Threads, unit.Size(l.Block), v/1e9))
			return v, nil
		}
		var best device.Load
		var most float64
		var unfit error
		for _, l := range loads {
			if err := fit(l); err != nil {
				unfit = err
				continue
			}
			v, err := try(l, own, time.Duration(t.with.Duration))
			if err != nil {
				return err
			}
			if v > most {
				best, most = l, v
			}
		}
		if most == 0 {
			return cmp.Or(unfit, cell.Hint(fmt.Errorf("calibrate %s: no copy was done within %v", direction, t.with.Duration), "give a longer duration:"))
		}
		again, err := try(best, own, 0)
		switch {
		case err != nil || again >= most:
		case !t.result.Steady:
			again = most
		default:
			var more float64
			more, err = try(best, own, 0)
			again = max(again, more)
		}
		if err != nil {
			return err
		}
		t.result.Capacity[direction] = again
		if i == 0 {
			t.result.Threads, t.result.Block, t.result.Direction = best.Threads, best.Block, direction
		}
		if len(all) > len(own) {
			best.Threads = (best.Threads*len(all) + len(own) - 1) / len(own)
			if fit(best) != nil {
				continue
			}
			if t.result.AllCPUs[direction], err = try(best, all, 0); err != nil {
				return err
			}
		}
	}
	t.Progress(done, done, "")
	return nil
}

// sweep lists the loads that a calibration tries in one direction: with half as
// many threads as CPUs, as many, and twice as many, and blocks from where a
// link's latency still shows to the largest of the paper's levels.
func (w *With) sweep(direction string, cpus int) ([]device.Load, error) {
	threads := []int{(cpus + 1) / 2, cpus, 2 * cpus}
	if w.Threads > 0 {
		threads = []int{w.Threads}
	}
	blocks := []unit.Size{4 << 20, 16 << 20, sim.CapacityBlock}
	if w.Block > 0 {
		blocks = []unit.Size{w.Block}
	}
	var loads []device.Load
	for _, n := range slices.Compact(threads) {
		for _, b := range blocks {
			point := *w
			point.Threads, point.Block = n, b
			l, err := point.load(direction)
			if err != nil {
				return nil, err
			}
			loads = append(loads, l)
		}
	}
	return loads, nil
}
