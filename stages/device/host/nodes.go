package host

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"barograph/pipeline/cell"
)

// Nodes returns the NUMA nodes of this computer, ascending; one where the kernel shows
// none.
func Nodes() []int {
	var nodes []int
	found, _ := filepath.Glob("/sys/devices/system/node/node[0-9]*") // the pattern is well formed
	for _, path := range found {
		if n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(path), "node")); err == nil {
			nodes = append(nodes, n)
		}
	}
	if len(nodes) == 0 {
		return []int{0}
	}
	slices.Sort(nodes)
	return nodes
}

// BindMemory has what the calling thread, which the caller has locked to its goroutine,
// allocates and touches from now on lie in a NUMA node.
func BindMemory(node int) error {
	const bind, most = 2, 1024 // MPOL_BIND of set_mempolicy(2); bits of the mask
	var mask [most / 64]uint64
	errno := unix.EINVAL
	if node >= 0 && node < most {
		mask[node/64] |= 1 << (node % 64)
		_, _, errno = unix.Syscall(unix.SYS_SET_MEMPOLICY, bind, uintptr(unsafe.Pointer(&mask)), most+1)
	}
	if errno != 0 {
		return cell.Hint(fmt.Errorf("have memory in NUMA node %d: %w", node, errno), "this computer has nodes %v; a container may forbid the choice", Nodes())
	}
	return nil
}
