package figure

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/go-gota/gota/dataframe"
	"github.com/go-gota/gota/series"
)

func stepsOf(latencies, counts []int) dataframe.DataFrame {
	return dataframe.New(series.New(latencies, series.Int, "latency_ns"), series.New(counts, series.Int, "count"))
}

func TestLines(t *testing.T) {
	levels := dataframe.New(series.New([]string{"L=0", "L=4"}, series.String, "label"), series.New([]float64{3, 1.5}, series.Float, "effective_n"))
	points := []dataframe.DataFrame{stepsOf([]int{5, 9}, []int{2, 3}), stepsOf([]int{7}, []int{2})}
	lines, err := Lines(levels, points)
	if err != nil || len(lines) != 2 {
		t.Fatal(lines, err)
	}
	if l := lines[0]; l.Label != "L=0" || l.EffectiveN != 3 || !slices.Equal(l.Latencies, []int64{5, 5, 9}) {
		t.Errorf("%+v", l)
	}
	if l := lines[1]; l.EffectiveN != 1.5 || !slices.Equal(l.Latencies, []int64{7, 7}) {
		t.Errorf("%+v", l)
	}
	for want, c := range map[string]struct {
		levels dataframe.DataFrame
		points []dataframe.DataFrame
	}{
		"no column label":         {levels.Drop("label"), points},
		"no column effective_n":   {levels.Drop("effective_n"), points},
		"no column count":         {levels, []dataframe.DataFrame{points[0].Drop("count"), points[1]}},
		"points of 1 lines for 2": {levels, points[:1]},
		"do not ascend":           {levels, []dataframe.DataFrame{stepsOf([]int{5, 9}, []int{2, 2}), points[1]}},
		"no step of L=0":          {levels, []dataframe.DataFrame{stepsOf([]int{}, []int{}), points[1]}},
	} {
		if _, err := Lines(c.levels, c.points); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestPointsOfAFrame(t *testing.T) {
	f := dataframe.New(
		series.New([]string{"a", "b", "a"}, series.String, "name"), series.New([]string{"x", "x", "y"}, series.String, "model"),
		series.New([]float64{1, 2, 3}, series.Float, "at"), series.New([]float64{10, 20, 30}, series.Float, "value"),
		series.New([]float64{9, 19, math.NaN()}, series.Float, "low"), series.New([]float64{11, 21, math.NaN()}, series.Float, "high"))
	lines, err := PointLines(f, "name", []string{"b", "a"}, "at", "value", "low", "high")
	if err != nil || len(lines) != 2 || lines[0].Label != "b" || !slices.Equal(lines[1].X, []float64{1, 3}) || !slices.Equal(lines[1].Y, []float64{10, 30}) || lines[0].High[0] != 21 {
		t.Errorf("%+v, %v", lines, err)
	}
	cells, err := Cells(f, "model", []string{"y", "x"}, "name", []string{"a", "b"}, "value")
	if err != nil || cells[0][0] != 30 || !math.IsNaN(cells[0][1]) || cells[1][0] != 10 || cells[1][1] != 20 {
		t.Errorf("%v, %v", cells, err)
	}
	if _, err := PointLines(f, "name", nil, "at", "nothing", "low", "high"); err == nil || !strings.Contains(err.Error(), "no column nothing") {
		t.Error(err)
	}
	if _, err := Cells(f, "model", nil, "name", nil, "nothing"); err == nil || !strings.Contains(err.Error(), "no column nothing") {
		t.Error(err)
	}
}
