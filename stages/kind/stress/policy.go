package stress

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/device"
	"barograph/stages/device/host"
	"barograph/stages/device/sim"
	"barograph/stages/guard"
	"barograph/stages/result"
)

// overhead is what a copy engine takes from one copy to the next, as seen on an H100.
const overhead = 3 * time.Microsecond

// mostInFlight bounds what a stream has in flight, each with its events.
const mostInFlight = 4096

// asked returns the load that is asked for, as a policy takes it.
func (w *With) asked() guard.Shape {
	return guard.Shape{Streams: w.Threads, Chunk: int64(w.Block), InFlight: w.Outstanding}
}

// shaped returns the load that a policy makes of one.
func (w *With) shaped(l device.Load) device.Load {
	if l.Threads == 0 || w.Policy.None() {
		return l
	}
	s := w.Policy.Shape(w.asked())
	l.Threads, l.Block, l.Outstanding = s.Streams, s.Chunk, s.InFlight+w.Policy.Ahead
	l.Ahead = w.Policy.Ahead
	return l
}

// checkPolicy reports what cannot be with a policy.
func (w *With) checkPolicy(on string) error {
	capacity := w.Mode == "capacity"
	switch p := w.Policy; {
	case p.None():
		return nil
	case capacity:
		return cell.Hint(fmt.Errorf("policy %s with mode capacity", p), "a capacity is calibrated without a policy")
	case w.Rate.PerSecond > 0 || w.Rate.Share > 0:
		return cell.Hint(fmt.Errorf("policy %s with a rate of %v", p, w.Rate), "the load's rate and a policy would both hold it back: leave one out, or take policy: {rate: ...}")
	case p.Ahead > 0 && !strings.HasPrefix(on, "cuda"):
		return cell.Hint(fmt.Errorf("policy %s on device %s: only a GPU's streams queue copies that become ready one after the other", p, on), "leave ahead out")
	case len(w.GPUs) > 0:
		return cell.Hint(fmt.Errorf("policy %s with gpus %v", p, w.GPUs), "a policy guards the trial's own link: leave gpus out")
	case p.Shape(w.asked()).InFlight > mostInFlight:
		return cell.Hint(fmt.Errorf("policy %s puts %d copies of a block of %v in flight: want at most %d", p, p.Shape(w.asked()).InFlight, w.Block, mostInFlight), "take a larger chunk, or a smaller block")
	case w.Memory == "pageable":
		return cell.Hint(fmt.Errorf("policy %s with memory: pageable", p), "the driver stages pageable copies itself, in pieces of its own: set memory: pinned")
	}
	return nil
}

// unaccompanied reports a policy that follows a victim in a load that has none.
func unaccompanied(with any) error {
	if p := with.(*With).Policy; p.Loop() || p.Aside() {
		what := map[bool]string{false: "p99", true: "calls"}[p.Aside()]
		return cell.Hint(fmt.Errorf("policy %s follows the %s of a victim, and this stage runs beside none", p, what), "set background: true, and name the stage in during: of an infer stage")
	}
	return nil
}

// whole reports a policy that no point of a stage has threads for, and what is not
// calibrated. A point without threads beside others is their baseline.
func whole(all, needed []any) error {
	idle := func(with any) bool { w := with.(*With); return w.Threads == 0 && !w.Policy.None() }
	if len(all) > 0 && !slices.ContainsFunc(all, func(with any) bool { return !idle(with) }) {
		return cell.Hint(fmt.Errorf("policy %s with threads: 0 at every point: there are no copies to let onto the link", all[0].(*With).Policy), "give threads: at one point at least, or leave policy: out")
	}
	for _, with := range all {
		if err := uncalibrated(with.(*With), needed); err != nil {
			return err
		}
	}
	return nil
}

// uncalibrated reports a policy or a rate that rests on the link's capacity, in a direction
// that none of the calibrations which the stage needs gives. In mode capacity it has neither.
func uncalibrated(w *With, needed []any) error {
	what := fmt.Sprintf("policy %s", w.Policy)
	switch {
	case w.Rate.Share > 0: // also of no threads
		what = fmt.Sprintf("rate %v", w.Rate)
	case w.Threads == 0 || !w.Policy.Calibrated():
		return nil
	}
	has := map[string]bool{}
	for _, n := range needed {
		if n := n.(*With); n.Mode == "capacity" {
			for _, d := range n.Directions {
				has[d] = true
			}
		}
	}
	if has[w.Direction] || w.Direction == "both" && has["h2d"] && has["d2h"] {
		return nil
	}
	return cell.Hint(fmt.Errorf("%s rests on the link's capacity, and no stage in needs: calibrates direction %s", what, w.Direction),
		"add a stage {uses: stress, with: {mode: capacity, directions: [%s]}} and name it in needs:, or the direction to one that is named", w.Direction)
}

// lacksRoom says that what a policy has in flight does not fit into memory.
func (w *With) lacksRoom(on string) error {
	if w.Policy.None() || w.Threads == 0 {
		return nil
	}
	l, err := w.load(w.Direction)
	if err != nil {
		return err
	}
	m, err := host.Open()
	if err != nil {
		return err
	}
	if l.Threads *= max(1, w.Processes); on == "host" {
		err = m.Fit(l)
	} else {
		err = l.Fits(math.Inf(1), float64(m.Available)*7/8) // of a GPU's memory nothing is known here
	}
	if err != nil {
		return fmt.Errorf("policy %s: %w", w.Policy, err)
	}
	return nil
}

// link says what a bound on a device rests on, but for its capacity.
func (w *With) link(m cell.Machine) (guard.Link, error) {
	l := guard.Link{Queue: guard.Turns, Overhead: overhead, Slow: guard.Slowest, Constant: guard.Constant, Processes: max(1, w.Processes)}
	if n, err := strconv.Atoi(os.Getenv(guardProcesses)); err == nil {
		l.Processes = n
	}
	if w.Sharing == "process" {
		l.Processes = 0
	}
	l.Inputs, l.Outputs = w.Direction != "d2h", w.Direction != "h2d"
	switch cell.Family(m.Device) {
	case "host":
		l.Queue = guard.Shared
	case "sim":
		return sim.Guarding(m, w.Direction, l)
	}
	return l, nil
}

// foretell returns why a load has no bound, as far as that is known before its link is
// calibrated; nil where there may be one.
func (w *With) foretell(m cell.Machine) error {
	l, err := w.link(m)
	if err != nil || w.Policy.None() || w.Threads == 0 {
		return err
	}
	l.Capacity = 1e9
	if _, err = w.Policy.Bound(w.asked(), l); !errors.Is(err, guard.ErrNoBound) {
		return nil
	}
	return err
}

// guarded returns the guard of a load, which is that of the parameters, and notes what
// it promises; nil where no policy asks for one. The page is closed after it.
func (t *task) guarded() (g *guard.Guard, closing func() error, err error) {
	closing = func() error { return nil }
	w := t.with
	if w.Policy.None() || w.Threads == 0 {
		return nil, closing, nil
	}
	link, err := w.link(t.Machine)
	if err != nil {
		return nil, closing, err
	}
	if link.Capacity = t.result.Capacity[w.Direction]; w.Direction == "both" { // each way has a queue of its own
		link.Capacity = min(t.result.Capacity["h2d"], t.result.Capacity["d2h"])
	}
	shared, err := OpenPage()
	if err != nil {
		return nil, closing, err
	}
	if shared != nil {
		closing = shared.Close
	}
	if g, err = guard.New(w.Policy, w.asked(), link, shared); err != nil {
		return nil, closing, cell.Hint(errors.Join(err, closing()), "add a stage {uses: stress, with: {mode: capacity, directions: [%s]}} and name it in needs:", w.Direction)
	}
	s := g.Shape()
	t.result.Guard = &result.Guard{Policy: w.Policy.String(), Streams: s.Streams, Chunk: s.Chunk, InFlight: s.InFlight}
	bound, none := w.Policy.Bound(w.asked(), link)
	usual, _ := w.Policy.Bound(w.asked(), link.Usual())
	if t.result.Guard.Bound, t.result.Guard.Usual = int64(bound), int64(usual); none != nil {
		t.result.Guard.NoBound = none.Error()
	}
	return g, closing, nil
}

// guarding notes what a guard saw.
func (t *task) guarding(saw guard.Report) {
	r := t.result.Guard
	if r == nil {
		return
	}
	r.Beside, r.Longest, r.Slow, r.Violations = saw.Copies, int64(saw.Longest), saw.Slow, saw.Violations
	if capacity := t.capacityOf(); capacity > 0 {
		r.Share = t.result.Achieved / capacity
	}
	if r.Slow > 0 {
		t.warn("policy %s: %d of %d copies were in flight for longer than the %v that the bound is where the link is never slower than its capacity, and at most for the bound of %v: the link was slower for a while, or what feeds it",
			r.Policy, r.Slow, saw.Copies, saw.Usual, saw.Bound)
	}
	if r.Violations > 0 {
		t.warn("policy %s: %d of %d copies were in flight for longer than the bound of %v, one of them for %v", r.Policy, r.Violations, saw.Copies, saw.Bound, saw.Longest)
	}
}

// guardProcesses is the variable that tells the processes of a load how many they are.
const guardProcesses = "BAROGRAPH_GUARD_PROCESSES"
