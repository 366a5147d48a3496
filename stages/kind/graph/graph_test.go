package graph

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"barograph/pipeline/cell"
)

// serve runs a cell of this kind in a folder of its own.
func serve(t *testing.T, s cell.Spec) error {
	t.Helper()
	t.Chdir(t.TempDir())
	s.Kind, s.With = "graph", json.RawMessage("{}")
	line, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return cell.Serve(cell.NewKinds(Kind()), bytes.NewReader(append(line, '\n')), &bytes.Buffer{})
}

func TestDrawsWhatItIsTold(t *testing.T) {
	g := &cell.Graph{Study: "s", Machine: "m", Device: "host", Stages: []cell.GraphStage{{Name: "a", Kind: "command", Cells: 1}, {Name: "b", Kind: "command", Cells: 2}}, Edges: []cell.GraphEdge{{From: "a", To: "b"}}}
	outputs := []string{"figures/one.svg", "figures/one.pdf", "two.png", "two.csv"}
	if err := serve(t, cell.Spec{Graph: g, Outputs: outputs}); err != nil {
		t.Fatal(err)
	}
	for _, name := range outputs {
		b, err := os.ReadFile(name)
		if err != nil || len(b) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
		if name == "two.csv" && !strings.Contains(string(b), "\nedge,a,b,needs,") {
			t.Errorf("CSV\n%s", b)
		}
		// The command line draws the same.
		var drawn bytes.Buffer
		if err := Drawing().Draw(&drawn, g, name[len(name)-3:]); err != nil || !bytes.Equal(drawn.Bytes(), b) {
			t.Errorf("%s: barograph graph draws another picture (%v)", name, err)
		}
	}
	if err := serve(t, cell.Spec{Graph: g, Outputs: []string{"one.jpg"}}); err == nil || !strings.Contains(err.Error(), "unknown format") {
		t.Errorf("a format that there is not: %v", err)
	}
	if err := serve(t, cell.Spec{Outputs: outputs}); err == nil || !strings.Contains(err.Error(), "no stages") {
		t.Errorf("without a graph: %v", err)
	}
}
