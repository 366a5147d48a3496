package figure

import (
	"math"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"

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
	if got := f.chart.Width / vg.Millimeter; math.Abs(float64(got-ColumnWidth)) > 1e-9 {
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

func architectureSpec() ArchitectureSpec {
	return ArchitectureSpec{
		Title: "Policies", Frame: "at once", Caption: []string{"On a test."}, Simulated: true,
		Parts: []Part{{Name: "the link"}, {Name: "copies", Lines: []string{"out: window/8MiB", "keeps 97%"}, Beside: "models", Below: "the link"}, {Name: "models", Lines: []string{"bert, out: p99 1.05"}}},
	}
}

func TestArchitecture(t *testing.T) {
	_, written := twice(t, Architecture, architectureSpec)
	checkSVG(t, []byte(written["svg"]))
	for _, want := range []string{">the link<", ">out: window/8MiB<", ">keeps 97%<", ">at once<", ">bert, out: p99 1.05<", ">SIMULATED<", "On a test."} {
		if !strings.Contains(written["svg"], want) {
			t.Errorf("the SVG holds no %q", want)
		}
	}
	if want := "part,beside,below,line\ncopies,models,the link,out: window/8MiB\ncopies,models,the link,keeps 97%\nmodels,,,\"bert, out: p99 1.05\"\n"; written["csv"] != want {
		t.Errorf("CSV\n%s", written["csv"])
	}
	for name, wrong := range map[string]func(*ArchitectureSpec){
		"without parts": func(s *ArchitectureSpec) { s.Parts = nil },
		`two parts`:     func(s *ArchitectureSpec) { s.Parts[2].Name = "copies" },
		`no part "x"`:   func(s *ArchitectureSpec) { s.Parts[1].Below = "x" },
	} {
		spec := architectureSpec()
		wrong(&spec)
		if _, err := Architecture(spec); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
