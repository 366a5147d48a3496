package engine

import (
	"container/heap"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/plan"

	"golang.org/x/sys/unix"
)

// A queue holds cells to start, the most urgent first; among equals, the plan's
// order.
type queue struct {
	cells   []*plan.Cell
	urgency map[*plan.Cell]urgency
}

// An urgency is how long the longest chain of cells takes that begins with a
// cell, and the cell's place in the plan.
type urgency struct {
	path  time.Duration
	place int
}

func (q *queue) Len() int      { return len(q.cells) }
func (q *queue) Swap(i, j int) { q.cells[i], q.cells[j] = q.cells[j], q.cells[i] }
func (q *queue) Push(c any)    { q.cells = append(q.cells, c.(*plan.Cell)) }
func (q *queue) Less(i, j int) bool {
	a, b := q.urgency[q.cells[i]], q.urgency[q.cells[j]]
	return a.path > b.path || a.path == b.path && a.place < b.place
}

func (q *queue) Pop() any {
	last := len(q.cells) - 1
	c := q.cells[last]
	q.cells = q.cells[:last]
	return c
}

func (q *queue) add(c *plan.Cell) { heap.Push(q, c) }
func (q *queue) next() *plan.Cell { return heap.Pop(q).(*plan.Cell) }

// unknown is how long a cell is taken to run that never did.
const unknown = time.Second

// urgency reckons with how long each cell took the last time.
func (r *run) urgency() map[*plan.Cell]urgency {
	u := make(map[*plan.Cell]urgency, len(r.plan.Cells))
	for i, c := range slices.Backward(r.plan.Cells) {
		own := u[c]
		own.place = i
		if last := r.store.Latest(r.plan.Name(c)); last != nil {
			own.path += last.Wall
		} else {
			own.path += unknown
		}
		u[c] = own
		for _, n := range c.Needs {
			n = foreground(n)
			before := u[n]
			before.path = max(before.path, own.path)
			u[n] = before
		}
	}
	return u
}

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
