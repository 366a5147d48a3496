package main

import (
	"math"
	"strings"
	"testing"

	"barograph/notebooks/nb"
)

// Calls that are too few for a p99 leave the claim open, and it is they that are named.
func TestEscaped(t *testing.T) {
	nan := math.NaN()
	for name, c := range map[string]struct {
		ratio   nb.Ratio
		kept    float64
		verdict string
		says    string
	}{
		"few calls":                 {nb.Ratio{Value: nan, Low: nan, High: nan}, 1, nb.NotIdentified, "calls are too few for a p99 of m d2h separate beside 1"},
		"no interval":               {nb.Ratio{Value: 1, Low: nan, High: nan}, 1, nb.NotIdentified, "calls are too few for a p99 of m d2h separate beside 1"},
		"p99 may be high":           {nb.Ratio{Value: 1.1, Low: 0.9, High: 1.3}, 1, nb.NotIdentified, "the intervals leave it open for m d2h separate beside 1"},
		"a share that is not known": {nb.Ratio{Value: 1, Low: 0.99, High: 1.01}, nan, nb.NotIdentified, "leave it open for m d2h separate beside 1"},
		"p99 is high":               {nb.Ratio{Value: 3, Low: 2, High: 4}, 1, nb.Refuted, "not for m d2h separate beside 1"},
		"p99 is low":                {nb.Ratio{Value: 1, Low: 0.99, High: 1.01}, 1, nb.Reproduced, "for all 1"},
	} {
		s := scene{model: "m", direction: "d2h", sharing: "separate", all: []means{{victim: "copied", level: "1", ratio: c.ratio, kept: 1}, {victim: "results", level: "1", ratio: c.ratio, kept: c.kept}}}
		if verdict, because := escaped([]scene{s}, 0.05, 0.98); verdict != c.verdict || !strings.Contains(because, c.says) {
			t.Errorf("%s: %s: %s, want %s with %q", name, verdict, because, c.verdict, c.says)
		}
	}
}
