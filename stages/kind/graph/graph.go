// Package graph is the kind of stage that draws the study it belongs to: the
// architecture, as Figure 1 of the paper has it, from the study's own stages.
package graph

import (
	"context"
	"io"

	"barograph/pipeline/cell"
	"barograph/stages/figure"
	"barograph/stages/notebook/symbols"
)

var formats = []string{"svg", "pdf", "png", "csv"}

// With is the parameters of graph: there are none.
type With struct{}

// Kind returns the stage kind graph.
func Kind() *cell.Kind {
	return &cell.Kind{
		Name:    "graph",
		Version: "1",
		Doc:     "draws the study's other stages and what leads from one to another, to the files its outputs list: .svg, .pdf, .png, .csv",
		With:    func() any { return &With{} },
		Graph:   true,
		Formats: formats,
		// The drawing is among what notebooks see.
		Identify: func(string, any) (map[string]string, error) {
			return map[string]string{"notebook functions": symbols.Digest}, nil
		},
		Run: run,
	}
}

func run(_ context.Context, c *cell.Cell) error {
	f, err := figure.Graph(c.Graph)
	if err != nil {
		return err
	}
	for _, name := range c.Spec.Outputs {
		path, err := c.Path(name)
		if err != nil {
			return err
		}
		if err := f.Save(path); err != nil {
			return err
		}
	}
	return nil
}

// Drawing draws a graph as this kind does, for `barograph graph`.
func Drawing() cell.Drawing {
	return cell.Drawing{Formats: formats, Draw: func(w io.Writer, g *cell.Graph, format string) error {
		f, err := figure.Graph(g)
		if err != nil {
			return err
		}
		return f.Write(w, format)
	}}
}
