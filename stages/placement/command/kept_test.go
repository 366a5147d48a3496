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

// What is kept of pairs below data/twin, and what data/README.md says of them, is what
// comes out now where nothing but the card is named; and as good as when this was written.
func TestKept(t *testing.T) {
	const root = "../../.."
	clean := t.TempDir() // of results that a developer may have
	for _, name := range []string{"data", "configs"} {
		path, err := filepath.Abs(filepath.Join(root, name))
		if err == nil {
			err = os.Symlink(path, filepath.Join(clean, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	type most map[string][2]float64 // errors of p50 and p99
	for machine, of := range map[string]struct {
		recordings []string
		most       most
	}{
		"h100": {[]string{"data/matrix/h100", "data/colocation/h100"}, most{"process": {0.025, 0.05}, "mps": {0.025, 0.04}}},
		"h200": {[]string{"data/matrix/h200"}, most{"process": {0.025, 0.025}, "mps": {0.035, 0.04}}},
	} {
		t.Run(machine, func(t *testing.T) {
			card := "data/link/" + machine + ".json"
			read, err := link.Read(filepath.Join(root, card))
			if err != nil {
				t.Fatal(err)
			}
			again := "run `barograph place score --link " + card + "`"
			scores, x, summary, err := score(clean, read, nil, taught)
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.Join(of.recordings, ", "); x.From != want {
				t.Errorf("from %s, want %s", x.From, want)
			}
			x.Card = card
			learned, err := json.MarshalIndent(x, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if kept, err := os.ReadFile(filepath.Join(root, pair.File(machine))); err != nil || !bytes.Equal(bytes.TrimSpace(kept), learned) {
				t.Errorf("%s is not what comes out (%v): %s", pair.File(machine), err, again)
			}
			var table bytes.Buffer
			if err := pair.WriteScores(&table, scores); err != nil {
				t.Fatal(err)
			}
			file := "data/twin/" + machine + "-pairs.csv"
			if kept, err := os.ReadFile(filepath.Join(root, file)); err != nil || !bytes.Equal(kept, table.Bytes()) {
				t.Errorf("%s is not what comes out (%v): %s", file, err, again)
			}
			if readme, err := os.ReadFile(filepath.Join(root, "data/README.md")); err != nil || !strings.Contains(string(readme), summary) {
				t.Errorf("data/README.md does not hold the summary that `place score` prints (%v)", err)
			}
			for _, v := range pair.Summaries(scores) {
				if v.Models == 2 && (v.Outcomes != 100 || v.Error > of.most[v.Tenancy][v.Quantile] || v.Error > v.Sum/3 || v.Inside*10 < 9*v.Outcomes) {
					t.Errorf("%+v", v)
				}
			}
		})
	}
}
