// Package stress is the stage that puts pressure on a device: threads that copy
// blocks in a closed loop, each copy recorded.
//
// In mode load it is the background of a trial. It says ready once its bandwidth
// is steady, copies until it is told to stop, and reports the bandwidth achieved
// over exactly the interval that its trial measured: a copy that straddles an
// edge of the interval counts by the share of its duration inside. A load is
// steady when bandwidth in three successive windows, of 100 ms or more, lies
// within 5% of their mean; one that is not after the time to settle is used all
// the same, with a warning and steady: false in its result. Zero threads are no
// load, ready at once.
//
// With calls, such as the paper's 300, each thread makes so many copies in each
// direction and ends. They begin at once, without waiting for a steady load, of
// which little might be left; where they are over before the trial, a warning
// says for how much of its interval they lasted.
//
// In mode capacity it finds the bandwidth that utilisation is a share of. It
// sweeps thread counts and block sizes in each direction, and puts the fastest
// point under load once more, until steady, or twice where that is less; what is
// steady is the capacity, for the fastest of short windows says too much. Where
// nothing is, it is the more of the two.
// The threads have the stressor's own CPUs, as they have in a trial, so that a
// load without a rate achieves about 100%; what they reach with every CPU is
// noted beside it. Where other processes had more than 5% of those CPUs, in
// either mode, a warning says so.
//
// A rate is held by one token bucket for all threads. A share, such as 50%, is
// of the calibrated capacity of the load's direction; for both directions
// together, of the sum unless that was calibrated too.
//
// Two directions are null controls: d2d copies within the device's memory and h2h
// within the host's, by the stressor's CPUs, while the link stays idle; utilisation
// of the link is 0 beside them, whatever they achieve. On the host the memory bus
// is the link, and both are refused; on a simulated link they hold up nothing, by
// construction.
//
// Under a policy of package guard its streams copy chunks in the place of threads that
// copy blocks. The result says the bound on what a victim's copy can wait, or why there
// is none, and for how long copies were in flight. The capacity comes from a
// calibration among the inputs.
//
// With gpus the load is on the links of those GPUs, whichever the trial runs on: what
// was achieved is told of each, and of all together.
//
// With sharing: process the threads are the inference's process's own, and use
// its GPU context; the cell tells that process the rate, and is told what was
// copied. With sharing: mps the trial's processes share the GPU through a server of
// NVIDIA's MPS, whose daemon the load starts before all others, with folders of its
// own, and ends after them; no setting of the GPU is changed.
//
// Threads are operating system threads, bound in turn to the CPUs that the
// inference does not use. Copies are kept in memory, 32 bytes each, and written
// at the end, so that recording puts nothing on the bus beside them; the most
// that are kept are 2^25, or an eighth of available memory, and a load that
// makes more fails and says what to do: about four minutes of 64 KiB blocks at
// 10 GB/s, or of 4 MiB blocks, four hours.
package stress

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/device"
	"barograph/stages/device/cuda"
	"barograph/stages/device/host"
	"barograph/stages/device/mps"
	"barograph/stages/device/setting"
	"barograph/stages/device/sim"
	"barograph/stages/guard"
	"barograph/stages/result"
)

// With holds the parameters of a stress stage.
type With struct {
	Mode        string        `json:"mode" enum:"load,capacity" doc:"load copies while a trial runs; capacity finds the most the link carries"`
	Directions  []string      `json:"directions" enum:"h2d,d2h,both,d2d,h2h" doc:"mode capacity: the directions to calibrate"`
	Processes   int           `json:"processes,omitempty" min:"0" max:"64" doc:"mode load: processes that each have so many threads, and share a rate; 0: one"`
	Threads     int           `json:"threads" min:"0" doc:"threads that copy; 0 is no load, and in mode capacity several counts are tried"`
	Block       unit.Size     `json:"block" min:"0" doc:"bytes of one copy; in mode capacity, 0 tries several sizes"`
	Outstanding int           `json:"outstanding" min:"1" doc:"copies each thread keeps in flight, per direction"`
	Direction   string        `json:"direction" enum:"h2d,d2h,both,d2d,h2h" doc:"mode load: host to device, device to host, or both at once; d2d and h2h copy within the device's or the host's memory and leave the link idle"`
	Memory      string        `json:"memory" enum:"pinned,pageable" doc:"page-locked or pageable host memory"`
	Rate        unit.Rate     `json:"rate" doc:"mode load: what all threads together are held to, such as 2GB/s or 50% of capacity; max is no limit"`
	Policy      guard.Policy  `json:"policy,omitzero" doc:"mode load: how copies are let onto the link: none, chunks, window, rate, duty, loop or aside, as in {window: {chunk: 2MiB, streams: 2}} or the text window/2MiB/streams:2. Its streams and chunks take the place of threads, block and outstanding"`
	GPUs        []int         `json:"gpus,omitempty" min:"0" max:"63" doc:"mode load: the computer's GPUs whose links are loaded, counted from 0 by PCI address, each by processes of its own; none named: the GPU that the trial runs on. threads and rate are of each link"`
	Node        *int          `json:"node,omitempty" min:"0" max:"1023" doc:"NUMA node of the copies' host memory (default: where the kernel places it)"`
	Sharing     string        `json:"sharing" enum:"separate,process,mps" doc:"mode load: threads in a process of their own, in the inference's process and GPU context, or in one of their own that shares the GPU through NVIDIA's MPS, whose daemon is the trial's own"`
	Priority    string        `json:"priority,omitempty" enum:"normal,high" doc:"device cuda: of the load's streams among those of its process; high is the greatest that the GPU knows (default: normal, the least)"`
	MPSPriority string        `json:"mps_priority,omitempty" enum:"normal,low" doc:"sharing mps: of the load's processes among all (CUDA_MPS_CLIENT_PRIORITY)"`
	Calls       int           `json:"calls,omitempty" min:"0" max:"33554432" doc:"mode load: copies that each thread makes in each direction, such as 300; 0: until its trial ends"`
	Settle      unit.Duration `json:"settle" doc:"how long a load may take to become steady"`
	Duration    unit.Duration `json:"duration" doc:"how long a point of the sweep is measured, or a load that belongs to no trial"`
}

// Kind returns the stage's kind.
func Kind() *cell.Kind {
	return &cell.Kind{
		Name:       "stress",
		Version:    "3",
		Inherits:   []string{"CUDA_VISIBLE_DEVICES"},
		Doc:        "puts pressure on a device by copying blocks, or calibrates what the device can carry",
		Measured:   true,
		Background: true,
		With: func() any {
			return &With{
				Mode: "load", Directions: []string{"h2d", "d2h"}, Outstanding: 1, Direction: "h2d", Memory: "pinned", Sharing: "separate",
				Settle: unit.Duration(10 * time.Second), Duration: unit.Duration(300 * time.Millisecond),
			}
		},
		Outputs: func(with any) []string {
			if with.(*With).Mode == "capacity" {
				return []string{result.StressFile}
			}
			return []string{result.StressFile, result.CopiesFile}
		},
		Check:    func(_, device string, with any) error { return with.(*With).check(device) },
		CheckSim: sim.Check,
		Lacks: func(device string, with any) error {
			if with.(*With).Sharing == "mps" && cell.Family(device) != "sim" {
				if err := mps.Lacks(); err != nil {
					return err
				}
			}
			return with.(*With).lacksRoom(device)
		},
		Alone:   unaccompanied,
		Whole:   whole,
		Ways:    func(with any) []string { return with.(*With).ways() },
		Environ: Environ,
		First:   sharesMPS, // a process asks for the daemon when it starts, and never again
		Setting: setting.Of,
		Others:  func(with any) ([]int, bool) { return with.(*With).GPUs, false },
		Prepare: prepare,
		Run:     run,
	}
}

// mostThreads is how many threads that copy a process can have: the Go runtime
// ends a program of more than 10,000.
const mostThreads = 8192

// prepare refuses, before anything of a study is measured, a load that would not
// fit. A GPU is not opened for it: its first load does.
func prepare(_ context.Context, c *cell.Cell) error {
	w := c.With.(*With)
	if none := w.foretell(c.Machine); none != nil {
		c.Say(fmt.Sprintf("policy %s, sharing: %s: %v", w.Policy, w.Sharing, none))
	}
	if w.Policy.Sent > 0 && w.Direction == "d2h" {
		c.Say(fmt.Sprintf("policy %s, direction: d2h: sent has no effect, for a call's inputs come the other way", w.Policy))
	}
	l, err := w.load(w.Direction)
	l.Threads *= max(1, w.Processes)
	if err != nil || w.Mode != "load" || l.Threads == 0 {
		return err
	}
	switch cell.Family(c.Machine.Device) {
	case "sim":
		return sim.Fit(c.Machine, l)
	case "host":
		m, err := host.Open()
		if err != nil {
			return err
		}
		return m.Fit(l)
	}
	return nil
}

func (w *With) check(on string) error {
	capacity, parameter, directions := w.Mode == "capacity", "directions", w.Directions
	if w.Mode == "load" {
		parameter, directions = "direction", []string{w.Direction}
	}
	if err := w.checkPolicy(on); err != nil {
		return err
	}
	for _, name := range directions {
		ways, err := device.Directions(name)
		if err != nil {
			return err
		}
		if on == "host" && ways[0].OffLink() && (capacity || w.Threads > 0) {
			return cell.Hint(fmt.Errorf("%s %s on device host: the memory bus itself is the link here, and no copy of its CPUs stays off it", parameter, name),
				"d2d and h2h are null controls of a GPU's link, or of a simulated one; leave them out here")
		}
	}
	switch {
	case !capacity && w.Mode != "load":
		return fmt.Errorf("mode %q is not one of load, capacity", w.Mode)
	case w.Memory != "pinned" && w.Memory != "pageable":
		return fmt.Errorf("memory %q is not one of pinned, pageable", w.Memory)
	case w.Sharing != "separate" && w.Sharing != "process" && w.Sharing != "mps":
		return fmt.Errorf("sharing %q is not one of separate, process, mps", w.Sharing)
	case capacity && w.Sharing != "separate":
		return cell.Hint(fmt.Errorf("mode capacity with sharing: %s", w.Sharing), "a capacity is calibrated without an inference")
	case w.Sharing == "mps" && cell.Family(on) == "host":
		return cell.Hint(fmt.Errorf("sharing mps on device %s: MPS is a service of NVIDIA's GPUs", on), "choose a machine whose device is cuda, or sharing: separate")
	case !slices.Contains([]string{"", "normal", "high"}, w.Priority):
		return fmt.Errorf("priority %q is not one of normal, high", w.Priority)
	case !slices.Contains([]string{"", "normal", "low"}, w.MPSPriority):
		return fmt.Errorf("mps_priority %q is not one of normal, low", w.MPSPriority)
	case w.Priority == "high" && !strings.HasPrefix(on, "cuda"):
		return cell.Hint(fmt.Errorf("priority high on device %s: only a GPU's streams have priorities", on), "leave priority out, or measure on a GPU")
	case w.Priority == "high" && capacity:
		return cell.Hint(errors.New("mode capacity with priority: high"), "a capacity is calibrated with nothing beside it")
	case w.MPSPriority != "" && w.Sharing != "mps":
		return cell.Hint(fmt.Errorf("mps_priority is %s with sharing: %s", w.MPSPriority, w.Sharing), "only MPS knows priorities of processes: set sharing: mps")
	case w.Processes < 0 || w.Processes > 1 && (capacity || w.Sharing == "process"):
		return cell.Hint(fmt.Errorf("processes is %d with mode %s and sharing: %s", w.Processes, w.Mode, w.Sharing), "several processes belong to mode load, and are their own")
	case capacity && w.Calls > 0:
		return cell.Hint(fmt.Errorf("mode capacity with calls of %d", w.Calls), "calls belong to mode load; duration: says how long a point is measured")
	case len(w.GPUs) > 0 && (capacity || w.Sharing != "separate"):
		return cell.Hint(fmt.Errorf("gpus %v with mode %s and sharing: %s", w.GPUs, w.Mode, w.Sharing), "loads of other GPUs are processes of their own; the stage's key gpu: says which GPU is calibrated")
	case len(w.GPUs) > 0 && on == "host":
		return cell.Hint(fmt.Errorf("gpus %v on device host: its memory bus has no neighbours", w.GPUs), "choose a machine with GPUs, or --machine sim-gpus to see a simulation")
	case len(slices.Compact(slices.Sorted(slices.Values(w.GPUs)))) < len(w.GPUs):
		return fmt.Errorf("gpus %v names one twice", w.GPUs)
	case w.Calls < 0:
		return fmt.Errorf("calls is %d: want at least 0", w.Calls)
	case w.Threads < 0 || w.Block < 0 || w.Outstanding < 1:
		return fmt.Errorf("threads %d, block %d, outstanding %d: want at least 0, 0 and 1", w.Threads, int64(w.Block), w.Outstanding)
	case w.Threads > mostThreads:
		return cell.Hint(fmt.Errorf("threads is %d, and a process runs at most %d that copy", w.Threads, mostThreads), "give fewer threads larger blocks, or several processes")
	case w.Settle <= 0 || w.Duration <= 0:
		return fmt.Errorf("settle %v, duration %v: want more than 0", w.Settle, w.Duration)
	case capacity && len(directions) == 0:
		return cell.Hint(errors.New("mode capacity has no directions"), "list some of h2d, d2h, both, d2d, h2h")
	case capacity && w.Rate != unit.Rate{}:
		return cell.Hint(fmt.Errorf("mode capacity with a rate of %v", w.Rate), "a rate belongs to mode load")
	case !capacity && w.Threads > 0 && w.Block == 0:
		return cell.Hint(fmt.Errorf("%d threads and no block", w.Threads), "give block: a size such as 4MiB")
	}
	return nil
}

// load returns the parameters as the device seam takes them, under their policy.
func (w *With) load(direction string) (device.Load, error) {
	directions, err := device.Directions(direction)
	return w.shaped(device.Load{
		Threads: w.Threads, Block: int64(w.Block), Outstanding: w.Outstanding,
		Directions: directions, Pageable: w.Memory == "pageable", Node: w.Node, Calls: w.Calls, High: w.Priority == "high",
	}), err
}

// ways are the directions in which the link is loaded.
func (w *With) ways() []string {
	switch {
	case w.Mode == "capacity":
		return w.Directions
	case w.Threads == 0:
		return nil
	}
	return []string{w.Direction}
}

// A task is a cell at work: where its result grows.
type task struct {
	*cell.Cell
	with   *With
	result result.Stress
}

func (t *task) warn(format string, args ...any) {
	t.Warn(format, args...)
	t.result.Warnings = append(t.result.Warnings, fmt.Sprintf(format, args...))
}

func run(ctx context.Context, c *cell.Cell) error {
	w := c.With.(*With)
	if err := w.check(c.Machine.Device); err != nil {
		return err
	}
	t := &task{Cell: c, with: w, result: result.Stress{
		Mode: w.Mode, Device: c.Machine.Device, Threads: w.Threads, Block: int64(w.Block), Outstanding: w.Outstanding,
		Direction: w.Direction, Memory: w.Memory, Steady: true,
	}}
	before := cell.Stops()
	var err error
	switch capacity, simulated := w.Mode == "capacity", c.Machine.Simulated(); {
	case capacity && simulated:
		err = t.simulatedCapacity(ctx)
	case capacity:
		err = t.capacity(ctx)
	case simulated:
		err = t.simulatedLoad(ctx)
	case t.Background && w.Sharing == "process":
		err = t.host(ctx)
	case w.Processes > 1 || w.Sharing == "mps" || len(w.GPUs) > 0:
		err = t.several(ctx)
	default:
		err = t.load(ctx)
	}
	if err != nil {
		return err
	}
	if n := cell.Stops() - before; n > 0 && !c.Machine.Simulated() {
		t.result.Stops += n
		says := cell.Stopped("the load", n)
		if t.result.Threads > 0 {
			says += ": alone, it would have copied more"
		}
		t.warn("%s", says)
	}
	path, err := c.Path(result.StressFile)
	if err != nil {
		return err
	}
	return result.Write(path, &t.result)
}

// open returns the device of that name.
func open(name string) (device.Device, error) {
	switch cell.Family(name) {
	case "host":
		return host.Open()
	case "cuda":
		return cuda.Open(name)
	}
	return nil, cell.Hint(fmt.Errorf("open device %q: no such device", name), "want host, sim, cuda or cuda:N")
}

// place confines the process to the stressor's CPUs and returns them, and all.
func place() (own, all []int, err error) {
	infer, own, err := host.Split()
	if err != nil {
		return nil, nil, err
	}
	all = own
	if infer[0] != own[0] {
		all = append(infer, own...)
	}
	return own, all, host.Pin(own)
}

// rate returns the load's rate in bytes per second, 0 for none, and notes the
// capacity that it is a share of.
func (t *task) rate() (float64, error) {
	for _, in := range t.OfKind("stress") {
		path, ok := in.Files[result.StressFile]
		if !ok {
			continue
		}
		var r result.Stress
		if err := cell.ReadJSON(path, &r); err != nil {
			return 0, err
		}
		if r.Mode != "capacity" || cell.Family(r.Device) != cell.Family(t.Machine.Device) { // of a pool, whose GPUs are alike
			continue
		}
		if t.result.Capacity == nil {
			t.result.Capacity = map[string]float64{}
		}
		for d, v := range r.Capacity {
			t.result.Capacity[d] = max(v, t.result.Capacity[d])
		}
	}
	capacity := t.capacityOf()
	if t.with.Rate.Share > 0 && capacity == 0 {
		return 0, cell.Hint(fmt.Errorf("rate %v of a capacity that is not known: no calibration of device %s, direction %s", t.with.Rate, t.Machine.Device, t.with.Direction),
			"add a stage {uses: stress, with: {mode: capacity, directions: [%s]}} and name it in needs:", t.with.Direction)
	}
	return t.with.Rate.Of(capacity), nil
}

// capacityOf returns the capacity of the load's direction, as far as the task was told;
// 0: it was not.
func (t *task) capacityOf() float64 {
	capacity := t.result.Capacity[t.with.Direction]
	if h2d, d2h := t.result.Capacity["h2d"], t.result.Capacity["d2h"]; t.with.Direction == "both" && capacity == 0 && h2d > 0 && d2h > 0 {
		capacity = h2d + d2h
	}
	return capacity
}
