package acceptance

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"barograph/stages/recording"
)

// collectedTable has calls a second, and p50 and p99 of when their results are at the host,
// of models that copy results out call by call and of those that collect them.
func collectedTable(t *testing.T, args []string) table {
	samples, err := recording.Open(filepath.Join(args[0], "samples.csv"), recording.Options{Recorded: true, Columns: []string{"model", "victim", "level", "start_ns", "latency_ns"}})
	if err != nil {
		t.Fatal(err)
	}
	of := func(rows *recording.Table, column, value string) *recording.Table {
		part, err := rows.Where(column, value)
		if err != nil || part.Len() == 0 {
			t.Fatalf("%s: %d rows of %s %q, %v", args[0], part.Len(), column, value, err)
		}
		return part
	}
	models, err := samples.By("model")
	if err != nil {
		t.Fatal(err)
	}
	rows := table{{"model", "results", "calls/s alone", "beside a load", "p50 / p99 alone, ms", "beside a load, ms"}}
	for _, model := range models {
		name, err := model.Only("model")
		if err != nil {
			t.Fatal(err)
		}
		for _, victim := range []string{"copied", "collected"} {
			row, times := []string{"`" + name + "`", victim}, []string(nil)
			for _, level := range []string{"0", "1"} {
				calls := of(of(model, "victim", victim), "level", level)
				starts, err1 := calls.Ints("start_ns")
				latencies, err2 := calls.Ints("latency_ns")
				if err := errors.Join(err1, err2); err != nil {
					t.Fatal(err)
				}
				ends := slices.Clone(starts)
				for i := range ends {
					ends[i] += latencies[i]
				}
				slices.Sort(latencies)
				n := len(latencies)
				row = append(row, fmt.Sprintf("%.0f", float64(n)/(float64(slices.Max(ends)-slices.Min(starts))/1e9)))
				times = append(times, milliseconds(float64(latencies[n/2]))+" / "+milliseconds(float64(latencies[n*99/100])))
			}
			rows = append(rows, append(row, times...))
		}
	}
	return rows
}
