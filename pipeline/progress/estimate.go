package progress

import (
	"fmt"
	"sync"
	"time"

	"barograph/pipeline/engine"
	"barograph/pipeline/plan"
)

// An estimate tells how long a run will still take, from how long cells of the
// same stage took, and what it does now. A bar's painter reads it while the run
// writes it.
type estimate struct {
	mu     sync.Mutex
	todo   map[*plan.Cell]bool
	took   map[string]time.Duration // by stage, in all
	ended  map[string]int
	last   map[*plan.Cell]time.Duration // that it is foreseen to take
	now    string
	since  time.Time
	active *plan.Cell
}

func (e *estimate) begin(cells []*plan.Cell, last map[*plan.Cell]time.Duration) {
	e.last = last
	e.todo, e.took, e.ended = map[*plan.Cell]bool{}, map[string]time.Duration{}, map[string]int{}
	for _, c := range cells {
		e.todo[c] = true
	}
}

func (e *estimate) start(c *plan.Cell) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now, e.since, e.active = c.ID, time.Now(), c
}

func (e *estimate) say(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now = text
}

// counts reports whether a cell was among those that may run.
func (e *estimate) counts(c *plan.Cell) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.todo[c]
	return ok
}

func (e *estimate) end(c *plan.Cell, o engine.Outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.todo[c]; ok {
		e.todo[c] = false
	}
	if o.Status == engine.Ran {
		e.took[c.Stage.Name] += o.Wall
		e.ended[c.Stage.Name]++
	}
	if c == e.active {
		e.active = nil
	}
}

func (e *estimate) note() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now
}

// left says the time left, once a cell of the stage that takes longest ended.
func (e *estimate) left() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var left time.Duration
	known, unknown := 0, 0
	for c, todo := range e.todo {
		if !todo {
			continue
		}
		if n := e.ended[c.Stage.Name]; n > 0 {
			left += e.took[c.Stage.Name] / time.Duration(n)
			known++
		} else if last, ok := e.last[c]; ok {
			left += last
			known++
		} else {
			unknown++
		}
	}
	if known == 0 {
		return "time left: not known yet"
	}
	if e.active != nil && e.ended[e.active.Stage.Name] > 0 {
		left -= min(time.Since(e.since), e.took[e.active.Stage.Name]/time.Duration(e.ended[e.active.Stage.Name]))
	}
	s := fmt.Sprintf("about %s left", about(left))
	if unknown > known {
		s = "at least " + s[len("about "):]
	}
	return s
}
