//go:build !race

package prediction

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

var scored = sync.OnceValues(func() ([]*Score, *Lesson) {
	card, kept, err := theCard()
	if err != nil {
		panic(err)
	}
	scores, x, err := ScoreAll(card, root, Recordings(root, card.Machine))
	if err != nil {
		panic(err)
	}
	x.Card = kept.Card
	return scores, x
})

// Predictions of models and loads that were left out are as good as they were when
// this was written, of all calls and without slow times: a change that makes them worse
// has to say so here.
func TestScores(t *testing.T) {
	scores, _ := scored()
	for _, tt := range []struct {
		class  string
		unseen bool
		i      int // of Quantiles
		least  [2]int
		of     int
	}{
		{"full link", false, 0, [2]int{32, 32}, 32}, {"full link", false, 2, [2]int{30, 32}, 32}, {"below a full link", false, 0, [2]int{24, 24}, 24}, {"below a full link", false, 2, [2]int{24, 23}, 24},
		{"full link", true, 0, [2]int{49, 49}, 49}, {"full link", true, 2, [2]int{43, 43}, 49}, {"below a full link", true, 0, [2]int{8, 8}, 8}, {"below a full link", true, 2, [2]int{6, 8}, 8},
	} {
		var n [2]int
		all := 0
		for _, s := range scores {
			if !(group{tt.class, tt.unseen}).holds(s) {
				continue
			}
			all++
			for k, s := range []*Score{s, s.Steady} {
				if s.good(tt.i) {
					n[k]++
				}
			}
		}
		if n[0] < tt.least[0] || n[1] < tt.least[1] || all != tt.of {
			t.Errorf("%s, unseen %v, quantile %g: %v of %d are good, want %v of %d", tt.class, tt.unseen, Quantiles[tt.i], n, all, tt.least, tt.of)
		}
	}
	var inside [2]int
	points := 0
	for _, s := range scores {
		for i := range Quantiles {
			points++
			for k, s := range []*Score{s, s.Steady} {
				if s.Inside(i) {
					inside[k]++
				}
				e := s.Prediction.Estimates[i]
				if !(e.Low <= e.Value && e.Value <= e.High) || e.Low <= 0 {
					t.Errorf("%s %s: interval %+v", s.Own.Model, s.Load(), e)
				}
			}
		}
	}
	for k, n := range inside {
		if share := float64(n) / float64(points); share < 0.85 {
			t.Errorf("90%% intervals hold %.1f%% of %d held-out points, want 85%% (without slow times: %v)", 100*share, points, k == 1)
		}
	}
	// Where the link is full, doing nothing and adding queued bytes are both far worse.
	var ours, idle, queued []float64
	for _, s := range scores {
		if s.Condition.Class() == "full link" && s.Condition.Direction == "d2h" {
			ours = append(ours, math.Abs(s.Error(0)))
			idle = append(idle, math.Abs(s.NoChange[0]/s.Measured[0]-1))
			queued = append(queued, math.Abs(s.QueuedBytes[0]/s.Measured[0]-1))
		}
	}
	if slices.Max(ours) > 0.01 || middle(idle) < 0.2 || middle(queued) < 1 {
		t.Errorf("d2h, full: %.4f at worst, against %.2f and %.2f", slices.Max(ours), middle(idle), middle(queued))
	}
}

// What is kept below data/twin, and what data/README.md says of it, is what comes out
// now.
func TestKept(t *testing.T) {
	scores, x := scored()
	var table, summary bytes.Buffer
	if err := WriteScores(&table, scores); err != nil {
		t.Fatal(err)
	}
	if err := Summarise(&summary, scores); err != nil {
		t.Fatal(err)
	}
	again := "run `barograph predict score --link " + x.Card + "`"
	if kept, err := os.ReadFile(filepath.Join(root, "data/twin/h100.csv")); err != nil || !bytes.Equal(kept, table.Bytes()) {
		t.Errorf("data/twin/h100.csv is not what comes out (%v): %s", err, again)
	}
	learned, err := json.MarshalIndent(x, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(filepath.Join(root, File("h100"))); err != nil || !bytes.Equal(bytes.TrimSpace(kept), learned) {
		t.Errorf("%s is not what comes out (%v): %s", File("h100"), err, again)
	}
	readme, err := os.ReadFile(filepath.Join(root, "data/README.md"))
	if err != nil || !strings.Contains(string(readme), summary.String()) {
		t.Errorf("data/README.md does not hold the summary that `predict score` prints (%v)", err)
	}
}
