package progress

import (
	"encoding/json"
	"fmt"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/engine"
	"barograph/pipeline/plan"
)

// A Trace notes when each cell ran, and writes it in the Chrome trace format,
// which Perfetto and chrome://tracing open: one lane for each cell that ran at a
// time, background cells in lanes of their own below their trial's.
type Trace struct {
	Observer
	path   string
	began  time.Time
	lanes  []*plan.Cell // who runs in each
	starts map[*plan.Cell]start
	events []traceEvent
}

type start struct {
	at     time.Time
	lane   int
	reason string
}

// A traceEvent is an event of the format; times are microseconds.
type traceEvent struct {
	Name  string            `json:"name"`
	Cat   string            `json:"cat,omitempty"`
	Phase string            `json:"ph"`
	At    int64             `json:"ts"`
	Took  int64             `json:"dur,omitempty"`
	Pid   int               `json:"pid"`
	Lane  int               `json:"tid"`
	Scope string            `json:"s,omitempty"`
	Args  map[string]string `json:"args,omitempty"`
}

// TraceBegins is what a trace begins with: JSON's keys are written in alphabetical
// order.
const TraceBegins = `{"displayTimeUnit":`

// NewTrace returns a trace to be written to path, of a run that o shows.
func NewTrace(o Observer, path string) *Trace {
	return &Trace{Observer: o, path: path, began: time.Now(), starts: map[*plan.Cell]start{}}
}

func (t *Trace) since(at time.Time) int64 { return at.Sub(t.began).Microseconds() }

func (t *Trace) Start(c *plan.Cell, reason string) {
	lane := 0 // the first with as many free ones after it as there are background cells
	for i := 0; i < len(t.lanes) && i <= lane+len(c.Gang); i++ {
		if t.lanes[i] != nil {
			lane = i + 1
		}
	}
	for len(t.lanes) <= lane+len(c.Gang) {
		t.lanes = append(t.lanes, nil)
	}
	t.lanes[lane] = c
	for i := range c.Gang {
		t.lanes[lane+1+i] = c
	}
	t.starts[c] = start{time.Now(), lane, reason}
	t.Observer.Start(c, reason)
}

// span notes an attempt of a cell and of its background cells.
func (t *Trace) span(c *plan.Cell, status string, err error) {
	s, ok := t.starts[c]
	if !ok {
		return
	}
	delete(t.starts, c)
	for i := range t.lanes {
		if t.lanes[i] == c {
			t.lanes[i] = nil
		}
	}
	args := map[string]string{"status": status, "reason": s.reason}
	if err != nil {
		args["error"] = err.Error()
	}
	for i, m := range append([]*plan.Cell{c}, c.Gang...) {
		t.events = append(t.events, traceEvent{
			Name: m.ID, Cat: m.Stage.Name, Phase: "X", At: t.since(s.at), Took: time.Since(s.at).Microseconds(),
			Pid: 1, Lane: s.lane + i, Args: args,
		})
	}
}

func (t *Trace) Retry(c *plan.Cell, err error, after time.Duration) {
	t.span(c, "retried", err)
	t.Observer.Retry(c, err, after)
}

func (t *Trace) End(c *plan.Cell, o engine.Outcome) {
	t.span(c, string(o.Status), o.Err)
	t.Observer.End(c, o)
}

func (t *Trace) Event(c *plan.Cell, e cell.Event) {
	if s, ok := t.starts[c]; ok && e.Type == "warning" {
		t.events = append(t.events, traceEvent{Name: e.Text, Cat: "warning", Phase: "i", Scope: "t", At: t.since(time.Now()), Pid: 1, Lane: s.lane})
	}
	t.Observer.Event(c, e)
}

// Write writes the trace to its file.
func (t *Trace) Write(study string) error {
	name := traceEvent{Name: "process_name", Phase: "M", Pid: 1, Args: map[string]string{"name": "barograph " + study}}
	b, err := json.Marshal(map[string]any{"displayTimeUnit": "ms", "traceEvents": append([]traceEvent{name}, t.events...)})
	if err == nil {
		err = cell.Leave(t.path, b)
	}
	if err != nil {
		return fmt.Errorf("write the trace: %w", err)
	}
	return nil
}
