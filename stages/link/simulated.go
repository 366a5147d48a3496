package link

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/device"
	"barograph/stages/device/sim"
	"barograph/stages/kind/stress"
)

// A simulation is a rig on a simulated link, whose victim and loads are those of
// package sim.
type simulation struct {
	settings cell.Machine
	sharing  string // of the loads' processes
	gang     []cell.Input
}

func (s *simulation) capacity(context.Context) (map[string]Estimate, error) {
	found := map[string]Estimate{}
	for _, d := range []string{"h2d", "d2h", "both"} {
		v, err := sim.Capacity(s.settings, d, sim.CapacityBlock)
		if err != nil {
			return nil, err
		}
		found[d] = Estimate{v, v, v}
	}
	return found, nil
}

func (s *simulation) load(l directedLoad) ([]cell.Input, error) {
	w := stress.Kind().With().(*stress.With)
	w.Threads, w.Block, w.Outstanding, w.Direction = l.Threads, unit.Size(l.Block), l.Outstanding, l.direction.String()
	w.Sharing = s.sharing
	with, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	var gang []cell.Input
	for i := range l.Processes {
		gang = append(gang, cell.Input{Kind: "stress", ID: fmt.Sprintf("load-%d", i+1), With: with})
	}
	return gang, nil
}

// carried returns the bandwidth of each load between two moments of virtual time.
func (s *simulation) carried(gang []cell.Input) (each []float64, err error) {
	const from, to = int64(1e9), int64(2e9)
	for _, in := range gang {
		copies, _, err := sim.Copies(s.settings, gang, sim.View{Cell: in.ID, Until: to, Limit: 1 << 22})
		if err != nil {
			return nil, err
		}
		sum := 0.0
		for _, c := range copies {
			sum += c.Within(from, to)
		}
		each = append(each, sum/(float64(to-from)/1e9))
	}
	return each, nil
}

func (s *simulation) alone(ctx context.Context, l directedLoad) (float64, error) {
	gang, err := s.load(l)
	if err != nil {
		return 0, err
	}
	each, err := s.carried(gang)
	return mean(each), err
}

func (s *simulation) beside(ctx context.Context, l directedLoad, f func() error) (each []float64, err error) {
	if s.gang, err = s.load(l); err != nil {
		return nil, err
	}
	defer func() { s.gang = nil }()
	if each, err = s.carried(s.gang); err != nil {
		return nil, err
	}
	return each, f()
}

// time makes the calls of a simulated inference that is nothing but the victim.
func (s *simulation) time(c device.Call, latencies []int64, _ time.Duration) ([]int64, error) {
	m := s.settings
	m.Sim = maps.Clone(m.Sim)
	if m.Sim == nil {
		m.Sim = map[string]float64{}
	}
	maps.Copy(m.Sim, map[string]float64{"noise": 0, "compute_ns": float64(max(1, c.Kernel)), "behind": 1, "copies_in": 0, "copies_out": 0})
	if c.Kernel < 0 {
		m.Sim["behind"] = 0
	}
	if way := map[device.Direction]string{device.H2D: "in", device.D2H: "out"}[c.Direction]; c.Bytes > 0 {
		m.Sim["copies_"+way], m.Sim["bytes_"+way] = 1, float64(c.Bytes)
	}
	calls, err := sim.Run(m, s.gang, sim.Request{Calls: len(latencies), Seed: 1})
	for i, call := range calls {
		latencies[i] = call.Latency
	}
	return latencies, err
}
