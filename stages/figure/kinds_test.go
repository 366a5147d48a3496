package figure

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"
	"pgregory.net/rapid"

	"barograph/stages/stats"
)

// built returns a figure's chart laid out, or ends the test.
func built(t *testing.T, f *Figure, err error) *Figure {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func written(t *testing.T, f *Figure, format string) string {
	t.Helper()
	var b bytes.Buffer
	if err := f.Write(&b, format); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// latencies are skewed as those of calls are.
func latencies(n int, seed uint64) []float64 {
	r := rand.New(rand.NewPCG(seed, 1))
	values := make([]float64, n)
	for i := range values {
		values[i] = 3 + math.Exp(r.NormFloat64()/2)
	}
	return values
}

func TestBoxes(t *testing.T) {
	spec := SamplesSpec{YLabel: "ms", YScale: Linear, Samples: []Sample{{"L=0", latencies(300, 1)}, {"L=16", latencies(300, 2)}}}
	f, err := Boxes(spec)
	f = built(t, f, err)
	_, y := f.chart.Plot.Transforms(new(f.chart.Area()))
	for i, trace := range f.chart.Traces {
		b, err := stats.NewBox(spec.Samples[i].Values, stats.Linear, 1.5)
		if err != nil {
			t.Fatal(err)
		}
		box := trace.Areas[0]
		for what, got := range map[string][2]vg.Length{
			"first quartile": {box[0].Y, y(b.Q1)}, "third quartile": {box[2].Y, y(b.Q3)}, "median": {trace.Line[0].Y, y(b.Median)},
			"upper whisker": {trace.Bars[0][1].Y, y(b.High)}, "lower whisker": {trace.Bars[1][1].Y, y(b.Low)}, "middle": {(box[0].X + box[1].X) / 2, trace.Bars[0][0].X},
		} {
			if math.Abs(float64(got[0]-got[1])) > 1e-9 {
				t.Errorf("sample %d: the %s stands at %v, want %v", i, what, got[0], got[1])
			}
		}
		if len(trace.Marks) == 0 || len(trace.Marks) > len(b.Outside) {
			t.Errorf("sample %d: %d rings for %d values outside", i, len(trace.Marks), len(b.Outside))
		}
	}
	if got := strings.Join(f.Caption, " "); !strings.Contains(got, "quartiles (linear)") || !strings.Contains(got, "1.5 interquartile ranges") || !strings.Contains(got, "300 values each") {
		t.Errorf("caption %s", got)
	}
	spec.Quartiles, spec.Reach = stats.MedianUnbiased, math.Inf(1)
	f, err = Boxes(spec)
	if got := strings.Join(built(t, f, err).Caption, " "); !strings.Contains(got, "quartiles (median_unbiased)") || !strings.Contains(got, "the least and the greatest value") {
		t.Errorf("caption %s", got)
	}
	want := fmt.Sprintf("L=0,high,%v\n", slices.Max(spec.Samples[0].Values))
	if got := written(t, f, "csv"); !strings.HasPrefix(got, "sample,part,value\nL=0,n,300\n") || !strings.Contains(got, want) {
		t.Errorf("table %s, want %s", got, want)
	}
}

// A violin is symmetric, ends at the extremes, and is widest where values are dense;
// its density, which no other sample changes, adds up to 1 but for what lies beyond
// its ends.
func TestViolins(t *testing.T) {
	values := latencies(2000, 3)
	for _, scale := range []string{Linear, Log} {
		f, err := Violins(SamplesSpec{YScale: scale, Samples: []Sample{{"a", values}, {"one value", []float64{4, 4, 4}}}})
		f = built(t, f, err)
		outline := f.chart.Traces[0].Areas[0]
		middle := (outline[0].X + outline[len(outline)-1].X) / 2
		for k, p := range outline[:len(outline)/2] {
			if q := outline[len(outline)-1-k]; math.Abs(float64(p.X-middle-(middle-q.X))) > 1e-9 || p.Y != q.Y {
				t.Fatalf("%v and %v do not mirror one another", p, q)
			}
		}
		s, err := newSamples(SamplesSpec{YScale: scale, Samples: []Sample{{"a", values}}})
		if err != nil {
			t.Fatal(err)
		}
		at, density := s.density(0)
		sum := 0.0
		for k := 1; k < len(at); k++ {
			sum += (density[k] + density[k-1]) / 2 * (s.y.Of(at[k]) - s.y.Of(at[k-1]))
		}
		densest := at[slices.Index(density, slices.Max(density))]
		if sum < 0.95 || sum > 1.001 || densest < 3.4 || densest > 4.2 || math.Abs(at[0]-slices.Min(values)) > 1e-9 || math.Abs(at[len(at)-1]-slices.Max(values)) > 1e-9 {
			t.Errorf("%s: sum %v, densest at %v, from %v to %v", scale, sum, densest, at[0], at[len(at)-1])
		}
	}
}

func TestBars(t *testing.T) {
	nan := math.NaN()
	f, err := Bars(BarsSpec{YLabel: "Slowdown", Categories: []string{"bert", "gpt2"}, Series: []BarSeries{
		{"p50", []float64{1.5, -2}, []float64{1.4, -2.5}, []float64{1.7, -1.9}}, {"p99", []float64{nan, 3}, nil, nil},
	}})
	f = built(t, f, err)
	_, y := f.chart.Plot.Transforms(new(f.chart.Area()))
	for i, want := range [][]float64{{1.5, -2}, {3}} {
		for k, v := range want {
			if bar := f.chart.Traces[i].Areas[k]; bar[0].Y != y(0) || bar[2].Y != y(v) {
				t.Errorf("bar %d of series %d stands from %v to %v, want %v to %v", k, i, bar[0].Y, bar[2].Y, y(0), y(v))
			}
		}
	}
	if a, b := f.chart.Traces[0].Areas[1], f.chart.Traces[1].Areas[0]; math.Abs(float64(a[1].X-b[0].X)) > 1e-9 {
		t.Errorf("bars of one category stand at %v and %v", a, b)
	}
	if !slices.Contains(f.Caption, "1 of 4 bars left out: they have no value.") {
		t.Errorf("caption %q", f.Caption)
	}
	if got, want := written(t, f, "csv"), "series,category,from,to,value,low,high\np50,bert,,,1.5,1.4,1.7\np50,gpt2,,,-2,-2.5,-1.9\np99,bert,,,,,\np99,gpt2,,,3,,\n"; got != want {
		t.Errorf("table %q, want %q", got, want)
	}
	f, err = Bars(BarsSpec{Edges: []float64{0, 1, 3}, Series: []BarSeries{{"a", []float64{2, 5}, nil, nil}}})
	x, _ := built(t, f, err).chart.Plot.Transforms(new(f.chart.Area()))
	if bar := f.chart.Traces[0].Areas[1]; bar[0].X != x(1) || bar[1].X != x(3) {
		t.Errorf("the second bin stands from %v to %v", bar[0].X, bar[1].X)
	}
	if got, want := written(t, f, "csv"), "series,category,from,to,value,low,high\na,,0,1,2,,\na,,1,3,5,,\n"; got != want {
		t.Errorf("table %q, want %q", got, want)
	}
}

// A band follows the interval, and has a gap where that is not known.
func TestBand(t *testing.T) {
	nan := math.NaN()
	s := PointSeries{Label: "p50", Join: true, Band: true, X: []float64{1, 2, 3, 4, 5}, Y: []float64{1, 2, 3, 4, 5}, Low: []float64{0.5, 1.5, nan, 3, 4}, High: []float64{1.5, 2.5, nan, 5, 7}}
	f, err := Points(PointsSpec{XScale: Linear, YScale: Linear, Series: []PointSeries{s}})
	trace := built(t, f, err).chart.Traces[0]
	_, y := f.chart.Plot.Transforms(new(f.chart.Area()))
	if len(trace.Bands) != 2 || len(trace.Bands[0]) != 4 || trace.Bands[1][1].Y != y(7) || trace.Bands[1][3].Y != y(3) || trace.Bars != nil || trace.Marks != nil {
		t.Errorf("bands %v, bars %v, marks %v", trace.Bands, trace.Bars, trace.Marks)
	}
}

// Names of points stand at them and touch nothing: neither one another, nor a point,
// nor the edge; and one without room is named below.
func TestNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 14).Draw(t, "n")
		s, other := PointSeries{Label: "p50"}, PointSeries{Label: "p99"}
		for i := range n {
			x, y := float64(rapid.IntRange(1, 6).Draw(t, "x")), rapid.Float64Range(1, 3).Draw(t, "y")
			s.X, s.Y, s.Names = append(s.X, x), append(s.Y, y), append(s.Names, fmt.Sprintf("model-%d", i))
			other.X, other.Y = append(other.X, x), append(other.Y, y+0.1)
		}
		f, err := Points(PointsSpec{Dodge: true, Series: []PointSeries{s, other}})
		if err != nil {
			t.Fatal(err)
		}
		area := f.chart.Area()
		names := f.chart.Names()
		for i, a := range names {
			if a.Text == "" {
				if !strings.Contains(strings.Join(f.Caption, " "), s.Names[i]) {
					t.Fatalf("%s has no name, and the caption is %q", s.Names[i], f.Caption)
				}
				continue
			}
			if a.Box.Min.X < area.Min.X || a.Box.Max.X > area.Max.X || a.Box.Min.Y < area.Min.Y || a.Box.Max.Y > area.Max.Y {
				t.Fatalf("%s stands beyond the plot", a.Text)
			}
			for _, b := range names[:i] {
				if b.Text != "" && a.Box.Min.X < b.Box.Max.X && b.Box.Min.X < a.Box.Max.X && a.Box.Min.Y < b.Box.Max.Y && b.Box.Min.Y < a.Box.Max.Y {
					t.Fatalf("%s and %s overlap", a.Text, b.Text)
				}
			}
			for _, trace := range f.chart.Traces {
				for _, m := range trace.Marks {
					if m.X > a.Box.Min.X && m.X < a.Box.Max.X && m.Y > a.Box.Min.Y && m.Y < a.Box.Max.Y {
						t.Fatalf("%s hides a point", a.Text)
					}
				}
			}
		}
		for i, a := range f.chart.Traces[0].Marks { // dodged
			for _, b := range f.chart.Traces[0].Marks[:i] {
				if math.Hypot(float64(a.X-b.X), float64(a.Y-b.Y)) < 3 {
					t.Fatalf("points at %v and %v hide one another", a, b)
				}
			}
		}
	})
}

// Every kind is the same in bytes whenever it is drawn, in every format, and without
// its caption too, of which only the description is left.
func TestKindsAreDeterministic(t *testing.T) {
	samples := SamplesSpec{Samples: []Sample{{"a long name that is broken", latencies(50, 1)}, {"antidisestablishmentarianism-for-all", latencies(50, 2)}}, Caption: []string{"As measured."}, Simulated: true}
	for name, draw := range map[string]func() (*Figure, error){
		"boxes":   func() (*Figure, error) { return Boxes(samples) },
		"violins": func() (*Figure, error) { return Violins(samples) },
		"bars": func() (*Figure, error) {
			return Bars(BarsSpec{Edges: []float64{0, 1, 2}, Series: []BarSeries{{"a", []float64{1, 2}, nil, nil}, {"b", []float64{2, 1}, nil, nil}}, Caption: []string{"As measured."}, Simulated: true})
		},
		"band": func() (*Figure, error) {
			return Points(PointsSpec{Heading: "Both ways", Caption: []string{"As measured."}, Simulated: true, Series: []PointSeries{{Label: "a", Join: true, Band: true, X: []float64{1, 2}, Y: []float64{1, 2}, Low: []float64{0, 1}, High: []float64{2, 3}}}})
		},
	} {
		f, err := draw()
		f = built(t, f, err)
		again, err := draw()
		for _, format := range []string{"svg", "pdf", "png", "csv"} {
			if written(t, f, format) != written(t, built(t, again, err), format) {
				t.Errorf("%s: %s differs", name, format)
			}
		}
		bare := f.WithoutCaption()
		svg := written(t, bare, "svg")
		desc, drawn, _ := strings.Cut(svg, "</desc>")
		if !strings.Contains(desc, "As measured.") || !strings.Contains(desc, simulatedWords) || !(bare.chart.Height < f.chart.Height) || len(bare.Caption) > 0 || strings.Contains(drawn, "measured") || !strings.Contains(drawn, "SIMULATED") {
			t.Errorf("%s without caption: %v of %v high, %s", name, bare.chart.Height, f.chart.Height, desc)
		}
		if written(t, f, "svg") != written(t, again, "svg") || written(t, bare, "csv") != written(t, f, "csv") {
			t.Errorf("%s: leaving the caption out changed the figure", name)
		}
	}
}

const simulatedWords = "not from a measurement"

func TestKindsRefuse(t *testing.T) {
	one := []Sample{{"a", []float64{1, 2}}}
	nan, inf := math.NaN(), math.Inf(1)
	boxes := func(s SamplesSpec) error { _, err := Boxes(s); return err }
	bars := func(b BarsSpec) error { _, err := Bars(b); return err }
	points := func(s PointSeries) error { _, err := Points(PointsSpec{Series: []PointSeries{s}}); return err }
	series := func(values ...float64) []BarSeries { return []BarSeries{{Label: "s", Values: values}} }
	for want, err := range map[string]error{
		"no samples":                                             boxes(SamplesSpec{}),
		`unknown scale "lgo"`:                                    boxes(SamplesSpec{Samples: one, YScale: "lgo"}),
		`sample "b": there is no value`:                          boxes(SamplesSpec{Samples: []Sample{{Label: "b"}}}),
		`sample "b": value 2 of 2 is not a number`:               boxes(SamplesSpec{Samples: []Sample{{"b", []float64{1, nan}}}}),
		`sample "b": a value is infinite`:                        boxes(SamplesSpec{Samples: []Sample{{"b", []float64{1, inf}}}}),
		`sample "a": no quantile is defined by the name "type7"`: boxes(SamplesSpec{Samples: one, Quartiles: "type7"}),
		`sample "a": whiskers reach -1`:                          boxes(SamplesSpec{Samples: one, Reach: -1}),
		"a logarithmic axis shows no 0":                          boxes(SamplesSpec{Samples: []Sample{{"a", []float64{0, 1}}}, YScale: Log}),
		"no categories of bars":                                  bars(BarsSpec{Series: series(1)}),
		"categories or edges, not both":                          bars(BarsSpec{Categories: []string{"a"}, Edges: []float64{0, 1}, Series: series(1)}),
		"edges of bins do not ascend: 1, then 1":                 bars(BarsSpec{Edges: []float64{1, 1}, Series: series(1)}),
		`series "s": 2 values for 1 bars`:                        bars(BarsSpec{Categories: []string{"a"}, Series: series(1, 2)}),
		`series "s": it lacks values`:                            bars(BarsSpec{Categories: []string{"a"}, Series: []BarSeries{{Label: "s", Values: []float64{1}, Low: []float64{1}}}}),
		"no bar has a value":                                     bars(BarsSpec{Categories: []string{"a"}, Series: series(nan)}),
		`series "p": 1 names for 2 points`:                       points(PointSeries{Label: "p", X: []float64{1, 2}, Y: []float64{1, 2}, Names: []string{"a"}}),
		`series "p": a band needs an interval of Y`:              points(PointSeries{Label: "p", X: []float64{1, 2}, Y: []float64{1, 2}, Band: true}),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
