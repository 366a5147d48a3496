package command

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"barograph/pipeline/cell"
	"barograph/pipeline/manifest"
	"barograph/pipeline/record"
	"barograph/stages/judge"
	"barograph/stages/recording"

	"github.com/spf13/cobra"
)

// A Judging judges a claim that is not one of the paper's, of a recording below the
// current folder, and returns the effect that the verdict rests on.
type Judging func(manifest.Expectation) (verdict string, effect float64, err error)

// Claims returns `claims`, with what judges other claims than the paper's.
func Claims(others map[string]Judging) *cobra.Command {
	return &cobra.Command{
		Use:   "claims [MANIFEST]",
		Short: "Judge every recorded claim again and compare with the manifest",
		Long: `Judge every recorded claim again and compare with the manifest, data/claims.yaml
unless another is named: the verdict must be the one that stands there, and the
change of the median within the tolerance. Recordings are checked against their
checksums first, and samples against run.json. Exit status 1 says that something changed.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path := manifest.Name
			if len(args) == 1 {
				path = args[0]
			}
			m, err := manifest.Load(path)
			if err != nil {
				return cell.Usage(err)
			}
			return hold(c.OutOrStdout(), m, others)
		},
	}
}

// hold judges every claim of a manifest and writes a line for each. It fails
// if a verdict or an effect is not what the manifest says.
func hold(w io.Writer, m *manifest.Manifest, others map[string]Judging) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CLAIM\tRECORDING\tVERDICT\tCHANGE OF THE MEDIAN\tFIGURE\tMEASURE AGAIN\tTAKES\tON")
	changed := 0
	for _, e := range m.Claims {
		verdict, effect, err := verdictOn(e, others)
		if err != nil {
			return fmt.Errorf("claim %s on %s: %w", e.Claim, e.Recording, err)
		}
		off := math.Abs(effect-e.Effect) > e.Tolerance
		note := "none"
		if !math.IsNaN(effect) {
			note = fmt.Sprintf("%+.1f%%", 100*effect)
		}
		if off {
			note += fmt.Sprintf(" (expected %+.1f%% within %.1f%%)", 100*e.Effect, 100*e.Tolerance)
		}
		said := verdict
		if verdict != e.Verdict {
			said += " (expected " + e.Verdict + ")"
		}
		if off || verdict != e.Verdict {
			changed++
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Claim, strings.Join(append([]string{e.Recording}, e.Where...), " "), said, note, e.Figure, e.Command, e.Time, e.Hardware)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if changed > 0 {
		return fmt.Errorf("%d of %d claims changed", changed, len(m.Claims))
	}
	return nil
}

// verdictOn returns the verdict on a claim, and the change of the median.
func verdictOn(e manifest.Expectation, others map[string]Judging) (verdict string, effect float64, err error) {
	if _, err := os.Stat(e.Figure); err != nil {
		return "", 0, cell.Hint(fmt.Errorf("its figure: %w", err), "draw it with make figures")
	}
	if other := others[e.Claim]; other != nil {
		return other(e)
	}
	if _, _, err := recording.ReadSealed(e.Recording); err != nil {
		return "", 0, err
	}
	sel := judge.Selection{Where: map[string]string{}}
	for _, w := range e.Where {
		name, value, _ := strings.Cut(w, "=")
		sel.Where[name] = value
	}
	o := judge.Defaults
	o.Sets = -1
	s, run, err := judge.Load(filepath.Join(e.Recording, record.Samples), sel)
	if err != nil {
		return "", 0, err
	}
	r, err := judge.Judge(s, run, o)
	if err != nil {
		return "", 0, err
	}
	for _, v := range r.Verdicts {
		if v.ID != e.Claim {
			continue
		}
		if r.Effect == nil {
			return v.Verdict, math.NaN(), nil
		}
		effect, _, _ = r.Effect.Share()
		return v.Verdict, effect, nil
	}
	return "", 0, errors.New("no such claim is judged; there is C1 and C2")
}
