package main

import (
	"math"
	"strings"
	"testing"

	"barograph/notebooks/nb"
)

// A claim is refuted by what was measured, never by calls that are too few for a p99.
func TestRelieved(t *testing.T) {
	nan := math.NaN()
	few, wide, high, low := nb.Ratio{Value: nan, Low: nan, High: nan}, nb.Ratio{Value: 1.1, Low: 0.9, High: 1.3}, nb.Ratio{Value: 3, Low: 2, High: 4}, nb.Ratio{Value: 1, Low: 0.99, High: 1.01}
	pointed := nb.Ratio{Value: 1, Low: nan, High: nan} // without an interval
	for name, c := range map[string]struct {
		none, aside nb.Ratio
		kept        float64
		verdict     string
		says        string
	}{
		"neither has a p99":            {few, few, 0.99, nb.NotIdentified, "calls are too few for a p99 of m d2h process"},
		"the policy has none":          {high, few, 0.99, nb.NotIdentified, "calls are too few for a p99 of m d2h process"},
		"no interval":                  {high, pointed, 0.99, nb.NotIdentified, "calls are too few for a p99 of m d2h process"},
		"a policy may not be needed":   {few, high, 0.99, nb.NotIdentified, "calls are too few for a p99 of m d2h process"},
		"the load keeps little anyway": {high, few, 0.5, nb.Refuted, "none for m d2h process"},
		"a share that is not known":    {high, low, nan, nb.NotIdentified, "leave it open for m d2h process"},
		"p99 is high":                  {high, high, 0.99, nb.Refuted, "none for m d2h process"},
		"p99 may be high":              {high, wide, 0.99, nb.NotIdentified, "leave it open for m d2h process"},
		"p99 is low":                   {high, low, 0.99, nb.Reproduced, "for all 1"},
		"no policy is needed":          {low, few, 0.99, nb.NotIdentified, "none is needed for m d2h process"},
	} {
		s := scene{model: "m", direction: "d2h", sharing: "process", outcomes: []outcome{{policy: "none", kept: 1, ratio: c.none}, {policy: "aside/16MiB", kept: c.kept, ratio: c.aside}}}
		if verdict, because := relieved([]scene{s}, true, 0.05, 0.95); verdict != c.verdict || !strings.Contains(because, c.says) {
			t.Errorf("%s: %s: %s, want %s with %q", name, verdict, because, c.verdict, c.says)
		}
		s.outcomes = s.outcomes[:1]
		if verdict, because := relieved([]scene{s}, true, 0.05, 0.95); verdict != nb.NotIdentified {
			t.Errorf("%s, no policy measured: %s: %s", name, verdict, because)
		}
	}
}
