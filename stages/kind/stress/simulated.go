package stress

import (
	"context"
	"encoding/json"
	"iter"
	"math"
	"slices"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/device"
	"barograph/stages/device/sim"
	"barograph/stages/guard"
	"barograph/stages/kind/stress/drive"
	"barograph/stages/kind/stress/tape"
	"barograph/stages/result"
)

// simulatedLoad is a load on the simulated link. No time passes: it is ready at
// once, and simulates the trial when it has been told its window.
func (t *task) simulatedLoad(ctx context.Context) error {
	t.result.Simulated = true
	rate, err := t.rate()
	if err != nil {
		return err
	}
	t.result.Rate = rate
	gang := append(slices.Clone(t.Gang), cell.Input{Kind: "stress", ID: t.ID, With: t.Spec.With})
	v := sim.View{Cell: t.ID}
	if t.Background {
		if err := t.trial(ctx, nil, nil); err != nil {
			return err
		}
		for _, in := range t.Gang {
			if in.ID == t.During && in.Kind == "infer" {
				v.Serve, v.Seed, v.Model = true, in.Seed, sim.Model(in)
				if v.Traffic, err = sim.Asked(t.Root, in); err != nil {
					return err
				}
			}
		}
	}
	told := t.result.Window != [2]int64{}
	if !told {
		t.result.Window[1] = int64(t.with.Duration)
	}
	v.Until = t.result.Window[1]
	byCalls := !told && t.with.Calls > 0 && t.with.Threads > 0
	if byCalls {
		v.Until = math.MaxInt64
	}
	if v.Limit, err = drive.MaxCopies(); err != nil {
		return err
	}
	if _, _, err := t.guarded(); err != nil { // for what it promises; those of the simulation keep it
		return err
	}
	load, err := t.with.load(t.with.Direction)
	if err != nil {
		return err
	}
	load.Threads *= max(1, t.with.Processes)
	t.result.Processes = t.with.Processes
	copies, links, saw, err := t.onLinks(gang, v, load.Threads)
	if err != nil {
		return err
	}
	load.Threads *= len(links)
	tapes, err := tape.Record(threads(copies), len(copies), load)
	if err != nil {
		return err
	}
	if byCalls {
		t.result.Window = tape.Span(tapes)
	}
	if len(t.with.GPUs) > 0 {
		for _, l := range links {
			t.result.Links = append(t.result.Links, t.carried(l.Device, l.copies))
		}
	}
	return t.finish(tapes, saw)
}

// A simulatedLink is what a load copied on one of the links it is on.
type simulatedLink struct {
	cell.Machine
	copies []sim.Copy
}

// onLinks simulates each link that the load is on. Threads are numbered on from link
// to link.
func (t *task) onLinks(gang []cell.Input, v sim.View, threads int) (all []sim.Copy, links []simulatedLink, saw guard.Report, err error) {
	for i, device := range t.devices() {
		l := simulatedLink{Machine: t.Machine}
		l.Device = device
		beside := v
		beside.Serve = v.Serve && device == t.Machine.Device
		var report guard.Report
		if l.copies, report, err = sim.Copies(l.Machine, gang, beside); err != nil {
			return nil, nil, saw, err
		}
		saw = saw.Join(report)
		for _, c := range l.copies {
			c.Thread += i * threads
			all = append(all, c)
		}
		links = append(links, l)
	}
	return all, links, saw, nil
}

// carried is what a simulated link carried within the window.
func (t *task) carried(device string, copies []sim.Copy) result.Link {
	l := result.Link{Device: device, PCI: device, AchievedBy: map[string]float64{}}
	start, end := t.result.Window[0], t.result.Window[1]
	for _, c := range copies {
		if end > start {
			v := c.Within(start, end) / (float64(end-start) / 1e9)
			l.Achieved += v
			l.AchievedBy[c.Direction.String()] += v
		}
	}
	return l
}

// simulatedCapacity calibrates the simulated link by the same sweep as a real
// one, as if the stressor had two CPUs.
func (t *task) simulatedCapacity(ctx context.Context) error {
	t.result.Simulated = true
	cpus := []int{0, 1}
	fit := func(l device.Load) error { return sim.Fit(t.Machine, l) }
	return t.calibrate(t.with.Directions, cpus, cpus, fit, func(l device.Load, _ []int, _ time.Duration) (float64, error) {
		directions := "both"
		if len(l.Directions) == 1 {
			directions = l.Directions[0].String()
		}
		with, err := json.Marshal(With{
			Threads: l.Threads, Block: unit.Size(l.Block), Outstanding: l.Outstanding, Direction: directions, Memory: t.with.Memory,
		})
		if err != nil {
			return 0, err
		}
		const from, to = int64(1e9), int64(2e9)
		copies, _, err := sim.Copies(t.Machine, []cell.Input{{Kind: "stress", ID: t.ID, With: with}}, sim.View{Cell: t.ID, Until: to, Limit: 1 << 25})
		if err != nil {
			return 0, err
		}
		sum := 0.0
		for _, c := range copies {
			sum += c.Within(from, to)
		}
		return sum / (float64(to-from) / 1e9), ctx.Err()
	})
}

// threads gives each copy with its thread's number.
func threads(copies []sim.Copy) iter.Seq2[int, device.Copy] {
	return func(yield func(int, device.Copy) bool) {
		for _, c := range copies {
			if !yield(c.Thread, c.Copy) {
				return
			}
		}
	}
}
