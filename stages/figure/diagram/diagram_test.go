package diagram

import (
	"fmt"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"
	"pgregory.net/rapid"

	"barograph/pipeline/cell"
	"barograph/stages/figure/chart"
)

// laid returns the layout of a graph.
func laid(t rapid.TB, g *cell.Graph) *Diagram {
	c, err := chart.New(chart.Frame{})
	if err != nil {
		t.Fatal(err)
	}
	return New(c.Theme, g, "one trial at a time, on a machine", StageText)
}

// Whatever the graph, boxes stand apart and within the drawing, frames hold what
// runs at once and nothing else, and edges lead down and past every box but
// their own.
func TestGraphsAreTidy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := &cell.Graph{Study: "s", Machine: "m", Device: "sim"}
		n := rapid.IntRange(1, 14).Draw(t, "stages")
		for i := range n {
			s := cell.GraphStage{Name: strings.Repeat("n", rapid.IntRange(1, 30).Draw(t, "name")) + fmt.Sprint(i), Kind: "command", Cells: rapid.IntRange(1, 1000).Draw(t, "cells")}
			for a := range rapid.IntRange(0, 4).Draw(t, "axes") {
				s.Matrix = append(s.Matrix, cell.GraphAxis{Name: fmt.Sprintf("axis%d", a), Values: 3})
			}
			s.Background = rapid.IntRange(0, 3).Draw(t, "background") == 0
			for j := range i {
				switch from := &g.Stages[j]; rapid.IntRange(0, 4).Draw(t, "edge") {
				case 0:
					g.Edges = append(g.Edges, cell.GraphEdge{From: from.Name, To: s.Name})
				case 1:
					if from.Background && !s.Background {
						g.Edges = append(g.Edges, cell.GraphEdge{From: from.Name, To: s.Name, During: true})
					}
				}
			}
			g.Stages = append(g.Stages, s)
		}
		d := laid(t, g)
		const hair = 1e-6
		type area struct {
			of  *unit
			box vg.Rectangle
		}
		var units []area
		for _, layer := range d.layers {
			for _, u := range layer {
				r := vg.Rectangle{Min: vg.Point{X: u.x - u.w/2, Y: u.y}, Max: vg.Point{X: u.x + u.w/2, Y: u.y + u.h}}
				if r.Min.X < -hair || r.Min.Y < -hair || r.Max.X > d.Width+hair || r.Max.Y > d.Height+hair {
					t.Fatalf("%v leaves the drawing, %v by %v", r, d.Width, d.Height)
				}
				for _, other := range units {
					if o := other.box; r.Min.X+hair < o.Max.X && o.Min.X < r.Max.X-hair && r.Min.Y+hair < o.Max.Y && o.Min.Y < r.Max.Y-hair {
						t.Fatalf("%v and %v overlap", r, other.box)
					}
				}
				units = append(units, area{u, r})
			}
		}
		boxes := 0
		for _, u := range d.units {
			for i, b := range u.boxes {
				boxes++
				if b.unit != u || b.x < u.x-u.w/2-hair || b.x+b.w > u.x+u.w/2+hair || b.y < u.y-hair || b.y+b.h > u.y+u.h+hair {
					t.Fatalf("%s leaves its frame", b.stage.Name)
				}
				if i > 0 && u.boxes[i-1].x+u.boxes[i-1].w > b.x {
					t.Fatalf("%s overlaps its neighbour", b.stage.Name)
				}
			}
		}
		if boxes != n || len(d.wires)+len(d.gangs) != len(g.Edges) {
			t.Fatalf("%d boxes and %d edges of %d and %d", boxes, len(d.wires)+len(d.gangs), n, len(g.Edges))
		}
		for _, w := range d.wires {
			for i := 1; i < len(w.way); i++ {
				if w.way[i].layer != w.way[i-1].layer+1 {
					t.Fatalf("%+v leads from layer %d to %d", w.edge, w.way[i-1].layer, w.way[i].layer)
				}
			}
			if w.leave < w.from.x || w.leave > w.from.x+w.from.w || w.enter < w.to.x || w.enter > w.to.x+w.to.w {
				t.Fatalf("%+v misses its boxes", w.edge)
			}
		}
		for _, w := range d.gangs {
			if w.edge.During != true {
				t.Fatalf("%+v stays within a frame", w.edge)
			}
		}
	})
}

// Two trials that wait for one another across a third stage cannot be framed,
// and are drawn all the same.
func TestGraphWithoutFrames(t *testing.T) {
	g := &cell.Graph{Study: "s", Machine: "m", Device: "host", Stages: []cell.GraphStage{
		{Name: "load", Kind: "stress", Cells: 2, Background: true}, {Name: "first", Kind: "infer", Cells: 1},
		{Name: "between", Kind: "command", Cells: 1}, {Name: "second", Kind: "infer", Cells: 1},
	}, Edges: []cell.GraphEdge{
		{From: "load", To: "first", During: true}, {From: "load", To: "second", During: true},
		{From: "first", To: "between"}, {From: "between", To: "second"},
	}}
	d := laid(t, g)
	if len(d.units) != 4 || len(d.layers) != 4 {
		t.Errorf("%d units in %d layers", len(d.units), len(d.layers))
	}
	g.Edges = g.Edges[:2]
	if d = laid(t, g); len(d.units) != 2 || len(d.units[0].boxes) != 3 || len(d.gangs) != 2 {
		t.Errorf("%d units: %+v", len(d.units), d.units)
	}
	if len(d.units[0].title) == 0 {
		t.Error("no frame is named")
	}
}
