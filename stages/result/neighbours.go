package result

import (
	"cmp"
	"fmt"
	"slices"

	"barograph/pipeline/cell"
)

// NeighboursFile holds a [Neighbours].
const NeighboursFile = "neighbours.json"

// A Neighbours says which GPUs of one computer are neighbours, as it is declared, and
// what the links of several carry at once, as it was observed.
type Neighbours struct {
	Device    string   `json:"device"`
	Simulated bool     `json:"simulated"`
	GPUs      []Card   `json:"gpus"`              // by PCI address
	Pairs     []Pair   `json:"pairs"`             // each once, the first of a pair before the second
	Nodes     []int    `json:"numa_nodes"`        // of the computer
	Block     int64    `json:"block_bytes"`       // of a copy
	Threads   int      `json:"threads"`           // of the load on each link
	Together  []Group  `json:"together"`          // what was measured, in the order measured
	Took      int64    `json:"took_ns"`           //
	Invalid   []string `json:"invalid,omitempty"` // what the driver says against it
	Warnings  []string `json:"warnings,omitempty"`
}

// A Card is a GPU and its link as the driver and the kernel declare them.
type Card struct {
	Device string `json:"device"` // cuda:1
	cell.GPU
	Driver     string   `json:"driver,omitempty"`
	Generation int      `json:"pcie_generation,omitempty"` // the most it and its slot have in common
	Width      int      `json:"pcie_width,omitempty"`
	Path       []string `json:"pcie_path,omitempty"` // from the root down to the GPU, as sysfs has it
}

// A Pair is what two GPUs are declared to have in common.
type Pair struct {
	GPUs [2]int `json:"gpus"` // by their place
	// Ancestor is the nearest that NVML says both hang off: internal, single switch,
	// multiple switches, host bridge, node or system; empty where it does not tell.
	Ancestor string `json:"ancestor,omitempty"`
	// Common is the last element that both paths of sysfs go through; empty: none.
	Common string `json:"common,omitempty"`
	// SameNode tells whether both are of one NUMA node; nil where that is not known.
	SameNode *bool `json:"same_node,omitempty"`
}

// A Group is GPUs whose links were loaded at once.
type Group struct {
	Direction string `json:"direction"` // h2d, d2h, both, or opposite: every other one the other way
	Replicate int    `json:"replicate"`
	Node      *int   `json:"node,omitempty"` // of host memory; nil: where the kernel placed it
	Links     []Flow `json:"links"`          // in order of the GPUs
	Steady    bool   `json:"steady"`
	Stops     int    `json:"stops,omitempty"` // how often a signal stopped a load, or what measures
}

// A Flow is what one link of a group carried, in bytes per second.
type Flow struct {
	GPU       int     `json:"gpu"` // its place
	Direction string  `json:"direction"`
	Bandwidth float64 `json:"bytes_per_s"`
}

// Carried returns what a GPU's link carried in each group of so many loads, or of any
// number from 2 where loads is 0, that go in a direction with host memory in a node.
// In groups of opposite directions its own direction is way; elsewhere way is direction.
func (n *Neighbours) Carried(gpu, loads int, direction, way string, node *int) (flows []float64) {
	for _, g := range n.Together {
		if g.Direction != direction || !sameNode(g.Node, node) || len(g.Links) != loads && (loads != 0 || len(g.Links) < 2) {
			continue
		}
		for _, f := range g.Links {
			if f.GPU == gpu && f.Direction == way {
				flows = append(flows, f.Bandwidth)
			}
		}
	}
	return flows
}

func sameNode(a, b *int) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }

// A Loss is the most that loads on other links take from one, as a share of what it
// carries alone: medians over replicates.
type Loss struct {
	GPU       int // its place
	Direction string
	With      []int // the others of the group, by place
	Share     float64
}

func (l Loss) String() string {
	return fmt.Sprintf("with loads on GPUs %v too, the link of GPU %d carries %.1f%% less %s", l.With, l.GPU, 100*l.Share, l.Direction)
}

// Losses returns, for each group of GPUs that were loaded together where the kernel
// placed memory, what its members lost; the most first.
func (n *Neighbours) Losses() (losses []Loss) {
	type flow struct {
		gpu             int
		direction, with string
	}
	flows, others := map[flow][]float64{}, map[flow][]int{}
	ways := map[flow]string{}
	for _, g := range n.Together {
		if g.Node != nil || len(g.Links) < 2 {
			continue
		}
		for i, f := range g.Links {
			var with []int
			for j, other := range g.Links {
				if i != j {
					with = append(with, other.GPU)
				}
			}
			k := flow{f.GPU, g.Direction, fmt.Sprint(f.Direction, with)}
			flows[k], others[k], ways[k] = append(flows[k], f.Bandwidth), with, f.Direction
		}
	}
	for k, v := range flows {
		alone := n.Carried(k.gpu, 1, ways[k], ways[k], nil)
		if len(alone) == 0 {
			continue
		}
		losses = append(losses, Loss{k.gpu, k.direction, others[k], 1 - median(v)/median(alone)})
	}
	slices.SortFunc(losses, func(a, b Loss) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.GPU, b.GPU), cmp.Compare(a.Direction, b.Direction), slices.Compare(a.With, b.With))
	})
	return losses
}

func median(v []float64) float64 {
	sorted := slices.Sorted(slices.Values(v))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// Unlike says how cards differ whose calls are not to be mixed; nothing where they are
// alike.
func (n *Neighbours) Unlike() string {
	for _, c := range n.GPUs[1:] {
		a := n.GPUs[0]
		for _, f := range []struct {
			what string
			a, b any
		}{{"name", a.Name, c.Name}, {"driver", a.Driver, c.Driver}, {"PCIe generation", a.Generation, c.Generation}, {"PCIe width", a.Width, c.Width}} {
			if f.a != f.b {
				return fmt.Sprintf("%s of %s is %v, and of %s %v", f.what, a.Device, f.a, c.Device, f.b)
			}
		}
	}
	return ""
}

// Uneven says which link carries less alone than another by more than a share; nothing
// where none does.
func (n *Neighbours) Uneven(direction string, within float64) string {
	least, most := 0, 0
	alone := make([]float64, len(n.GPUs))
	for i := range n.GPUs {
		flows := n.Carried(i, 1, direction, direction, nil)
		if len(flows) == 0 {
			return ""
		}
		if alone[i] = median(flows); alone[i] < alone[least] {
			least = i
		}
		if alone[i] > alone[most] {
			most = i
		}
	}
	if alone[least] >= (1-within)*alone[most] {
		return ""
	}
	return fmt.Sprintf("alone, the link of %s carries %.1f GB/s %s, and that of %s %.1f", n.GPUs[least].Device, alone[least]/1e9, direction, n.GPUs[most].Device, alone[most]/1e9)
}
