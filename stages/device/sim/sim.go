// Package sim is a simulated link between a host and a device, which stressors and
// an inference, or several, share in virtual time: a trial of a study for the simulation
// of package twin.
//
// Each direction is a server that takes, for a copy of b bytes,
//
//	overhead + b / bandwidth
//
// and, unless a machine file gives it turns, serves copies in the order in which
// they were submitted: bytes that are queued on the link are then all that delays
// the inference. With turns it is what package twin says of a link. A stressor
// thread keeps a number of copies outstanding and submits the next one as soon
// as one is done, or when its token bucket allows. A request of the inference
// moves its input to the device, computes, and moves its output back.
//
// Time starts at zero in every simulation and nothing sleeps: a trial of a
// minute takes milliseconds. The same machine, gang and request give the same
// calls, to the nanosecond. Several processes, each simulating the same trial for
// its own part, thus agree without talking.
//
// The parameters, and their defaults, are in [Defaults]; a machine file sets
// them under `sim:`.
package sim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/device"
	"barograph/stages/device/twin"
	"barograph/stages/guard"
)

// Defaults describe a P100 on PCIe Gen3 x16 that serves BERT-Base at batch 1
// and sequence 128 in 32-bit floats. Bandwidths are what such a card was seen to
// reach; the other times are round numbers near what is known of it, chosen and
// not fitted.
var Defaults = map[string]float64{
	"bandwidth_h2d": 11.69e9,     // bytes per second
	"bandwidth_d2h": 12.89e9,     // bytes per second
	"bandwidth_d2d": 250e9,       // of copies within the device's memory, which hold up nothing else
	"bandwidth_h2h": 20e9,        // of copies within host memory, likewise
	"pageable":      0.2,         // bandwidth of pageable memory, as a share of page-locked memory's
	"overhead_ns":   10e3,        // time a copy holds its direction beside its bytes
	"gap_ns":        0,           // time a stressor thread takes from one copy's end to the next one's submission
	"inline":        0,           // copies to the device of fewer bytes travel with the command and skip the queue
	"compute_ns":    4e6,         // median time a request computes
	"noise":         0.02,        // standard deviation of the logarithm of that time
	"bytes_in":      3 * 128 * 8, // three inputs of 128 int64
	"bytes_out":     129 * 768 * 4,
	"device_bytes":  16 << 30, // memory of the device, of which 1 GiB is kept free
	"host_bytes":    64 << 30, // memory of the host, of which an eighth is
	"lead_ns":       1e9,      // from the stressors' first copy to the first request
	// What a plain queue lacks; package twin says what each does.
	"bandwidth_both": 0, // bytes per second of both directions together; 0: their sum
	"turn_h2d_ns":    0, // how long an engine serves one process before the next; 0: no turns
	"turn_d2h_ns":    0,
	"switch_ns":      0,
	"small_idle":     0, // largest copy that takes the small path, of a stream with nothing pending
	"small_behind":   0, // the same behind a kernel
	"behind":         0, // 1: the request's inputs stand behind a kernel, as in a CUDA graph
	"fetch_ns":       0, // by how much a load that fills the link to the device holds up a request's commands
	"slow":           1, // times longer that copies' bytes take, for slow_for_ns of each slow_every_ns; see [twin.Slow]
	"slow_every_ns":  0,
	"slow_for_ns":    0,
	"jitter_ns":      0, // by how much gap_ns is longer, on average
	"lag":            0, // share of requests whose commands are sent later than they begin
	"lag_ns":         0, // by how much, on average; it varies exponentially
	"late_ns":        0, // by how much a stressor thread that sleeps wakes late, on average
	"copies_in":      1, // copies that bytes_in are divided into; 0: no input is copied
	"memory":         0, // share by which copies to, from or within the device's memory slow computing
	"processor":      0, // share by which a load over the link or within host memory slows computing
	"copies_out":     1,
	"bytes_first":    0,   // of the first of copies_in; 0: it is like the others
	"further":        0.5, // share of compute_ns that each further request of a batch adds
	// Several inferences at once; see [Tenants].
	"slice_ns":        2e6, // how long the device computes for one process before the next; 0: for all at once
	"slice_switch_ns": 0,   // time from one process to another
	"occupancy":       1,   // share of the device that a request's computing takes
	"crowding":        1,   // by how much others' occupancy slows what is computed at once
	"crowding_power":  1,
	// The computer of several GPUs; see [Neighbours].
	"gpus":     1,
	"root_h2d": 0, // bytes per second that all GPUs share towards the devices; 0: each has a root of its own
	"root_d2h": 0,
	"nodes":    1, // NUMA nodes, over which GPUs are spread in order
	"remote":   1, // bandwidth of host memory of another node, as a share of that of the GPU's
	"unlike":   0, // which GPU is another card, counted from 1; 0: none
}

// A Request is what the inference is asked to do in one trial.
type Request struct {
	Warmup int    // requests before the timed ones
	Calls  int    // timed requests
	Seed   uint64 // of the noise; the seed of the inference's cell
	// Limit is the virtual time for all of them; 0: no limit. The last call is then one
	// that was not answered within it, and lasts for as long as it had waited.
	Limit int64
	Model string // whose parameters are taken, where the machine gives it some
}

// A Call is one timed request, in nanoseconds of virtual time.
type Call = twin.Call

// Run simulates a trial and returns the inference's timed calls in order. The
// stressors are those cells of the gang whose kind is stress, with the
// parameters in their With; those that say `sharing: process` are in the
// inference's process, and every other in one of its own.
func Run(m cell.Machine, gang []cell.Input, req Request) ([]Call, error) {
	if req.Warmup < 0 || req.Calls < 1 {
		return nil, fmt.Errorf("simulate %d calls after %d of warm-up: want at least 1 and 0", req.Calls, req.Warmup)
	}
	t, err := newTrial(m, gang)
	if err != nil {
		return nil, err
	}
	calls := make([]Call, 0, req.Calls)
	left, next := req.Warmup, int64(t.param["lead_ns"])
	service := t.service(req.Model, req.Seed, func(c Call) bool {
		next = c.Scheduled + c.Latency
		if left--; left < 0 {
			calls = append(calls, c)
		}
		return len(calls) < req.Calls
	})
	until := int64(math.MaxInt64)
	if req.Limit > 0 {
		until = int64(t.param["lead_ns"]) + req.Limit
	}
	t.link.Run(t.loads, []*twin.Service{service}, until, req.Seed)
	if len(calls) < req.Calls { // the one that was cut off
		calls = append(calls, Call{Scheduled: next, Start: next, Latency: max(1, until-next)})
	}
	return calls, nil
}

// A Copy is a stressor's copy, as the link served it, and the thread it belongs
// to.
type Copy struct {
	Thread int
	device.Copy
}

// A View is what a stressor wants to see of a trial.
type View struct {
	Cell    string   // its ID
	Until   int64    // in virtual time
	Serve   bool     // an inference runs beside it, without end unless it has Traffic
	Traffic *Traffic // what that inference is asked; nil: call after call
	Seed    uint64   // of that inference, as in Request
	Model   string   // likewise
	Limit   int      // copies to return at most; more are an error
}

// Copies simulates a trial and returns those copies of one stressor that the
// link had begun by the view's end, in order of start. They are the same copies
// that the calls of [Run] met. The report is of the guards of the stressor's
// processes together, where it has a policy.
func Copies(m cell.Machine, gang []cell.Input, v View) ([]Copy, guard.Report, error) {
	var saw guard.Report
	t, err := newTrial(m, gang)
	if err != nil {
		return nil, saw, err
	}
	var copies []Copy
	full, until := false, v.Until
	for i := range t.loads {
		if t.ids[i] != v.Cell {
			continue
		}
		l, offset := &t.loads[i], t.loads[i].Threads*t.of[i]
		seen := [device.NumDirections]bool{} // all that had begun by then
		l.Done = func(thread int, c device.Copy) bool {
			switch {
			case c.Start >= v.Until: // submitted in time, it has to wait for its turn
				seen[c.Direction] = true
			case len(copies) == v.Limit:
				full = true
				return false
			default:
				copies = append(copies, Copy{offset + thread, c})
			}
			for _, d := range l.Directions {
				if !seen[d] {
					return true
				}
			}
			return t.of[i] > 0 // the first process speaks for all
		}
		until = max(until, t.over(l, v.Until))
	}
	var services []*twin.Service
	if v.Serve {
		service := t.service(v.Model, v.Seed, func(Call) bool { return true })
		if v.Traffic != nil {
			v.Traffic.attach(service, t.page)
			v.Traffic.on = true
		}
		services = append(services, service)
	}
	t.link.Run(t.loads, services, until, v.Seed)
	if full {
		return nil, saw, cell.Hint(fmt.Errorf("simulate %s: more than %d copies", v.Cell, v.Limit),
			"give it larger blocks or a rate, or its trial fewer calls")
	}
	for i, l := range t.loads {
		if t.ids[i] == v.Cell && l.Guard != nil {
			saw = saw.Join(l.Guard.Report())
		}
	}
	slices.SortStableFunc(copies, func(a, b Copy) int { return cmp.Compare(a.Start, b.Start) })
	return copies, saw, nil
}

// Guarding returns what bounds a wait on the simulated link in a direction of a
// stressor's, from what is known of it already.
func Guarding(m cell.Machine, direction string, l guard.Link) (guard.Link, error) {
	p, err := params(m)
	if err != nil {
		return l, err
	}
	directions, err := device.Directions(direction)
	if err != nil {
		return l, err
	}
	l.Queue, l.Overhead = guard.FIFO, time.Duration(p["overhead_ns"])
	l.Inputs, l.Outputs, l.Slow = direction != "d2h", direction != "h2d", p["slow"]
	for _, d := range directions {
		if p["turn_"+d.String()+"_ns"] > 0 {
			l.Queue = guard.Turns
		}
	}
	return l, nil
}

// Capacity returns the bandwidth, in bytes per second, that a closed loop of
// blocks of the given size reaches in one direction, or in both together.
func Capacity(m cell.Machine, direction string, block int64) (float64, error) {
	p, err := params(m)
	if err != nil {
		return 0, err
	}
	directions, err := device.Directions(direction)
	if err != nil {
		return 0, err
	}
	for _, d := range directions {
		if root := p["root_"+d.String()]; root > 0 {
			p["bandwidth_"+d.String()] = min(p["bandwidth_"+d.String()], root)
		}
	}
	of := 1.0
	if alone := p["bandwidth_h2d"] + p["bandwidth_d2h"]; len(directions) > 1 && p["bandwidth_both"] > 0 {
		of = min(1, p["bandwidth_both"]/alone)
	}
	sum := 0.0
	for _, d := range directions {
		sum += float64(block) / (p["overhead_ns"]/1e9 + float64(block)/(of*p["bandwidth_"+d.String()]))
	}
	return sum, nil
}

// CapacityBlock is the block size at which a rate given as a share has its
// capacity: the largest that calibration tries.
const CapacityBlock = 64 << 20

func params(m cell.Machine) (map[string]float64, error) {
	p := map[string]float64{}
	for k, v := range Defaults {
		p[k] = v
	}
	for k, v := range m.Sim {
		if err := Check(k, v); err != nil {
			return nil, fmt.Errorf("machine %q: %w", m.Name, err)
		}
		p[k] = v
	}
	return p, nil
}

// Check reports a parameter that there is not, or a value that it cannot have.
func Check(parameter string, v float64) error {
	name := general(parameter)
	if _, ok := Defaults[name]; !ok {
		return cell.Hint(fmt.Errorf("unknown parameter %q of device sim", parameter),
			"the parameters are %s; of one model, as in compute_ns.resnet50, %s", strings.Join(slices.Sorted(maps.Keys(Defaults)), ", "), strings.Join(perModel, ", "))
	}
	positive := strings.HasPrefix(name, "bandwidth") || slices.Contains([]string{"pageable", "compute_ns", "gpus", "nodes", "remote", "crowding_power", "slow"}, name)
	whole, most := slices.Contains([]string{"gpus", "nodes", "unlike"}, parameter), 1e18
	if whole {
		most = mostGPUs
	}
	if whole && v != math.Trunc(v) || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 || positive && v == 0 || v > most {
		return fmt.Errorf("parameter %s of device sim is %g", parameter, v)
	}
	return nil
}

// Fit reports whether a load's buffers would fit into the memory of the machine
// that is simulated.
func Fit(m cell.Machine, l device.Load) error {
	p, err := params(m)
	if err != nil || l.Threads == 0 {
		return err
	}
	const spare = 1 << 30
	return l.Fits(p["device_bytes"]-spare, p["host_bytes"]*7/8)
}

// A trial is a link with its loads.
type trial struct {
	param map[string]float64
	link  twin.Link
	page  *guard.Page // that the guards of its loads share
	ids   []string    // of the loads
	of    []int       // which of its cell's processes each load is
	loads []twin.Load
}

func newTrial(m cell.Machine, gang []cell.Input) (*trial, error) {
	p, err := params(m)
	if err != nil {
		return nil, err
	}
	t := &trial{param: p, page: guard.NewPage(), link: twin.Link{
		Overhead: p["overhead_ns"], Both: p["bandwidth_both"], Switch: int64(p["switch_ns"]), Fetch: int64(p["fetch_ns"]),
		SmallIdle: int64(max(p["small_idle"], p["inline"]-1)), SmallBehind: int64(max(p["small_behind"], p["inline"]-1)),
		Slow: twin.Slow{Every: int64(p["slow_every_ns"]), For: int64(p["slow_for_ns"]), Times: p["slow"]},
	}}
	for d := range device.Direction(device.NumDirections) {
		t.link.Bandwidth[d] = p["bandwidth_"+d.String()]
		t.link.Turn[d] = int64(p["turn_"+d.String()+"_ns"])
	}
	stressors := slices.Clone(gang)
	stressors = slices.DeleteFunc(stressors, func(in cell.Input) bool { return in.Kind != "stress" })
	// Every process that simulates the trial sees the same order.
	slices.SortStableFunc(stressors, func(a, b cell.Input) int { return strings.Compare(a.ID, b.ID) })
	nearby, err := t.nearby(m, stressors)
	if err != nil {
		return nil, err
	}
	for _, in := range nearby {
		l, processes, err := t.load(m, in)
		if err != nil {
			return nil, fmt.Errorf("simulate %s: %w", in.ID, err)
		}
		for of := range processes {
			if l.Process != 0 {
				l.Process = len(t.loads) + 1
			}
			if err := t.guard(m, in, &l, processes); err != nil {
				return nil, fmt.Errorf("simulate %s: %w", in.ID, err)
			}
			t.ids, t.of, t.loads = append(t.ids, in.ID), append(t.of, of), append(t.loads, l)
		}
	}
	return t, nil
}

// guard gives the load of one process its guard, where it has a policy.
func (t *trial) guard(m cell.Machine, in cell.Input, l *twin.Load, processes int) error {
	var with struct {
		Policy    guard.Policy `json:"policy"`
		Direction string       `json:"direction"`
	}
	if err := json.Unmarshal(in.With, &with); err != nil || with.Policy.None() || l.Threads == 0 {
		return err
	}
	link := guard.Link{Constant: guard.Constant}
	if l.Process > 0 { // not that of the requests
		link.Processes = processes
	}
	for _, d := range l.Directions {
		capacity, err := Capacity(m, d.String(), CapacityBlock)
		if err != nil {
			return err
		}
		if link.Capacity == 0 || capacity < link.Capacity {
			link.Capacity = capacity
		}
	}
	link, err := Guarding(m, cmp.Or(with.Direction, "h2d"), link)
	if err != nil {
		return err
	}
	shape := guard.Shape{Streams: l.Threads, Chunk: l.Block, InFlight: l.Outstanding}
	if l.Guard, err = guard.New(with.Policy, shape, link, t.page); err != nil {
		return err
	}
	shape = l.Guard.Shape()
	l.Threads, l.Block, l.Outstanding = shape.Streams, shape.Chunk, shape.InFlight
	return nil
}

// load reads a stressor's parameters: what each of so many processes does.
func (t *trial) load(m cell.Machine, in cell.Input) (l twin.Load, processes int, err error) {
	with := struct {
		Processes   int       `json:"processes"`
		Threads     int       `json:"threads"`
		Block       unit.Size `json:"block"`
		Outstanding int       `json:"outstanding"`
		Direction   string    `json:"direction"`
		Memory      string    `json:"memory"`
		Rate        unit.Rate `json:"rate"`
		Calls       int       `json:"calls"`
		Sharing     string    `json:"sharing"`
		Node        *int      `json:"node"`
	}{Outstanding: 1, Direction: "h2d", Memory: "pinned"}
	if err := json.Unmarshal(in.With, &with); err != nil {
		return l, 0, fmt.Errorf("read its parameters: %w", err)
	}
	directions, err := device.Directions(with.Direction)
	if err != nil {
		return l, 0, err
	}
	if with.Threads < 0 || with.Outstanding < 1 || with.Threads > 0 && with.Block < 1 {
		return l, 0, fmt.Errorf("%d threads with %d outstanding copies of %d bytes", with.Threads, with.Outstanding, with.Block)
	}
	processes = max(1, with.Processes)
	if err := Fit(m, device.Load{Threads: with.Threads * processes, Block: int64(with.Block), Directions: directions}); err != nil {
		return l, 0, err
	}
	capacity, err := Capacity(m, with.Direction, CapacityBlock)
	if err != nil {
		return l, 0, err
	}
	l = twin.Load{
		Process: 1, Threads: with.Threads, Block: int64(with.Block), Outstanding: with.Outstanding, Directions: directions,
		Rate: with.Rate.Of(capacity) / float64(processes), Calls: with.Calls, Gap: int64(t.param["gap_ns"]), Jitter: t.param["jitter_ns"], Late: t.param["late_ns"],
	}
	if with.Memory == "pageable" {
		l.Share = t.param["pageable"]
	}
	if nodes := int(t.param["nodes"]); with.Node != nil && *with.Node >= nodes {
		return l, 0, cell.Hint(fmt.Errorf("host memory in NUMA node %d of a computer that has %d, counted from 0", *with.Node, nodes), "nodes: below sim: in the machine file says how many there are")
	}
	if with.Node != nil && *with.Node != t.node(cell.Ordinal(m.Device)) {
		l.Share = cmp.Or(l.Share, 1) * t.param["remote"]
	}
	switch with.Sharing {
	case "process":
		l.Process = 0
	case "mps": // which takes the small path behind a kernel away
		t.link.SmallBehind = 0
	}
	return l, processes, nil
}

// over returns when every copy that a load had begun by a time is done.
func (t *trial) over(l *twin.Load, begun int64) int64 {
	if begun == math.MaxInt64 {
		return begun
	}
	share := cmp.Or(l.Share, 1)
	longest := 0.0
	for _, d := range l.Directions {
		length := t.link.Overhead + float64(l.Block)/(t.link.Bandwidth[d]*share)*1e9
		if turn := float64(t.link.Turn[d]); turn > 0 { // as often broken off
			length *= 2
			length += (length/turn + 1) * float64(len(t.loads)) * (turn + 2*float64(t.link.Switch) + length)
		}
		longest = max(longest, length)
	}
	return begun + int64(math.Min(longest, 1e18))
}

// service is the inference of a model: its computing time varies by the seed.
func (t *trial) service(model string, seed uint64, done func(Call) bool) *twin.Service {
	rng := rand.New(rand.NewPCG(seed, 0x6261726f))
	parts := func(way string) []int64 {
		n := int64(t.own(model, "copies_"+way))
		bytes := int64(t.own(model, "bytes_"+way))
		var copies []int64
		if first := min(int64(t.own(model, "bytes_first")), bytes); way == "in" && first > 0 && n > 0 {
			copies, n, bytes = append(copies, first), n-1, bytes-first
		}
		for i := range n {
			copies = append(copies, bytes*(i+1)/n-bytes*i/n)
		}
		return copies
	}
	noise := t.own(model, "noise")
	compute := t.own(model, "compute_ns")
	memory, processor := 1.0, 1.0
	for _, l := range t.loads {
		for _, d := range l.Directions {
			if l.Threads > 0 && d != device.H2H {
				memory = 1 + t.param["memory"]
			}
			if l.Threads > 0 && d != device.D2D {
				processor = 1 + t.param["processor"]
			}
		}
	}
	compute *= memory * processor
	lag := func() int64 { return 0 }
	if share := t.param["lag"]; share > 0 {
		lag = func() (ns int64) {
			if rng.Float64() < share {
				ns = int64(t.param["lag_ns"] * rng.ExpFloat64())
			}
			return ns
		}
	}
	return &twin.Service{
		Lag: lag, Page: t.page, Further: t.param["further"], Start: int64(t.param["lead_ns"]), In: parts("in"), Out: parts("out"), Behind: t.param["behind"] != 0,
		Compute: func(int64) int64 { return int64(compute * math.Exp(noise*rng.NormFloat64())) },
		Done:    done,
	}
}
