package nvml

import (
	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// ancestors name what two GPUs hang off.
var ancestors = map[nvml.GpuTopologyLevel]string{
	nvml.TOPOLOGY_INTERNAL: "internal", nvml.TOPOLOGY_SINGLE: "single switch", nvml.TOPOLOGY_MULTIPLE: "multiple switches",
	nvml.TOPOLOGY_HOSTBRIDGE: "host bridge", nvml.TOPOLOGY_NODE: "node", nvml.TOPOLOGY_SYSTEM: "system",
}

// Ancestor names the nearest that both GPUs hang off, from what is nearest on: internal
// (one board), single switch, multiple switches, host bridge, node (of NUMA) or system;
// empty where the driver does not tell.
func (p *Probe) Ancestor(other *Probe) string {
	level, r := p.device.GetTopologyCommonAncestor(other.device)
	if r != nvml.SUCCESS {
		return ""
	}
	return ancestors[level]
}
