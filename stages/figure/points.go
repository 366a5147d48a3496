package figure

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A PointSeries is a set of estimates, such as p99 at each utilisation. All
// slices that are given have one value a point; NaN stands for none.
type PointSeries struct {
	Label       string
	X, Y        []float64
	Low, High   []float64 // the interval of Y; nil for none
	XLow, XHigh []float64 // the interval of X; nil for none
	Join        bool      // connect the points, in the order given
}

// A Curve is a line without points of its own, such as a fitted law.
type Curve struct {
	Label string
	X, Y  []float64
}

// A PointsSpec describes a figure of estimates with their intervals.
type PointsSpec struct {
	Title, Description string // as in ECDFSpec
	XLabel, YLabel     string // with their units
	XScale, YScale     string // auto, linear or log; auto where empty
	Caption            []string
	Simulated          bool
	Invalid            string  // as in ECDFSpec
	Width, Height      float64 // of the plot with its axes, in millimetres; 0: as in ECDFSpec
	Series             []PointSeries
	Curves             []Curve // clipped to the range of the points
}

// Points draws estimates against what they depend on, such as p50 and p99
// against achieved utilisation, with their intervals as bars and fitted laws as
// curves. Points without a value are left out and counted in the caption.
func Points(spec PointsSpec) (*Figure, error) {
	xScale, err := checkScale(spec.XScale)
	if err != nil {
		return nil, err
	}
	yScale, err := checkScale(spec.YScale)
	if err != nil {
		return nil, err
	}
	if err := spec.check(); err != nil {
		return nil, err
	}
	return (&points{spec: spec}).build(xScale, yScale)
}

// check refuses series whose slices do not fit one another.
func (spec PointsSpec) check() error {
	for _, s := range spec.Series {
		for _, v := range [][]float64{s.Y, s.Low, s.High, s.XLow, s.XHigh} {
			if v != nil && len(v) != len(s.X) {
				return fmt.Errorf("figure: series %q: %d values for %d points", s.Label, len(v), len(s.X))
			}
		}
		if len(s.Y) != len(s.X) || (s.Low == nil) != (s.High == nil) || (s.XLow == nil) != (s.XHigh == nil) {
			return fmt.Errorf("figure: series %q: an interval lacks an end", s.Label)
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
	spec PointsSpec
	x, y extent
}

// An extent is what an axis must show.
type extent struct {
	low, high, smallest float64 // smallest: positive
	position
}

func newExtent() extent {
	return extent{low: math.Inf(1), high: math.Inf(-1), smallest: math.Inf(1)}
}

func (e *extent) add(v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	e.low, e.high = math.Min(e.low, v), math.Max(e.high, v)
	if v > 0 {
		e.smallest = math.Min(e.smallest, v)
	}
}

// choose settles the scale; a logarithmic one needs positive values, and auto
// takes it only where all are.
func (e *extent) choose(scale string) {
	e.log = scale == Log && e.high > 0 || scale == Auto && e.low > 0 && e.high > decade*e.low
	if e.log {
		e.low = e.smallest
	}
}

func (e extent) has(v float64) bool { return v >= e.low && v <= e.high }

func (f *points) build(xScale, yScale string) (*Figure, error) {
	f.x, f.y = newExtent(), newExtent()
	missing, total := 0, 0
	for _, s := range f.spec.Series {
		for i := range s.X {
			total++
			if !known(s.X[i]) || !known(s.Y[i]) {
				missing++
				continue
			}
			f.x.add(s.X[i])
			f.y.add(s.Y[i])
			if s.Low != nil {
				f.y.add(s.Low[i])
				f.y.add(s.High[i])
			}
			if s.XLow != nil {
				f.x.add(s.XLow[i])
				f.x.add(s.XHigh[i])
			}
		}
	}
	if total == missing {
		return nil, errors.New("figure: no point has a value")
	}
	f.x.choose(xScale)
	f.y.choose(yScale)
	caption := cleanAll(f.spec.Caption)
	beyond := 0
	for _, s := range f.spec.Series {
		for i := range s.X {
			if known(s.X[i]) && known(s.Y[i]) && !(f.x.has(s.X[i]) && f.y.has(s.Y[i])) {
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
	if f.spec.Invalid != "" {
		caption = append(caption, "INVALID: "+clean(f.spec.Invalid))
	}
	if f.spec.Simulated {
		caption = append(caption, simulatedNote)
	}
	x, y := clean(f.spec.XLabel), clean(f.spec.YLabel)
	all := append([]string{x, y, simulatedStamp}, caption...)
	for _, s := range f.spec.Series {
		all = append(all, clean(s.Label))
	}
	for _, c := range f.spec.Curves {
		all = append(all, clean(c.Label))
	}
	th, err := newTheme(all)
	if err != nil {
		return nil, err
	}
	s := newSheet(th, f.spec.Width, f.spec.Height)
	s.caption = caption
	p := th.plot(x, y)
	s.title(p)
	setRange(&p.X, f.x.low, f.x.high, f.x.position, int(s.width/30))
	setRange(&p.Y, f.y.low, f.y.high, f.y.position, int(s.height/22))
	c := &chart{
		sheet: s, plot: p, stamp: stampOf(f.spec.Simulated, f.spec.Invalid != ""), grid: true,
		trace: func(area draw.Canvas) []trace { return f.traces(area, p) },
	}
	return &Figure{
		Caption: caption,
		title:   orElse(clean(f.spec.Title), y+" against "+x),
		desc:    orElse(clean(f.spec.Description), fmt.Sprintf("%d points in %d series and %d curves.", total-missing-beyond, len(f.spec.Series), len(f.spec.Curves))),
		width:   s.width, height: c.layOut(), chart: c, table: f.table,
	}, nil
}

func known(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func (f *points) traces(area draw.Canvas, p *plot.Plot) (out []trace) {
	toX, toY := p.Transforms(&area)
	x := func(v float64) vg.Length { return toX(f.x.of(v)) }
	y := func(v float64) vg.Length { return toY(f.y.of(v)) }
	for i, s := range f.spec.Series {
		t := trace{label: clean(s.Label), style: seriesLine(i), glyph: glyphs[i%len(glyphs)]}
		for k := range s.X {
			if !known(s.X[k]) || !known(s.Y[k]) || !f.x.has(s.X[k]) || !f.y.has(s.Y[k]) {
				continue
			}
			at := vg.Point{X: x(s.X[k]), Y: y(s.Y[k])}
			t.marks = append(t.marks, at)
			if s.Low != nil && known(s.Low[k]) && known(s.High[k]) {
				t.bars = append(t.bars, [2]vg.Point{{X: at.X, Y: y(s.Low[k])}, {X: at.X, Y: y(s.High[k])}})
			}
			if s.XLow != nil && known(s.XLow[k]) && known(s.XHigh[k]) {
				t.bars = append(t.bars, [2]vg.Point{{X: x(s.XLow[k]), Y: at.Y}, {X: x(s.XHigh[k]), Y: at.Y}})
			}
		}
		if s.Join {
			t.line = t.marks
		} else {
			t.style.Width = 0
		}
		t.anchors = around(t.marks)
		out = append(out, t)
	}
	for i, c := range f.spec.Curves {
		t := trace{label: clean(c.Label), style: seriesLine(len(f.spec.Series) + i)}
		var line []vg.Point
		for k := range c.X {
			if known(c.X[k]) && known(c.Y[k]) && (!f.x.log || c.X[k] > 0) && (!f.y.log || c.Y[k] > 0) {
				line = append(line, vg.Point{X: x(c.X[k]), Y: y(c.Y[k])})
			}
		}
		for _, piece := range area.ClipLinesXY(line) {
			if len(piece) > len(t.line) { // a law leaves the range once
				t.line = piece
			}
		}
		t.anchors = around(t.line)
		out = append(out, t)
	}
	return out
}

// around offers places for a label beside each point, the last, on its right,
// being the best.
func around(line []vg.Point) (out []anchor) {
	for i, p := range slices.Backward(line) {
		away := 2 * float64(len(line)-1-i) / float64(len(line))
		out = append(out,
			anchor{at: p, sides: []vg.Point{{X: 1}}, cost: 4 * away},
			anchor{at: p, sides: []vg.Point{{Y: 1}, {Y: -1}, {X: 1, Y: 1}, {X: 1, Y: -1}, {X: -1, Y: 1}, {X: -1, Y: -1}}, cost: 3 + 4*away},
			anchor{at: p, sides: []vg.Point{{X: -1}}, cost: 5 + 4*away},
		)
	}
	return out
}

func (f *points) table(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "series,kind,x,y,low,high,x_low,x_high")
	number := func(v []float64, i int) string {
		if v == nil || !known(v[i]) {
			return ""
		}
		return strconv.FormatFloat(v[i], 'g', -1, 64)
	}
	for _, s := range f.spec.Series {
		for i := range s.X {
			fmt.Fprintf(out, "%s,point,%s,%s,%s,%s,%s,%s\n", csvField(clean(s.Label)), number(s.X, i), number(s.Y, i),
				number(s.Low, i), number(s.High, i), number(s.XLow, i), number(s.XHigh, i))
		}
	}
	for _, c := range f.spec.Curves {
		for i := range c.X {
			fmt.Fprintf(out, "%s,curve,%s,%s,,,,\n", csvField(clean(c.Label)), number(c.X, i), number(c.Y, i))
		}
	}
	return out.Flush()
}
