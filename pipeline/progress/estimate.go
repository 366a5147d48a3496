package progress

import (
	"fmt"
	"sync"
	"time"

	"barograph/pipeline/engine"
	"barograph/pipeline/plan"
)

// An estimate tells how long a run will still take, from how long cells of the
// same stage took in it or, before one has ended, from the forecast; and what the
// run does now. A bar's painter reads it while the run writes it.
type estimate struct {
	mu       sync.Mutex
	forecast Forecast
	todo     map[*plan.Cell]bool
	ended    map[string]mean // by stage
	now      string
	since    time.Time
	active   *plan.Cell
}

// A mean is of times and sizes.
type mean struct {
	wall time.Duration
	size int64
	n    int64
}

func (m mean) plus(wall time.Duration, size int64) mean {
	return mean{m.wall + wall, m.size + size, m.n + 1}
}

func (m mean) of() (time.Duration, int64) { return m.wall / time.Duration(m.n), m.size / m.n }

func (e *estimate) begin(cells []*plan.Cell, f Forecast) {
	e.forecast, e.todo, e.ended = f, map[*plan.Cell]bool{}, map[string]mean{}
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

// end tells whether the cell was among those that may run.
func (e *estimate) end(c *plan.Cell, o engine.Outcome) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	may := e.todo[c]
	delete(e.todo, c)
	if o.Status == engine.Ran {
		e.ended[c.Stage.Name] = e.ended[c.Stage.Name].plus(o.Wall, 0)
	}
	if c == e.active {
		e.active = nil
	}
	return may
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
	known := 0
	for c := range e.todo {
		wall, ok := e.forecast.wall[c]
		if ended := e.ended[c.Stage.Name]; ended.n > 0 {
			wall, _ = ended.of()
			ok = true
			if c == e.active {
				wall -= min(time.Since(e.since), wall)
			}
			wall = e.forecast.share(c, wall)
		}
		if ok {
			left += wall
			known++
		}
	}
	if known == 0 {
		return "time left: not known yet"
	}
	s := fmt.Sprintf("about %s left", about(left))
	if len(e.todo)-known > known {
		s = "at least " + s[len("about "):]
	}
	return s
}
