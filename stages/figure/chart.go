package figure

import (
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// What is written across a figure whose numbers are not what they look like.
const (
	simulatedStamp = "SIMULATED"
	invalidStamp   = "INVALID"
	simulatedNote  = "Simulated: the numbers come from a model of a link, not from a measurement."
)

// stampOf chooses the stamp; none is empty.
func stampOf(simulated, invalid bool) string {
	switch {
	case invalid:
		return invalidStamp
	case simulated:
		return simulatedStamp
	}
	return ""
}

// A trace is one series in the plot's area, in points.
type trace struct {
	label   string
	style   draw.LineStyle
	band    []vg.Point   // closed, filled translucently
	ends    [][]vg.Point // what all lines share, drawn below the rest
	line    []vg.Point   // drawn as it is
	bars    [][2]vg.Point
	marks   []vg.Point
	glyph   draw.GlyphDrawer
	anchors []anchor
}

// A chart is a plot of traces, laid out once and drawn in any format.
type chart struct {
	sheet sheet
	plot  *plot.Plot
	stamp string // across the plot, or empty
	trace func(area draw.Canvas) []trace

	traces []trace
	labels []candidate // one a trace, or none at all when a legend stands in
	legend legend
	grid   bool // vertical lines too
}

// A legend stands in for labels at the lines.
type legend struct {
	at      vg.Point // lower left corner
	columns int
	width   vg.Length // of a column
	below   bool
}

const (
	swatch    = 16.0 // points of line shown in a legend
	legendGap = 3.0
)

// layOut finds a place for everything and returns the figure's height.
func (c *chart) layOut() vg.Length {
	below := c.sheet.captionHeight()
	c.labels = nil
	area := c.area(below)
	c.traces = c.trace(area)
	if len(c.traces) == 1 && c.traces[0].label == "" {
		return below + c.sheet.height
	}
	lines := newOccupancy(area.Rectangle)
	tags := make([]tag, len(c.traces))
	style := c.sheet.theme.text(labelSize, black)
	widest := vg.Length(0)
	for i, t := range c.traces {
		c.traces[i].label = shorten(style, t.label, c.sheet.width-2*margin-swatch-legendGap)
		t = c.traces[i]
		lines.mark(i, t.line)
		for _, b := range t.bars {
			lines.mark(i, b[:])
		}
		for _, m := range t.marks {
			for _, d := range []vg.Point{{X: 2}, {Y: 2}} {
				lines.mark(i, []vg.Point{m.Sub(d), m.Add(d)})
			}
		}
		tags[i] = tag{width: style.Width(t.label), height: capHeight, anchors: t.anchors}
		widest = max(widest, tags[i].width)
	}
	if c.labels = place(tags, lines); c.labels != nil {
		return below + c.sheet.height
	}
	c.legend = legend{columns: 1, width: swatch + legendGap + widest}
	n := vg.Length(len(c.traces))
	if at, ok := lines.vacant(c.legend.width, n*labelSize*leading); ok {
		c.legend.at = at
		return below + c.sheet.height
	}
	// Below the plot, in as many columns as fit.
	room := c.sheet.width - 2*margin
	c.legend.below = true
	c.legend.columns = max(1, min(len(c.traces), int(room/(c.legend.width+2*legendGap))))
	if c.legend.columns > 1 {
		c.legend.width += (room - vg.Length(c.legend.columns)*c.legend.width) / vg.Length(c.legend.columns)
	}
	c.legend.at = vg.Point{X: margin, Y: below}
	below += c.legendHeight() + 2*margin
	labelled := c.traces
	c.traces = c.trace(c.area(below)) // the plot has moved up
	for i := range c.traces {
		c.traces[i].label = labelled[i].label
	}
	return below + c.sheet.height
}

func (c *chart) legendHeight() vg.Length {
	rows := (len(c.traces) + c.legend.columns - 1) / c.legend.columns
	return vg.Length(rows) * labelSize * leading
}

// area returns the part of the sheet that data are drawn in.
func (c *chart) area(below vg.Length) draw.Canvas {
	return c.plot.DataCanvas(draw.Canvas{Rectangle: c.sheet.area(below)})
}

// capHeight is the height of what a label's box must keep clear: capitals and
// digits, which in Liberation Sans are 0.73 of the size.
const capHeight = 0.73 * labelSize

func (c *chart) draw(page draw.Canvas) {
	below := c.sheet.captionHeight()
	if c.legend.below {
		below += c.legendHeight() + 2*margin
	}
	rect := c.sheet.area(below)
	p := *c.plot // Add would gather plotters over several formats
	p.Add(painter(func(area draw.Canvas) { c.drawData(area, &p) }))
	p.Draw(draw.Canvas{Canvas: page.Canvas, Rectangle: rect})
	c.sheet.drawCaption(page)
	if c.legend.below {
		c.drawLegend(page)
	}
}

// A painter is a plotter that knows its own geometry.
type painter func(draw.Canvas)

func (p painter) Plot(c draw.Canvas, _ *plot.Plot) { p(c) }

func (c *chart) drawData(area draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&area)
	rule := draw.LineStyle{Color: faint, Width: 0.4}
	for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		if at := y(t.Value); !t.IsMinor() && area.ContainsY(at) {
			area.StrokeLine2(rule, area.Min.X, at, area.Max.X, at)
		}
	}
	if c.grid {
		for _, t := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
			if at := x(t.Value); !t.IsMinor() && area.ContainsX(at) {
				area.StrokeLine2(rule, at, area.Min.Y, at, area.Max.Y)
			}
		}
	}
	if c.stamp != "" {
		c.drawStamp(area, c.stamp)
	}
	for _, t := range c.traces {
		if len(t.band) > 0 {
			area.SetColor(translucent(rgb(t.style.Color)))
			area.Fill(path(t.band))
		}
	}
	for i := range c.traces {
		t := c.traces[len(c.traces)-1-i] // the baseline on top
		area.SetLineStyle(t.style)
		for _, e := range t.ends {
			area.Stroke(path(e))
		}
	}
	for _, t := range c.traces { // later, dashed lines leave a hidden one visible
		c.drawTrace(area, t)
	}
	switch {
	case c.labels != nil:
		for i, t := range c.traces {
			c.drawLabel(area, t, c.labels[i])
		}
	case c.legend.columns > 0 && !c.legend.below:
		c.drawLegend(area)
	}
}

func (c *chart) drawTrace(area draw.Canvas, t trace) {
	if len(t.line) > 1 && t.style.Width > 0 {
		area.SetLineStyle(t.style)
		area.Stroke(path(t.line))
	}
	solid := draw.LineStyle{Color: t.style.Color, Width: 0.7}
	for _, b := range t.bars {
		area.StrokeLines(solid, b[:])
		for _, end := range b {
			across := vg.Point{X: 1.5}
			if b[0].Y == b[1].Y {
				across = vg.Point{Y: 1.5}
			}
			area.StrokeLines(solid, []vg.Point{end.Sub(across), end.Add(across)})
		}
	}
	if t.glyph != nil {
		for _, m := range t.marks {
			area.DrawGlyph(draw.GlyphStyle{Color: t.style.Color, Radius: 1.8, Shape: t.glyph}, m)
		}
	}
}

func (c *chart) drawLabel(area draw.Canvas, t trace, at candidate) {
	tint := ink(rgb(t.style.Color))
	if at.leader {
		area.StrokeLines(draw.LineStyle{Color: tint, Width: 0.4}, []vg.Point{at.from, at.to})
	}
	halo := white
	halo.A = 200
	area.SetColor(halo)
	area.Fill(path([]vg.Point{at.box.Min, {X: at.box.Max.X, Y: at.box.Min.Y}, at.box.Max, {X: at.box.Min.X, Y: at.box.Max.Y}}))
	if !at.turned {
		c.write(area, at.box.Min, t.label, tint)
		return
	}
	style := c.sheet.theme.text(labelSize, tint)
	style.Rotation = math.Pi / 2
	area.FillText(style, vg.Point{X: at.box.Max.X + style.FontExtents().Descent, Y: at.box.Min.Y}, t.label)
}

// write sets a label with its baseline at a point.
func (c *chart) write(area draw.Canvas, at vg.Point, label string, tint color.Color) {
	style := c.sheet.theme.text(labelSize, tint)
	// The handler puts the bottom of the font's box, descenders included, there.
	at.Y -= style.FontExtents().Descent
	area.FillText(style, at, label)
}

func (c *chart) drawLegend(area draw.Canvas) {
	rows := (len(c.traces) + c.legend.columns - 1) / c.legend.columns
	for i, t := range c.traces {
		at := c.legend.at
		at.X += vg.Length(i/rows) * c.legend.width
		at.Y += vg.Length(rows-1-i%rows)*labelSize*leading + labelSize*(leading-1)
		middle := at.Y + capHeight/2
		if t.style.Width > 0 {
			area.StrokeLine2(t.style, at.X, middle, at.X+swatch, middle)
		}
		if t.glyph != nil {
			area.DrawGlyph(draw.GlyphStyle{Color: t.style.Color, Radius: 1.8, Shape: t.glyph}, vg.Point{X: at.X + swatch/2, Y: middle})
		}
		c.write(area, vg.Point{X: at.X + swatch + legendGap, Y: at.Y}, t.label, black)
	}
}

func (c *chart) drawStamp(area draw.Canvas, stamp string) {
	style := c.sheet.theme.text(0, color.NRGBA{R: 0xEC, G: 0xEC, B: 0xEC, A: 255})
	const probe = 10
	style.Font.Size = probe
	size := area.Size()
	angle := math.Atan2(float64(size.Y), float64(size.X))
	diagonal := vg.Length(math.Hypot(float64(size.X), float64(size.Y)))
	style.Font.Size = probe * 0.72 * diagonal / style.Width(stamp)
	style.Rotation = angle
	style.XAlign, style.YAlign = text.XCenter, text.YCenter
	area.FillText(style, area.Center(), stamp)
}

func path(points []vg.Point) vg.Path {
	p := make(vg.Path, 0, len(points))
	p.Move(points[0])
	for _, q := range points[1:] {
		p.Line(q)
	}
	return p
}

func rgb(c color.Color) color.NRGBA { return color.NRGBAModel.Convert(c).(color.NRGBA) }
