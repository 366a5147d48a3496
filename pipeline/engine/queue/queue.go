// Package queue puts cells in the order in which they are to start.
package queue

import (
	"container/heap"
	"slices"
	"time"

	"barograph/pipeline/plan"
	"barograph/pipeline/store"
)

// A Queue holds cells to start, the most urgent first; among equals, the plan's
// order.
type Queue struct {
	cells   cells
	urgency map[*plan.Cell]urgency
}

// An urgency is how long the longest chain of cells takes that begins with a
// cell, and the cell's place in the plan.
type urgency struct {
	path  time.Duration
	place int
}

// unknown is how long a cell is taken to run that never did.
const unknown = time.Second

// Of returns an empty queue for the cells of a plan, which reckons with how long each took
// the last time.
func Of(p *plan.Plan, s *store.Store) *Queue {
	u := make(map[*plan.Cell]urgency, len(p.Cells))
	for i, c := range slices.Backward(p.Cells) {
		own := u[c]
		own.place = i
		if last := s.Latest(p.Name(c)); last != nil {
			own.path += last.Wall
		} else {
			own.path += unknown
		}
		u[c] = own
		for _, n := range c.Needs {
			n = n.Foreground()
			before := u[n]
			before.path = max(before.path, own.path)
			u[n] = before
		}
	}
	return &Queue{urgency: u}
}

// Len is how many cells wait.
func (q *Queue) Len() int { return len(q.cells) }

// Add has a cell wait.
func (q *Queue) Add(c *plan.Cell) { heap.Push(&q.cells, waiting{c, q.urgency[c]}) }

// Next takes the most urgent cell.
func (q *Queue) Next() *plan.Cell { return heap.Pop(&q.cells).(waiting).cell }

type waiting struct {
	cell *plan.Cell
	urgency
}

// Cells are a heap.
type cells []waiting

func (q cells) Len() int      { return len(q) }
func (q cells) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *cells) Push(c any)   { *q = append(*q, c.(waiting)) }
func (q cells) Less(i, j int) bool {
	return q[i].path > q[j].path || q[i].path == q[j].path && q[i].place < q[j].place
}

func (q *cells) Pop() any {
	last := len(*q) - 1
	c := (*q)[last]
	*q = (*q)[:last]
	return c
}
