package figure

import (
	"bufio"
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
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
		if !known(v) || v < 0 {
			return nil, fmt.Errorf("figure: a slice carried %v", v)
		}
		most = math.Max(most, v)
	}
	for i, c := range spec.Calls {
		if !known(c.Start) || !known(c.End) || c.End < c.Start {
			return nil, fmt.Errorf("figure: call %d ran from %v to %v", i+1, c.Start, c.End)
		}
	}
	if !known(most) {
		return nil, errors.New("figure: the capacity is no number")
	}
	if most == 0 {
		most = 1
	}
	caption := cleanAll(spec.Caption)
	if spec.Invalid != "" {
		caption = append(caption, "INVALID: "+clean(spec.Invalid))
	}
	if spec.Simulated {
		caption = append(caption, simulatedNote)
	}
	x, y := clean(spec.XLabel), clean(spec.YLabel)
	th, err := newTheme(append([]string{x, y, simulatedStamp, invalidStamp, loadLabel, capacityLabel}, caption...))
	if err != nil {
		return nil, err
	}
	s := newSheet(th, spec.Width, spec.Height)
	s.caption = caption
	p := th.plot(x, y)
	s.title(p)
	end := math.Max(spec.Slice*float64(len(spec.Load)), spec.Calls[len(spec.Calls)-1].End)
	setRange(&p.X, 0, end, position{}, int(s.width/30))
	p.X.Min, p.X.Max = 0, end
	setRange(&p.Y, 0, most*1.25, position{}, int(s.height/22)) // room for the calls' numbers
	t := &timeline{spec: spec, theme: th, plot: p, top: most * 1.2}
	p.Add(painter(t.stripes))
	c := &chart{sheet: s, plot: p, stamp: stampOf(spec.Simulated, spec.Invalid != ""), trace: t.traces}
	return &Figure{
		Caption: caption, title: orElse(clean(spec.Title), "What the link carried while calls ran"),
		desc:  orElse(clean(spec.Description), fmt.Sprintf("%d slices of time and %d calls.", len(spec.Load), len(spec.Calls))),
		width: s.width, height: c.layOut(), chart: c, table: t.table,
	}, nil
}

const (
	loadLabel     = "load"
	capacityLabel = "calibrated capacity"
)

type timeline struct {
	spec  TimelineSpec
	theme *theme
	plot  *plot.Plot
	top   float64 // where the calls' numbers stand
}

// The shades of calls, by turns.
var stripeTints = [2]color.NRGBA{{R: 0xEF, G: 0xF6, B: 0xFB, A: 255}, {R: 0xFC, G: 0xF9, B: 0xF0, A: 255}}

func (t *timeline) stripes(area draw.Canvas) {
	x, y := t.plot.Transforms(&area)
	style := t.theme.text(captionSize, grey)
	style.XAlign, style.YAlign = text.XCenter, text.YCenter
	for i, c := range t.spec.Calls {
		left, right := max(x(c.Start), area.Min.X), min(x(c.End), area.Max.X)
		if right <= left {
			continue
		}
		area.FillPolygon(stripeTints[i%2], rectangle(vg.Point{X: left, Y: area.Min.Y}, vg.Point{X: right, Y: area.Max.Y}))
		if number := strconv.Itoa(i + 1); style.Width(number) < right-left {
			area.FillText(style, vg.Point{X: (left + right) / 2, Y: y(t.top)}, number)
		}
	}
}

func (t *timeline) traces(area draw.Canvas) []trace {
	toX, toY := t.plot.Transforms(&area)
	load := trace{label: loadLabel, style: seriesLine(1)}
	load.style.Dashes = nil
	for i, v := range t.spec.Load {
		load.line = append(load.line, vg.Point{X: toX(float64(i) * t.spec.Slice), Y: toY(v)}, vg.Point{X: toX(float64(i+1) * t.spec.Slice), Y: toY(v)})
	}
	load.anchors = around(load.line)
	if t.spec.Capacity == 0 {
		load.label = ""
		return []trace{load}
	}
	capacity := trace{label: capacityLabel, style: draw.LineStyle{Color: palette[2], Width: lineWidth, Dashes: dashes[1]}}
	for _, share := range []float64{0, 0.25, 0.5, 0.75, 1} {
		capacity.line = append(capacity.line, vg.Point{X: area.Min.X + vg.Length(share)*area.Size().X, Y: toY(t.spec.Capacity)})
	}
	capacity.anchors = around(capacity.line)
	return []trace{load, capacity}
}

func (t *timeline) table(w io.Writer) error {
	out := bufio.NewWriter(w)
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	fmt.Fprintln(out, "item,start,end,carried")
	for i, v := range t.spec.Load {
		fmt.Fprintf(out, "load,%s,%s,%s\n", number(float64(i)*t.spec.Slice), number(float64(i+1)*t.spec.Slice), number(v))
	}
	for _, c := range t.spec.Calls {
		fmt.Fprintf(out, "call,%s,%s,\n", number(c.Start), number(c.End))
	}
	return out.Flush()
}
