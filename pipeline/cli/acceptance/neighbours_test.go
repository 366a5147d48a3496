package acceptance

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"barograph/stages/recording"
)

// neighbourTable has what the links of several GPUs carry at once, and an inference on
// the last beside loads on all others.
func neighbourTable(t *testing.T, args []string) table {
	run, err := recording.ReadRun(filepath.Join(args[0], "run.json"))
	if err != nil || run.Neighbours == nil {
		t.Fatalf("%s: neighbours %v, %v", args[0], run, err)
	}
	directions := []string{"h2d", "d2h", "both", "opposite"}
	var what []string
	for _, d := range directions[:3] {
		what = append(what, fmt.Sprintf("%s axis_direction=%s", args[0], d))
	}
	found, n := judges(t, what), len(run.Neighbours.GPUs)
	rows := table{{"loads", "a link carries alone, GB/s", fmt.Sprintf("with all %d loaded, GB/s", n), "left", "BERT alone, p50 / p99, ms", "loads next door, p50 / p99, ms"}}
	for i, direction := range directions {
		var alone, all []float64
		for gpu := range n {
			for _, way := range directions[:3] {
				if direction != "opposite" && way != direction || direction == "opposite" && way == "both" {
					continue
				}
				alone = append(alone, run.Neighbours.Carried(gpu, 1, way, way, nil)...)
				all = append(all, run.Neighbours.Carried(gpu, n, direction, way, nil)...)
			}
		}
		slices.Sort(alone)
		slices.Sort(all)
		row := []string{direction, spread(alone), spread(all), fmt.Sprintf("%.0f%%", 100*middle(all)/middle(alone)), "", ""}
		if i < len(found) {
			for j, level := range []int{0, len(found[i].Levels) - 1} {
				q := found[i].Levels[level].Quantiles
				row[4+j] = fmt.Sprintf("%.2f / %.2f", q[0].Value/1e6, q[2].Value/1e6)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func middle(sorted []float64) float64 {
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func spread(sorted []float64) string {
	return fmt.Sprintf("%.1f [%.1f, %.1f]", middle(sorted)/1e9, sorted[0]/1e9, sorted[len(sorted)-1]/1e9)
}
