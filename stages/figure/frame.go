package figure

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/go-gota/gota/dataframe"
)

// Lines reads the lines of an ECDF off data frames: levels, which has a row for each
// line, its label and effective_n; and points, one for each of its rows, which has a
// row for each step of the line: latency_ns, and the count of samples up to it,
// ascending.
func Lines(levels dataframe.DataFrame, points []dataframe.DataFrame) ([]Series, error) {
	worth, err := columnsOf(levels, "effective_n")
	if err != nil {
		return nil, err
	}
	labels := levels.Col("label")
	if labels.Err != nil {
		return nil, fmt.Errorf("figure: the data frame of levels has no column label; it has %q", levels.Names())
	}
	if len(points) != levels.Nrow() {
		return nil, fmt.Errorf("figure: points of %d lines for %d levels", len(points), levels.Nrow())
	}
	lines, errs := make([]Series, len(points)), make([]error, len(points))
	var all sync.WaitGroup
	for i, label := range labels.Records() {
		all.Go(func() {
			lines[i] = Series{Label: label, EffectiveN: worth[0][i]}
			lines[i].Latencies, errs[i] = samplesOf(points[i], label)
		})
	}
	all.Wait()
	return lines, errors.Join(errs...)
}

// samplesOf returns the samples of a line by its steps, ascending.
func samplesOf(points dataframe.DataFrame, label string) ([]int64, error) {
	columns, err := columnsOf(points, "latency_ns", "count")
	if err != nil {
		return nil, err
	}
	latencies, counts := columns[0], columns[1]
	if len(counts) == 0 {
		return nil, fmt.Errorf("figure: no step of %s", label)
	}
	samples := make([]int64, 0, int(counts[len(counts)-1]))
	for j, n := range counts {
		if int(n) <= len(samples) {
			return nil, fmt.Errorf("figure: steps of %s do not ascend: %v samples after %d", label, n, len(samples))
		}
		for len(samples) < int(n) {
			samples = append(samples, int64(latencies[j]))
		}
	}
	return samples, nil
}

// PointLines reads series of points off a data frame: for each name, the rows whose
// column by is that name, at the columns x and y with its interval from low to high.
func PointLines(f dataframe.DataFrame, by string, names []string, x, y, low, high string) ([]PointSeries, error) {
	columns, err := columnsOf(f, x, y, low, high)
	if err != nil {
		return nil, err
	}
	series := make([]PointSeries, len(names))
	for i, name := range names {
		series[i].Label = name
	}
	for row, name := range f.Col(by).Records() {
		if i := slices.Index(names, name); i >= 0 {
			s := &series[i]
			for j, to := range []*[]float64{&s.X, &s.Y, &s.Low, &s.High} {
				*to = append(*to, columns[j][row])
			}
		}
	}
	return series, nil
}

// Cells reads the values of a heat map off a data frame, by the texts that its
// columns down and across hold: NaN for a cell without a row.
func Cells(f dataframe.DataFrame, down string, rows []string, across string, columns []string, value string) ([][]float64, error) {
	values, err := columnsOf(f, value)
	if err != nil {
		return nil, err
	}
	cells := make([][]float64, len(rows))
	for i := range cells {
		cells[i] = slices.Repeat([]float64{math.NaN()}, len(columns))
	}
	left, top := f.Col(down).Records(), f.Col(across).Records()
	for row, v := range values[0] {
		if i, j := slices.Index(rows, left[row]), slices.Index(columns, top[row]); i >= 0 && j >= 0 {
			cells[i][j] = v
		}
	}
	return cells, nil
}

// columnsOf returns columns of numbers.
func columnsOf(f dataframe.DataFrame, names ...string) ([][]float64, error) {
	columns := make([][]float64, len(names))
	for i, name := range names {
		at := slices.Index(f.Names(), name)
		if at < 0 {
			return nil, fmt.Errorf("figure: the data frame has no column %s; it has %q", name, f.Names())
		}
		columns[i] = make([]float64, f.Nrow())
		for row := range columns[i] {
			columns[i][row] = f.Elem(row, at).Float() // Col copies the column first
		}
	}
	return columns, nil
}
