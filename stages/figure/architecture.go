package figure

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"barograph/pipeline/cell"
	"barograph/stages/figure/chart"
	"barograph/stages/figure/diagram"
	"barograph/stages/figure/table"
)

// An ArchitectureSpec describes which parts of a system stand where, and what each
// does.
type ArchitectureSpec struct {
	Title     string
	Frame     string // above parts that stand side by side
	Parts     []Part
	Caption   []string
	Simulated bool
	Invalid   string // as in ECDFSpec
}

// A Part is a box with its name and lines of text.
type Part struct {
	Name  string
	Lines []string
	// Beside names a part that stands beside this one, in one frame, with an arrow to it;
	// Below one that stands above, with an arrow from it. Empty for none.
	Beside, Below string
}

// Architecture draws the parts of a system as [Graph] draws stages. The CSV behind it
// has a row for each line of a part.
func Architecture(spec ArchitectureSpec) (*Figure, error) {
	if len(spec.Parts) == 0 {
		return nil, errors.New("figure: an architecture without parts")
	}
	g := &cell.Graph{}
	lines := map[string][]string{}
	words := []string{spec.Frame}
	for _, p := range spec.Parts {
		if lines[p.Name] != nil {
			return nil, fmt.Errorf("figure: two parts %q", p.Name)
		}
		lines[p.Name] = chart.CleanAll(append([]string{p.Name}, p.Lines...))
		words = append(words, lines[p.Name]...)
		g.Stages = append(g.Stages, cell.GraphStage{Name: p.Name, Background: p.Beside != "", Measured: p.Beside != ""})
		if p.Beside != "" {
			g.Edges = append(g.Edges, cell.GraphEdge{From: p.Name, To: p.Beside, During: true})
		}
		if p.Below != "" {
			g.Edges = append(g.Edges, cell.GraphEdge{From: p.Below, To: p.Name})
		}
	}
	for _, e := range g.Edges {
		for _, end := range []string{e.From, e.To} {
			if lines[end] == nil {
				return nil, fmt.Errorf("figure: no part %q", end)
			}
		}
	}
	c, err := chart.New(chart.Frame{Title: spec.Title, Caption: spec.Caption, Simulated: spec.Simulated, Invalid: spec.Invalid}, words...)
	if err != nil {
		return nil, err
	}
	d := diagram.New(c.Theme, g, chart.Clean(spec.Frame), func(_ *chart.Theme, s cell.GraphStage) []string { return lines[s.Name] })
	paint(c, d)
	var said []string
	for _, p := range spec.Parts {
		said = append(said, strings.Join(lines[p.Name], ": "))
	}
	return newFigure(c, "", strings.Join(said, "; ")+".", func(w io.Writer) error { return partsTable(w, spec.Parts) }), nil
}

func partsTable(w io.Writer, parts []Part) error {
	out := table.New(w, "part", "beside", "below", "line")
	for _, p := range parts {
		for _, line := range p.Lines {
			out.Row(chart.Clean(p.Name), chart.Clean(p.Beside), chart.Clean(p.Below), chart.Clean(line))
		}
	}
	return out.Flush()
}
