package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/page"
	"barograph/pipeline/plan"
	"barograph/pipeline/record"
	"barograph/pipeline/report"
	"barograph/pipeline/store"

	"github.com/spf13/cobra"
)

func (a *app) reportCommand() *cobra.Command {
	var sel selection
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
				one.machine = m
				p, side, err := a.side(args, one, fmt.Sprintf("side%d", i+1))
				if err != nil {
					return err
				}
				sides = append(sides, side)
				if i == 0 {
					if err := a.drawing.Draw(&graph, p.Graph, "svg"); err != nil {
						return err
					}
				}
				for _, id := range side.Missing {
					fmt.Fprintf(a.msg, "%s: %s has no standing result\n", p.Study.Machine.Name, id)
				}
			}
			var html bytes.Buffer
			if err := report.Write(&html, sides, graph.Bytes()); err != nil {
				return err
			}
			if err := cell.Leave(to, html.Bytes()); err != nil {
				return err
			}
			fmt.Fprintln(a.msg, "wrote", to)
			return nil
		},
	}
	sel.flagsFor(c, "show what stands for `machine`; repeatable, for machines side by side", func(name string) { machines = append(machines, name) })
	c.Flags().StringVarP(&to, "output", "o", to, "`file` to write")
	return c
}

// side gathers what stands for one machine.
func (a *app) side(args []string, sel selection, name string) (*plan.Plan, *report.Side, error) {
	p, d, s, err := a.standing(args, sel)
	if err != nil {
		return nil, nil, err
	}
	if err := stands(args, p, d, nil); err != nil {
		return nil, nil, err
	}
	side, err := report.Collect(name, p, d, s)
	return p, side, err
}

// standing reads a study and what stands of it on a machine. Where nothing was
// measured here, a recording of that machine is taken in its place.
func (a *app) standing(args []string, sel selection) (*plan.Plan, *plan.Decider, *store.Store, error) {
	p, d, err := a.decide(args, &sel, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	if sel.replay == "" && !measured(p, d) {
		for _, top := range []string{record.Results, ""} { // what was measured here, before what came along
			dir := filepath.Join(p.Study.Root, top, record.Dir(p.Study.Name, p.Study.Machine.Name))
			if _, err := os.Stat(filepath.Join(dir, record.Sums)); err == nil {
				sel.replay = dir
				if p, d, err = a.decide(args, &sel, nil); err != nil {
					return nil, nil, nil, err
				}
				break
			}
		}
	}
	s, err := store.View(storeDir(p.Study.Root))
	if err != nil {
		return nil, nil, nil, err
	}
	return p, d, s, nil
}

// stands refuses a plan of which nothing does; nor has anything failed, where that is
// worth telling too.
func stands(args []string, p *plan.Plan, d *plan.Decider, failed map[string]store.Failure) error {
	for _, c := range p.Cells {
		dec := d.Of(c)
		if _, ok := failed[dec.Key]; dec.State == plan.Stands || ok {
			return nil
		}
	}
	return cell.Hint(fmt.Errorf("nothing of study %s stands on machine %s", p.Study.Name, p.Study.Machine.Name),
		"barograph run %s --machine %s", strings.Join(args, " "), p.Study.Machine.Name)
}

// measured tells whether a measured cell of the plan has a standing result.
func measured(p *plan.Plan, d *plan.Decider) bool {
	for _, c := range p.Order {
		if dec := d.Of(c); dec != nil && dec.State == plan.Stands {
			return true
		}
	}
	return false
}
