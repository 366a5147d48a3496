// Package doctor is the command that looks at this computer, or at a cluster.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cli/app"
	"barograph/pipeline/cluster/file"

	"github.com/spf13/cobra"
)

type doctor struct{ *app.App }

// Command is doctor.
func Command(app *app.App) *cobra.Command {
	a := &doctor{app}
	on := ""
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look at this machine, or a cluster: what is there, what is missing, what to do",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			root, err := os.Getwd()
			if err != nil {
				return err
			}
			if on != "" {
				return a.report(a.lookAt(cmd.Context(), root, on))
			}
			return a.report(a.lookAround(root))
		},
	}
	c.Flags().StringVar(&on, "on", "", "look at a `cluster`, a file below configs/clusters/, and at one of its nodes")
	return c
}

// A finding is a line of doctor.
type finding struct {
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	mark  string // for people
	Found string `json:"found"`
	Hint  string `json:"hint,omitempty"`
}

// found is the finding of a check that fails with an error.
func found(check, what, hint string, err error) finding {
	if err != nil {
		return finding{check, false, "MISSING", err.Error(), cmp.Or(hint, cell.HintOf(err))}
	}
	return finding{check, true, "ok", what, hint}
}

// lookAround asks every check of this machine.
func (a *doctor) lookAround(root string) (all []finding) {
	noise := append(a.Disturbances(root, ""), app.Measuring()...)
	for _, d := range noise {
		all = append(all, finding{d.Check, false, "BUSY", d.What, d.Hint})
	}
	if len(noise) == 0 {
		all = append(all, finding{"quiet", true, "ok", "nothing here would disturb a measurement now", ""})
	}
	for _, ch := range a.Checks {
		if ch.Run != nil {
			what, hint, err := ch.Run(root)
			all = append(all, found(ch.Name, what, hint, err))
		}
	}
	return all
}

// report prints findings, and fails if anything is missing.
func (a *doctor) report(all []finding) (err error) {
	if a.JSON {
		err = a.WriteJSON(all)
	} else {
		err = a.Table(func(w io.Writer) {
			for _, f := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\n", f.mark, f.Check, f.Found)
				if f.Hint != "" {
					fmt.Fprintf(w, "\t\t  hint: %s\n", f.Hint)
				}
			}
		})
	}
	if err == nil && slices.ContainsFunc(all, func(f finding) bool { return f.mark == "MISSING" }) {
		return cell.Exit(cell.StatusFailed)
	}
	return err
}

// lookAt is doctor for a cluster.
func (a *doctor) lookAt(ctx context.Context, root, name string) (all []finding) {
	add := func(check, what string, err error) bool {
		all = append(all, found(check, what, "", err))
		return err == nil
	}
	t, err := a.OpenCluster(root+"/configs/x.yaml", name)
	if !add("cluster file", file.Folder+"/"+name+".yaml", err) {
		return all
	}
	defer cell.Hold()() // a job that only looks is cancelled
	say := func(text string) { fmt.Fprintln(a.Msg, text) }
	limits, err := t.Limits()
	if !add("slurm", limits, err) || !add("request", "would be accepted", t.Fit(ctx, say)) {
		return all
	}
	checked, err := t.Check(ctx, t.Program, nil, t.Gres != "", say)
	if err != nil {
		add("node", "", err)
		return all
	}
	n := checked.Node
	add("node", fmt.Sprintf("%s, %d processors, GPUs: %s; its job was seen to its end in %v", n.Host, n.CPUs, n.Names(), checked.Queued.Round(10*time.Millisecond)), nil)
	add("program", fmt.Sprintf("%s runs there", n.Program.Version), nil)
	add("folder", "what the node writes is seen here", nil)
	const apart = 5 * time.Second
	clocks := fmt.Sprintf("what it wrote was %v old by this clock", checked.Seen.Round(time.Millisecond))
	if checked.Seen.Abs() > apart {
		err = cell.Hint(errors.New(clocks), "set the clocks by NTP: they tell in which order cells were measured")
	}
	add("clocks", clocks, err)
	return all
}
