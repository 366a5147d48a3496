package figure

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"

	"barograph/pipeline/cell"
	"barograph/stages/figure/chart"
	"barograph/stages/figure/diagram"
	"barograph/stages/figure/table"
)

// Graph draws a study's stages from top to bottom: each in the first layer below
// all that it needs, its matrix in one line however many cells it has. A
// background stage stands beside the stages that run during it, in one frame,
// since a trial is both at once; the frame names the device that they share.
//
// The figure is as wide as one column, or as two where it must be, or as its
// widest layer where that is wider still. The CSV behind it lists stages and
// edges, a line each.
func Graph(g *cell.Graph) (*Figure, error) {
	if g == nil || len(g.Stages) == 0 {
		return nil, errors.New("figure: the graph has no stages")
	}
	cells := 0
	for _, s := range g.Stages {
		cells += s.Cells
	}
	measured := slices.ContainsFunc(g.Stages, func(s cell.GraphStage) bool { return s.Measured })
	caption := []string{fmt.Sprintf("Study %s: %d stages, %d cells. Arrows lead from a stage to those that read its results.", g.Study, len(g.Stages), cells)}
	if slices.ContainsFunc(g.Edges, func(e cell.GraphEdge) bool { return e.During }) {
		caption = append(caption, "Dashed arrows lead from a load to what it runs during: both at once, in one frame.")
	}
	if measured {
		caption = append(caption, fmt.Sprintf("Shaded stages measure, alone on device %s: %s.", g.Device, g.Machine))
	}
	frame := fmt.Sprintf("one trial at a time, on %s", g.Machine)
	words := []string{frame}
	for _, s := range g.Stages {
		words = append(words, s.Name, s.Kind, s.Notebook, diagram.MatrixText(s))
	}
	c, err := chart.New(chart.Frame{Title: "Architecture of the study " + g.Study, Caption: caption}, words...)
	if err != nil {
		return nil, err
	}
	d := diagram.New(c.Theme, g, chart.Clean(frame), diagram.StageText)
	paint(c, d)
	return newFigure(c, "", d.Describe(), func(w io.Writer) error { return graphTable(w, g) }), nil
}

// paint has a chart draw a diagram, as wide as a page or as it must be.
func paint(c *chart.Chart, d *diagram.Diagram) {
	width := math.Ceil(float64((d.Width + 2*chart.Margin) / vg.Millimeter))
	for _, page := range []float64{ColumnWidth, 2 * ColumnWidth} {
		if width <= page {
			width = page
			break
		}
	}
	c.Resize(width, float64((d.Height+2*chart.Margin)/vg.Millimeter))
	c.Paint(d.Draw)
}

// graphTable writes stages, then edges.
func graphTable(w io.Writer, g *cell.Graph) error {
	out := table.New(w, "item", "name", "to", "kind", "notebook", "matrix", "cells", "background", "measured")
	for _, s := range g.Stages {
		out.Row("stage", s.Name, "", s.Kind, s.Notebook, diagram.MatrixText(s), s.Cells, s.Background, s.Measured)
	}
	for _, e := range g.Edges {
		kind := "needs"
		if e.During {
			kind = "during"
		}
		out.Row("edge", e.From, e.To, kind, "", "", "", "", "")
	}
	return out.Flush()
}
