package figure

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"barograph/stages/figure/axis"
	"barograph/stages/figure/chart"
	"barograph/stages/figure/label"
	"barograph/stages/figure/table"
)

// A PointSeries is a set of estimates, such as p99 at each utilisation. All
// slices that are given have one value a point; NaN stands for none.
type PointSeries struct {
	Label       string
	X, Y        []float64
	Low, High   []float64 // the interval of Y; nil for none
	XLow, XHigh []float64 // the interval of X; nil for none
	Join        bool      // connect the points, in the order given
	Band        bool      // the interval of Y as a band around the line, and not as bars
	Names       []string  // written at the points; empty for none
}

// A Curve is a line without points of its own, such as a fitted law.
type Curve struct {
	Label string
	X, Y  []float64
}

// A PointsSpec describes a figure of estimates with their intervals.
type PointsSpec struct {
	Title, Description string // as in ECDFSpec
	Heading            string // above the plot
	XLabel, YLabel     string // with their units
	XScale, YScale     string // auto, linear or log; auto where empty
	Dodge              bool   // points that would hide one another stand side by side
	// Rows names the places 0, 1, 2 and so on of Y, which are then rows from the top;
	// series stand below one another in each.
	Rows          []string
	Caption       []string
	Simulated     bool
	Invalid       string  // as in ECDFSpec
	Width, Height float64 // of the plot with its axes, in millimetres; 0: as in ECDFSpec
	Series        []PointSeries
	Curves        []Curve // clipped to the range of the points
}

// Points draws estimates against what they depend on, such as p50 and p99
// against achieved utilisation, with their intervals as bars and fitted laws as
// curves. Points without a value are left out and counted in the caption.
func Points(spec PointsSpec) (*Figure, error) {
	xScale, err := axis.Scale(spec.XScale)
	if err != nil {
		return nil, err
	}
	yScale, err := axis.Scale(spec.YScale)
	if err != nil {
		return nil, err
	}
	if err := spec.check(); err != nil {
		return nil, err
	}
	f := &points{spec: spec}
	c, err := f.build(xScale, yScale)
	if err != nil {
		return nil, err
	}
	return newFigure(c, spec.YLabel+" against "+spec.XLabel, f.holds, f.table), nil
}

// check refuses series whose slices do not fit one another.
func (spec PointsSpec) check() error {
	for _, s := range spec.Series {
		for _, v := range [][]float64{s.Y, s.Low, s.High, s.XLow, s.XHigh} {
			if v != nil && len(v) != len(s.X) {
				return fmt.Errorf("figure: series %q: %d values for %d points", s.Label, len(v), len(s.X))
			}
		}
		if s.Names != nil && len(s.Names) != len(s.X) {
			return fmt.Errorf("figure: series %q: %d names for %d points", s.Label, len(s.Names), len(s.X))
		}
		if s.Band && s.Low == nil {
			return fmt.Errorf("figure: series %q: a band needs an interval of Y", s.Label)
		}
		if len(s.Y) != len(s.X) || (s.Low == nil) != (s.High == nil) || (s.XLow == nil) != (s.XHigh == nil) {
			return fmt.Errorf("figure: series %q: an interval lacks an end", s.Label)
		}
	}
	if spec.Rows != nil {
		for _, s := range spec.Series {
			for _, y := range s.Y {
				if axis.Known(y) && (y != math.Trunc(y) || y < 0 || y >= float64(len(spec.Rows))) {
					return fmt.Errorf("figure: series %q: no row %v of %d", s.Label, y, len(spec.Rows))
				}
			}
		}
	}
	for _, c := range spec.Curves {
		if len(c.X) != len(c.Y) {
			return fmt.Errorf("figure: curve %q: %d values for %d points", c.Label, len(c.Y), len(c.X))
		}
	}
	return nil
}

type points struct {
	spec  PointsSpec
	x, y  axis.Extent
	holds string // what, for who cannot see it
}

// build makes the chart, which is not laid out yet.
func (f *points) build(xScale, yScale string) (*chart.Chart, error) {
	f.x, f.y = axis.NewExtent(), axis.NewExtent()
	missing, total := 0, 0
	for _, s := range f.spec.Series {
		for i := range s.X {
			total++
			if !s.known(i) {
				missing++
				continue
			}
			f.x.Add(s.X[i])
			f.y.Add(s.Y[i])
			if s.Low != nil {
				f.y.Add(s.Low[i], s.High[i])
			}
			if s.XLow != nil {
				f.x.Add(s.XLow[i], s.XHigh[i])
			}
		}
	}
	if total == missing {
		return nil, errors.New("figure: no point has a value")
	}
	f.x.Choose(xScale)
	if f.spec.Rows != nil {
		f.y.Add(-0.5, float64(len(f.spec.Rows))-0.5)
		yScale = axis.Linear
	}
	f.y.Choose(yScale)
	if slices.ContainsFunc(f.spec.Series, func(s PointSeries) bool { return s.Names != nil }) {
		f.x.Widen(0.12) // for the names
		f.y.Widen(0.06)
	}
	caption := slices.Clone(f.spec.Caption)
	beyond := 0
	for _, s := range f.spec.Series {
		for i := range s.X {
			if s.known(i) && !f.shows(s, i) {
				beyond++
			}
		}
	}
	if missing > 0 {
		caption = append(caption, fmt.Sprintf("%d of %d points left out: they have no value.", missing, total))
	}
	if beyond > 0 {
		caption = append(caption, fmt.Sprintf("%d of %d points left out: a logarithmic axis shows no zero.", beyond, total))
	}
	s := &f.spec
	c, err := chart.New(chart.Frame{
		Title: s.Title, Description: s.Description, Heading: s.Heading, XLabel: s.XLabel, YLabel: s.YLabel, Caption: caption,
		Simulated: s.Simulated, Invalid: s.Invalid, Width: s.Width, Height: s.Height,
	}, s.labels()...)
	if err != nil {
		return nil, err
	}
	c.SetX(f.x.Low, f.x.High, f.x.Position)
	if s.Rows != nil {
		c.SetRows(s.Rows)
	} else {
		c.SetY(f.y.Low, f.y.High, f.y.Position)
	}
	c.Grid = true
	c.Trace = func(area draw.Canvas) []chart.Trace { return f.traces(area, c.Plot) }
	f.holds = fmt.Sprintf("%d points in %d series and %d curves.", total-missing-beyond, len(s.Series), len(s.Curves))
	return c, nil
}

// known tells whether a point has a value.
func (s *PointSeries) known(i int) bool { return axis.Known(s.X[i]) && axis.Known(s.Y[i]) }

// shows tells whether a point that has a value lies within the axes.
func (f *points) shows(s PointSeries, i int) bool { return f.x.Has(s.X[i]) && f.y.Has(s.Y[i]) }

// labels returns those of series and curves.
func (spec *PointsSpec) labels() (labels []string) {
	for _, s := range spec.Series {
		labels = append(append(labels, s.Label), s.Names...)
	}
	for _, c := range spec.Curves {
		labels = append(labels, c.Label)
	}
	return append(labels, spec.Rows...)
}

func (f *points) traces(area draw.Canvas, p *plot.Plot) (out []chart.Trace) {
	toX, toY := p.Transforms(&area)
	x := func(v float64) vg.Length { return toX(f.x.Of(v)) }
	y := func(v float64) vg.Length { return toY(f.y.Of(v)) }
	if f.spec.Rows != nil {
		y = func(v float64) vg.Length { return toY(chart.Row(v)) }
	}
	aside := f.dodged(x)
	below := vg.Length(0) // of one series to the next in a row
	if f.spec.Rows != nil {
		below = min(5, (y(0)-y(1))/vg.Length(len(f.spec.Series)+1))
	}
	for i, s := range f.spec.Series {
		t := chart.Trace{Label: s.Label, Style: chart.SeriesLine(i), Glyph: chart.Glyphs[i%len(chart.Glyphs)]}
		var low, high []vg.Point // of the band, as far as it is known
		closeBand := func() {
			if len(low) > 1 {
				slices.Reverse(low)
				t.Bands = append(t.Bands, slices.Concat(high, low))
			}
			low, high = nil, nil
		}
		for k := range s.X {
			if !s.known(k) || !f.shows(s, k) {
				closeBand()
				continue
			}
			at := vg.Point{X: x(s.X[k]) + aside[[2]int{i, k}], Y: y(s.Y[k]) - below*(vg.Length(i)-vg.Length(len(f.spec.Series)-1)/2)}
			t.Marks = append(t.Marks, at)
			if s.Names != nil {
				t.Names = append(t.Names, s.Names[k])
			}
			switch {
			case s.Low == nil || !axis.Known(s.Low[k]) || !axis.Known(s.High[k]) || s.Band && !f.y.Has(s.Low[k]):
				closeBand()
			case s.Band:
				low, high = append(low, vg.Point{X: at.X, Y: y(s.Low[k])}), append(high, vg.Point{X: at.X, Y: y(s.High[k])})
			default:
				t.Bars = append(t.Bars, [2]vg.Point{{X: at.X, Y: y(s.Low[k])}, {X: at.X, Y: y(s.High[k])}})
			}
			if s.XLow != nil && axis.Known(s.XLow[k]) && axis.Known(s.XHigh[k]) {
				t.Bars = append(t.Bars, [2]vg.Point{{X: x(s.XLow[k]), Y: at.Y}, {X: x(s.XHigh[k]), Y: at.Y}})
			}
		}
		closeBand()
		if s.Join {
			t.Line = t.Marks
		} else {
			t.Style.Width = 0
		}
		t.Anchors = label.Around(t.Marks)
		if s.Join && s.Band { // a line with its band says all that its points would
			t.Marks = nil
		}
		out = append(out, t)
	}
	for i, c := range f.spec.Curves {
		t := chart.Trace{Label: c.Label, Style: chart.SeriesLine(len(f.spec.Series) + i)}
		var line []vg.Point
		for k := range c.X {
			if axis.Known(c.X[k]) && axis.Known(c.Y[k]) && (!f.x.Log || c.X[k] > 0) && (!f.y.Log || c.Y[k] > 0) {
				line = append(line, vg.Point{X: x(c.X[k]), Y: y(c.Y[k])})
			}
		}
		for _, piece := range area.ClipLinesXY(line) {
			if len(piece) > len(t.Line) { // a law leaves the range once
				t.Line = piece
			}
		}
		t.Anchors = label.Around(t.Line)
		out = append(out, t)
	}
	return out
}

// dodged returns how far each point, by its series and its place there, stands aside
// of where it would hide another. What has one place in several series, such as the
// quantiles of one model, stays together.
func (f *points) dodged(x func(float64) vg.Length) map[[2]int]vg.Length {
	const step = 3.4 // points
	type place struct {
		at        vg.Length
		k, series int
	}
	var places []place
	for i, s := range f.spec.Series {
		for k := range s.X {
			if f.spec.Dodge && s.known(k) && f.shows(s, k) {
				places = append(places, place{x(s.X[k]), k, i})
			}
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.k, b.k), cmp.Compare(a.series, b.series))
	})
	aside := map[[2]int]vg.Length{}
	for start := 0; start < len(places); {
		end := start + 1
		middle := places[start].at
		for end < len(places) && places[end].at-places[end-1].at < step {
			middle += places[end].at
			end++
		}
		middle /= vg.Length(end - start)
		for n, p := range places[start:end] {
			aside[[2]int{p.series, p.k}] = middle + step*(vg.Length(n)-vg.Length(end-start-1)/2) - p.at
		}
		start = end
	}
	return aside
}

func (f *points) table(w io.Writer) error {
	out := table.New(w, "series", "kind", "x", "y", "low", "high", "x_low", "x_high")
	for _, s := range f.spec.Series {
		for i := range s.X {
			out.Row(chart.Clean(s.Label), "point", s.X[i], s.Y[i], table.At(s.Low, i), table.At(s.High, i), table.At(s.XLow, i), table.At(s.XHigh, i))
		}
	}
	for _, c := range f.spec.Curves {
		for i := range c.X {
			out.Row(chart.Clean(c.Label), "curve", c.X[i], c.Y[i], "", "", "", "")
		}
	}
	return out.Flush()
}
