package sim

import (
	"encoding/json"
	"fmt"
	"slices"

	"barograph/pipeline/cell"
	"barograph/stages/device"
)

// mostGPUs is how many a simulated computer can have.
const mostGPUs = 64

// GPUs returns those of the simulated computer, which a machine file's gpus counts.
// They are alike but for the one that unlike names.
//
// Neighbours share nothing, or a root: what it carries in a direction is divided
// equally among the GPUs on which a load copies in that direction and the one that is
// looked at. That is a share of bandwidth and no queue, so that a copy of the
// inference is slowed, and never waits for a neighbour's.
func GPUs(m cell.Machine) []cell.GPU {
	p, err := params(m)
	if err != nil {
		return nil // which is said where the machine is checked
	}
	t := trial{param: p}
	gpus := make([]cell.GPU, int(p["gpus"]))
	for i := range gpus {
		node := t.node(i)
		gpus[i] = cell.GPU{Name: "simulated GPU", PCI: fmt.Sprintf("sim:%d", i), UUID: fmt.Sprintf("SIM-%d", i), NUMA: &node}
		if i+1 == int(p["unlike"]) {
			gpus[i].Name = "another simulated GPU"
		}
	}
	return gpus
}

// Nodes returns how many NUMA nodes the simulated computer has.
func Nodes(m cell.Machine) int {
	p, err := params(m)
	if err != nil {
		return 1
	}
	return int(p["nodes"])
}

// node is the NUMA node of a GPU.
func (t *trial) node(gpu int) int { return gpu * int(t.param["nodes"]) / int(t.param["gpus"]) }

// nearby returns the loads on the trial's own GPU, and takes from its link what those on
// others use of a shared root.
func (t *trial) nearby(m cell.Machine, stressors []cell.Input) (own []cell.Input, err error) {
	here, all := cell.Ordinal(m.Device), int(t.param["gpus"])
	if here >= all {
		return nil, cell.Hint(fmt.Errorf("simulate GPU %d of a computer that has %d, counted from 0", here, all), "gpus: below sim: in the machine file says how many there are")
	}
	var busy [device.NumDirections][mostGPUs]bool
	for _, in := range stressors {
		var with struct {
			GPUs      []int  `json:"gpus"`
			Threads   int    `json:"threads"`
			Direction string `json:"direction"`
		}
		with.Direction = "h2d"
		if err := json.Unmarshal(in.With, &with); err != nil {
			return nil, fmt.Errorf("simulate %s: read its parameters: %w", in.ID, err)
		}
		if with.GPUs == nil {
			with.GPUs = []int{here}
		}
		if slices.Contains(with.GPUs, here) {
			own = append(own, in)
		}
		directions, err := device.Directions(with.Direction)
		if err != nil {
			return nil, fmt.Errorf("simulate %s: %w", in.ID, err)
		}
		for _, gpu := range with.GPUs {
			if gpu < 0 || gpu >= all {
				return nil, cell.Hint(fmt.Errorf("simulate %s: a load on GPU %d of a computer that has %d, counted from 0", in.ID, gpu, all), "gpus: below sim: in the machine file says how many there are")
			}
			for _, d := range directions {
				busy[d][gpu] = busy[d][gpu] || with.Threads > 0 && gpu != here
			}
		}
	}
	for d, root := range map[device.Direction]float64{device.H2D: t.param["root_h2d"], device.D2H: t.param["root_d2h"]} {
		sharing := 1.0
		for _, b := range busy[d] {
			if b {
				sharing++
			}
		}
		if root > 0 {
			t.link.Bandwidth[d] = min(t.link.Bandwidth[d], root/sharing)
		}
	}
	return own, nil
}
