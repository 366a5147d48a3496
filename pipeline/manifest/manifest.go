// Package manifest reads data/claims.yaml, which says what an evaluator should find: for
// each claim on each recording the verdict, the effect with its tolerance, and how to
// measure it again.
package manifest

import (
	"fmt"
	"os"
	"time"

	"barograph/pipeline/source"
)

// Name is the file below a workspace.
const Name = "data/claims.yaml"

// A Manifest lists, for each claim on each recording, what an evaluator needs: the
// verdict to expect and how far the effect may lie from the one on record.
type Manifest struct {
	Claims []Expectation `json:"claims" required:"true"`
}

// An Expectation is of one claim on one recording.
type Expectation struct {
	Claim     string   `json:"claim" required:"true"`     // C1 or C2, of turns T1 to T4, or of models that share a device K1 to K3
	Recording string   `json:"recording" required:"true"` // folder below the workspace; of T2 to T4 a link card
	Link      string   `json:"link"`                      // T1: the machine's link card; T4: the one through MPS
	Where     []string `json:"where"`                     // rows to judge, as column=value
	Verdict   string   `json:"verdict" required:"true"`
	Effect    float64  `json:"effect"`                  // change of the median, as a share; of other claims what their judgement says
	Tolerance float64  `json:"tolerance" min:"0"`       // of the effect, on the same hardware, as a share of the baseline
	Figure    string   `json:"figure" required:"true"`  //
	Command   string   `json:"command" required:"true"` // that measures it again
	Time      string   `json:"time" required:"true"`    // that takes, such as 20m
	Hardware  string   `json:"hardware" required:"true"`
}

// Load reads a manifest. Unknown and missing fields are errors.
func Load(path string) (*Manifest, error) {
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
