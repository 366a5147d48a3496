// Package command is `trace`, the commands about when requests arrived elsewhere.
package command

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"text/tabwriter"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/arrival/trace"
	"barograph/stages/asset"
	"barograph/stages/asset/download"

	"github.com/spf13/cobra"
)

// Command returns `trace`, with list, info and fetch.
func Command() *cobra.Command {
	group := &cobra.Command{
		Use:   "trace",
		Short: "List, describe and fetch traces of arrivals",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(listCommand(), infoCommand(), fetchCommand())
	return group
}

func listCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the traces that are known, with their licences",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return cell.WriteJSON(cmd.OutOrStdout(), trace.Catalogue())
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "NAME\tLICENCE\tOWNER\tFETCHED\tWHAT")
			for _, k := range trace.Catalogue() {
				path, err := k.Path()
				if err != nil {
					return err
				}
				fetched := "yes"
				switch err := holds(path, k.SHA256); {
				case errors.Is(err, fs.ErrNotExist):
					fetched = "no"
				case err != nil:
					fetched = "damaged"
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", k.Name, k.Licence, k.Owner, fetched, k.About)
			}
			return t.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

// holds reports that a file is not there, or has another checksum.
func holds(path, sum string) error {
	got, err := asset.Digest(path)
	if err == nil && got != sum {
		err = fmt.Errorf("the SHA-256 of %s is %s, not %s", path, got, sum)
	}
	return err
}

func infoCommand() *cobra.Command {
	var asJSON bool
	var form trace.Form
	cmd := &cobra.Command{
		Use:   "info NAME|FILE",
		Short: "Say how a trace's requests arrived: rate, gaps, bursts, bins, repetition",
		Long: "Say how a trace's requests arrived: rate, gaps, bursts, bins, repetition.\n\n" +
			"FILE is CSV, text with a time a line, JSON, JSON lines or an array of NumPy's (.npy), which may\n" +
			"have columns. Times are dates, or numbers in --unit: ns where all are whole and s otherwise, unless it is given.",
		Example: "  barograph trace info requests.csv --column TIMESTAMP\n  barograph trace info clients.json --column 'tasks.*.times' --unit ms",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := args[0]
			if k, ok := trace.Find(path); ok {
				var err error
				if path, err = k.Path(); err != nil {
					return err
				}
				if err := holds(path, k.SHA256); err != nil {
					return cell.Usage(cell.Hint(err, "barograph trace fetch %s", k.Name))
				}
				form.Column, form.Unit = cmp.Or(form.Column, k.Column), cmp.Or(form.Unit, k.Unit)
			}
			t, err := trace.Read(path, form)
			if err != nil {
				return cell.Usage(err)
			}
			d := t.Describe()
			if asJSON {
				return cell.WriteJSON(cmd.OutOrStdout(), d)
			}
			return write(cmd.OutOrStdout(), d, form.Unit == "" && d.Unit == "ns")
		},
	}
	cmd.Flags().StringVar(&form.Column, "column", "", "`name` or number of a column; in JSON a path such as tasks.*.times")
	cmd.Flags().StringVar(&form.Unit, "unit", "", "`unit` of numbers: ns, us, ms or s")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

// write tells a description to a person, and whether its unit was guessed.
func write(w io.Writer, d trace.Description, guessed bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	say := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	if d.Column != "" {
		say("column", "%s", d.Column)
	}
	if guessed {
		say("times in", "ns, since all are whole; --unit says otherwise, and unit: in a study")
	} else {
		say("times in", "%s", d.Unit)
	}
	span := time.Duration(d.Span)
	if span > time.Second {
		span = span.Round(time.Millisecond)
	}
	say("arrivals", "%d in %v, %.4g a second", d.Arrivals, span, d.Rate)
	say("gaps", "mean %v, from %v to %v, CV %.3g", duration(d.Gap.Mean), duration(float64(d.Gap.Min)), duration(float64(d.Gap.Max)), d.Gap.CV)
	for _, x := range d.Dispersion {
		say("dispersion", "%.3g in %d windows of %v (Poisson: 1)", x.Index, x.Of, time.Duration(x.Window))
	}
	say("most in a second", "%d", d.Peak)
	if d.Bin > 0 {
		say("binned", "at %v: %.0f%% of gaps are 0; arrivals are spread within their bins, by a seed that is recorded", time.Duration(d.Bin), 100*d.Gap.Same)
	}
	if d.Period > 0 {
		say("repeats itself", "after %d gaps: it is refused as a trace, and runs with arrivals: loop", d.Period)
	}
	return t.Flush()
}

func duration(ns float64) time.Duration {
	d := time.Duration(ns)
	if d > time.Millisecond {
		return d.Round(time.Microsecond)
	}
	return d
}

func fetchCommand() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "fetch NAME",
		Short: "Download a trace from its owner, going on where an earlier try ended, and print its path",
		Long: "Download a trace from its owner and print its path.\n\n" +
			"What a try that was cut off left, the next one goes on from; the file appears once its checksum is right.\n" +
			"A study then names it: trace: NAME.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, ok := trace.Find(args[0])
			if !ok {
				return cell.Usage(cell.Hint(fmt.Errorf("no trace is named %q", args[0]), "there are %s", trace.Names()))
			}
			path, err := k.Path()
			if err != nil {
				return err
			}
			if from == "" {
				from = k.URL
			}
			log := func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) }
			if err := download.File(cmd.Context(), http.DefaultClient, from, path, k.SHA256, log); err != nil {
				return err
			}
			log(fmt.Sprintf("%s, by %s, licence %s", k.Name, k.Owner, k.Licence))
			_, err = fmt.Fprintln(cmd.OutOrStdout(), path)
			return err
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "another `URL` of the same file, such as a mirror's")
	return cmd
}
