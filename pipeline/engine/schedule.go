package engine

import (
	"fmt"
	"maps"
	"runtime"
	"slices"

	"barograph/pipeline/cell"
	"barograph/pipeline/plan"

	"golang.org/x/sys/unix"
)

// capacity is how much of each resource there is: one device, the machine's
// memory in bytes, its processors, and what the options add or change.
func capacity(more map[string]int64) map[string]int64 {
	all := map[string]int64{"device": 1, "cpu": int64(runtime.NumCPU())}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		all["memory"] = int64(info.Totalram) * int64(info.Unit)
	}
	maps.Copy(all, more)
	return all
}

// fits refuses, before anything runs, cells that could never start.
func (r *run) fits() error {
	for _, c := range r.plan.Cells {
		if r.away(c) {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(c.Stage.Resources)) {
			have, known := r.free[name]
			if want := c.Stage.Resources[name]; want > have {
				hint := fmt.Sprintf("lower it, or raise the limit with --resource %s=%d", name, want)
				if !known {
					hint = fmt.Sprintf("say how much there is: --resource %s=%d", name, want)
				}
				return cell.Usage(c.Stage.Errorf(hint, "stage %q asks for %d of resource %q, of which there is %d", c.Stage.Name, want, name, have))
			}
		}
	}
	return nil
}

// take takes what a pure cell holds while it runs, all or nothing.
func (r *run) take(c *plan.Cell) bool {
	for name, n := range c.Stage.Resources {
		if n > r.free[name] {
			return false
		}
	}
	for name, n := range c.Stage.Resources {
		r.free[name] -= n
	}
	return true
}

func (r *run) give(c *plan.Cell) {
	for name, n := range c.Stage.Resources {
		r.free[name] += n
	}
}
