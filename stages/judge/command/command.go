// Package command holds the commands that judge: `judge`, on any samples, and
// `claims`, which holds what is recorded against a manifest.
package command

import (
	"fmt"
	"math"
	"runtime/debug"
	"strings"

	"barograph/pipeline/cell"
	"barograph/stages/judge"

	"github.com/spf13/cobra"
)

// Command returns `judge`.
func Command() *cobra.Command {
	var asJSON bool
	var where []string
	var sel judge.Selection
	o := judge.Defaults
	c := &cobra.Command{
		Use:   "judge SAMPLES.csv",
		Short: "Judge the paper's claims on any samples of latency under load",
		Long: `Judge the paper's claims on a tidy file: CSV with a header, a row for each timed
call, with the columns level and latency_ns (whole nanoseconds), and where there
are any replicate, seq (the trial's number in the order measured, the same for all
its calls: one seq of one level and replicate is one trial), utilisation (from 0 to 1), threads,
outstanding, block_bytes and achieved_bytes_per_s.

For each claim it says reproduced, refuted, not identified or INVALID, with the
effect and its interval, the growth law and its rivals, what a design like this
one could tell, and every doubt. What a run.json beside the file says of the
measurement is taken into account, and where SHA256SUMS is beside them, both must
be as it says. The file may lie compressed, as samples.csv.gz. Exit status 3 says INVALID.

A bootstrap that takes more than a second says so before it starts.`,
		Example: `  barograph judge data/paper/host/samples.csv
  barograph judge --json mine.csv | jq '.verdicts'
  barograph judge --level block_bytes --where model=bert-mini data/blocks/host/samples.csv`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := check(o); err != nil {
				return cell.Usage(err)
			}
			sel.Where = map[string]string{}
			for _, w := range where {
				name, value, ok := strings.Cut(w, "=")
				if !ok {
					return cell.Usage(cell.Hint(fmt.Errorf("invalid argument %q for --where", w), "write it as column=value"))
				}
				sel.Where[name] = value
			}
			// Most of the memory is a few long columns that stay: what is collected
			// seldom would be as much again.
			defer debug.SetGCPercent(debug.SetGCPercent(50))
			o.Cost = func(cost string) { fmt.Fprintln(c.ErrOrStderr(), cost, "(--draws lowers it)") }
			s, run, err := judge.Load(args[0], sel)
			if err != nil {
				return cell.Usage(err)
			}
			r, err := judge.Judge(s, run, o)
			if err != nil {
				return err
			}
			if asJSON {
				err = cell.WriteJSON(c.OutOrStdout(), r)
			} else {
				err = r.Write(c.OutOrStdout())
			}
			if err == nil && r.Invalid != "" {
				err = cell.End(fmt.Errorf("INVALID: %s", r.Invalid), cell.StatusInvalid)
			}
			return err
		},
	}
	f := c.Flags()
	f.BoolVar(&asJSON, "json", false, "write JSON")
	f.StringVar(&sel.Level, "level", "level", "the `column` of levels to compare")
	f.StringArrayVar(&where, "where", nil, "judge only rows with `column=value`; may be repeated")
	f.Float64Var(&o.Alpha, "alpha", o.Alpha, "significance of the trend")
	f.Float64Var(&o.Negligible, "negligible", o.Negligible, "change of the median taken for none, as a share")
	f.Float64Var(&o.DriftMargin, "drift-margin", o.DriftMargin, "drift of the baseline, beyond twice the scatter of replicates, from which all is INVALID, as a share")
	f.IntVar(&o.Draws, "draws", o.Draws, "resamples of a bootstrap")
	f.IntVar(&o.Sets, "sets", o.Sets, "sets simulated for each law; -1 for none")
	f.Uint64Var(&o.Seed, "seed", o.Seed, "seed of resampling and simulation")
	return c
}

// leastDraws is the fewest that a bootstrap takes.
const leastDraws = 100

// check refuses options that mean nothing, each by its flag.
func check(o judge.Options) error {
	for _, f := range []struct {
		flag  string
		value float64
		most  float64
	}{{"alpha", o.Alpha, 1}, {"negligible", o.Negligible, 1}, {"drift-margin", o.DriftMargin, math.Inf(1)}} {
		if !(f.value > 0 && f.value < f.most) { // NaN neither
			want := "want a share above 0 and below 1, such as 0.05"
			if math.IsInf(f.most, 1) {
				want = "want a share above 0, such as 0.05"
			}
			return cell.Hint(fmt.Errorf("invalid argument %v for --%s", f.value, f.flag), "%s", want)
		}
	}
	if o.Draws < leastDraws {
		return cell.Hint(fmt.Errorf("invalid argument %d for --draws", o.Draws), "want at least %d", leastDraws)
	}
	if o.Sets < -1 || o.Sets == 0 {
		return cell.Hint(fmt.Errorf("invalid argument %d for --sets", o.Sets), "want at least 1, or -1 for none")
	}
	return nil
}
