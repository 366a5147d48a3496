// Package chart is what every figure rests on: a page with a plot, labels at its
// lines or a legend, a stamp and a caption, in one theme, written as SVG, PDF or
// PNG. A kind of figure fills a [Frame], makes a chart of it, sets its axes, says
// in Trace what stands in the plot's area, and lays it out.
package chart

import (
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"barograph/stages/figure/axis"
	"barograph/stages/figure/label"
)

// What is written across a figure whose numbers are not what they look like.
const (
	simulatedStamp = "SIMULATED"
	invalidStamp   = "INVALID"
	simulatedNote  = "Simulated: the numbers come from a model of a link, not from a measurement."
)

// A Frame is what a figure says around what it draws.
type Frame struct {
	Title, Description string   // for who cannot see it; not drawn
	XLabel, YLabel     string   // with their units
	Caption            []string // lines below the figure
	Simulated          bool     // the numbers were not measured
	Invalid            string   // why the numbers cannot be trusted; empty where they can
	// Width and Height of the plot with its axes, in millimetres; 0: ColumnWidth,
	// and 0.68 of the width.
	Width, Height float64
}

// A Chart is a plot of traces, laid out once and drawn in any format.
type Chart struct {
	Title, Description string   // for who cannot see it; not drawn
	Caption            []string // with what the figure itself had to add
	Stamp              string   // across the plot, or empty
	Theme              *Theme
	Plot               *plot.Plot
	Grid               bool                           // vertical lines too
	Trace              func(area draw.Canvas) []Trace // lays the data out; nil: there are none

	Width, Height vg.Length // of the page; its height once laid out
	Traces        []Trace
	Labels        []label.Candidate // one a trace, or none at all when a legend stands in
	Legend        Legend

	plotHeight vg.Length // of the plot with its axes
	paint      func(draw.Canvas)
}

// New prepares a chart; words are what will be written in it beside what its
// frame says.
func New(f Frame, words ...string) (*Chart, error) {
	c := &Chart{Caption: CleanAll(f.Caption), Title: Clean(f.Title), Description: Clean(f.Description)}
	if f.Simulated {
		c.Stamp = simulatedStamp
	}
	if f.Invalid != "" {
		c.Stamp = invalidStamp
		c.Caption = append(c.Caption, invalidStamp+": "+Clean(f.Invalid))
	}
	if f.Simulated {
		c.Caption = append(c.Caption, simulatedNote)
	}
	var err error
	if c.Theme, err = newTheme(append(append(words, f.XLabel, f.YLabel), c.Caption...)); err != nil {
		return nil, err
	}
	if f.Width <= 0 {
		f.Width = ColumnWidth
	}
	if f.Height <= 0 {
		f.Height = 0.68 * f.Width
	}
	c.Resize(f.Width, f.Height)
	c.Plot = c.Theme.plot(Clean(f.XLabel), Clean(f.YLabel))
	return c, nil
}

// SetX gives the X axis its range, and as many ticks as have room.
func (c *Chart) SetX(low, high float64, p axis.Position) {
	axis.SetRange(&c.Plot.X, low, high, p, int(c.Width/30))
}

// SetY gives the Y axis its range, and as many ticks as have room.
func (c *Chart) SetY(low, high float64, p axis.Position) {
	axis.SetRange(&c.Plot.Y, low, high, p, int(c.plotHeight/22))
}

// Paint lets a figure without axes draw its area itself, above the stamp.
func (c *Chart) Paint(paint func(area draw.Canvas)) {
	c.Plot.HideAxes()
	c.Plot.X.Max, c.Plot.Y.Max = 1, 1
	c.paint = paint
}

// A Trace is one series in the plot's area, in points.
type Trace struct {
	Label   string
	Style   draw.LineStyle
	Band    []vg.Point   // closed, filled translucently
	Ends    [][]vg.Point // what all lines share, drawn below the rest
	Line    []vg.Point   // drawn as it is
	Bars    [][2]vg.Point
	Marks   []vg.Point
	Glyph   draw.GlyphDrawer
	Anchors []label.Anchor
}

// A Legend stands in for labels at the lines.
type Legend struct {
	At      vg.Point // lower left corner
	Columns int
	Width   vg.Length // of a column
	Below   bool      // the plot
}

const (
	swatch    = 16.0 // points of line shown in a legend
	legendGap = 3.0
)

// LayOut finds a place for everything.
func (c *Chart) LayOut() {
	c.breakTitles()
	c.Labels, c.Legend = nil, Legend{}
	if c.Trace != nil {
		c.trace()
		if len(c.Traces) != 1 || c.Traces[0].Label != "" { // one alone may do without
			c.placeLabels()
		}
	}
	c.Height = c.below() + c.plotHeight
}

// trace lays the data out where the plot stands, given what lies below it.
func (c *Chart) trace() { c.Traces = c.Trace(c.Area()) }

// placeLabels finds a place for each label at its line, or for a legend inside
// the plot, or below it.
func (c *Chart) placeLabels() {
	lines := label.NewOccupancy(c.Area().Rectangle)
	tags := make([]label.Tag, len(c.Traces))
	style := c.Theme.Text(LabelSize, Black)
	widest := vg.Length(0)
	labels := make([]string, len(c.Traces))
	for i, t := range c.Traces {
		labels[i] = shorten(style, Clean(t.Label), c.Width-2*Margin-swatch-legendGap)
		lines.Mark(i, t.Line)
		for _, b := range t.Bars {
			lines.Mark(i, b[:])
		}
		for _, m := range t.Marks {
			for _, d := range []vg.Point{{X: 2}, {Y: 2}} {
				lines.Mark(i, []vg.Point{m.Sub(d), m.Add(d)})
			}
		}
		tags[i] = label.Tag{Width: style.Width(labels[i]), Height: capHeight, Anchors: t.Anchors}
		widest = max(widest, tags[i].Width)
	}
	if c.Labels = label.Place(tags, lines); c.Labels == nil {
		c.placeLegend(lines, widest)
	}
	for i := range c.Traces {
		c.Traces[i].Label = labels[i]
	}
}

// placeLegend finds a place for a legend, whose widest label is that wide.
func (c *Chart) placeLegend(lines *label.Occupancy, widest vg.Length) {
	c.Legend = Legend{Columns: 1, Width: swatch + legendGap + widest}
	n := vg.Length(len(c.Traces))
	if at, ok := lines.Vacant(c.Legend.Width, n*LabelSize*Leading); ok {
		c.Legend.At = at
		return
	}
	// Below the plot, in as many columns as fit.
	room := c.Width - 2*Margin
	columns := max(1, min(len(c.Traces), int(room/(c.Legend.Width+2*legendGap))))
	if columns > 1 {
		c.Legend.Width += (room - vg.Length(columns)*c.Legend.Width) / vg.Length(columns)
	}
	c.Legend = Legend{At: vg.Point{X: Margin, Y: c.captionHeight()}, Columns: columns, Width: c.Legend.Width, Below: true}
	c.trace() // the plot has moved up
}

func (c *Chart) legendHeight() vg.Length {
	rows := (len(c.Traces) + c.Legend.Columns - 1) / c.Legend.Columns
	return vg.Length(rows) * LabelSize * Leading
}

// Area returns the part of the page that data are drawn in.
func (c *Chart) Area() draw.Canvas {
	return c.Plot.DataCanvas(draw.Canvas{Rectangle: c.area(c.below())})
}

// capHeight is the height of what a label's box must keep clear: capitals and
// digits, which in Liberation Sans are 0.73 of the size.
const capHeight = 0.73 * LabelSize

// Draw draws the chart on a surface, in its own rectangle, so that every format
// draws the same geometry, however the surface rounds its size.
func (c *Chart) Draw(surface vg.Canvas) {
	page := draw.Canvas{Canvas: surface, Rectangle: vg.Rectangle{Max: vg.Point{X: c.Width, Y: c.Height}}}
	p := *c.Plot // Add would gather plotters over several formats
	p.Add(Painter(func(area draw.Canvas) { c.drawData(area, &p) }))
	p.Draw(draw.Canvas{Canvas: surface, Rectangle: c.area(c.below())})
	c.drawCaption(page)
	if c.Legend.Below {
		c.drawLegend(page)
	}
}

// A Painter is a plotter that knows its own geometry.
type Painter func(draw.Canvas)

// Plot paints.
func (p Painter) Plot(c draw.Canvas, _ *plot.Plot) { p(c) }

func (c *Chart) drawData(area draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&area)
	rule := draw.LineStyle{Color: faint, Width: 0.4}
	for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		if at := y(t.Value); !t.IsMinor() && area.ContainsY(at) {
			area.StrokeLine2(rule, area.Min.X, at, area.Max.X, at)
		}
	}
	if c.Grid {
		for _, t := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
			if at := x(t.Value); !t.IsMinor() && area.ContainsX(at) {
				area.StrokeLine2(rule, at, area.Min.Y, at, area.Max.Y)
			}
		}
	}
	c.drawStamp(area)
	if c.paint != nil {
		c.paint(area)
	}
	for _, t := range c.Traces {
		if len(t.Band) > 0 {
			area.SetColor(translucent(rgb(t.Style.Color)))
			area.Fill(Path(t.Band))
		}
	}
	for i := range c.Traces {
		t := c.Traces[len(c.Traces)-1-i] // the baseline on top
		area.SetLineStyle(t.Style)
		for _, e := range t.Ends {
			area.Stroke(Path(e))
		}
	}
	for _, t := range c.Traces { // later, dashed lines leave a hidden one visible
		c.drawTrace(area, t)
	}
	switch {
	case c.Labels != nil:
		for i, t := range c.Traces {
			c.drawLabel(area, t, c.Labels[i])
		}
	case c.Legend.Columns > 0 && !c.Legend.Below:
		c.drawLegend(area)
	}
}

func (c *Chart) drawTrace(area draw.Canvas, t Trace) {
	if len(t.Line) > 1 && t.Style.Width > 0 {
		area.SetLineStyle(t.Style)
		area.Stroke(Path(t.Line))
	}
	solid := draw.LineStyle{Color: t.Style.Color, Width: 0.7}
	for _, b := range t.Bars {
		area.StrokeLines(solid, b[:])
		for _, end := range b {
			across := vg.Point{X: 1.5}
			if b[0].Y == b[1].Y {
				across = vg.Point{Y: 1.5}
			}
			area.StrokeLines(solid, []vg.Point{end.Sub(across), end.Add(across)})
		}
	}
	if t.Glyph != nil {
		for _, m := range t.Marks {
			area.DrawGlyph(draw.GlyphStyle{Color: t.Style.Color, Radius: 1.8, Shape: t.Glyph}, m)
		}
	}
}

func (c *Chart) drawLabel(area draw.Canvas, t Trace, at label.Candidate) {
	tint := Ink(rgb(t.Style.Color))
	if at.Leader {
		area.StrokeLines(draw.LineStyle{Color: tint, Width: 0.4}, []vg.Point{at.From, at.To})
	}
	halo := White
	halo.A = 200
	area.SetColor(halo)
	area.Fill(Path([]vg.Point{at.Box.Min, {X: at.Box.Max.X, Y: at.Box.Min.Y}, at.Box.Max, {X: at.Box.Min.X, Y: at.Box.Max.Y}}))
	if !at.Turned {
		c.write(area, at.Box.Min, t.Label, tint)
		return
	}
	style := c.Theme.Text(LabelSize, tint)
	style.Rotation = math.Pi / 2
	area.FillText(style, vg.Point{X: at.Box.Max.X + style.FontExtents().Descent, Y: at.Box.Min.Y}, t.Label)
}

// write sets a label with its baseline at a point.
func (c *Chart) write(area draw.Canvas, at vg.Point, label string, tint color.Color) {
	style := c.Theme.Text(LabelSize, tint)
	// The handler puts the bottom of the font's box, descenders included, there.
	at.Y -= style.FontExtents().Descent
	area.FillText(style, at, label)
}

func (c *Chart) drawLegend(area draw.Canvas) {
	rows := (len(c.Traces) + c.Legend.Columns - 1) / c.Legend.Columns
	for i, t := range c.Traces {
		at := c.Legend.At
		at.X += vg.Length(i/rows) * c.Legend.Width
		at.Y += vg.Length(rows-1-i%rows)*LabelSize*Leading + LabelSize*(Leading-1)
		middle := at.Y + capHeight/2
		if t.Style.Width > 0 {
			area.StrokeLine2(t.Style, at.X, middle, at.X+swatch, middle)
		}
		if t.Glyph != nil {
			area.DrawGlyph(draw.GlyphStyle{Color: t.Style.Color, Radius: 1.8, Shape: t.Glyph}, vg.Point{X: at.X + swatch/2, Y: middle})
		}
		c.write(area, vg.Point{X: at.X + swatch + legendGap, Y: at.Y}, t.Label, Black)
	}
}

// drawStamp writes the stamp, if there is one, across an area.
func (c *Chart) drawStamp(area draw.Canvas) {
	if c.Stamp == "" {
		return
	}
	style := c.Theme.Text(0, color.NRGBA{R: 0xEC, G: 0xEC, B: 0xEC, A: 255})
	const probe = 10
	style.Font.Size = probe
	size := area.Size()
	angle := math.Atan2(float64(size.Y), float64(size.X))
	diagonal := vg.Length(math.Hypot(float64(size.X), float64(size.Y)))
	style.Font.Size = probe * 0.72 * diagonal / style.Width(c.Stamp)
	style.Rotation = angle
	style.XAlign, style.YAlign = text.XCenter, text.YCenter
	area.FillText(style, area.Center(), c.Stamp)
}

// Path leads through points.
func Path(points []vg.Point) vg.Path {
	p := make(vg.Path, 0, len(points))
	p.Move(points[0])
	for _, q := range points[1:] {
		p.Line(q)
	}
	return p
}

func rgb(c color.Color) color.NRGBA { return color.NRGBAModel.Convert(c).(color.NRGBA) }
