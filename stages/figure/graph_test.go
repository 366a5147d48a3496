package figure

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"
	"pgregory.net/rapid"

	"barograph/pipeline/cell"
)

// paperGraph is the paper's study, as the plan has it.
func paperGraph() *cell.Graph {
	level, replicate := cell.GraphAxis{Name: "level", Values: 6}, cell.GraphAxis{Name: "replicate", Values: 5}
	return &cell.Graph{
		Study: "paper", Machine: "NVIDIA Tesla P100, PCIe Gen3 x16", Device: "cuda",
		Stages: []cell.GraphStage{
			{Name: "calibrate", Kind: "stress", Cells: 1, Measured: true},
			{Name: "stress", Kind: "stress", Cells: 30, Measured: true, Background: true, Matrix: []cell.GraphAxis{level}},
			{Name: "infer", Kind: "infer", Cells: 30, Measured: true, Matrix: []cell.GraphAxis{level, replicate}},
			{Name: "collect", Kind: "collect", Cells: 1},
			{Name: "analyse", Kind: "analyse", Cells: 1, Notebook: "contention"},
			{Name: "plot", Kind: "plot", Cells: 1, Notebook: "figure2"},
		},
		Edges: []cell.GraphEdge{
			{From: "calibrate", To: "stress"}, {From: "stress", To: "infer", During: true}, {From: "calibrate", To: "collect"},
			{From: "stress", To: "collect"}, {From: "infer", To: "collect"}, {From: "collect", To: "analyse"},
			{From: "collect", To: "plot"}, {From: "analyse", To: "plot"},
		},
	}
}

func TestGraph(t *testing.T) {
	f, written := twice(t, Graph, paperGraph)
	if got := f.width / millimetre; math.Abs(float64(got-ColumnWidth)) > 1e-9 {
		t.Errorf("%g mm wide, want a column", float64(got))
	}
	checkSVG(t, []byte(written["svg"]))
	for _, want := range []string{">calibrate<", ">level \u00d7 6<", ">30 cells<", ">notebook contention<", "Tesla P100", "during stress", "6 stages, 64 cells", "stroke-dasharray"} {
		if !strings.Contains(written["svg"], want) {
			t.Errorf("the SVG holds no %q", want)
		}
	}
	const table = `item,name,to,kind,notebook,matrix,cells,background,measured
stage,calibrate,,stress,,,1,false,true
stage,stress,,stress,,level × 6,30,true,true
stage,infer,,infer,,"level × 6, replicate × 5",30,false,true
stage,collect,,collect,,,1,false,false
stage,analyse,,analyse,contention,,1,false,false
stage,plot,,plot,figure2,,1,false,false
edge,calibrate,stress,needs,,,,,
edge,stress,infer,during,,,,,
edge,calibrate,collect,needs,,,,,
edge,stress,collect,needs,,,,,
edge,infer,collect,needs,,,,,
edge,collect,analyse,needs,,,,,
edge,collect,plot,needs,,,,,
edge,analyse,plot,needs,,,,,
`
	if written["csv"] != table {
		t.Errorf("CSV\n%s\nwant\n%s", written["csv"], table)
	}
	for _, none := range []*cell.Graph{nil, {}} {
		if _, err := Graph(none); err == nil {
			t.Error("a graph without stages was drawn")
		}
	}
}

// laid returns the layout of a graph.
func laid(t rapid.TB, g *cell.Graph) *diagram {
	f, err := Graph(g)
	if err != nil {
		t.Fatal(err)
	}
	d := newDiagram(f.chart.sheet.theme, g, "one trial at a time, on a machine")
	d.layOut()
	return d
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
				if r.Min.X < -hair || r.Min.Y < -hair || r.Max.X > d.width+hair || r.Max.Y > d.height+hair {
					t.Fatalf("%v leaves the drawing, %v by %v", r, d.width, d.height)
				}
				for _, other := range units {
					if overlap(grown(r, -hair), other.box) {
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
	f, err := Graph(g)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(render(t, f, "svg"), []byte("one trial")) {
		t.Error("no frame is named")
	}
}
