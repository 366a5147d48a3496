package analyse_test

import (
	"slices"
	"testing"

	"barograph/pipeline/engine"
	"barograph/pipeline/plan"
	"barograph/pipeline/study"
	"barograph/stages/kind/analyse"
)

// A notebook is compiled with what the Go command keeps, wherever the user has it.
func TestCaches(t *testing.T) {
	t.Setenv("GOCACHE", "/elsewhere/build")
	t.Setenv("GOMODCACHE", "/elsewhere/mod")
	env := engine.Environment(&plan.Plan{Study: &study.Study{Stages: []*study.Stage{{Kind: analyse.Kind()}}}})
	for _, want := range []string{"GOCACHE=/elsewhere/build", "GOMODCACHE=/elsewhere/mod"} {
		if !slices.Contains(env, want) {
			t.Errorf("no %s in %q", want, env)
		}
	}
}
