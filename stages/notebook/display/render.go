package display

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"barograph/pipeline/cell"
	"barograph/pipeline/page"
	"barograph/pipeline/record"
	"barograph/stages/notebook/job"

	"github.com/spf13/cobra"
)

// Commands returns the commands that show a notebook, for [job.Command].
func Commands() []*cobra.Command { return []*cobra.Command{renderCommand(), watchCommand()} }

func renderCommand() *cobra.Command {
	j := job.Job{}
	var params []string
	var to string
	c := &cobra.Command{
		Use:   "render NAME|DIR",
		Short: "Write a notebook with its results as one HTML file",
		Long: `Render a notebook with its results: prose, code, tables, figures, the numbers
behind them, and where it all comes from. The file needs no network and no other
file.

The notebook is not run again if it has run on the same data with the same
parameters since it was last changed: what that run left is shown.`,
		Example: `  barograph notebook render figure2 --data data/paper/host
  barograph notebook render contention --data data/paper/host -o contention.html`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := j.Open(args[0], params); err != nil {
				return err
			}
			if to == "" {
				to = filepath.Join(record.Results, filepath.Base(j.Dir)+".html") // which git ignores
				if err := os.MkdirAll(record.Results, 0o777); err != nil {
					return err
				}
			}
			if err := cell.Place("--output", to, page.Begins); err != nil {
				return err
			}
			j.Out, j.Log = c.OutOrStdout(), c.ErrOrStderr()
			kept, r, err := j.Recorded(c.Context())
			if err != nil {
				return err
			}
			var b bytes.Buffer
			if err := WritePage(&b, r, readFrom(kept)); err != nil {
				return err
			}
			if err := cell.Leave(to, b.Bytes()); err != nil {
				return err
			}
			fmt.Fprintf(j.Log, "wrote %s\n", to)
			return nil
		},
	}
	j.Flags(c, &params)
	c.Flags().StringVarP(&to, "output", "o", "", "`file` to write; results/NAME.html if it is not given")
	return c
}
