package acceptance

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"barograph/stages/recording"
)

// A call of a slow time takes so many times its trial's median, and so do most of those
// around it, for so many calls and nanoseconds at least.
const slower, slowCalls, slowFor = 1.07, 4, 8e6

// slowTimes returns, as places of the first call and of the one behind the last, when all
// calls of a trial were slow but for two in a row at most.
func slowTimes(calls []int64, median float64) (times [][2]int) {
	for i, l := range calls {
		if float64(l) <= slower*median {
			continue
		}
		if n := len(times); n > 0 && i-times[n-1][1] < 3 {
			times[n-1][1] = i + 1
			continue
		}
		times = append(times, [2]int{i, i + 1})
	}
	return slices.DeleteFunc(times, func(t [2]int) bool {
		sum := int64(0)
		for _, l := range calls[t[0]:t[1]] {
			sum += l
		}
		return t[1]-t[0] < slowCalls || sum < slowFor
	})
}

// slowTable has when closed loops without load were slow for a while. Each argument is
// "what is called | a recording, and a column that selects rows | what a call moves".
func slowTable(t *testing.T, args []string) table {
	rows := table{{"without load", "recording", "moved by a call", "seconds", "slow times", "they last, ms", "p50, ms", "p50 within, ms", "longest call, ms"}}
	for _, arg := range args {
		f := strings.Split(arg, "|")
		of := strings.Fields(f[1])
		o := recording.Options{Recorded: true, Columns: []string{"level", "model", "seq", "latency_ns"}, Where: map[string]string{"level": "0"}}
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
			sorted := slices.Sorted(slices.Values(calls))
			for _, l := range calls {
				span += l
			}
			for _, s := range slowTimes(calls, float64(sorted[len(sorted)/2])) {
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
