package node

import (
	"strings"
	"testing"

	"barograph/pipeline/cell"
)

// A node is what was planned for only with the same GPUs, settings and hardware; which
// of its GPUs a job was given is the scheduler's to say.
func TestUnlike(t *testing.T) {
	kinds := cell.NewKinds(&cell.Kind{Name: "infer", Measured: true, Setting: func(string) map[string]string {
		return map[string]string{"MIG": "off", "MPS": "off", "GPU": "0000:4e:00.0"}
	}})
	gpus := cell.GPUs{List: []cell.GPU{{Name: "NVIDIA H100", PCI: "0000:4e:00.0"}}}
	planned, same := Look(kinds, gpus), Look(kinds, gpus)
	same.Settings["cuda"]["infer"]["GPU"] = "0000:9b:00.0"
	if why := same.Unlike(&planned, "cuda"); why != "" {
		t.Errorf("another GPU of the same: %s", why)
	}
	for want, change := range map[string]func(*Node){
		"its GPUs are none; planned for: NVIDIA H100":          func(n *Node) { n.GPUs = nil },
		"its GPUs are NVIDIA L4; planned for: NVIDIA H100":     func(n *Node) { n.GPUs = []cell.GPU{{Name: "NVIDIA L4"}} },
		"MIG is on; planned for: off":                          func(n *Node) { n.Settings["cuda"]["infer"]["MIG"] = "on" },
		"MPS is unknown; planned for: off":                     func(n *Node) { delete(n.Settings["cuda"]["infer"], "MPS") },
		"its hardware is another than that of " + planned.Host: func(n *Node) { n.Fingerprints["cuda"] = "sha256:0" },
	} {
		other := Look(kinds, gpus)
		change(&other)
		if why := other.Unlike(&planned, "cuda"); !strings.HasPrefix(why, want) {
			t.Errorf("%q, want %q", why, want)
		}
	}
}
