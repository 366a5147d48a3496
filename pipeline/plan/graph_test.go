package plan_test

import (
	"encoding/json"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/plan"
)

// A cell that draws the study is told every stage but its own, also where a
// recording stands in for measuring, and is decided by what it is told.
func TestGraph(t *testing.T) {
	kinds["draw"] = &cell.Kind{Name: "draw", Version: "1", Graph: true, With: func() any { return &struct{}{} }}
	defer delete(kinds, "draw")
	const stages = `params: {levels: [0, 1, 2]}
stages:
  load: {uses: measure, background: true, matrix: {level: "${{ levels }}"}, with: {value: "${{ level }}"}}
  time: {uses: measure, during: [load], matrix: {level: "${{ levels }}", replicate: 2}, with: {value: 2}}
  collect: {uses: collect, needs: [load, time]}
  drawn: {uses: draw, outputs: [figures/one.svg]}
  more: {uses: command, needs: [drawn], run: "true"}
`
	root := workspace(t, stages)
	p, err := build(t, root)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(p.Cell("drawn").Graph)
	const want = `{"study":"s","machine":"host","device":"host","stages":[` +
		`{"name":"load","kind":"measure","matrix":[{"name":"level","values":3}],"cells":6,"background":true,"measured":true},` +
		`{"name":"time","kind":"measure","matrix":[{"name":"level","values":3},{"name":"replicate","values":2}],"cells":6,"measured":true},` +
		`{"name":"collect","kind":"collect","cells":1},{"name":"more","kind":"command","cells":1}],` +
		`"edges":[{"from":"load","to":"time","during":true},{"from":"load","to":"collect"},{"from":"time","to":"collect"}]}`
	if string(got) != want {
		t.Errorf("told\n%s, want\n%s", got, want)
	}
	if p.Cell("more").Graph != nil || len(p.Graph.Stages) != 5 || len(p.Graph.Edges) != 4 {
		t.Errorf("the whole graph: %+v", p.Graph)
	}
	if err := p.Replay(t.TempDir()); err != nil || p.Cell("drawn").Graph.Stages[0].Cells != 6 {
		t.Errorf("replayed: %v", err)
	}
	same := func(other *plan.Plan, id string) bool { return other.Cell(id).Same(p.Cell(id)) }
	fewer, err := build(t, root, "levels=[0, 1]")
	if err != nil {
		t.Fatal(err)
	}
	again, err := build(t, root)
	if err != nil {
		t.Fatal(err)
	}
	if same(fewer, "drawn") || !same(fewer, "more") || !same(again, "drawn") {
		t.Error("a drawing stands although its study changed, or the reverse")
	}
}
