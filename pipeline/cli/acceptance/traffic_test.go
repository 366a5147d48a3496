package acceptance

import (
	"fmt"
	"path/filepath"
	"testing"

	"barograph/stages/recording"
)

// rateTable has a row for each rate of a recording that was sought.
func rateTable(t *testing.T, args []string) table {
	rows := table{{"recording", "load", "policy", "carried, requests/s", "95% interval", "p99 within", "probes"}}
	for _, dir := range args {
		run, err := recording.ReadRun(filepath.Join(dir, "run.json"))
		if err != nil {
			t.Fatal(err)
		}
		sought := len(rows)
		for _, trial := range run.Trials {
			if trial.Infer.Traffic == nil || trial.Infer.Traffic.Carried == nil {
				continue
			}
			at := map[string]string{"level": "", "policy": ""}
			for _, axis := range trial.Point {
				at[axis.Axis] = fmt.Sprint(axis.Value)
			}
			c := trial.Infer.Traffic.Carried
			interval := fmt.Sprintf("%.0f to %.0f", c.Low, c.High)
			if c.Below {
				interval = fmt.Sprintf("below %.0f", c.High)
			}
			rows = append(rows, []string{filepath.Base(dir), map[string]string{"0": "none", "1": "full"}[at["level"]], at["policy"],
				fmt.Sprintf("%.0f", c.Rate), interval, fmt.Sprintf("%.0f ms", float64(c.Limit)/1e6), fmt.Sprint(len(c.Probes))})
		}
		if len(rows) == sought {
			t.Fatalf("%s: no rate was sought", dir)
		}
	}
	return rows
}
