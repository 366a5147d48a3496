package progress

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/engine"
	"barograph/pipeline/plan"
	"barograph/pipeline/study"
)

func TestAbout(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "2 s", 40 * time.Second: "40 s", 12 * time.Minute: "12 min", 3 * time.Hour: "3.0 h",
	} {
		if got := about(d); got != want {
			t.Errorf("%v is about %s, want %s", d, got, want)
		}
	}
}

// A cell that takes long tells how far it is, and what it is warned of is said when
// it happens, off a terminal too.
func TestLines(t *testing.T) {
	defer func(d time.Duration) { heartbeat = d }(heartbeat)
	heartbeat = 20 * time.Millisecond
	stage := &study.Stage{Name: "infer", Kind: &cell.Kind{Name: "infer", Measured: true}}
	cells := []*plan.Cell{{ID: "infer[level=0,replicate=1]", Stage: stage}, {ID: "infer[level=0,replicate=2]", Stage: stage}, {ID: "infer[model=large]", Stage: stage, With: []byte(`{"model":"large"}`)}}
	p := &plan.Plan{Study: &study.Study{}}
	var said bytes.Buffer
	l := newLines(&said, func([]*plan.Cell) Forecast { return Forecast{unknown: 2} })
	l.baseline = func(*plan.Cell) bool { return true }
	l.Begin(p, cells[:2])
	l.Start(cells[0], "")
	l.Event(cells[0], cell.Event{Type: "progress", Done: 12, Total: 330, Text: "timed calls"})
	time.Sleep(200 * time.Millisecond)
	l.Event(cells[0], cell.Event{Type: "warning", Text: "INVALID: other processes used the GPU: 7"})
	l.Event(cells[0], cell.Event{Type: "metric", Values: map[string]float64{"p50_ns": 1e6}})
	l.End(cells[0], engine.Outcome{Status: engine.Ran, Wall: 20 * time.Second})
	l.Event(cells[2], cell.Event{Type: "metric", Values: map[string]float64{"p50_ns": 5e6}})
	l.Start(cells[1], "")
	l.Event(cells[1], cell.Event{Type: "warning", Text: "INVALID: other processes used the GPU: 8"})
	l.Event(cells[1], cell.Event{Type: "metric", Values: map[string]float64{"p50_ns": 1.2e6}})
	l.End(cells[1], engine.Outcome{Status: engine.Ran, Wall: time.Second})
	l.Close()
	for text, times := range map[string]int{
		"is known once a first cell of each stage has ended":              1,
		"infer[level=0,replicate=1] runs for":                             -1,
		"12 of 330 (timed calls)":                                         -1,
		"warning: infer[level=0,replicate=1]: INVALID: other processes":   1,
		"warning: infer[level=0,replicate=2]: INVALID":                    0,
		"infer[level=0,replicate=1] ran in 20s; about 20 s left":          1,
		"the baseline drifted by +20% since infer[level=0,replicate=1]":   1,
		"unless replicates scatter as much, the verdicts will be INVALID": 1,
	} {
		if n := strings.Count(said.String(), text); times >= 0 && n != times || times < 0 && n == 0 {
			t.Errorf("%q stands %d times, want %d:\n%s", text, n, times, said.String())
		}
	}
}
