package sim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/arrival"
	"barograph/stages/device/twin"
)

// Several inferences on one device share its link, as loads and requests do, and its
// computing: processes take turns of slice_ns, each of which costs slice_switch_ns;
// requests of one process, and of all under MPS, are computed at once and slow one
// another by crowding and crowding_power (package twin has the formula). What this
// leaves out: memory and caches of the device, kernels that are cut short, the driver's
// locks between threads of one process, and gaps between a model's kernels.
//
// Who may use a part of the device computes as many times longer as what it would take
// of it is more than that; parts that add up to the whole or less do not crowd one another.
// Priorities of MPS's clients are left out too.

// perModel are parameters that a machine file may give for one model: the name of the
// model stands behind that of the parameter, as in compute_ns.resnet50.
var perModel = []string{"compute_ns", "noise", "bytes_in", "bytes_out", "copies_in", "copies_out", "bytes_first", "occupancy"}

// general returns the parameter of which one of a model is a case.
func general(parameter string) string {
	if name, model, ok := strings.Cut(parameter, "."); ok && model != "" && slices.Contains(perModel, name) {
		return name
	}
	return parameter
}

// own is a model's parameter.
func (t *trial) own(model, parameter string) float64 {
	if v, ok := t.param[parameter+"."+model]; ok {
		return v
	}
	return t.param[parameter]
}

// A Together is what the inferences of a trial with several are asked.
type Together struct {
	Warmup int // calls of each, before those of a round
	Calls  int // that each makes in a round, at least
	Rounds int // at least 1
	// Groups are those of the inferences that call in each round, by their order from 0;
	// nil: all do in each.
	Groups [][]int
}

// group is which of so many inferences call in a round.
func (q *Together) group(round, tenants int) []int {
	if q.Groups != nil {
		return q.Groups[round]
	}
	all := make([]int, tenants)
	for i := range all {
		all[i] = i
	}
	return all
}

// A TenantCall is a call of one of several inferences, in a round, counted from 1.
type TenantCall struct {
	Call
	Round int
}

const (
	pauses   = int64(100e6) // between two rounds
	patience = int64(120e9) // for one
)

// Tenants simulates a trial in which several inferences share the device, and returns
// the calls of each, in the order of the members, and the window of each round. The
// members are all cells of the trial, loads too. A window begins when each inference
// has warmed up, and ends once each has made its calls in it: those that are faster make
// more. Calls that it does not hold whole are left out. The same arguments give the same
// calls, so that each cell of the trial can simulate it for itself.
func Tenants(m cell.Machine, members []cell.Input, q Together) (calls [][]TenantCall, windows [][2]int64, err error) {
	if q.Warmup < 0 || q.Calls < 1 || q.Rounds < 1 && q.Groups == nil {
		return nil, nil, fmt.Errorf("simulate %d rounds of %d calls after %d of warm-up: want at least 1, 1 and 0", q.Rounds, q.Calls, q.Warmup)
	}
	all, err := tenants(members)
	if err != nil {
		return nil, nil, err
	}
	calls = make([][]TenantCall, len(all))
	from := int64(0)
	rounds := q.Rounds
	if q.Groups != nil {
		rounds = len(q.Groups)
	}
	for round := range rounds {
		t, err := newTrial(m, members)
		if err != nil {
			return nil, nil, err
		}
		those := q.group(round, len(all))
		var some []*tenant
		for _, i := range those {
			some = append(some, all[i])
		}
		of, window, err := t.together(some, q, uint64(round))
		if err != nil {
			return nil, nil, err
		}
		for k, made := range of {
			for _, c := range made {
				c.Scheduled, c.Start = c.Scheduled+from, c.Start+from
				calls[those[k]] = append(calls[those[k]], TenantCall{c, round + 1})
			}
		}
		windows = append(windows, [2]int64{window[0] + from, window[1] + from})
		from += window[1] + pauses
	}
	return calls, windows, nil
}

// A tenant is an inference among several.
type tenant struct {
	id, model string
	seed      uint64
	Tenancy   string `json:"tenancy"`
	SMs       int    `json:"sm_percent"`  // of the device's computing that is its own; 0: all
	Threads   int    `json:"mps_threads"` // that it may take of it at most; 0: all
	arrival.Pattern
}

// Model returns the name of the model that an inference calls, by its parameters; empty
// where it is a file.
func Model(in cell.Input) string {
	var with struct {
		Model json.RawMessage `json:"model"`
	}
	var name string
	if json.Unmarshal(in.With, &with) != nil || json.Unmarshal(with.Model, &name) != nil {
		return ""
	}
	return name
}

func tenants(members []cell.Input) (all []*tenant, err error) {
	for _, in := range members {
		if in.Kind != "infer" {
			continue
		}
		v := &tenant{id: in.ID, model: Model(in), seed: in.Seed, Pattern: arrival.Pattern{Arrivals: "closed"}}
		if err := json.Unmarshal(in.With, v); err != nil {
			return nil, fmt.Errorf("simulate %s: read its parameters: %w", in.ID, err)
		}
		if v.Trace != "" {
			return nil, cell.Hint(fmt.Errorf("simulate %s beside other inferences: arrivals %s of trace %q", v.id, v.Arrivals, v.Trace), "on device sim such inferences have arrivals closed, constant, poisson, bursts or camera with a jitter")
		}
		if all = append(all, v); v.Tenancy != all[0].Tenancy {
			return nil, fmt.Errorf("simulate %s, tenancy %q, beside %s, tenancy %q: want the same", v.id, v.Tenancy, all[0].id, all[0].Tenancy)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("simulate a trial without an inference")
	}
	return all, nil
}

// together simulates a round.
func (t *trial) together(all []*tenant, q Together, round uint64) (calls [][]Call, window [2]int64, err error) {
	t.compute(all[0].Tenancy)
	sum := 0
	for _, v := range all {
		sum += v.part()
	}
	for arrivals := 4 * (q.Warmup + q.Calls); ; arrivals *= 4 { // until nobody runs out of them
		calls = make([][]Call, len(all))
		short := 0 // tenants that lack calls
		warm, counted := 0, make([]int, len(all))
		var services []*twin.Service
		for i, v := range all {
			n := 0
			s := t.service(v.model, v.seed+round<<32, func(c Call) bool {
				if n++; n == q.Warmup {
					if warm++; warm == len(all) {
						window[0] = c.Scheduled + c.Latency
					}
				}
				if calls[i] = append(calls[i], c); warm == len(all) && c.Scheduled >= window[0] {
					if counted[i]++; counted[i] == q.Calls {
						short--
						window[1] = c.Scheduled + c.Latency
					}
				}
				return short > 0
			})
			short++
			s.Occupancy = t.own(v.model, "occupancy")
			v.confine(s, sum)
			if v.Tenancy != "thread" && i > 0 {
				s.Process = len(t.loads) + i
			}
			if s.Due, _, err = v.Schedule("", arrivals, v.seed+round<<32); err != nil {
				return nil, window, fmt.Errorf("simulate %s: %w", v.id, err)
			}
			services = append(services, s)
		}
		if q.Warmup == 0 {
			warm, window[0] = len(all), services[0].Start
		}
		t.link.Run(t.loads, services, patience, all[0].seed+round<<32)
		if short == 0 {
			break
		}
		if !slices.ContainsFunc(services, func(s *twin.Service) bool { return s.Due != nil && len(calls[slices.Index(services, s)]) == len(s.Due) }) {
			return nil, window, fmt.Errorf("simulate %s and %d others: within %v not all had made %d calls", all[0].id, len(all)-1, time.Duration(patience), q.Calls)
		}
	}
	for i, made := range calls {
		calls[i] = slices.DeleteFunc(made, func(c Call) bool {
			return c.Scheduled < window[0] || c.Scheduled+c.Latency > window[1]
		})
	}
	return calls, window, nil
}

// part is the percentage of the device that a tenant may use.
func (v *tenant) part() int { return cmp.Or(v.SMs, v.Threads, 100) }

// confine has a tenant's requests keep to its part of the device, of which all together
// have so many percent.
func (v *tenant) confine(s *twin.Service, sum int) {
	part := float64(v.part()) / 100
	if s.Occupancy > part {
		whole, slower := s.Compute, s.Occupancy/part
		s.Compute = func(now int64) int64 { return int64(float64(whole(now)) * slower) }
		s.Occupancy = part
	}
	if sum <= 100 {
		s.Occupancy = 0 // nobody is in another's way
	}
}

// compute has the device compute for several inferences as they share it.
func (t *trial) compute(tenancy string) {
	c := twin.Computing{
		Slice: int64(t.param["slice_ns"]), Switch: int64(t.param["slice_switch_ns"]),
		Weight: t.param["crowding"], Power: t.param["crowding_power"],
	}
	if tenancy == "mps" {
		c.Slice, t.link.SmallBehind = 0, 0 // MPS takes the small path behind a kernel away
	}
	t.link.Computing = c
}
