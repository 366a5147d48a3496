package figure

import (
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"strconv"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"barograph/stages/figure/axis"
	"barograph/stages/figure/chart"
	"barograph/stages/figure/label"
	"barograph/stages/figure/table"
)

// A TimelineSpec describes what a link carried while calls ran.
type TimelineSpec struct {
	Title, Description string // as in ECDFSpec
	XLabel, YLabel     string // with their units
	Caption            []string
	Simulated          bool
	Invalid            string    // as in ECDFSpec
	Slice              float64   // length of a slice of time, in the X axis's unit
	Load               []float64 // carried in each slice, from time 0, in the Y axis's unit
	Capacity           float64   // drawn as a line; 0: unknown
	Calls              []Span    // in order
	Width, Height      float64   // as in ECDFSpec
}

// A Span is from when to when a call ran.
type Span struct{ Start, End float64 }

// Timeline draws the bandwidth of a load as steps over time, and behind it the
// calls that ran meanwhile, as numbered stripes in two shades.
func Timeline(spec TimelineSpec) (*Figure, error) {
	switch {
	case len(spec.Load) == 0 || len(spec.Calls) == 0:
		return nil, fmt.Errorf("figure: a timeline of %d slices and %d calls: want some of each", len(spec.Load), len(spec.Calls))
	case !(spec.Slice > 0) || math.IsInf(spec.Slice, 0):
		return nil, fmt.Errorf("figure: slices of time are %v long, not positive", spec.Slice)
	}
	most := spec.Capacity
	for _, v := range spec.Load {
		if !axis.Known(v) || v < 0 {
			return nil, fmt.Errorf("figure: a slice carried %v", v)
		}
		most = math.Max(most, v)
	}
	for i, c := range spec.Calls {
		if !axis.Known(c.Start) || !axis.Known(c.End) || c.End < c.Start {
			return nil, fmt.Errorf("figure: call %d ran from %v to %v", i+1, c.Start, c.End)
		}
	}
	if !axis.Known(most) {
		return nil, errors.New("figure: the capacity is no number")
	}
	if most == 0 {
		most = 1
	}
	c, err := chart.New(chart.Frame{
		Title: spec.Title, Description: spec.Description, XLabel: spec.XLabel, YLabel: spec.YLabel, Caption: spec.Caption,
		Simulated: spec.Simulated, Invalid: spec.Invalid, Width: spec.Width, Height: spec.Height,
	})
	if err != nil {
		return nil, err
	}
	end := math.Max(spec.Slice*float64(len(spec.Load)), spec.Calls[len(spec.Calls)-1].End)
	c.SetX(0, end, axis.Position{})
	c.Plot.X.Min, c.Plot.X.Max = 0, end
	c.SetY(0, most*1.25, axis.Position{}) // room for the calls' numbers
	t := &timeline{spec: spec, chart: c, top: most * 1.2}
	c.Plot.Add(chart.Painter(t.stripes))
	c.Trace = t.traces
	return newFigure(c, "What the link carried while calls ran", fmt.Sprintf("%d slices of time and %d calls.", len(spec.Load), len(spec.Calls)), t.table), nil
}

const (
	loadLabel     = "load"
	capacityLabel = "calibrated capacity"
)

type timeline struct {
	spec  TimelineSpec
	chart *chart.Chart
	top   float64 // where the calls' numbers stand
}

// The shades of calls, by turns.
var stripeTints = [2]color.NRGBA{{R: 0xEF, G: 0xF6, B: 0xFB, A: 255}, {R: 0xFC, G: 0xF9, B: 0xF0, A: 255}}

func (t *timeline) stripes(area draw.Canvas) {
	x, y := t.chart.Plot.Transforms(&area)
	style := t.chart.Theme.Text(chart.CaptionSize, chart.Grey)
	style.XAlign, style.YAlign = text.XCenter, text.YCenter
	for i, c := range t.spec.Calls {
		left, right := max(x(c.Start), area.Min.X), min(x(c.End), area.Max.X)
		if right <= left {
			continue
		}
		area.FillPolygon(stripeTints[i%2], []vg.Point{{X: left, Y: area.Min.Y}, {X: right, Y: area.Min.Y}, {X: right, Y: area.Max.Y}, {X: left, Y: area.Max.Y}})
		if number := strconv.Itoa(i + 1); style.Width(number) < right-left {
			area.FillText(style, vg.Point{X: (left + right) / 2, Y: y(t.top)}, number)
		}
	}
}

func (t *timeline) traces(area draw.Canvas) []chart.Trace {
	toX, toY := t.chart.Plot.Transforms(&area)
	load := chart.Trace{Label: loadLabel, Style: chart.SeriesLine(1)}
	load.Style.Dashes = nil
	for i, v := range t.spec.Load {
		load.Line = append(load.Line, vg.Point{X: toX(float64(i) * t.spec.Slice), Y: toY(v)}, vg.Point{X: toX(float64(i+1) * t.spec.Slice), Y: toY(v)})
	}
	load.Anchors = label.Around(load.Line)
	if t.spec.Capacity == 0 {
		load.Label = ""
		return []chart.Trace{load}
	}
	capacity := chart.Trace{Label: capacityLabel, Style: draw.LineStyle{Color: chart.Palette[2], Width: chart.LineWidth, Dashes: chart.Dashes[1]}}
	for _, share := range []float64{0, 0.25, 0.5, 0.75, 1} {
		capacity.Line = append(capacity.Line, vg.Point{X: area.Min.X + vg.Length(share)*area.Size().X, Y: toY(t.spec.Capacity)})
	}
	capacity.Anchors = label.Around(capacity.Line)
	return []chart.Trace{load, capacity}
}

func (t *timeline) table(w io.Writer) error {
	out := table.New(w, "item", "start", "end", "carried")
	for i, v := range t.spec.Load {
		out.Row("load", float64(i)*t.spec.Slice, float64(i+1)*t.spec.Slice, v)
	}
	for _, c := range t.spec.Calls {
		out.Row("call", c.Start, c.End, "")
	}
	return out.Flush()
}
