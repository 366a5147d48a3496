package nb

import (
	"math"
	"runtime"
	"slices"
	"sync"

	"barograph/stages/recording"
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
	groups := try(s.table.By(by)).or("Set.Curves", by)
	curves, errs := make([]curve, len(groups)), make([]error, len(groups))
	next := make(chan int, len(groups))
	for i := range groups {
		next <- i
	}
	close(next)
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) { // and no more at a time: each holds its samples twice
		all.Go(func() {
			for i := range next {
				curves[i], errs[i] = curveOf(groups[i])
			}
		})
	}
	all.Wait()
	var names []string
	var n []int
	var effective, utilisation []float64
	for i, g := range groups {
		c := try(curves[i], errs[i]).or("Set.Curves", by)
		points = append(points, c.points)
		names, n, effective, utilisation = append(names, g.Value), append(n, g.Len()), append(effective, c.worth), append(utilisation, c.used)
	}
	return dataframe.New(series.New(names, series.String, by), series.New(n, series.Int, "n"),
		series.New(effective, series.Float, "effective_n"), series.New(utilisation, series.Float, "utilisation")), points
}

// A curve is what Curves tells of one value.
type curve struct {
	points      dataframe.DataFrame
	worth, used float64
}

func curveOf(t *recording.Table) (c curve, err error) {
	groups, err := t.By("replicate")
	if err != nil {
		return c, err
	}
	replicates := make([][]int64, len(groups))
	for i, g := range groups {
		if replicates[i], err = g.Ints("latency_ns"); err != nil {
			return c, err
		}
	}
	c.worth, c.used = stats.EffectiveN(t.Len(), stats.Lag1(replicates)), math.NaN()
	if t.Has("utilisation") {
		if c.used, err = t.Mean("utilisation"); err != nil {
			return c, err
		}
	}
	sorted := slices.Concat(replicates...)
	stats.Sort(sorted)
	var latencies, counts []int
	for i, ns := range sorted {
		if i+1 == len(sorted) || sorted[i+1] != ns {
			latencies, counts = append(latencies, int(ns)), append(counts, i+1)
		}
	}
	c.points = dataframe.New(series.New(latencies, series.Int, "latency_ns"), series.New(counts, series.Int, "count"))
	return c, nil
}
