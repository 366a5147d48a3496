package acceptance

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"barograph/stages/recording"
	"barograph/stages/stats"
)

// slowTable has when closed loops without load were slow for a while. Each argument is
// "what is called | a recording, and a column that selects rows | what a call moves".
func slowTable(t *testing.T, args []string) table {
	rows := table{{"without load", "recording", "moved by a call", "seconds", "slow times", "they last, ms", "p50, ms", "p50 within, ms", "longest call, ms"}}
	for _, arg := range args {
		f := strings.Split(arg, "|")
		of := strings.Fields(f[1])
		o := recording.Options{Recorded: true, Columns: []string{"threads", "model", "seq", "latency_ns"}, Where: map[string]string{"threads": "0"}}
		for _, where := range of[1:] {
			column, value, _ := strings.Cut(where, "=")
			o.Where[column] = value
		}
		samples, err := recording.Open(filepath.Join(of[0], "samples.csv"), o)
		if err != nil {
			t.Fatal(err)
		}
		trials, err := samples.Split("seq", "latency_ns")
		if err != nil {
			t.Fatal(err)
		}
		var within, all []int64
		lengths, span := []float64{}, int64(0)
		for _, calls := range trials {
			for _, l := range calls {
				span += l
			}
			for _, s := range stats.SlowTimes(calls) {
				sum := int64(0)
				for _, l := range calls[s[0]:s[1]] {
					sum += l
				}
				lengths, within = append(lengths, float64(sum)/1e6), append(within, calls[s[0]:s[1]]...)
			}
			all = append(all, calls...)
		}
		slices.Sort(all)
		row := []string{strings.TrimSpace(f[0]), "`" + strings.TrimPrefix(of[0], "data/") + "`", strings.TrimSpace(f[2]), fmt.Sprintf("%.1f", float64(span)/1e9),
			fmt.Sprint(len(lengths)), "", milliseconds(float64(all[len(all)/2])), "", milliseconds(float64(all[len(all)-1]))}
		if slices.Sort(within); len(lengths) > 0 {
			row[5] = fmt.Sprintf("%.0f to %.0f", slices.Min(lengths), slices.Max(lengths))
			row[7] = milliseconds(float64(within[len(within)/2]))
		}
		rows = append(rows, row)
	}
	return rows
}
