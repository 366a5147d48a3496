// Package page is where the loads and the inference of one trial meet: a page of shared
// memory whose path the trial's processes are told by a variable.
package page

import (
	"context"
	"encoding/json"
	"os"
	"slices"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/shared"
	"barograph/stages/guard"
)

// Variable tells the processes of a trial their page.
const Variable = "BAROGRAPH_GUARD_PAGE"

// Of returns the path of a trial's page until its context ends, where it has a policy.
func Of(trial context.Context, s *cell.Spec) (path string, err error) {
	for _, in := range append(slices.Clone(s.Gang), cell.Input{Kind: s.Kind, With: s.With}) {
		var w struct{ Policy guard.Policy }
		if in.Kind == "stress" && json.Unmarshal(in.With, &w) == nil && !w.Policy.None() {
			return shared.Nameless(trial, Variable)
		}
	}
	return "", nil
}

// Open opens the trial's page, on which an inference tells of its calls to the loads
// that follow them; nil where there is none.
func Open() (*guard.Page, error) {
	path := os.Getenv(Variable)
	if path == "" {
		return nil, nil
	}
	return guard.OpenPage(path)
}
