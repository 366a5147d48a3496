package stats

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The expected numbers are those of NumPy's own tests (test_function_base.py,
// quantile_methods): the 40th percentile of five ages, by each definition.
func TestDefinitions(t *testing.T) {
	for by, want := range map[Definition]float64{
		InvertedCDF: 20, AveragedInvertedCDF: 27.5, ClosestObservation: 20, InterpolatedInvertedCDF: 20,
		Hazen: 27.5, Weibull: 26, Linear: 29, MedianUnbiased: 27, NormalUnbiased: 27.125,
	} {
		got, err := SampleQuantiles([]float64{40, 15, 50, 20, 35}, by, 0.4)
		if err != nil || math.Abs(got[0]-want) > 1e-12 {
			t.Errorf("%s: %v, %v, want %v", by, got, err, want)
		}
	}
	for name, problem := range map[string]func() error{
		`no quantile is defined by the name "type7"; there is ["averaged_inverted_cdf"`: func() error { _, err := SampleQuantiles([]float64{1}, "type7", 0.5); return err },
		"there is no value":                      func() error { _, err := SampleQuantiles(nil, Linear, 0.5); return err },
		"value 2 of 3 is not a number":           func() error { _, err := SampleQuantiles([]float64{1, math.NaN(), 3}, Linear, 0.5); return err },
		"quantile 50 is not between":             func() error { _, err := SampleQuantiles([]float64{1}, Linear, 50); return err },
		"quantile NaN is not":                    func() error { _, err := SampleQuantiles([]float64{1}, Linear, math.NaN()); return err },
		"whiskers reach -1 interquartile":        func() error { _, err := NewBox([]float64{1}, Linear, -1); return err },
		"a value is infinite":                    func() error { _, err := NewBox([]float64{1, math.Inf(1)}, Linear, 1.5); return err },
		"bins from 2 to 1":                       func() error { _, err := Edges(2, 1, 3); return err },
		"0 bins":                                 func() error { _, err := Edges(1, 2, 0); return err },
		"value 3 is outside the bins":            func() error { _, err := Histogram([]float64{1, 3}, []float64{0, 1, 2}); return err },
		"edges of bins do not ascend: 1, then 1": func() error { _, err := Histogram([]float64{1}, []float64{0, 1, 1}); return err },
		"2 weights of 1 values":                  func() error { _, err := Deviation([]float64{1}, []float64{1, 1}); return err },
		"weight 2 is -1":                         func() error { _, err := Deviation([]float64{1, 2}, []float64{1, -1}); return err },
		"1 values with a weight":                 func() error { _, err := Deviation([]float64{1, 2}, []float64{1, 0}); return err },
		"of 2 and 1 values":                      func() error { _, err := KendallTauB([]float64{1, 2}, []float64{1}); return err },
		"all values of one side are equal":       func() error { _, err := KendallTauB([]float64{1, 2}, []float64{3, 3}); return err },
		"tau-b: value 1 of 2 is not a number":    func() error { _, err := KendallTauB([]float64{math.NaN(), 2}, []float64{3, 3}); return err },
	} {
		if err := problem(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

// The documentation of Python's statistics.quantiles has these fifty values, and
// their deciles, by the method exclusive, which is Weibull's.
func TestDeciles(t *testing.T) {
	values := []float64{
		105, 129, 87, 86, 111, 111, 89, 81, 108, 92, 110, 100, 75, 105, 103, 109, 76, 119, 99, 91, 103, 129, 106, 101, 84,
		111, 74, 87, 86, 103, 103, 106, 86, 111, 75, 87, 102, 121, 111, 88, 89, 101, 106, 95, 103, 107, 101, 81, 109, 104,
	}
	tenths := []float64{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}
	got, err := SampleQuantiles(values, Weibull, tenths...)
	want := []float64{81, 86.2, 89, 99.4, 102.5, 103.6, 106, 109.8, 111}
	for i := range want {
		if err != nil || math.Abs(got[i]-want[i]) > 1e-9 {
			t.Fatalf("%v, %v, want %v", got, err, want)
		}
	}
}

// The first definition is the inverse of the ECDF, also where rounding carries a
// product beyond a rank, as that of 0.07 and 100; and every definition lies between
// the order statistics beside it, grows with q, and knows nothing of order.
func TestDefinitionsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := rapid.SliceOfN(rapid.Int64Range(-50, 50), 1, 120).Draw(t, "values")
		values := make([]float64, len(whole))
		for i, v := range whole {
			values[i] = float64(v)
		}
		e, err := NewECDF(whole)
		if err != nil {
			t.Fatal(err)
		}
		qs := []float64{0, 0.07, 0.14, 0.25, 0.28, 0.5, 0.55, 0.56, 0.75, 0.99, 1}
		inverse, err := SampleQuantiles(values, InvertedCDF, qs...)
		for i, q := range qs {
			if want := float64(e.Quantile(q)); err != nil || inverse[i] != want {
				t.Fatalf("quantile %v is %v, %v, want %v", q, inverse[i], err, want)
			}
		}
		sorted := slices.Sorted(slices.Values(values))
		slices.Reverse(values)
		for by := range positions {
			got, err := SampleQuantiles(values, by, qs...)
			if err != nil || !slices.IsSorted(got) || got[0] != sorted[0] || got[len(got)-1] != sorted[len(sorted)-1] {
				t.Fatalf("%s: %v, %v of %v", by, got, err, sorted)
			}
			for i, q := range qs {
				rank := q * float64(len(sorted))
				low, high := sorted[max(int(rank)-2, 0)], sorted[min(int(rank)+1, len(sorted)-1)]
				if got[i] < low || got[i] > high {
					t.Fatalf("%s: quantile %v is %v, want %v to %v", by, q, got[i], low, high)
				}
			}
		}
	})
}

func TestBox(t *testing.T) {
	for _, c := range []struct {
		values  []float64
		by      Definition
		reach   float64
		want    [5]float64 // low, q1, median, q3, high
		outside []float64
	}{
		{[]float64{3, 1, 2}, Linear, 1.5, [5]float64{1, 1.5, 2, 2.5, 3}, nil}, // as NumPy and R
		{[]float64{3, 1, 2}, Weibull, 1.5, [5]float64{1, 1, 2, 3, 3}, nil},
		{[]float64{9, 1, 2, 3, 4, 5, -3.0001}, Linear, 1.5, [5]float64{1, 1.5, 3, 4.5, 9}, []float64{-3.0001}}, // whiskers reach from -3 to 9
		{[]float64{1, 2}, Linear, 0.001, [5]float64{1.25, 1.25, 1.5, 1.75, 1.75}, []float64{1, 2}},             // no value within reach
		{[]float64{5, 5, 5, 5}, Linear, 1.5, [5]float64{5, 5, 5, 5, 5}, nil},
		{[]float64{1, 2, 3, 4, 100, -100}, Linear, 0, [5]float64{-100, 1.25, 2.5, 3.75, 100}, nil},
		{[]float64{1, 2, 3, 4, 100, -100}, Linear, 1.5, [5]float64{1, 1.25, 2.5, 3.75, 4}, []float64{-100, 100}},
	} {
		b, err := NewBox(c.values, c.by, c.reach)
		if got := [5]float64{b.Low, b.Q1, b.Median, b.Q3, b.High}; err != nil || got != c.want || !slices.Equal(b.Outside, c.outside) || b.N != len(c.values) {
			t.Errorf("%v by %s: %v %v, %v, want %v %v", c.values, c.by, got, b.Outside, err, c.want, c.outside)
		}
	}
}

func TestHistogram(t *testing.T) {
	tenths := []float64{0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1}
	edges, err := Edges(0, 1, 10)
	if err != nil || !slices.Equal(edges, tenths) {
		t.Fatalf("edges %v, %v", edges, err)
	}
	got, err := Histogram(tenths, edges)
	if want := []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 2}; err != nil || !slices.Equal(got, want) {
		t.Errorf("eleven tenths in ten bins: %v, %v, want %v", got, err, want)
	}
	if got, err := Histogram([]float64{7, 7, 7}, []float64{6, 7, 8, 9}); err != nil || !slices.Equal(got, []int{0, 3, 0}) {
		t.Errorf("three equal values: %v, %v", got, err)
	}
}

func TestDeviation(t *testing.T) {
	for _, c := range []struct {
		values, weights []float64
		want            float64
	}{
		{[]float64{2, 4, 4, 4, 5, 5, 7, 9}, nil, math.Sqrt(32.0 / 7)},
		{[]float64{2, 4, 4, 4, 5, 5, 7, 9}, []float64{0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125}, math.Sqrt(32.0 / 7)},
		{[]float64{1, 2, 3}, []float64{0.5, 0.25, 0.25}, math.Sqrt((0.5*0.75*0.75 + 0.25*0.25*0.25 + 0.25*1.25*1.25) / (1 - 0.375))},
		{[]float64{1, 99, 3}, []float64{7, 0, 7}, math.Sqrt2},
		{[]float64{1e15, 1e15 + 2}, nil, math.Sqrt2},
	} {
		if got, err := Deviation(c.values, c.weights); err != nil || math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%v, %v: %v, %v, want %v", c.values, c.weights, got, err, c.want)
		}
	}
}

func TestKendallTauB(t *testing.T) {
	for _, c := range []struct {
		x, y []float64
		want float64
	}{
		// SciPy's tests, where R's cor.test agrees.
		{[]float64{12, 2, 1, 12, 2}, []float64{1, 4, 7, 1, 0}, -0.47140452079103173},
		{[]float64{1, 2, 2, 4, 4, 6, 6, 8, 9, 9}, []float64{1, 2, 4, 4, 4, 4, 8, 8, 8, 10}, 0.85895569},
		// R's example in ?cor.test, of Hollander and Wolfe: T = 26 of 36 pairs.
		{[]float64{44.4, 45.9, 41.9, 53.3, 44.7, 44.1, 50.7, 45.2, 60.1}, []float64{2.6, 3.1, 2.5, 5.0, 3.6, 4.0, 5.2, 2.8, 3.8}, 16.0 / 36},
		{[]float64{1, 2, 3}, []float64{1, 2, 3}, 1},
		{[]float64{1, 2, 2}, []float64{5, 6, 6}, 1},
		{[]float64{1, 2, 3}, []float64{3, 2, 1}, -1},
	} {
		if got, err := KendallTauB(c.x, c.y); err != nil || math.Abs(got-c.want) > 5e-9 {
			t.Errorf("%v, %v: %v, %v, want %v", c.x, c.y, got, err, c.want)
		}
	}
	values := rapid.SliceOfN(rapid.IntRange(0, 12), 2, 60)
	rapid.Check(t, func(t *rapid.T) { // against its definition, pair by pair
		a := values.Draw(t, "x")
		b := rapid.SliceOfN(rapid.IntRange(0, 12), len(a), len(a)).Draw(t, "y")
		x, y := make([]float64, len(a)), make([]float64, len(a))
		var sum, inX, inY float64
		for i := range a {
			x[i], y[i] = float64(a[i]), float64(b[i])
			for j := range i {
				dx, dy := float64(a[i]-a[j]), float64(b[i]-b[j])
				sum += sign(dx) * sign(dy)
				inX += math.Abs(sign(dx))
				inY += math.Abs(sign(dy))
			}
		}
		got, err := KendallTauB(x, y)
		if inX == 0 || inY == 0 {
			if err == nil {
				t.Fatal("no order, and no error")
			}
			return
		}
		if want := sum / math.Sqrt(inX) / math.Sqrt(inY); err != nil || math.Abs(got-want) > 1e-12 {
			t.Fatalf("%v, %v, want %v", got, err, want)
		}
	})
}

func sign(v float64) float64 {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	}
	return 0
}
