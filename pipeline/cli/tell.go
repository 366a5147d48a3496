package cli

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/cli/app"
	"barograph/pipeline/plan"
	"barograph/pipeline/progress"
	"barograph/pipeline/record"
	"barograph/pipeline/store"
	"barograph/pipeline/study"

	"github.com/spf13/cobra"
)

func (a *program) planCommand() *cobra.Command {
	var sel app.Selection
	var all, power bool
	var fresh []string
	c := &cobra.Command{
		Use:   "plan [STUDY]",
		Short: "Say which cells would run, and why; nothing is run",
		RunE: func(_ *cobra.Command, args []string) error {
			p, d, err := a.Decide(args, &sel, fresh)
			if err != nil {
				return err
			}
			rows := groups(p.Cells, d, all || a.JSON)
			if a.JSON {
				return a.WriteJSON(rows)
			}
			a.Overrides(p.Study.Lowered)
			err = a.Table(func(w io.Writer) {
				for _, r := range rows {
					fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", r.Cell, r.Cells, r.State, r.Reason)
				}
			})
			if err == nil {
				err = a.foretell(p, d)
			}
			if err != nil || !power {
				return err
			}
			return a.power(p)
		},
	}
	sel.Flags(c)
	c.Flags().BoolVar(&power, "power", false, "say too what could be concluded from these trials, by simulation")
	c.Flags().BoolVarP(&all, "all", "a", false, "a line for each cell; groups alike are one line otherwise")
	c.Flags().StringArrayVar(&fresh, "fresh", nil, "as for run")
	return c
}

// foretell says how long what would run takes, and how much disk.
func (a *program) foretell(p *plan.Plan, d *plan.Decider) error {
	s, err := store.View(app.StoreDir(p.Study.Root))
	if err != nil {
		return err
	}
	cells := slices.DeleteFunc(slices.Clone(p.Cells), func(c *plan.Cell) bool { return c.Trial != nil || d.Of(c).State == plan.Stands })
	if text := progress.Foresee(p, s, cells).String(); text != "" {
		fmt.Fprintln(a.Msg, text)
	}
	return nil
}

// A row is a line of plan: a cell, or cells of one stage with the same to say.
type row struct {
	Cell   string `json:"cell"`
	Stage  string `json:"stage"`
	Cells  int    `json:"cells"`
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
	Key    string `json:"key,omitempty"`

	members []*plan.Cell
}

func groups(cells []*plan.Cell, d *plan.Decider, all bool) []row {
	var rows []row
	type likeness struct{ stage, state, reason string }
	at := map[likeness]int{}
	for _, c := range cells {
		dec := d.Of(c)
		r := row{Cell: c.ID, Stage: c.Stage.Name, Cells: 1, State: dec.State.String(), Reason: dec.Reason}
		if all {
			r.Key = dec.Key
			rows = append(rows, r)
			continue
		}
		kind := likeness{r.Stage, r.State, r.Reason}
		if c.Trial != nil {
			kind.reason, r.Reason = "", "runs with its foreground cell"
		}
		if dec.State == plan.Waits { // which of many cells it waits for is no difference
			need, _, _ := strings.Cut(strings.TrimPrefix(dec.Reason, "needs "), "[")
			need, _, _ = strings.Cut(need, ",")
			if c.Trial == nil {
				kind.reason, r.Reason = need, "needs "+need+", which runs"
			}
		}
		if dec.State == plan.Stands {
			if dec.Unsteady == nil {
				r.Reason = ""
			}
			if len(d.Strayed(c)) > 0 {
				r.Reason = "its files are missing or changed; a run puts them back"
			}
			kind.reason = r.Reason
		}
		i, ok := at[kind]
		if !ok {
			i = len(rows)
			at[kind] = i
			rows = append(rows, r)
		}
		rows[i].members = append(rows[i].members, c)
	}
	for i, r := range rows {
		if len(r.members) > 0 {
			rows[i].Cells, rows[i].Cell = len(r.members), collapse(r.members)
		}
	}
	return rows
}

// collapse names cells of one stage in one word: axes on which they differ are
// listed, shortened where they are many.
func collapse(cells []*plan.Cell) string {
	if len(cells) == 1 {
		return cells[0].ID
	}
	var parts []string
	for i, co := range cells[0].Point {
		var values []string
		for _, c := range cells {
			if v := fmt.Sprint(c.Point[i].Value); !slices.Contains(values, v) {
				values = append(values, v)
				if len(values) > 8 {
					break
				}
			}
		}
		text := strings.Join(values, "|")
		if len(values) > 8 {
			text = "*"
		}
		parts = append(parts, co.Axis+"="+text)
	}
	return cells[0].Stage.Name + "[" + strings.Join(parts, ",") + "]"
}

func (a *program) whyCommand() *cobra.Command {
	var sel app.Selection
	c := &cobra.Command{
		Use:   "why [STUDY] CELL",
		Short: "Say why a cell would run: what changed, with old and new value",
		Long: `Say why a cell would run. CELL is a cell's name, a stage's, or what plan prints:
level=0|4 stands for either and level=* for every level. Of cells with the same
to say, the first is explained.`,
		RunE: func(_ *cobra.Command, args []string) error {
			last := len(args) - 1
			// A line of plan pasted whole is a name, two blanks and more; a name has none.
			name, _, _ := strings.Cut(strings.TrimSpace(args[last]), "  ")
			name = strings.ReplaceAll(name, " ", "")
			_, p, d := a.DecidePart(args[:last], &sel, name)
			if p == nil || p.Cell(name) == nil {
				var err error
				if p, d, err = a.Decide(args[:last], &sel, nil); err != nil {
					return err
				}
			}
			if c := p.Cell(name); c != nil {
				e, err := d.Explain(c)
				if err == nil && a.JSON {
					return a.WriteJSON(e)
				} else if err == nil {
					fmt.Fprint(a.Out, e)
				}
				return err
			}
			cells := matching(p.Cells, name)
			if len(cells) == 0 {
				return cell.Usage(cell.Hint(fmt.Errorf("study %q has no cell %q", p.Study.Name, args[last]), `"barograph plan --all" lists them`))
			}
			return a.whyAll(groups(cells, d, false), d)
		},
	}
	sel.Flags(c)
	c.Args = cobra.RangeArgs(1, 2)
	return c
}

// whyAll explains the first of each group of cells that are alike.
func (a *program) whyAll(rows []row, d *plan.Decider) error {
	var all []*plan.Explanation
	for _, r := range rows {
		e, err := d.Explain(r.members[0])
		if err != nil {
			return err
		}
		if all = append(all, e); a.JSON {
			continue
		}
		fmt.Fprint(a.Out, e)
		if n := len(r.members) - 1; n > 0 {
			fmt.Fprintf(a.Out, "and %d more of %s\n", n, r.Cell)
		}
	}
	if a.JSON {
		return a.WriteJSON(all)
	}
	return nil
}

// matching returns the cells that a line of plan stands for.
func matching(cells []*plan.Cell, pattern string) []*plan.Cell {
	stage, point, _ := strings.Cut(strings.TrimSuffix(pattern, "]"), "[")
	return slices.DeleteFunc(slices.Clone(cells), func(c *plan.Cell) bool { return c.Stage.Name != stage || !within(c.Point, point) })
}

// within tells whether a point has one of the values that are asked for on each
// axis that is named.
func within(p cell.Point, asked string) bool {
	for part := range strings.SplitSeq(asked, ",") {
		axis, values, _ := strings.Cut(part, "=")
		v, ok := p.Get(axis)
		if text := fmt.Sprint(v); asked != "" && (!ok || values != "*" && values != text && !slices.Contains(strings.Split(values, "|"), text)) {
			return false
		}
	}
	return true
}

func (a *program) statusCommand() *cobra.Command {
	var sel app.Selection
	c := &cobra.Command{
		Use:   "status [STUDY]",
		Short: "Say what of a study is done, stale or missing",
		RunE: func(_ *cobra.Command, args []string) error {
			stages, err := a.stages(args, &sel)
			if err != nil {
				return err
			}
			if a.JSON {
				return a.WriteJSON(stages)
			}
			err = a.Table(func(w io.Writer) {
				fmt.Fprintln(w, "stage\tkind\tcells\tstand\tto run\tfiles")
				for _, s := range stages {
					fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\n", s.Stage, s.Kind, s.Cells, s.Stands, s.Runs+s.Waits, strings.Join(s.Files, " "))
				}
			})
			for _, s := range stages {
				for _, to := range s.Strayed {
					fmt.Fprintf(a.Out, "%s is missing or changed; a run puts it back\n", to)
				}
			}
			return err
		},
	}
	sel.Flags(c)
	return c
}

func (a *program) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of study files, for editors",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b, err := study.Schema(a.Kinds)
			if err != nil {
				return err
			}
			_, err = a.Out.Write(b)
			return err
		},
	}
}

func (a *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the program's version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				record.Program
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{record.Build(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			if a.JSON {
				return a.WriteJSON(v)
			}
			fmt.Fprintf(a.Out, "barograph %s %s %s\n", v.Version, v.Go, v.Platform)
			return nil
		},
	}
}
