package cli

import (
	"fmt"
	"io"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/plan"
	"barograph/pipeline/study"

	"github.com/spf13/cobra"
)

func (a *app) graphCommand() *cobra.Command {
	var sel selection
	var format string
	c := &cobra.Command{
		Use:   "graph [STUDY]",
		Short: "Draw a study's stages, as DOT, Mermaid or SVG",
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := a.plan(args, &sel)
			if err != nil {
				return err
			}
			if a.json {
				return a.graphJSON(p)
			}
			switch format {
			case "dot":
				return dot(a.out, p)
			case "mermaid":
				return mermaid(a.out, p)
			case "svg":
				return svg(a.out, p)
			}
			return &status{statusUsage, cell.Hint(fmt.Errorf("--format %s: no such format", format), "one of dot, mermaid, svg")}
		},
	}
	sel.flags(c)
	c.Flags().StringVar(&format, "format", "dot", "`format` of the drawing: dot, mermaid or svg")
	return c
}

// An edge leads from a stage to one that needs it, or, with during set, from a
// background stage to the one it runs with.
type edge struct {
	from, to string
	during   bool
}

// edges returns the stages' edges in the file's order, and each stage's label:
// its matrix in one line, however many cells it has.
func edges(p *plan.Plan) (list []edge, label func(*study.Stage) []string) {
	cells := map[string]int{}
	for _, c := range p.Cells {
		cells[c.Stage.Name]++
	}
	for _, st := range p.Study.Stages {
		for _, n := range st.Needs {
			list = append(list, edge{n, st.Name, false})
		}
		for _, n := range st.During {
			list = append(list, edge{n, st.Name, true})
		}
	}
	return list, func(st *study.Stage) []string {
		text := []string{st.Name, st.Kind.Name}
		var axes []string
		for _, ax := range st.Matrix {
			axes = append(axes, fmt.Sprintf("%s × %d", ax.Name, len(ax.Values)))
		}
		if n := cells[st.Name]; n > 1 {
			text = append(text, fmt.Sprintf("%s = %d cells", strings.Join(axes, ", "), n))
		}
		return text
	}
}

func (a *app) graphJSON(p *plan.Plan) error {
	type stage struct {
		Stage  string   `json:"stage"`
		Kind   string   `json:"kind"`
		Cells  int      `json:"cells"`
		Needs  []string `json:"needs,omitempty"`
		During []string `json:"during,omitempty"`
	}
	var stages []stage
	cells := map[string]int{}
	for _, c := range p.Cells {
		cells[c.Stage.Name]++
	}
	for _, st := range p.Study.Stages {
		stages = append(stages, stage{st.Name, st.Kind.Name, cells[st.Name], st.Needs, st.During})
	}
	return a.writeJSON(stages)
}

func dot(w io.Writer, p *plan.Plan) error {
	list, label := edges(p)
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %q {\n  rankdir=LR;\n  node [shape=box, fontname=\"Helvetica\"];\n", p.Study.Name)
	for _, st := range p.Study.Stages {
		style := ""
		if st.Background {
			style = ", style=dashed"
		}
		fmt.Fprintf(&b, "  %q [label=%q%s];\n", st.Name, strings.Join(label(st), "\n"), style)
	}
	for _, e := range list {
		style := ""
		if e.during {
			style = " [style=dashed, label=\"during\"]"
		}
		fmt.Fprintf(&b, "  %q -> %q%s;\n", e.from, e.to, style)
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func mermaid(w io.Writer, p *plan.Plan) error {
	list, label := edges(p)
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	id := map[string]string{} // a stage may be named like a keyword, such as end
	for i, st := range p.Study.Stages {
		id[st.Name] = fmt.Sprintf("s%d", i)
		fmt.Fprintf(&b, "  s%d[\"%s\"]\n", i, strings.ReplaceAll(strings.Join(label(st), "<br>"), `"`, "#quot;"))
	}
	for _, e := range list {
		arrow := "-->"
		if e.during {
			arrow = "-. during .->"
		}
		fmt.Fprintf(&b, "  %s %s %s\n", id[e.from], arrow, id[e.to])
	}
	_, err := io.WriteString(w, b.String())
	return err
}
