package cuda

import (
	"fmt"
	"math"

	"barograph/pipeline/cell"
)

// runs divides groups of multiprocessors, of so many each, among those who want percents
// of all, one after the other: who is last when nothing is left has the remainder too,
// which groups do not hold. It returns the first group of each, and the one behind its
// last; one past groups is the remainder.
func runs(percents []int, groups, size, all int) (of [][2]int, err error) {
	from, sum := 0, 0
	for _, percent := range percents {
		sum += percent
		to := min(groups, int(math.Round(float64(sum)*float64(all)/100/float64(size))))
		if sum == 100 {
			to = groups + 1
		}
		if to == from {
			return nil, cell.Hint(fmt.Errorf("%d%% of the GPU's %d multiprocessors: it is divided by %d", percent, all, size), "set a larger sm_percent, %d or more", (100*size+all-1)/all)
		}
		of, from = append(of, [2]int{from, to}), to
	}
	if sum > 100 {
		return nil, fmt.Errorf("%d%% of the GPU's multiprocessors are asked for", sum)
	}
	return of, nil
}
