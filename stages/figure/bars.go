package figure

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"barograph/stages/figure/axis"
	"barograph/stages/figure/chart"
	"barograph/stages/figure/table"
)

// A BarSeries is bars of one kind. All slices that are given have one value for each
// category or bin; NaN stands for none.
type BarSeries struct {
	Label     string
	Values    []float64
	Low, High []float64 // the interval of each value; nil for none
}

// A BarsSpec describes a bar chart, or a histogram.
type BarsSpec struct {
	Title, Description string // as in ECDFSpec
	XLabel, YLabel     string // with their units
	// Categories have bars side by side, one of each series. Edges stand in for them
	// in a histogram, whose bin i lies from Edges[i] to Edges[i+1].
	Categories    []string
	Edges         []float64
	Series        []BarSeries
	Caption       []string
	Simulated     bool
	Invalid       string  // as in ECDFSpec
	Width, Height float64 // as in ECDFSpec
}

// Bars draws bars from zero, which is always in sight, on a linear axis: on another
// the length of a bar means nothing. Several series of a histogram lie over one
// another, as outlines.
func Bars(spec BarsSpec) (*Figure, error) {
	b := &bars{BarsSpec: spec, y: axis.NewExtent()}
	if err := b.check(); err != nil {
		return nil, err
	}
	b.y.Add(0)
	missing, total := 0, 0
	var labels []string
	for _, s := range spec.Series {
		labels = append(labels, s.Label)
		total += len(s.Values)
		for i, v := range s.Values {
			if b.y.Add(v); !axis.Known(v) {
				missing++
			} else if s.Low != nil {
				b.y.Add(s.Low[i], s.High[i])
			}
		}
	}
	if missing == total {
		return nil, errors.New("figure: no bar has a value")
	}
	caption := slices.Clone(spec.Caption)
	if missing > 0 {
		caption = append(caption, fmt.Sprintf("%d of %d bars left out: they have no value.", missing, total))
	}
	c, err := chart.New(chart.Frame{
		Title: spec.Title, Description: spec.Description, XLabel: spec.XLabel, YLabel: spec.YLabel, Caption: caption,
		Simulated: spec.Simulated, Invalid: spec.Invalid, Width: spec.Width, Height: spec.Height,
	}, slices.Concat(labels, spec.Categories)...)
	if err != nil {
		return nil, err
	}
	if spec.Edges == nil {
		c.SetCategories(spec.Categories)
	} else {
		c.SetX(spec.Edges[0], spec.Edges[len(spec.Edges)-1], axis.Position{})
	}
	c.SetY(b.y.Low, b.y.High, axis.Position{})
	if b.y.Low < 0 {
		c.Plot.Add(chart.Painter(func(area draw.Canvas) {
			_, y := c.Plot.Transforms(&area)
			area.StrokeLine2(draw.LineStyle{Color: chart.Black, Width: 0.5}, area.Min.X, y(0), area.Max.X, y(0))
		}))
	}
	b.chart = c
	c.Trace = b.traces
	return newFigure(c, spec.YLabel+" by "+spec.XLabel, fmt.Sprintf("%d bars in %d series.", total-missing, len(spec.Series)), b.table), nil
}

type bars struct {
	BarsSpec
	chart *chart.Chart
	y     axis.Extent
}

func (b *bars) check() error {
	n := len(b.Categories)
	if b.Edges != nil {
		if n > 0 {
			return errors.New("figure: bars have categories or edges, not both")
		}
		n = len(b.Edges) - 1
		for i := range n {
			if !(b.Edges[i] < b.Edges[i+1]) || !axis.Known(b.Edges[i+1]-b.Edges[i]) {
				return fmt.Errorf("figure: edges of bins do not ascend: %v, then %v", b.Edges[i], b.Edges[i+1])
			}
		}
	}
	if n < 1 {
		return errors.New("figure: no categories of bars, and no edges")
	}
	for _, s := range b.Series {
		for _, v := range [][]float64{s.Values, s.Low, s.High} {
			if v != nil && len(v) != n {
				return fmt.Errorf("figure: series %q: %d values for %d bars", s.Label, len(v), n)
			}
		}
		if s.Values == nil || (s.Low == nil) != (s.High == nil) {
			return fmt.Errorf("figure: series %q: it lacks values, or an interval an end", s.Label)
		}
	}
	return nil
}

func (b *bars) traces(area draw.Canvas) (traces []chart.Trace) {
	x, y := b.chart.Plot.Transforms(&area)
	for i, s := range b.Series {
		t := chart.Trace{Label: s.Label, Style: chart.Filled(i)}
		if len(b.Series) == 1 {
			t = chart.Trace{Style: chart.Filled(1)} // alone: the axis says what it is
		}
		outline := []vg.Point{}
		for k, v := range s.Values {
			if !axis.Known(v) {
				v = 0
			}
			left, right := b.sides(i, k)
			outline = append(outline, vg.Point{X: x(left), Y: y(v)}, vg.Point{X: x(right), Y: y(v)})
			if v != 0 {
				t.Areas = append(t.Areas, rectangle(x(left), y(0), x(right), y(v)))
			}
			if s.Low != nil && axis.Known(s.Low[k]) && axis.Known(s.High[k]) {
				middle := (x(left) + x(right)) / 2
				t.Bars = append(t.Bars, [2]vg.Point{{X: middle, Y: y(s.Low[k])}, {X: middle, Y: y(s.High[k])}})
			}
		}
		if b.Edges != nil && len(b.Series) > 1 { // one over the other: each must stay in sight
			ends := []vg.Point{{X: outline[0].X, Y: y(0)}, {X: outline[len(outline)-1].X, Y: y(0)}}
			t.Line = slices.Concat(ends[:1], outline, ends[1:])
			t.Style, t.Areas, t.Bands = chart.SeriesLine(i), nil, [][]vg.Point{t.Line}
		}
		traces = append(traces, t)
	}
	return traces
}

// sides returns from where to where on the X axis a bar stands.
func (b *bars) sides(series, k int) (left, right float64) {
	if b.Edges != nil {
		return b.Edges[k], b.Edges[k+1]
	}
	const room = 0.76 // of a category
	wide := room / float64(len(b.Series))
	left = float64(k) - room/2 + wide*float64(series)
	return left, left + wide
}

func (b *bars) table(w io.Writer) error {
	out := table.New(w, "series", "category", "from", "to", "value", "low", "high")
	for _, s := range b.Series {
		for k := range s.Values {
			category, from, to := "", math.NaN(), math.NaN()
			if b.Edges == nil {
				category = chart.Clean(b.Categories[k])
			} else {
				from, to = b.Edges[k], b.Edges[k+1]
			}
			out.Row(chart.Clean(s.Label), category, from, to, s.Values[k], table.At(s.Low, k), table.At(s.High, k))
		}
	}
	return out.Flush()
}
