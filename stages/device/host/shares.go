package host

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"barograph/pipeline/cell"
)

// Shares divides the processors that the process may use among GPUs, of which cells are
// measured at once on each: whole cores, of the NUMA node of each GPU where that is
// known and has enough, and at least two processors each.
func Shares(gpus []cell.GPU) ([][]int, error) {
	cpus, err := started()
	if err != nil {
		return nil, err
	}
	cores := map[int][][]int{} // of each node, their hardware threads
	place := map[[2]int]int{}  // of a core in its node
	for _, cpu := range cpus {
		node := nodeOf(cpu)
		id := [2]int{topology(cpu, "physical_package_id", 0), topology(cpu, "core_id", cpu)}
		i, seen := place[id]
		if !seen {
			i = len(cores[node])
			place[id], cores[node] = i, append(cores[node], nil)
		}
		cores[node][i] = append(cores[node][i], cpu)
	}
	return shares(gpus, cores)
}

func shares(gpus []cell.GPU, cores map[int][][]int) ([][]int, error) {
	of := map[int][]int{} // the GPUs of each node
	for i, g := range gpus {
		if g.NUMA == nil || len(cores[*g.NUMA]) == 0 {
			of = nil // not all are known
			break
		}
		of[*g.NUMA] = append(of[*g.NUMA], i)
	}
	if of == nil {
		var all [][]int
		for _, node := range slices.Sorted(maps.Keys(cores)) {
			all = append(all, cores[node]...)
		}
		cores, of = map[int][][]int{0: all}, map[int][]int{}
		for i := range gpus {
			of[0] = append(of[0], i)
		}
	}
	out := make([][]int, len(gpus))
	for node, members := range of {
		n, k := len(cores[node]), len(members)
		for i, gpu := range members {
			out[gpu] = slices.Sorted(slices.Values(slices.Concat(cores[node][n*i/k : n*(i+1)/k]...)))
			if len(out[gpu]) < 2 {
				return nil, cell.Hint(fmt.Errorf("%d cores for %d GPUs: an inference and its load need two processors on each", n, k), "measure on fewer of them at once")
			}
		}
	}
	return out, nil
}

// nodeOf is a processor's NUMA node, 0 where the kernel shows none.
func nodeOf(cpu int) int {
	found, _ := filepath.Glob("/sys/devices/system/cpu/cpu" + strconv.Itoa(cpu) + "/node[0-9]*") // the pattern is well formed
	if len(found) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimPrefix(filepath.Base(found[0]), "node"))
	return n
}
