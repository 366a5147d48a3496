package nb

import (
	"math"
	"slices"

	"barograph/stages/stats"

	"github.com/go-gota/gota/dataframe"
	"github.com/go-gota/gota/series"
)

// Curves returns the distribution of latency_ns for each value of a column, as data
// frames. Levels has a row for each value: the column as text, n samples, effective_n
// that they are worth as independent ones, and the mean utilisation, NaN where it is
// unknown. Points are a frame for each of its rows, which has a row for each step of
// the distribution: latency_ns, and the count of samples that took at most so long.
func (s *Set) Curves(by string) (levels dataframe.DataFrame, points []dataframe.DataFrame) {
	var names []string
	var n, latencies, counts []int
	var effective, utilisation []float64
	for _, g := range try(s.table.By(by)).or("Set.Curves", by) {
		var replicates [][]int64
		for _, r := range try(g.By("replicate")).or("Set.Curves", by) {
			replicates = append(replicates, try(r.Ints("latency_ns")).or("Set.Curves", by))
		}
		worth := stats.EffectiveN(g.Len(), stats.Lag1(replicates))
		used := math.NaN()
		if g.Has("utilisation") {
			used = try(g.Mean("utilisation")).or("Set.Curves", by)
		}
		sorted := slices.Concat(replicates...)
		stats.Sort(sorted)
		latencies, counts = latencies[:0], counts[:0]
		for i, ns := range sorted {
			if i+1 == len(sorted) || sorted[i+1] != ns {
				latencies, counts = append(latencies, int(ns)), append(counts, i+1)
			}
		}
		points = append(points, dataframe.New(series.New(latencies, series.Int, "latency_ns"), series.New(counts, series.Int, "count")))
		names, n, effective, utilisation = append(names, g.Value), append(n, g.Len()), append(effective, worth), append(utilisation, used)
	}
	return dataframe.New(series.New(names, series.String, by), series.New(n, series.Int, "n"),
		series.New(effective, series.Float, "effective_n"), series.New(utilisation, series.Float, "utilisation")), points
}
