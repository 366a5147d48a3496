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
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
	"barograph/pipeline/source"
	"barograph/stages/judge"

	"github.com/spf13/cobra"
)

// A Manifest lists, for each claim on each recording, what an evaluator needs: the
// verdict to expect and how far the effect may lie from the one on record.
type Manifest struct {
	Claims []Expectation `json:"claims" required:"true"`
}

// An Expectation is of one claim on one recording.
type Expectation struct {
	Claim     string   `json:"claim" required:"true"`     // C1 or C2, or of turns T1 to T4
	Recording string   `json:"recording" required:"true"` // folder below the workspace; of T2 to T4 a link card
	Link      string   `json:"link"`                      // T1: the machine's link card; T4: the one through MPS
	Where     []string `json:"where"`                     // rows to judge, as column=value
	Verdict   string   `json:"verdict" required:"true"`
	Effect    float64  `json:"effect"`                  // change of the median, as a share; of turns what their judgement says
	Tolerance float64  `json:"tolerance" min:"0"`       // of the effect, on the same hardware, as a share of the baseline
	Figure    string   `json:"figure" required:"true"`  //
	Command   string   `json:"command" required:"true"` // that measures it again
	Time      string   `json:"time" required:"true"`    // that takes, such as 20m
	Hardware  string   `json:"hardware" required:"true"`
}

// LoadManifest reads a manifest. Unknown and missing fields are errors.
func LoadManifest(path string) (*Manifest, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the claims: %w", err)
	}
	var m Manifest
	doc, err := source.Unmarshal(path, text, &m)
	if err != nil {
		return nil, err
	}
	if len(m.Claims) == 0 {
		return nil, doc.At("claims").Errorf("", "claims: there is none")
	}
	for i, e := range m.Claims {
		at := doc.At("claims", i)
		for _, f := range []struct{ key, value string }{{"claim", e.Claim}, {"recording", e.Recording}, {"verdict", e.Verdict}, {"figure", e.Figure}, {"command", e.Command}, {"hardware", e.Hardware}} {
			if f.value == "" {
				return nil, at.At(f.key).Errorf("", "the claim has no %s", f.key)
			}
		}
		if _, err := time.ParseDuration(e.Time); err != nil {
			return nil, at.At("time").Errorf("", "time: %q is no duration such as 20m", e.Time)
		}
	}
	return &m, nil
}

// A Judging judges a claim that is not one of the paper's, of a recording below the
// current folder, and returns the effect that the verdict rests on.
type Judging func(Expectation) (verdict string, effect float64, err error)

// Claims returns `claims`, with what judges other claims than the paper's.
func Claims(others map[string]Judging) *cobra.Command {
	return &cobra.Command{
		Use:   "claims [MANIFEST]",
		Short: "Judge every recorded claim again and compare with the manifest",
		Long: `Judge every recorded claim again and compare with the manifest, data/claims.yaml
unless another is named: the verdict must be the one that stands there, and the
change of the median within the tolerance. Recordings are checked against their
checksums first. Exit status 1 says that something changed.`,
		Args:         cobra.MaximumNArgs(1),
		SilenceUsage: true,
		RunE: func(c *cobra.Command, args []string) error {
			path := filepath.Join("data", "claims.yaml")
			if len(args) == 1 {
				path = args[0]
			}
			m, err := LoadManifest(path)
			if err != nil {
				return cell.Usage(err)
			}
			return m.Check(c.OutOrStdout(), others)
		},
	}
}

// Check judges every claim of the manifest and writes a line for each. It fails
// if a verdict or an effect is not what the manifest says.
func (m *Manifest) Check(w io.Writer, others map[string]Judging) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CLAIM\tRECORDING\tVERDICT\tCHANGE OF THE MEDIAN\tFIGURE\tMEASURE AGAIN\tTAKES\tON")
	changed := 0
	for _, e := range m.Claims {
		verdict, effect, err := e.judge(others)
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

// judge returns the verdict on a claim, and the change of the median.
func (e Expectation) judge(others map[string]Judging) (verdict string, effect float64, err error) {
	if _, err := os.Stat(e.Figure); err != nil {
		return "", 0, cell.Hint(fmt.Errorf("its figure: %w", err), "draw it with make figures")
	}
	if other := others[e.Claim]; other != nil {
		return other(e)
	}
	if _, err := record.Open(e.Recording); err != nil {
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
