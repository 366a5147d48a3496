package stress

import (
	"context"
	"errors"
	"slices"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/device"
	"barograph/stages/device/host"
	"barograph/stages/guard"
	"barograph/stages/kind/stress/drive"
	"barograph/stages/kind/stress/tape"
	"barograph/stages/result"
)

// load runs one load on a real device.
func (t *task) load(ctx context.Context) (err error) {
	rate, err := t.rate()
	if err != nil {
		return err
	}
	load, err := t.with.load(t.with.Direction)
	if err != nil {
		return err
	}
	dev, err := open(t.Machine.Device)
	if err != nil {
		return err
	}
	own, _, err := place()
	if err != nil {
		return err
	}
	t.result.CPUs, t.result.Rate, t.result.Notes = own, rate, dev.Notes(load)

	// Threads wait busily: two on one CPU would keep one another from copying.
	before := max(0, t.Seq-1) * load.Threads % len(own)
	g, closing, err := t.guarded()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closing()) }()
	d, err := drive.Start(ctx, dev, load, g, rate, 0, slices.Concat(own[before:], own[:before]))
	if err != nil {
		return err
	}
	err = t.follow(ctx, d)
	if stopped := d.Stop(); err == nil {
		err = stopped
	}
	if err != nil {
		return err
	}
	return t.finish(d.Tapes, g.Report())
}

// follow takes a running load through its trial, or through its duration where
// it belongs to none, and fills in the window.
func (t *task) follow(ctx context.Context, d *drive.Drive) error {
	var controls <-chan cell.Control
	if t.Background {
		controls = t.Controls()
	}
	if d.Load.Threads > 0 && d.Load.Calls == 0 {
		if err := t.settle(ctx, d, controls); err != nil {
			return err
		}
	}
	watch, err := host.NewWatch(t.result.CPUs)
	if err != nil {
		return err
	}
	if err := t.measure(ctx, d); err != nil {
		return err
	}
	share, err := watch.Others()
	if d.Load.Threads > 0 {
		t.crowded(share)
	}
	return err
}

// settle waits until a load is steady, and warns where it never was.
func (t *task) settle(ctx context.Context, d *drive.Drive, controls <-chan cell.Control) error {
	_, _, ok, err := d.Settle(ctx, time.Duration(t.with.Settle), controls)
	if err != nil {
		return err
	}
	if t.result.Steady = ok; !ok {
		t.warn("bandwidth was not steady after %v: three windows of %v never lay within 5%% of their mean",
			t.with.Settle, time.Duration(d.Window()).Round(time.Millisecond))
	}
	return nil
}

// crowded warns where others had too much of the stressor's CPUs.
func (t *task) crowded(share float64) {
	if share > 0.05 {
		t.warn("for %.0f%% of the time the stressor's CPUs %v ran something else: alone, it would have copied more", 100*share, t.result.CPUs)
	}
}

// measure holds a load until its trial, its calls or its duration are over.
func (t *task) measure(ctx context.Context, d *drive.Drive) error {
	if t.Background {
		return t.trial(ctx, d.Broken(), d.Err())
	}
	start := cell.Now()
	if d.Load.Threads > 0 && d.Load.Calls > 0 {
		if err := d.Finished(ctx); err != nil {
			return err
		}
		t.result.Window = tape.Span(d.Tapes)
	} else {
		if err := d.Sleep(ctx, time.Duration(t.with.Duration)); err != nil {
			return err
		}
		t.result.Window = [2]int64{start, cell.Now()}
	}
	t.Measured(t.result.Window[0], t.result.Window[1])
	return nil
}

// trial says ready and waits for the engine to tell the window and to stop, or
// for the load to break by a cause.
func (t *task) trial(ctx context.Context, broken <-chan struct{}, cause *error) error {
	ready := cell.Now()
	t.Ready()
	for {
		select {
		case m, ok := <-t.Controls():
			switch {
			case !ok:
				return errors.New("the engine went away without telling the load to stop")
			case m.Type == "window":
				t.result.Window = [2]int64{m.Start, m.End}
			case m.Type == "stop":
				if t.result.Window == [2]int64{} && !t.Machine.Simulated() {
					t.result.Window = [2]int64{ready, cell.Now()}
					t.warn("the trial told no window: achieved bandwidth is over the whole time from ready to stop")
				}
				return nil
			}
		case <-broken:
			return *cause
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// finish computes what was achieved over the window and writes the copies.
func (t *task) finish(tapes []*tape.Tape, saw guard.Report) error {
	if err := t.account(tapes); err != nil {
		return err
	}
	t.guarding(saw)
	t.Metric(map[string]float64{"achieved_bytes_per_s": t.result.Achieved})
	f, err := t.Create(result.CopiesFile)
	if err != nil {
		return err
	}
	return errors.Join(tape.Write(f, tapes), f.Close())
}

// account computes what was achieved over the window.
func (t *task) account(tapes []*tape.Tape) error {
	start, end := t.result.Window[0], t.result.Window[1]
	t.result.AchievedBy = map[string]float64{}
	directions, err := device.Directions(t.with.Direction)
	if err != nil {
		return err
	}
	if end > start {
		sum := tape.Within(tapes, start, end)
		for _, d := range directions {
			v := sum[d] / (float64(end-start) / 1e9)
			t.result.AchievedBy[d.String()] = v
			t.result.Achieved += v
		}
	}
	for _, of := range tapes {
		t.result.Copies += int64(of.Len())
	}
	if last := max(start, tape.Span(tapes)[1]); t.with.Calls > 0 && t.with.Threads > 0 && last < end {
		t.warn("the load's copies were over after %.0f%% of the time that was timed: give it more calls, or none", 100*float64(last-start)/float64(end-start))
	}
	if r := t.result.Rate; t.with.Threads > 0 && r > 0 && t.result.Achieved < 0.98*r {
		t.warn("the load reached %.1f%% of its rate of %.3g bytes/s: more than the link carried beside the inference, or too few copies in flight",
			100*t.result.Achieved/r, r)
	}
	return nil
}
