package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"barograph/pipeline/cell"
	"barograph/pipeline/cli/app"
	"barograph/pipeline/page"
	"barograph/pipeline/plan"
	"barograph/pipeline/record"
	"barograph/pipeline/report"

	"github.com/spf13/cobra"
)

func (a *program) reportCommand() *cobra.Command {
	var sel app.Selection
	var machines []string
	ours := filepath.Join(record.Results, "report.html") // which git ignores
	to := ours
	c := &cobra.Command{
		Use:   "report [STUDY]",
		Short: "Write a study's page: claims, figures, machine, timeline, notebooks",
		Long: `Write a study as one HTML page that needs no network and no other file. Nothing
is run: the page shows the results that stand, and says which do not. For a
machine that this is not, those are the results of its recording.

Several machines stand side by side.`,
		Example: `  barograph report
  barograph report configs/paper.yaml --machine host --machine sim -o compare.html`,
		RunE: func(_ *cobra.Command, args []string) error {
			if to == ours {
				if err := os.MkdirAll(record.Results, 0o777); err != nil {
					return err
				}
			}
			if err := cell.Place("--output", to, page.Begins); err != nil {
				return err
			}
			if len(machines) == 0 {
				machines = []string{""}
			}
			var sides []*report.Side
			var graph bytes.Buffer
			for i, m := range machines {
				one := sel
				one.Machine = m
				p, side, err := a.side(args, one, fmt.Sprintf("side%d", i+1))
				if err != nil {
					return err
				}
				sides = append(sides, side)
				if i == 0 {
					if err := a.Drawing.Draw(&graph, p.Graph, "svg"); err != nil {
						return err
					}
				}
				for _, id := range side.Missing {
					fmt.Fprintf(a.Msg, "%s: %s has no standing result\n", p.Study.Machine.Name, id)
				}
			}
			var html bytes.Buffer
			if err := report.Write(&html, sides, graph.Bytes()); err != nil {
				return err
			}
			if err := cell.Leave(to, html.Bytes()); err != nil {
				return err
			}
			fmt.Fprintln(a.Msg, "wrote", to)
			return nil
		},
	}
	sel.FlagsFor(c, "show what stands for `machine`; repeatable, for machines side by side", func(name string) { machines = append(machines, name) })
	c.Flags().StringVarP(&to, "output", "o", to, "`file` to write")
	return c
}

// side gathers what stands for one machine.
func (a *program) side(args []string, sel app.Selection, name string) (*plan.Plan, *report.Side, error) {
	p, d, s, err := a.Standing(args, sel)
	if err != nil {
		return nil, nil, err
	}
	if err := app.Stands(args, p, d, nil); err != nil {
		return nil, nil, err
	}
	side, err := report.Collect(name, p, d, s)
	return p, side, err
}
