package nb

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"barograph/stages/prediction/forecast"
)

// A Load is one that a prediction is made for. What it leaves out is as the command
// predict has it: towards the device, at a full link, by one process that keeps 4 copies
// of 16 MiB in flight, or below a full link of 4 MiB.
type Load = forecast.Condition

// A Prediction is what calls would take beside a load: p50, p90 and p99 in nanoseconds,
// each with the interval that holds nine in ten, and every simulated call.
type Prediction = forecast.Prediction

// Predict says what a model's calls would take beside a load, from calls without load and
// from what is kept of a machine in data/twin, a JSON input such as h100.json. A call
// copies so many bytes by each of its inputs and outputs. Nothing that it returns was
// measured; a figure that shows it must say so.
func Predict(twin string, alone *Set, in, out []int64, load Load) *Prediction {
	c := called("Predict", twin)
	x := try(forecast.Read(c.input(twin))).or("Predict", twin)
	load.Direction, load.Arrivals = cmp.Or(load.Direction, "h2d"), cmp.Or(load.Arrivals, "closed")
	load.Loads, load.Threads, load.Outstanding = cmp.Or(load.Loads, 1), cmp.Or(load.Threads, 4), cmp.Or(load.Outstanding, 1)
	if load.Share = cmp.Or(load.Share, 1); load.Block == 0 {
		if load.Block = 16 << 20; load.Share < 1 {
			load.Block = 4 << 20
		}
	}
	c.check(sound(load))
	for _, bytes := range slices.Concat(in, out) {
		if bytes < 0 {
			c.check(fmt.Errorf("a copy of %d bytes: want at least 0", bytes))
		}
	}
	o := &forecast.Baseline{In: in, Out: out, Calls: c.replicates(alone, "latency_ns"), From: twin}
	return try(forecast.Predict(x.Link, o, &load, x)).or("Predict", twin)
}

// sound reports a load that cannot be.
func sound(l Load) error {
	switch {
	case !(l.Share > 0 && l.Share <= 1):
		return fmt.Errorf("the load's share of the link is %g: want more than 0 and at most 1", l.Share)
	case l.Loads < 1 || l.Loads > 64 || l.Threads < 1 || l.Outstanding < 1 || l.Threads*l.Outstanding > 1024 || l.Block < 1:
		return fmt.Errorf("%d loads of %d threads with %d copies of %d bytes in flight: want 1 to 64 loads, and 1 to 1024 copies of each", l.Loads, l.Threads, l.Outstanding, l.Block)
	case l.Arrivals != "closed" && l.Due == nil:
		return fmt.Errorf("arrivals are %s, and Due does not say when requests are due", l.Arrivals)
	case l.MPS:
		return errors.New("what is kept of a machine is its link without MPS: use the command predict")
	}
	return nil
}
