package acceptance

import (
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"

	"barograph/stages/stats"
)

// rankTable has how well the order of policies on a simulated link is that of what was
// measured of them, of tables that the study search wrote: "what was measured | the table".
func rankTable(t *testing.T, args []string) table {
	rows := table{{"measured on", "load", "policies", "tau-b of p99", "tau-b of the link kept"}}
	columns := []string{"seen_p99_ratio", "measured_p99_ratio", "seen_kept_percent", "measured_kept_percent"}
	for _, arg := range args {
		label, path := cut(t, arg)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := csv.NewReader(f).ReadAll()
		f.Close()
		if err != nil || len(lines) < 2 {
			t.Fatalf("%s: %d lines, %v", path, len(lines), err)
		}
		at := map[string]int{}
		for i, column := range lines[0] {
			at[column] = i
		}
		measured, loads := map[string][4][]float64{}, []string(nil)
		for _, line := range lines[1:] {
			load := line[at["direction"]] + ", " + line[at["sharing"]]
			if line[at["measured_p99_ratio"]] == "" {
				continue
			}
			all, ok := measured[load]
			if !ok {
				loads = append(loads, load)
			}
			for i, column := range columns {
				x, err := strconv.ParseFloat(line[at[column]], 64)
				if err != nil {
					t.Fatalf("%s: %s: %v", path, column, err)
				}
				all[i] = append(slices.Clip(all[i]), x)
			}
			measured[load] = all
		}
		for _, load := range loads {
			all := measured[load]
			p99, err1 := stats.KendallTauB(all[0], all[1])
			kept, err2 := stats.KendallTauB(all[2], all[3])
			if err1 != nil || err2 != nil {
				t.Fatalf("%s: %s: %v, %v", path, load, err1, err2)
			}
			rows = append(rows, []string{label, load, fmt.Sprint(len(all[0])), fmt.Sprintf("%.2f", p99), fmt.Sprintf("%.2f", kept)})
		}
	}
	return rows
}
