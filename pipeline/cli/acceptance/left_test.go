package acceptance

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"barograph/stages/guard"
	"barograph/stages/link"
	"barograph/stages/recording"
	"barograph/stages/result"
)

// leftTable has, of each model in a recording, the share of the link that any policy can
// leave a load whose copies go the same way, where calls take a twentieth longer than alone.
func leftTable(t *testing.T, args []string) table {
	folder, of := cut(t, args[0])
	card, err := link.Read(of)
	if err != nil {
		t.Fatal(err)
	}
	run, err := recording.ReadRun(filepath.Join(folder, "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	own := map[string]result.Infer{}
	var names []string
	for _, trial := range run.Trials {
		if i := trial.Infer; own[i.Model].Model == "" && i.Batch == 1 {
			own[i.Model], names = i, append(names, i.Model)
		}
	}
	var whats []string
	for _, name := range names {
		whats = append(whats, fmt.Sprintf("%s model=%s direction=d2h", folder, name))
	}
	type row struct {
		cells []string
		least float64
	}
	var list []row
	for i, j := range judges(t, whats) {
		m, p50 := own[names[i]], j.Levels[0].Quantiles[0].Value
		in := guard.Link{Capacity: card.Capacity["h2d"].Value}.Left(m.In, 0, time.Duration(1.05*p50))
		out := guard.Link{Capacity: card.Capacity["d2h"].Value}.Left(m.Out, 0, time.Duration(1.05*p50))
		list = append(list, row{[]string{"`" + names[i] + "`", milliseconds(p50), kilobytes(m.In), percent(in), kilobytes(m.Out), percent(out)}, min(in, out)})
	}
	slices.SortStableFunc(list, func(a, b row) int { return cmp.Compare(a.least, b.least) })
	rows := table{{"model", "p50 alone, ms", "inputs", "left of the link, in", "outputs", "left of the link, out"}}
	for _, r := range list {
		rows = append(rows, r.cells)
	}
	return rows
}

func kilobytes(n int64) string { return fmt.Sprintf("%.0f KB", float64(n)/1e3) }

func percent(share float64) string { return fmt.Sprintf("%.1f%%", 100*share) }
