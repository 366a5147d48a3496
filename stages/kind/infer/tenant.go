package infer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/device/cuda"
	"barograph/stages/device/gpu"
	"barograph/stages/device/host"
	"barograph/stages/device/mps"
	"barograph/stages/device/nvml"
	"barograph/stages/device/sim"
	"barograph/stages/kind/infer/calls"
	"barograph/stages/kind/infer/session"
	"barograph/stages/kind/infer/tenancy"
	"barograph/stages/kind/stress"
	"barograph/stages/result"
)

// A tenant is an inference that is measured in rounds, with the others of its trial if
// there are any. One thread uses it.
type tenant struct {
	*Harness
	*tenancy.Member
	setup Setup
	fault chan error // a round failed, though a call may go on for good
	wide  With       // with as many calls as there is room for in a round
	parts []cuda.GPU // of the tenants, by number, where each has its multiprocessors
}

// A tenant may make so many times the calls that it was asked for in a round until slower
// ones have made theirs, and at most so many more.
const spread, mostMore = 64, 1 << 20

// amongTenants measures a cell's tenant, and those that are threads of its process.
func amongTenants(ctx context.Context, c *cell.Cell, w *With) (samples []calls.Sample, about result.Infer, err error) {
	m, err := tenancy.Join(&c.Spec)
	if err != nil {
		return nil, about, err
	}
	if w.Tenancy == "mps" {
		if err := mps.Await(ctx); err != nil {
			return nil, about, err
		}
	}
	fault, done := make(chan error, tenancy.Most), make(chan error, 1)
	go func() { // on a thread of its own, which a call that hangs keeps
		t := &tenant{Member: m, fault: fault, setup: Setup{Root: c.Root, Device: c.Machine.Device, With: w, Seed: c.Seed, Log: func(line string) { fmt.Fprintln(os.Stderr, line) }}}
		var err error
		samples, about, err = t.trial(ctx, c)
		done <- err
	}()
	select {
	case err = <-done:
	case err = <-fault:
		select { // for a message of its own
		case err = <-done:
		case <-time.After(time.Second):
		}
	}
	if err != nil {
		return nil, about, err
	}
	return samples, about, nil
}

// trial sets a cell's tenant up and measures it.
func (t *tenant) trial(ctx context.Context, c *cell.Cell) (samples []calls.Sample, about result.Infer, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := t.divide(); err != nil {
		return nil, about, err
	}
	if err := t.open(ctx); err != nil {
		return nil, about, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	guests, err := t.guests(ctx, cancel, c)
	if err != nil {
		return nil, about, err
	}
	if c.Background {
		c.Ready()
	} else {
		c.Progress(0, t.total(), "ready for the others")
		if err := c.Await(ctx); err != nil {
			return nil, about, err
		}
	}
	load, err := stress.Join(ctx, c)
	if err != nil {
		return nil, about, err
	}
	if !c.Background {
		if err := t.listened(); err != nil {
			return nil, about, err
		}
	}
	samples, about, err = t.measure(ctx, c, true)
	if load != nil {
		err = errors.Join(err, load.Leave(about.Window))
	}
	if err = errors.Join(err, guests()); err != nil || !c.Background {
		return samples, about, err
	}
	return samples, about, stopped(ctx, c)
}

// divide gives each tenant of this process its part of the GPU's multiprocessors, where
// they want one.
func (t *tenant) divide() error {
	if t.setup.With.SMs == 0 {
		return nil
	}
	gpu, err := cuda.Open(t.setup.Device)
	if err != nil {
		return err
	}
	if t.parts, err = gpu.Divide(t.SMs); err == nil {
		t.setup.GPU = t.parts[t.Number-1]
	}
	return err
}

// stopped returns when a background cell is told to end: one that ended before would be
// taken for dead.
func stopped(ctx context.Context, c *cell.Cell) error {
	for {
		select {
		case m, ok := <-c.Controls():
			if !ok {
				return errors.New("the engine went away before the trial ended")
			}
			if m.Type == "stop" {
				return nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// open makes the session and warms it up. The calling goroutine keeps its thread.
func (t *tenant) open(ctx context.Context) (err error) {
	if t.Harness, err = NewHarness(ctx, t.setup); err != nil {
		return err
	}
	w := t.setup.With
	if t.setup.Device != "host" { // a host's tenants share its processors
		t.About.CPUs = t.Place(t.About.CPUs)
	}
	_, err = t.Time(ctx, w.Warmup, nil)
	if err == nil {
		err = t.Jitter(ctx)
	}
	t.wide = *w
	t.wide.Calls += min((spread-1)*w.Calls, mostMore)
	if err == nil {
		err = t.expect(ctx, t.setup.Root, t.setup.Seed, &t.wide, nil)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("warm up: %w", err), t.Close())
	}
	if t.course == nil {
		t.spare = calls.New(t.wide.Calls)
	}
	return nil
}

// total is how many calls are timed, at least.
func (t *tenant) total() int {
	n := 0
	for round := range t.rounds() {
		if group := t.Group(round + 1); group == nil || slices.Contains(group, t.Number) {
			n += t.setup.With.Calls
		}
	}
	return n
}

func (t *tenant) rounds() int { return t.Rounds(t.setup.With.Rounds) }

// measure makes the calls of all rounds, and says what of them fell into their windows.
func (t *tenant) measure(ctx context.Context, c *cell.Cell, speaks bool) (all []calls.Sample, about result.Infer, err error) {
	if t.About.CPUs != nil { // since others were set up, it may have been moved
		if err := host.PinThread(t.About.CPUs); err != nil {
			return nil, about, err
		}
	}
	unserved := t.unserved()
	t.About.GCs, t.About.Stops, t.About.Delay, t.glance, t.answered = 0, 0, 0, tenancy.Glance, t.Answered
	if t.look != nil {
		t.About.GPU = &result.GPU{Before: t.look()}
	}
	t.About.Resident[0] = resident()
	var together []result.Together
	for round := range t.rounds() {
		before := t.About.Delay
		samples, err := t.round(ctx, round+1, func(done int) {
			if speaks {
				c.Progress(min(len(all)+done, t.total()-1), t.total(), "timed calls beside the others")
			}
		})
		if err != nil {
			return nil, about, err
		}
		all = append(all, samples...)
		together = t.together(together, round+1, len(samples), t.About.Delay-before)
	}
	t.About.Resident[1] = resident()
	if t.look != nil {
		t.judge(c)
		if unserved != nil {
			t.About.GPU.Invalid = append(t.About.GPU.Invalid, unserved.Error())
			t.warn("INVALID: %v", unserved)
		}
	}
	if speaks {
		c.Progress(t.total(), t.total(), "")
	}
	w := t.setup.With
	about = t.About
	about.Calls, about.Device = len(all), t.setup.Device
	if about.Traffic, err = w.told(all, t.course); err != nil {
		return nil, about, err
	}
	windows, cut := t.Windows()
	about.Window = [2]int64{windows[0][0], windows[len(windows)-1][1]}
	about.Tenancy = told(t.Member, w, windows, cut)
	about.Tenancy.Groups = together
	if t.setup.GPU != nil {
		about.Tenancy.SMs, about.Tenancy.AllSMs = t.setup.GPU.Multiprocessors()
	}
	about.Delay = min(about.Delay, about.Tenancy.Timed()) // calls that were cut may have waited more
	t.doubts(&about, all)
	return all, about, nil
}

// together notes what calls were made in a round of a group, and how long this tenant
// waited for its processor meanwhile.
func (t *tenant) together(all []result.Together, round, n int, delay int64) []result.Together {
	group, window := t.Group(round), t.last()
	if group == nil || n == 0 {
		return all
	}
	return append(all, result.Together{Round: round, Tenants: group, Calls: n, Delay: min(delay, window[1]-window[0]), Window: window})
}

// last is the window of the round that has ended.
func (t *tenant) last() [2]int64 {
	windows, _ := t.Windows()
	return windows[len(windows)-1]
}

// unserved says that a tenant was meant to share the GPU through MPS and does not.
func (t *tenant) unserved() error {
	if t.setup.With.Tenancy != "mps" {
		return nil
	}
	serves, err := mps.Serves()
	if err == nil && !serves {
		err = errors.New("the process is no client of MPS: it had started before there was a daemon")
	}
	return err
}

// told says how a tenant shared its device.
func told(m *tenancy.Member, w *With, windows [][2]int64, cut [2]int) *result.Tenancy {
	return &result.Tenancy{
		Sharing: w.Sharing(), Tenant: m.Number, Of: len(m.Models), Beside: m.Beside(), Percent: w.Percent, Priority: w.Priority, SMPercent: w.SMs, Terms: m.Terms,
		Windows: windows, CutBefore: cut[0], CutAfter: cut[1],
	}
}

// amongSimulated puts the calls of a cell's tenant, from a simulation of its whole trial,
// in the place of samples; nil: it is no tenant.
func amongSimulated(c *cell.Cell, w *With, arriving bool, samples *[]calls.Sample) (*result.Tenancy, error) {
	if !w.Set() && !tenancy.Shared(&c.Spec) {
		return nil, nil
	}
	m, err := tenancy.Join(&c.Spec)
	if err != nil {
		return nil, err
	}
	members, asked, err := tenancy.Members(&c.Spec)
	if err != nil {
		return nil, err
	}
	q := sim.Together{Warmup: asked.Warmup, Calls: asked.Calls, Rounds: max(1, w.Rounds), Groups: m.Groups()}
	of, windows, err := sim.Tenants(c.Machine, members, q)
	if err != nil {
		return nil, err
	}
	*samples = nil
	about := told(m, w, windows, [2]int{})
	made := make([]int, len(windows)+1)
	for _, call := range of[m.Number-1] {
		s := calls.Sample{Scheduled: call.Scheduled, Start: call.Start, End: call.Scheduled + call.Latency, Round: call.Round}
		if arriving {
			s.Sent, s.Batch = s.Scheduled, 1
		}
		*samples = append(*samples, s)
		made[call.Round]++
	}
	for round := 1; round < len(made); round++ {
		if group := m.Group(round); group != nil && made[round] > 0 {
			about.Groups = append(about.Groups, result.Together{Round: round, Tenants: group, Calls: made[round], Window: windows[round-1]})
		}
	}
	return about, nil
}

// round makes calls until the round's window is closed, and returns those within it.
func (t *tenant) round(ctx context.Context, number int, progress func(done int)) ([]calls.Sample, error) {
	if t.course != nil { // of each round another
		var err error
		if t.course, _, err = t.wide.traffic().Course(t.setup.Root, t.setup.Seed+uint64(number-1)); err != nil {
			return nil, err
		}
	}
	if err := t.Begin(ctx, t.course != nil); err != nil {
		return nil, err
	}
	if t.Pauses() {
		err := t.Sit(ctx)
		if err == nil {
			_, err = t.End(ctx)
		}
		return nil, err
	}
	within, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ended := false // as the watching thread sees it
	t.limited = false
	made, err := t.Time(within, t.wide.Calls, func(done int) {
		progress(done)
		if over, err := t.Saw(done); over && !ended {
			ended = true
			if err != nil {
				stop(err)
				t.fault <- err
				return
			}
			stop(errLimit)
		}
	})
	switch {
	case err != nil && within.Err() != nil && ctx.Err() == nil:
		return nil, context.Cause(within) // which says more than the call that it ended
	case err != nil:
		return nil, err
	case !t.limited:
		return nil, cell.Hint(fmt.Errorf("round %d: %s made %d calls before the others had made theirs", number, t.Name(), len(made)), "let models share the device that are less unlike, or give the slower one fewer calls")
	}
	window, err := t.End(ctx)
	if err != nil {
		return nil, err
	}
	kept := tenancy.Cut(t.Member, window, made, func(s calls.Sample) (due, done int64) { return s.Scheduled, s.End })
	if want := t.setup.With.Calls; len(kept) < want {
		return nil, fmt.Errorf("round %d: %s has %d calls in the window in which all ran, of %d", number, t.Name(), len(kept), want)
	}
	for i := range kept {
		kept[i].Round = number
	}
	return kept, nil
}

// guests sets up those tenants that are threads of the foreground's process, and has them
// wait for the rounds. What it returns waits for their end.
func (t *tenant) guests(ctx context.Context, cancel context.CancelCauseFunc, c *cell.Cell) (wait func() error, err error) {
	if t.setup.With.Tenancy != "thread" {
		return func() error { return nil }, nil
	}
	members, ins, err := t.Guests(&c.Spec)
	if err != nil {
		return nil, err
	}
	ended := make(chan error)
	for i, m := range members {
		with := Kind().With().(*With)
		if err := json.Unmarshal(ins[i].With, with); err != nil {
			return nil, err
		}
		g := &tenant{Member: m, fault: t.fault, setup: Setup{Root: c.Root, Device: c.Machine.Device, With: with, Seed: ins[i].Seed, Log: t.setup.Log}}
		if t.parts != nil {
			g.setup.GPU = t.parts[m.Number-1]
		}
		ready := make(chan error)
		go func() {
			runtime.LockOSThread()
			if err := g.open(ctx); err != nil {
				ready <- err
				return
			}
			ready <- nil
			samples, about, err := g.measure(ctx, c, false)
			if err == nil {
				about.Card = card(c.Machine)
				err = write(func(name string) (string, error) { return filepath.Join(m.Folder(), name), nil }, samples, about)
			}
			if err = errors.Join(err, g.Close()); err != nil {
				cancel(err)
			}
			ended <- err
		}()
		if err := <-ready; err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name(), err)
		}
	}
	return func() error {
		var errs []error
		for range members {
			errs = append(errs, <-ended)
		}
		return errors.Join(errs...)
	}, nil
}

// lodge is the cell of a tenant that is a thread of the foreground's process, which leaves
// its outputs here.
func lodge(ctx context.Context, c *cell.Cell) error {
	m, err := tenancy.Join(&c.Spec)
	if err != nil {
		return err
	}
	m.Lodge()
	c.Ready()
	if err := stopped(ctx, c); err != nil {
		return err
	}
	var about result.Infer
	if err := cell.ReadJSON(result.InferFile, &about); err != nil {
		return err
	}
	for _, text := range about.Warnings {
		c.Warn("%s", text)
	}
	return nil
}

// together reports why the cells of a trial cannot share a device, or why the first of
// them would never answer in time.
func together(root string, m cell.Machine, gang []cell.Input) error {
	if err := simulatedInTime(m, gang[0]); err != nil || len(gang) == 1 {
		return err
	}
	return tenancy.Together(m.Device, gang, room(m.Device), func(in cell.Input) (int64, error) { return footprint(root, m.Device, in) })
}

// context is what a process has on a GPU before it loads a model, at least.
const bareContext = 256 << 20

// footprint is how many bytes of its device's memory a tenant needs, at least.
func footprint(root, device string, in cell.Input) (int64, error) {
	w := Kind().With().(*With)
	if err := json.Unmarshal(in.With, w); err != nil {
		return 0, fmt.Errorf("read the parameters of %s: %w", in.ID, err)
	}
	c, err := w.Load(root)
	if err != nil {
		return 0, err
	}
	info, err := c.Info()
	if err != nil {
		return 0, err
	}
	need := info.InitialiserBytes * int64(max(1, w.Workers)) * int64(max(1, w.Batch.Max))
	if cell.Family(device) == "cuda" && w.Tenancy != "thread" {
		need += bareContext
	}
	return need, nil
}

// room is how many bytes of a device's memory are not in use; 0 where nobody can tell.
func room(device string) int64 {
	switch cell.Family(device) {
	case "host":
		return session.Memory()
	case "cuda":
		gpus := gpu.Visible(gpu.Here().List)
		n := cell.Ordinal(device)
		if n >= len(gpus) {
			return 0
		}
		probe, err := nvml.Open(gpus[n].PCI)
		if err != nil {
			return 0
		}
		s := probe.Look(false)
		return s.Memory - s.MemoryUsed
	}
	return 0
}
