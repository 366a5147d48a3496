// Package graph tells which stages a study has, and which lead to which.
package graph

import (
	"cmp"
	"path"
	"path/filepath"

	"barograph/pipeline/cell"
	"barograph/pipeline/study"
)

// Of returns a study's stages in the file's order, with how many cells each has, and
// their edges in the order of the stages that they lead to.
func Of(s *study.Study, count map[*study.Stage]int) *cell.Graph {
	g := &cell.Graph{Study: s.Name, Machine: cmp.Or(s.Machine.Description, s.Machine.Name), Device: s.Machine.Device}
	for _, st := range s.Stages {
		n := cell.GraphStage{Name: st.Name, Kind: st.Kind.Name, Cells: count[st], Background: st.Background, Measured: st.Kind.Measured}
		if st.Notebook != "" {
			n.Notebook = path.Base(filepath.ToSlash(st.Notebook))
		}
		for _, a := range st.Matrix {
			n.Matrix = append(n.Matrix, cell.GraphAxis{Name: a.Name, Values: len(a.Values)})
		}
		g.Stages = append(g.Stages, n)
		for _, from := range st.Needs {
			g.Edges = append(g.Edges, cell.GraphEdge{From: from, To: st.Name})
		}
		for _, from := range st.During {
			g.Edges = append(g.Edges, cell.GraphEdge{From: from, To: st.Name, During: true})
		}
	}
	return g
}
