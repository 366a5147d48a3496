package record

import (
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// Physical names what a device (host, sim, cuda, cuda:1) is on this computer, for
// whoever must know whether two of them are one: host, sim, or the PCI address of
// a GPU. A GPU is counted among those that CUDA_VISIBLE_DEVICES leaves, in the
// order of their addresses.
func Physical(device string) string {
	visible, set := os.LookupEnv("CUDA_VISIBLE_DEVICES")
	return physical(os.DirFS("/"), device, visible, set)
}

func physical(root fs.FS, device, visible string, set bool) string {
	number, gpu := strings.CutPrefix(device, "cuda")
	if !gpu {
		return device
	}
	n, _ := strconv.Atoi(strings.TrimPrefix(number, ":")) // none is 0
	name := strconv.Itoa(n)
	if set {
		all := strings.Split(visible, ",")
		if n >= len(all) {
			return device // there is none
		}
		name = strings.TrimSpace(all[n])
	}
	for i, g := range gpus(root) {
		if name == strconv.Itoa(i) || name == g.PCI || g.UUID != "" && strings.HasPrefix(name, "GPU-") && strings.HasPrefix(g.UUID, name) {
			return g.PCI
		}
	}
	return "cuda:" + name // also a part of one, MIG-...
}
