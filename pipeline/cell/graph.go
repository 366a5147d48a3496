package cell

import "io"

// A Graph is a study's stages and the edges between them, for drawings: every
// stage, whichever of its cells a run would start.
type Graph struct {
	Study   string       `json:"study"`
	Machine string       `json:"machine"` // its description, or its name
	Device  string       `json:"device"`  // host, sim, cuda, cuda:1
	Stages  []GraphStage `json:"stages"`  // in the study's order
	Edges   []GraphEdge  `json:"edges"`
}

// A GraphStage is a node: a stage with its matrix in one piece.
type GraphStage struct {
	Name       string      `json:"name"`
	Kind       string      `json:"kind"`
	Notebook   string      `json:"notebook,omitempty"` // its folder's name
	Matrix     []GraphAxis `json:"matrix,omitempty"`
	Cells      int         `json:"cells"` // of a background stage, those of all trials
	Background bool        `json:"background,omitempty"`
	Measured   bool        `json:"measured,omitempty"`
}

// A GraphAxis is one axis of a matrix, and on how many values.
type GraphAxis struct {
	Name   string `json:"name"`
	Values int    `json:"values"`
}

// A GraphEdge leads from a stage to one that needs it, or, with During set, from
// a background stage to the one it runs with.
type GraphEdge struct {
	From   string `json:"from"`
	To     string `json:"to"`
	During bool   `json:"during,omitempty"`
}

// Without returns the graph less one stage and its edges.
func (g *Graph) Without(stage string) *Graph {
	less := *g
	less.Stages, less.Edges = nil, nil
	for _, s := range g.Stages {
		if s.Name != stage {
			less.Stages = append(less.Stages, s)
		}
	}
	for _, e := range g.Edges {
		if e.From != stage && e.To != stage {
			less.Edges = append(less.Edges, e)
		}
	}
	return &less
}

// A Drawing draws graphs as pictures, in the formats it names.
type Drawing struct {
	Formats []string
	Draw    func(w io.Writer, g *Graph, format string) error
}
