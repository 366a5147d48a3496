// Package sim is a simulated link between a host and a device: stressors and
// one inference share it first come, first served, in virtual time.
//
// Each direction is a server that takes, for a copy of b bytes,
//
//	overhead + b / bandwidth
//
// and serves copies in the order in which they were submitted. A stressor
// thread keeps a number of copies outstanding and submits the next one as soon
// as one is done, or when its token bucket allows. A request of the inference
// moves its input to the device, computes, and moves its output back; the next
// request is due when the last one is complete (closed loop). Bytes that are
// queued on the link are therefore all that delays it.
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
	"container/heap"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/device"
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
	"inline":        0,           // copies of fewer bytes travel with the command and skip the queue
	"compute_ns":    4e6,         // median time a request computes
	"noise":         0.02,        // standard deviation of the logarithm of that time
	"bytes_in":      3 * 128 * 8, // three inputs of 128 int64
	"bytes_out":     129 * 768 * 4,
	"lead_ns":       1e9, // from the stressors' first copy to the first request
}

// A Request is what the inference is asked to do in one trial.
type Request struct {
	Warmup int    // requests before the timed ones
	Calls  int    // timed requests
	Seed   uint64 // of the noise; the seed of the inference's cell
}

// A Call is one timed request, in nanoseconds of virtual time. Latency runs
// from Scheduled; Start, when it was sent, is the same moment in a closed loop.
type Call struct {
	Scheduled, Start, Latency int64
}

// Run simulates a trial and returns the inference's timed calls in order. The
// stressors are those cells of the gang whose kind is stress, with the
// parameters in their With.
func Run(m cell.Machine, gang []cell.Input, req Request) ([]Call, error) {
	if req.Warmup < 0 || req.Calls < 1 {
		return nil, fmt.Errorf("simulate %d calls after %d of warm-up: want at least 1 and 0", req.Calls, req.Warmup)
	}
	s, err := newSimulation(m, gang)
	if err != nil {
		return nil, err
	}
	calls := make([]Call, 0, req.Calls)
	left := req.Warmup
	s.victim = newVictim(req.Seed, func(c Call) bool {
		if left--; left < 0 {
			calls = append(calls, c)
		}
		return len(calls) < req.Calls
	})
	s.run(math.MaxInt64)
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
	Cell  string // its ID
	Until int64  // in virtual time
	Serve bool   // an inference runs beside it, without end
	Seed  uint64 // of that inference, as in Request
	Limit int    // copies to return at most; more are an error
}

// Copies simulates a trial and returns those copies of one stressor that the
// link had begun by the view's end, in order of start. They are the same copies
// that the calls of [Run] met.
func Copies(m cell.Machine, gang []cell.Input, v View) ([]Copy, error) {
	s, err := newSimulation(m, gang)
	if err != nil {
		return nil, err
	}
	var copies []Copy
	for _, st := range s.stressors {
		if st.id == v.Cell {
			st.record = func(c Copy) {
				switch {
				case c.Start >= v.Until: // submitted in time, it has to wait for its turn
				case len(copies) == v.Limit:
					s.full = true
				default:
					copies = append(copies, c)
				}
			}
		}
	}
	if v.Serve {
		s.victim = newVictim(v.Seed, func(Call) bool { return true })
	}
	s.run(v.Until)
	if s.full {
		return nil, cell.Hint(fmt.Errorf("simulate %s: more than %d copies", v.Cell, v.Limit),
			"give it larger blocks or a rate, or its trial fewer calls")
	}
	slices.SortStableFunc(copies, func(a, b Copy) int { return cmp.Compare(a.Start, b.Start) })
	return copies, nil
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
	sum := 0.0
	for _, d := range directions {
		sum += float64(block) / (p["overhead_ns"]/1e9 + float64(block)/p["bandwidth_"+d.String()])
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
	if _, ok := Defaults[parameter]; !ok {
		return cell.Hint(fmt.Errorf("unknown parameter %q of device sim", parameter),
			"the parameters are %s", strings.Join(slices.Sorted(maps.Keys(Defaults)), ", "))
	}
	positive := strings.HasPrefix(parameter, "bandwidth") || parameter == "pageable" || parameter == "compute_ns"
	if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 || positive && v == 0 || v > 1e18 {
		return fmt.Errorf("parameter %s of device sim is %g", parameter, v)
	}
	return nil
}

// A simulation is a queue of events in virtual time.
type simulation struct {
	param     map[string]float64
	free      [device.NumDirections]int64 // when each direction will have served all it was given
	stressors []*stressor
	victim    *victim
	queue     events
	seq       int
	full      bool // a stressor has recorded all it may
}

func newSimulation(m cell.Machine, gang []cell.Input) (*simulation, error) {
	p, err := params(m)
	if err != nil {
		return nil, err
	}
	s := &simulation{param: p}
	for _, in := range gang {
		if in.Kind != "stress" {
			continue
		}
		st, err := newStressor(m, in)
		if err != nil {
			return nil, fmt.Errorf("simulate %s: %w", in.ID, err)
		}
		s.stressors = append(s.stressors, st)
	}
	// Every process that simulates the trial sees the same order.
	slices.SortFunc(s.stressors, func(a, b *stressor) int { return strings.Compare(a.id, b.id) })
	return s, nil
}

// transfer hands a copy to a direction and returns when it starts and ends.
func (s *simulation) transfer(now int64, d device.Direction, bytes int64, share float64) (start, end int64) {
	length := int64(math.Round(s.param["overhead_ns"] + float64(bytes)/(s.param["bandwidth_"+d.String()]*share)*1e9))
	if float64(bytes) < s.param["inline"] {
		return now, now + length
	}
	start = max(now, s.free[d])
	s.free[d] = start + length
	return start, start + length
}

// at schedules do.
func (s *simulation) at(time int64, do func(now int64)) {
	s.seq++
	heap.Push(&s.queue, event{time, s.seq, do})
}

// run goes through the events before until, and ends early when the inference
// is done or a record full.
func (s *simulation) run(until int64) {
	for _, st := range s.stressors {
		st.begin(s)
	}
	if s.victim != nil {
		s.at(int64(s.param["lead_ns"]), func(now int64) { s.victim.request(s, now) })
	}
	for len(s.queue) > 0 && s.queue[0].time < until && !s.full && (s.victim == nil || !s.victim.done) {
		e := heap.Pop(&s.queue).(event)
		e.do(e.time)
	}
}

// A stressor is one cell's threads.
type stressor struct {
	id          string
	threads     int
	block       int64
	outstanding int
	directions  []device.Direction
	share       float64 // of the bandwidth: below 1 for pageable memory
	calls       int     // copies of each thread in each direction; 0: without end
	made        map[slot]int
	pace        device.Pacer
	record      func(Copy)
}

func newStressor(m cell.Machine, in cell.Input) (*stressor, error) {
	with := struct {
		Threads     int       `json:"threads"`
		Block       unit.Size `json:"block"`
		Outstanding int       `json:"outstanding"`
		Direction   string    `json:"direction"`
		Memory      string    `json:"memory"`
		Rate        unit.Rate `json:"rate"`
		Calls       int       `json:"calls"`
	}{Outstanding: 1, Direction: "h2d", Memory: "pinned"}
	if err := json.Unmarshal(in.With, &with); err != nil {
		return nil, fmt.Errorf("read its parameters: %w", err)
	}
	directions, err := device.Directions(with.Direction)
	if err != nil {
		return nil, err
	}
	if with.Threads < 0 || with.Outstanding < 1 || with.Threads > 0 && with.Block < 1 {
		return nil, fmt.Errorf("%d threads with %d outstanding copies of %d bytes", with.Threads, with.Outstanding, with.Block)
	}
	capacity, err := Capacity(m, with.Direction, CapacityBlock)
	if err != nil {
		return nil, err
	}
	p, err := params(m)
	if err != nil {
		return nil, err
	}
	share := 1.0
	if with.Memory == "pageable" {
		share = p["pageable"]
	}
	return &stressor{
		id: in.ID, threads: with.Threads, block: int64(with.Block), outstanding: with.Outstanding, directions: directions,
		share: share, calls: with.Calls, made: map[slot]int{}, pace: device.NewPacer(with.Rate.Of(capacity), int64(with.Block)), record: func(Copy) {},
	}, nil
}

// begin puts every slot's first copy in the queue.
func (st *stressor) begin(s *simulation) {
	for thread := range st.threads {
		for range st.outstanding {
			for _, d := range st.directions {
				st.next(s, 0, thread, d)
			}
		}
	}
}

// A slot is a thread's copies in one direction.
type slot struct {
	thread    int
	direction device.Direction
}

// next submits a thread's next copy when the bucket allows it, and so on.
func (st *stressor) next(s *simulation, now int64, thread int, d device.Direction) {
	if made := st.made[slot{thread, d}]; st.calls > 0 && made == st.calls {
		return
	}
	st.made[slot{thread, d}]++
	s.at(max(now, st.pace.Reserve(now, st.block)), func(now int64) {
		start, end := s.transfer(now, d, st.block, st.share)
		st.record(Copy{thread, device.Copy{Start: start, Duration: end - start, Bytes: st.block, Direction: d}})
		s.at(end+int64(s.param["gap_ns"]), func(now int64) { st.next(s, now, thread, d) })
	})
}

// A victim is the inference.
type victim struct {
	rng    *rand.Rand
	report func(Call) (more bool)
	done   bool
}

func newVictim(seed uint64, report func(Call) bool) *victim {
	return &victim{rng: rand.New(rand.NewPCG(seed, 0x6261726f)), report: report}
}

// request goes through one request's input, computation and output.
func (v *victim) request(s *simulation, scheduled int64) {
	_, in := s.transfer(scheduled, device.H2D, int64(s.param["bytes_in"]), 1)
	compute := s.param["compute_ns"] * math.Exp(s.param["noise"]*v.rng.NormFloat64())
	s.at(in+int64(compute), func(now int64) {
		_, out := s.transfer(now, device.D2H, int64(s.param["bytes_out"]), 1)
		s.at(out, func(now int64) {
			if v.report(Call{Scheduled: scheduled, Start: scheduled, Latency: now - scheduled}) {
				v.request(s, now)
			} else {
				v.done = true
			}
		})
	})
}

// events is a heap, by time and then by the order of scheduling.
type events []event

type event struct {
	time int64
	seq  int
	do   func(now int64)
}

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].time < q[j].time || q[i].time == q[j].time && q[i].seq < q[j].seq
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(e any)   { *q = append(*q, e.(event)) }
func (q *events) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}
