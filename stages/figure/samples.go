package figure

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"barograph/stages/figure/axis"
	"barograph/stages/figure/chart"
	"barograph/stages/figure/table"
	"barograph/stages/stats"
)

// A Sample is values under one label, such as the latencies under one load.
type Sample struct {
	Label  string
	Values []float64 // in any order; not changed
}

// A SamplesSpec describes samples side by side, as boxes or as violins.
type SamplesSpec struct {
	Title, Description string // as in ECDFSpec
	XLabel, YLabel     string // with their units
	YScale             string // auto, linear or log; auto where empty
	Samples            []Sample
	Quartiles          stats.Definition // stats.Linear where empty
	Reach              float64          // of whiskers, in interquartile ranges; 0: 1.5, +Inf: to the extremes
	Caption            []string         // lines below the figure, before those it adds itself
	Simulated          bool
	Invalid            string  // as in ECDFSpec
	Width, Height      float64 // as in ECDFSpec
}

// Boxes draws a box plot: a box from quartile to quartile with the median, whiskers
// that end at the farthest values within reach, and a ring for each value beyond. The
// caption says by which definition.
func Boxes(spec SamplesSpec) (*Figure, error) {
	s, err := newSamples(spec)
	if err != nil {
		return nil, err
	}
	whiskers := fmt.Sprintf("the farthest values within %g interquartile ranges; rings: values beyond", s.Reach)
	if math.IsInf(spec.Reach, 1) {
		whiskers = "the least and the greatest value"
	}
	return s.figure(s.box, fmt.Sprintf("Boxes: median and quartiles (%s); whiskers: %s.", s.Quartiles, whiskers))
}

// Violins draws the density of each sample on both sides of an upright line, and in
// it the median and the quartiles. The density is that of a Gaussian kernel, with the
// bandwidth of Silverman, "Density Estimation" (1986), equation 3.31, along the axis
// as it is drawn, and ends at the least and the greatest value.
func Violins(spec SamplesSpec) (*Figure, error) {
	s, err := newSamples(spec)
	if err != nil {
		return nil, err
	}
	return s.figure(s.violin, fmt.Sprintf("Violins: density by a Gaussian kernel (Silverman's bandwidth), all of one width; dot and bar: median and quartiles (%s).", s.Quartiles))
}

type samples struct {
	SamplesSpec
	chart *chart.Chart
	y     axis.Extent
	boxes []stats.Box
}

// newSamples checks a spec and computes its boxes.
func newSamples(spec SamplesSpec) (*samples, error) {
	scale, err := axis.Scale(spec.YScale)
	if err != nil {
		return nil, err
	}
	if len(spec.Samples) == 0 {
		return nil, errors.New("figure: no samples")
	}
	if spec.Quartiles == "" {
		spec.Quartiles = stats.Linear
	}
	switch {
	case spec.Reach == 0:
		spec.Reach = 1.5
	case math.IsInf(spec.Reach, 1):
		spec.Reach = 0
	}
	s := &samples{SamplesSpec: spec, y: axis.NewExtent()}
	for _, sample := range spec.Samples {
		b, err := stats.NewBox(sample.Values, spec.Quartiles, spec.Reach)
		if err != nil {
			return nil, fmt.Errorf("figure: sample %q: %w", sample.Label, err)
		}
		s.boxes = append(s.boxes, b)
		s.y.Add(sample.Values...)
	}
	if scale == axis.Log && s.y.Low <= 0 {
		return nil, fmt.Errorf("figure: a logarithmic axis shows no %v", s.y.Low)
	}
	s.y.Choose(scale)
	return s, nil
}

// figure draws each sample around the middle of its place, in points, as trace says.
func (s *samples) figure(trace func(i int, middle, half vg.Length, y func(float64) vg.Length) chart.Trace, says string) (*Figure, error) {
	labels, sizes := make([]string, len(s.Samples)), make([]string, len(s.Samples))
	for i, sample := range s.Samples {
		labels[i], sizes[i] = sample.Label, strconv.Itoa(len(sample.Values))
	}
	n := "From left to right " + strings.Join(sizes, ", ") + " values."
	if len(slices.Compact(slices.Clone(sizes))) == 1 {
		n = sizes[0] + " values each."
	}
	c, err := chart.New(chart.Frame{
		Title: s.Title, Description: s.Description, XLabel: s.XLabel, YLabel: s.YLabel, Caption: slices.Concat(s.Caption, []string{says, n}),
		Simulated: s.Simulated, Invalid: s.Invalid, Width: s.Width, Height: s.Height,
	}, labels...)
	if err != nil {
		return nil, err
	}
	c.SetCategories(labels)
	c.SetY(s.y.Low, s.y.High, s.y.Position)
	s.chart = c
	c.Trace = func(area draw.Canvas) (traces []chart.Trace) {
		x, toY := c.Plot.Transforms(&area)
		half := min(0.32*(x(1)-x(0)), 18)
		for i := range s.Samples {
			traces = append(traces, trace(i, x(float64(i)), half, func(v float64) vg.Length { return toY(s.y.Of(v)) }))
		}
		return traces
	}
	return newFigure(c, s.YLabel+" by "+s.XLabel, fmt.Sprintf("%d samples side by side.", len(s.Samples)), s.table), nil
}

func (s *samples) box(i int, middle, half vg.Length, y func(float64) vg.Length) chart.Trace {
	b := s.boxes[i]
	t := chart.Trace{Style: chart.Filled(1), Glyph: draw.RingGlyph{}}
	t.Areas = [][]vg.Point{rectangle(middle-half, y(b.Q1), middle+half, y(b.Q3))}
	t.Bars = [][2]vg.Point{{{X: middle, Y: y(b.Q3)}, {X: middle, Y: y(b.High)}}, {{X: middle, Y: y(b.Q1)}, {X: middle, Y: y(b.Low)}}}
	drawn := map[vg.Length]bool{} // rings that would lie on one another are one
	for _, v := range b.Outside {
		if at := y(v); !drawn[vg.Length(math.Round(4*float64(at)))] {
			drawn[vg.Length(math.Round(4*float64(at)))] = true
			t.Marks = append(t.Marks, vg.Point{X: middle, Y: at})
		}
	}
	t.Line = []vg.Point{{X: middle - half, Y: y(b.Median)}, {X: middle + half, Y: y(b.Median)}}
	t.Style.Width = 1.6
	return t
}

func (s *samples) violin(i int, middle, half vg.Length, y func(float64) vg.Length) chart.Trace {
	b := s.boxes[i]
	t := chart.Trace{Style: chart.Filled(1)}
	at, density := s.density(i)
	most := slices.Max(density)
	var left, right []vg.Point
	for k, v := range at {
		wide := half * vg.Length(density[k]/most)
		left, right = append(left, vg.Point{X: middle - wide, Y: y(v)}), append(right, vg.Point{X: middle + wide, Y: y(v)})
	}
	slices.Reverse(left)
	t.Areas = [][]vg.Point{slices.Concat(right, left)}
	t.Over = func(area draw.Canvas) {
		area.SetColor(t.Style.Color)
		area.Fill(chart.Path(rectangle(middle-1.3, y(b.Q1), middle+1.3, y(b.Q3))))
		area.DrawGlyph(draw.GlyphStyle{Color: t.Style.Color, Radius: 2, Shape: draw.CircleGlyph{}}, vg.Point{X: middle, Y: y(b.Median)})
		area.DrawGlyph(draw.GlyphStyle{Color: chart.White, Radius: 1.2, Shape: draw.CircleGlyph{}}, vg.Point{X: middle, Y: y(b.Median)})
	}
	return t
}

// density returns where and how dense a sample is, at steps along its axis. Values
// are counted in narrow bins first, so that time does not grow with their square.
func (s *samples) density(i int) (at, density []float64) {
	const bins, steps = 2048, 128
	b := s.boxes[i]
	values := make([]float64, len(s.Samples[i].Values))
	for k, v := range s.Samples[i].Values {
		values[k] = s.y.Of(v)
	}
	low, high := slices.Min(values), slices.Max(values)
	if low == high {
		return []float64{s.Samples[i].Values[0]}, []float64{1}
	}
	counts := make([]float64, bins+1)
	for _, v := range values {
		counts[int(math.Round((v-low)/(high-low)*bins))]++
	}
	spread, err := stats.Deviation(values, nil)
	if quartiles := (s.y.Of(b.Q3) - s.y.Of(b.Q1)) / 1.34; err != nil || quartiles > 0 && quartiles < spread {
		spread = quartiles
	}
	width := max(0.9*spread*math.Pow(float64(len(values)), -0.2), (high-low)/steps)
	for k := range steps + 1 {
		position, sum := low+(high-low)*float64(k)/steps, 0.0
		for bin, n := range counts {
			if n > 0 {
				z := (low + (high-low)*float64(bin)/bins - position) / width
				sum += n * math.Exp(-z*z/2)
			}
		}
		v := position
		if s.y.Log {
			v = math.Pow(10, position)
		}
		at, density = append(at, v), append(density, sum/(width*math.Sqrt(2*math.Pi)*float64(len(values))))
	}
	return at, density
}

func rectangle(left, low, right, high vg.Length) []vg.Point {
	return []vg.Point{{X: left, Y: low}, {X: right, Y: low}, {X: right, Y: high}, {X: left, Y: high}}
}

// table writes what a box shows; whoever wants a density has the definition.
func (s *samples) table(w io.Writer) error {
	out := table.New(w, "sample", "part", "value")
	for i, b := range s.boxes {
		label := chart.Clean(s.Samples[i].Label)
		out.Row(label, "n", b.N)
		for _, part := range []struct {
			name  string
			value float64
		}{{"low", b.Low}, {"q1", b.Q1}, {"median", b.Median}, {"q3", b.Q3}, {"high", b.High}} {
			out.Row(label, part.name, part.value)
		}
		for _, v := range b.Outside {
			out.Row(label, "outside", v)
		}
	}
	return out.Flush()
}
