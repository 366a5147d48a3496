package judge

import (
	"bytes"
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

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"
)

// A Manifest lists, for each claim on each recording, what an evaluator needs: the
// verdict to expect and how far the effect may lie from the one on record.
type Manifest struct {
	Claims []Expected `yaml:"claims"`
}

// An Expected is one claim on one recording.
type Expected struct {
	Claim     string   `yaml:"claim"`     // C1 or C2
	Recording string   `yaml:"recording"` // folder below the workspace
	Where     []string `yaml:"where"`     // rows to judge, as column=value
	Verdict   string   `yaml:"verdict"`
	Effect    float64  `yaml:"effect"`    // change of the median, as a share
	Tolerance float64  `yaml:"tolerance"` // of the effect, on the same hardware, as a share of the baseline
	Figure    string   `yaml:"figure"`
	Command   string   `yaml:"command"` // that measures it again
	Time      string   `yaml:"time"`    // that takes
	Hardware  string   `yaml:"hardware"`
}

// LoadManifest reads a manifest. Unknown and missing fields are errors.
func LoadManifest(path string) (*Manifest, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the claims: %w", err)
	}
	var m Manifest
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&m); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read the claims in %s: %w", path, err)
	}
	if len(m.Claims) == 0 {
		return nil, fmt.Errorf("read the claims in %s: there is none", path)
	}
	for i, e := range m.Claims {
		for name, value := range map[string]string{"claim": e.Claim, "recording": e.Recording, "verdict": e.Verdict, "figure": e.Figure, "command": e.Command, "time": e.Time, "hardware": e.Hardware} {
			if value == "" {
				return nil, fmt.Errorf("read the claims in %s: claim %d has no %s", path, i+1, name)
			}
		}
		if _, err := time.ParseDuration(e.Time); err != nil {
			return nil, fmt.Errorf("read the claims in %s: claim %d: time %q is no duration such as 20m", path, i+1, e.Time)
		}
		if !(e.Tolerance >= 0) || math.IsInf(e.Effect, 0) || math.IsNaN(e.Effect) {
			return nil, fmt.Errorf("read the claims in %s: claim %d: effect %v within %v", path, i+1, e.Effect, e.Tolerance)
		}
	}
	return &m, nil
}

// ClaimsCommand returns `claims`.
func ClaimsCommand() *cobra.Command {
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
			return m.Check(c.OutOrStdout())
		},
	}
}

// Check judges every claim of the manifest and writes a line for each. It fails
// if a verdict or an effect is not what the manifest says.
func (m *Manifest) Check(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CLAIM\tRECORDING\tVERDICT\tCHANGE OF THE MEDIAN\tFIGURE\tMEASURE AGAIN\tTAKES\tON")
	changed := 0
	for _, e := range m.Claims {
		verdict, effect, err := e.judge()
		if err != nil {
			return fmt.Errorf("claim %s on %s: %w", e.Claim, e.Recording, err)
		}
		off := math.Abs(effect-e.Effect) > e.Tolerance
		note := fmt.Sprintf("%+.1f%%", 100*effect)
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
func (e Expected) judge() (verdict string, effect float64, err error) {
	if _, err := os.Stat(e.Figure); err != nil {
		return "", 0, cell.Hint(fmt.Errorf("its figure: %w", err), "draw it with make figures")
	}
	if _, err := record.Open(e.Recording); err != nil {
		return "", 0, err
	}
	sel := Selection{Where: map[string]string{}}
	for _, w := range e.Where {
		name, value, _ := strings.Cut(w, "=")
		sel.Where[name] = value
	}
	o := Defaults
	o.Sets = -1
	s, run, err := load(filepath.Join(e.Recording, record.Samples), sel)
	if err != nil {
		return "", 0, err
	}
	r, err := Judge(s, run, o)
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
