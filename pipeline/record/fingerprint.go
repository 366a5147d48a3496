package record

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/bits"
	"os"
	"strings"

	"barograph/pipeline/cell"
)

// Fingerprint returns a digest of the hardware that measurements on a device
// (host, sim, cuda, cuda:1) depend on: the product, the processor's model, how
// many are online, the size of memory (of a physical machine: that of a virtual
// one can change as it runs) and, for cuda, the name and PCI address of every
// GPU and which of them is used. It survives reboots and upgrades, so that
// results measured before are still known after, and takes well under 2 ms.
func Fingerprint(device string, gpus cell.GPUs) string {
	return fingerprint(os.DirFS("/"), device, gpus)
}

func fingerprint(root fs.FS, device string, gpus cell.GPUs) string {
	h := sha256.New()
	fmt.Fprintf(h, "product %q\ncpu %q\nthreads %d\n", product(root), model(root), len(online(root)))
	if !virtual(root) {
		fmt.Fprintf(h, "memory %d\n", installed(total(root)))
	}
	if device == "cuda" {
		device = "cuda:0"
	}
	if strings.HasPrefix(device, "cuda:") {
		fmt.Fprintf(h, "device %q\n", device)
		for _, g := range gpus.List {
			fmt.Fprintf(h, "gpu %q %q\n", g.Name, g.PCI)
		}
	}
	return fmt.Sprintf("sha256:%x", h.Sum(nil))
}

// installed estimates the memory in a machine from what its kernel manages.
// That is less by a few per cent and differs between kernels, so it rounds up,
// to an eighth of the power of two below.
func installed(managed int64) int64 {
	if managed < 8 {
		return managed
	}
	step := int64(1) << (bits.Len64(uint64(managed)) - 4)
	return (managed + step - 1) / step * step
}
