package notebook

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/page"

	"github.com/spf13/cobra"
)

func renderCommand() *cobra.Command {
	j := job{}
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
		Args:         cobra.ExactArgs(1),
		SilenceUsage: true,
		RunE: func(c *cobra.Command, args []string) error {
			if err := j.open(args[0], params); err != nil {
				return err
			}
			if to == "" {
				to = filepath.Base(j.dir) + ".html"
			}
			if err := cell.Place("--output", to, page.Begins); err != nil {
				return err
			}
			j.out, j.log = c.OutOrStdout(), c.ErrOrStderr()
			kept, r, err := j.recorded(c.Context())
			if err != nil {
				return err
			}
			var b bytes.Buffer
			if err := r.WritePage(&b, readFrom(kept)); err != nil {
				return err
			}
			if err := cell.Leave(to, b.Bytes()); err != nil {
				return err
			}
			fmt.Fprintf(j.log, "wrote %s\n", to)
			return nil
		},
	}
	j.flags(c, &params)
	c.Flags().StringVarP(&to, "output", "o", "", "`file` to write; NAME.html if it is not given")
	return c
}

// flags adds the flags of every command that runs one notebook.
func (j *job) flags(c *cobra.Command, params *[]string) {
	c.Flags().StringVar(&j.data, "data", "", "`folder` whose files the notebook may read")
	c.Flags().StringArrayVar(params, "param", nil, "parameter as `name=value`; may be repeated")
	c.Flags().Uint64Var(&j.seed, "seed", 0, "`number` that resampling draws from; a study's cell has one of its own")
	c.Flags().DurationVar(&j.timeout, "timeout", defaultTimeout, "stop the notebook after this `time`; 0: never")
}

// open finds the notebook and reads its parameters.
func (j *job) open(name string, params []string) (err error) {
	if err := positive(j.timeout); err != nil {
		return err
	}
	if j.root, err = os.Getwd(); err != nil {
		return err
	}
	if j.dir, err = find(j.root, name); err != nil {
		return err
	}
	j.with, err = parameters(params)
	return err
}

// positive refuses a time that a flag cannot have.
func positive(timeout time.Duration) error {
	if timeout < 0 {
		return cell.Usage(fmt.Errorf("--timeout %v: want more than 0, or 0 for never", timeout))
	}
	return nil
}
