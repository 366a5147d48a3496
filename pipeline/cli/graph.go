package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/cli/app"

	"github.com/spf13/cobra"
)

func (a *program) graphCommand() *cobra.Command {
	var sel app.Selection
	var format string
	formats := append([]string{"dot", "mermaid"}, a.Drawing.Formats...)
	c := &cobra.Command{
		Use:   "graph [STUDY]",
		Short: "Draw a study's stages: " + strings.Join(formats, ", "),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := a.Plan(args, &sel)
			if err != nil {
				return err
			}
			switch {
			case a.JSON:
				return a.WriteJSON(p.Graph)
			case format == "dot":
				return dot(a.Out, p.Graph)
			case format == "mermaid":
				return mermaid(a.Out, p.Graph)
			case slices.Contains(a.Drawing.Formats, format):
				return a.Drawing.Draw(a.Out, p.Graph, format)
			}
			return cell.Usage(cell.Hint(fmt.Errorf("--format %s: no such format", format), "one of %s", strings.Join(formats, ", ")))
		},
	}
	sel.Flags(c)
	c.Flags().StringVar(&format, "format", "dot", "`format` of the drawing: "+strings.Join(formats, ", "))
	return c
}

// label is a stage's text: its matrix in one line, however many cells it has.
func label(s cell.GraphStage) []string {
	text := []string{s.Name, s.Kind}
	var axes []string
	for _, a := range s.Matrix {
		axes = append(axes, fmt.Sprintf("%s × %d", a.Name, a.Values))
	}
	if s.Cells > 1 {
		text = append(text, fmt.Sprintf("%s = %d cells", strings.Join(axes, ", "), s.Cells))
	}
	return text
}

func dot(w io.Writer, g *cell.Graph) error {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %q {\n  rankdir=LR;\n  node [shape=box, fontname=\"Helvetica\"];\n", g.Study)
	for _, s := range g.Stages {
		style := ""
		if s.Background {
			style = ", style=dashed"
		}
		fmt.Fprintf(&b, "  %q [label=%q%s];\n", s.Name, strings.Join(label(s), "\n"), style)
	}
	for _, e := range g.Edges {
		style := ""
		if e.During {
			style = " [style=dashed, label=\"during\"]"
		}
		fmt.Fprintf(&b, "  %q -> %q%s;\n", e.From, e.To, style)
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func mermaid(w io.Writer, g *cell.Graph) error {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	id := map[string]string{} // a stage may be named like a keyword, such as end
	for i, s := range g.Stages {
		id[s.Name] = fmt.Sprintf("s%d", i)
		fmt.Fprintf(&b, "  s%d[\"%s\"]\n", i, strings.ReplaceAll(strings.Join(label(s), "<br>"), `"`, "#quot;"))
	}
	for _, e := range g.Edges {
		arrow := "-->"
		if e.During {
			arrow = "-. during .->"
		}
		fmt.Fprintf(&b, "  %s %s %s\n", id[e.From], arrow, id[e.To])
	}
	_, err := io.WriteString(w, b.String())
	return err
}
