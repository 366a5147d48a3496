//go:build !race

package command

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"barograph/stages/link"
	"barograph/stages/prediction/pair"
)

// What is kept of the H100's pairs below data/twin, and what data/README.md says of them,
// is what comes out now; and as good as when this was written.
func TestKept(t *testing.T) {
	const root, card = "../../..", "data/link/h100.json"
	read, err := link.Read(filepath.Join(root, card))
	if err != nil {
		t.Fatal(err)
	}
	const first, second = "data/matrix/h100", "data/colocation/h100"
	scores, x, summary, err := score(root, read, []string{filepath.Join(root, first), filepath.Join(root, second)}, []string{"process", "mps"})
	if err != nil {
		t.Fatal(err)
	}
	const again = "run `barograph place score --link " + card + " --samples " + first + " --samples " + second + " --tenancy process,mps`"
	x.Card, x.From = card, first+", "+second
	learned, err := json.MarshalIndent(x, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(filepath.Join(root, pair.File("h100"))); err != nil || !bytes.Equal(bytes.TrimSpace(kept), learned) {
		t.Errorf("%s is not what comes out (%v): %s", pair.File("h100"), err, again)
	}
	var table bytes.Buffer
	if err := pair.WriteScores(&table, scores); err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(filepath.Join(root, "data/twin/h100-pairs.csv")); err != nil || !bytes.Equal(kept, table.Bytes()) {
		t.Errorf("data/twin/h100-pairs.csv is not what comes out (%v): %s", err, again)
	}
	if readme, err := os.ReadFile(filepath.Join(root, "data/README.md")); err != nil || !strings.Contains(string(readme), summary) {
		t.Errorf("data/README.md does not hold the summary that `place score` prints (%v)", err)
	}
	for _, v := range pair.Summaries(scores) {
		at := map[string]struct {
			outcomes int
			most     [2]float64 // errors
		}{"process": {100, [2]float64{0.025, 0.05}}, "mps": {100, [2]float64{0.025, 0.04}}}[v.Tenancy]
		if v.Models == 2 && (v.Outcomes != at.outcomes || v.Error > at.most[v.Quantile] || v.Error > v.Sum/3 || v.Inside*10 < 9*v.Outcomes) {
			t.Errorf("%+v", v)
		}
	}
}
