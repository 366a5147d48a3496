// Package chart is what every figure rests on: a page with a plot, labels at its
// lines or a legend, a stamp and a caption, in one theme, written as SVG, PDF or
// PNG. A kind of figure fills a [Frame], makes a chart of it, sets its axes, says
// in Trace what stands in the plot's area, and lays it out.
package chart

import (
	"image/color"
	"math"
	"slices"
	"strings"

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
	Heading            string   // above the plot
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
	Unnamed       []string // names of marks that found no room

	names []label.Candidate // of the marks that have names, trace by trace

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
	if c.Theme, err = newTheme(append(append(words, f.Heading, f.XLabel, f.YLabel), c.Caption...)); err != nil {
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
	if c.Plot.Title.Text = Clean(f.Heading); f.Heading != "" {
		c.Plot.Title.TextStyle = c.Theme.Text(TitleSize, Black)
		c.Plot.Title.TextStyle.XAlign, c.Plot.Title.TextStyle.YAlign, c.Plot.Title.Padding = text.XCenter, text.YTop, Margin
	}
	return c, nil
}

// WithoutCaption returns the chart without the text below it, which goes into its
// description. A stamp stays.
func (c *Chart) WithoutCaption() *Chart {
	bare := *c
	bare.Description = strings.TrimSpace(c.Description + " " + strings.Join(c.Caption, " "))
	bare.Caption = nil
	bare.LayOut()
	return &bare
}

// SetX gives the X axis its range, and as many ticks as have room.
func (c *Chart) SetX(low, high float64, p axis.Position) {
	axis.SetRange(&c.Plot.X, low, high, p, int(c.Width/30))
}

// SetY gives the Y axis its range, and as many ticks as have room.
func (c *Chart) SetY(low, high float64, p axis.Position) {
	axis.SetRange(&c.Plot.Y, low, high, p, int(c.plotHeight/22))
}

// SetCategories gives the X axis a place for each of some labels, from 0 on. They are
// broken into lines, between words and behind hyphens, or where one has no room all are
// written aslant; the plot grows by what that takes.
func (c *Chart) SetCategories(labels []string) {
	a := &c.Plot.X
	a.Min, a.Max = -0.5, float64(len(labels))-0.5
	a.Tick.LineStyle.Color = White // a place is no point
	style := &a.Tick.Label
	const left = 25 // points that the Y axis takes
	slot := (c.Width - left) / vg.Length(len(labels))
	ticks, broken := make(axis.Marks, len(labels)), make(axis.Marks, len(labels))
	slant := math.Asin(min(1, 1.2*LabelSize/float64(slot)))
	fits := true
	for i, l := range labels {
		l = Clean(l)
		lines, ok := broke(*style, l, 0.94*slot)
		fits = fits && ok
		ticks[i] = plot.Tick{Value: float64(i), Label: l}
		broken[i] = plot.Tick{Value: float64(i), Label: strings.Join(lines, "\n")}
		slant = max(slant, math.Pi/6, math.Acos(min(1, float64((left+slot*(vg.Length(i)+0.5)-2*Margin)/style.Width(l)))))
	}
	if fits {
		ticks = broken
	} else {
		style.Rotation, style.XAlign = slant, text.XRight
	}
	tallest := vg.Length(0)
	for _, t := range ticks {
		r := style.Rectangle(t.Label)
		tallest = max(tallest, r.Max.Y-r.Min.Y)
	}
	c.plotHeight += tallest - style.Height("L")
	a.Tick.Marker = ticks
}

// SetRows gives the Y axis a place for each of some labels, from 0 at the top to 1, 2
// and so on below, where [Row] puts them.
func (c *Chart) SetRows(labels []string) {
	a := &c.Plot.Y
	a.Min, a.Max = Row(float64(len(labels))-0.5), Row(-0.5)
	a.Tick.LineStyle.Color = White // a place is no point
	ticks := make(axis.Marks, len(labels))
	for i, l := range labels {
		ticks[i] = plot.Tick{Value: Row(float64(i)), Label: Clean(l)}
	}
	a.Tick.Marker = ticks
}

// Row returns where a place among rows stands on the Y axis.
func Row(place float64) float64 { return -place }

// broke breaks a label into lines no wider than room, between words and behind
// hyphens; not ok where a part of it is wider.
func broke(style text.Style, label string, room vg.Length) (lines []string, ok bool) {
	line, ok := "", true
	for _, word := range strings.Fields(label) {
		glue := " "
		for _, part := range strings.SplitAfter(word, "-") {
			ok = ok && style.Width(part) <= room
			if longer := line + glue + part; line != "" && style.Width(longer) > room {
				lines, line = append(lines, line), part
			} else {
				line = strings.TrimPrefix(longer, " ")
			}
			glue = ""
		}
	}
	return append(lines, line), ok
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
	Bands   [][]vg.Point // closed, filled translucently
	Areas   [][]vg.Point // closed, filled and outlined
	Ends    [][]vg.Point // what all lines share, drawn below the rest
	Line    []vg.Point   // drawn as it is
	Bars    [][2]vg.Point
	Marks   []vg.Point
	Glyph   draw.GlyphDrawer
	Names   []string          // one a mark; empty for none
	Over    func(draw.Canvas) // draws what else the trace has, above the rest of it
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
		if slices.ContainsFunc(c.Traces, func(t Trace) bool { return t.Label != "" || t.Names != nil }) {
			c.placeLabels()
		}
	}
	c.Height = c.below() + c.plotHeight
}

// trace lays the data out where the plot stands, given what lies below it.
func (c *Chart) trace() { c.Traces = c.Trace(c.Area()) }

// placeLabels finds a place for each label at its line, or for a legend inside
// the plot, or below it. Where marks have names, these stand at them.
func (c *Chart) placeLabels() {
	lines := c.occupied()
	tags := make([]label.Tag, len(c.Traces))
	style := c.Theme.Text(LabelSize, Black)
	widest := vg.Length(0)
	labels := make([]string, len(c.Traces))
	named := false
	for i, t := range c.Traces {
		labels[i] = shorten(style, Clean(t.Label), c.Width-2*Margin-swatch-legendGap)
		tags[i] = label.Tag{Width: style.Width(labels[i]), Height: capHeight, Anchors: t.Anchors, Series: i}
		widest = max(widest, tags[i].Width)
		named = named || t.Names != nil
	}
	if named {
		c.placeNames(lines)
	} else {
		c.Labels = label.Place(tags, lines)
	}
	if c.Labels == nil && widest > 0 {
		c.placeLegend(lines, widest)
	}
	if c.Legend.Below && named { // they have moved up with the plot
		c.placeNames(c.occupied())
	}
	for i := range c.Traces {
		c.Traces[i].Label = labels[i]
	}
}

// occupied returns where in the plot's area something is drawn. Of marks with names
// each is a series of its own, with its bar, so that no leader crosses another.
func (c *Chart) occupied() *label.Occupancy {
	lines := label.NewOccupancy(c.Area().Rectangle)
	next := len(c.Traces)
	for i, t := range c.Traces {
		series := func(mark int) int {
			if t.Names == nil || mark < 0 {
				return i
			}
			return next + mark
		}
		lines.Mark(i, t.Line)
		for _, b := range t.Bars {
			lines.Mark(series(slices.IndexFunc(t.Marks, func(m vg.Point) bool { return m.X == b[0].X })), b[:])
		}
		for _, a := range t.Areas {
			lines.Fill(i, a)
		}
		for k, m := range t.Marks {
			for _, d := range []vg.Point{{X: 2}, {Y: 2}} {
				lines.Mark(series(k), []vg.Point{m.Sub(d), m.Add(d)})
			}
		}
		next += len(t.Names)
	}
	return lines
}

// Names returns where the names of marks stand, trace by trace; an empty text is one
// without room.
func (c *Chart) Names() []label.Candidate { return c.names }

// placeNames finds a place for the name of each mark that has one, as near to it as
// there is room.
func (c *Chart) placeNames(lines *label.Occupancy) {
	style := c.Theme.Text(LabelSize, Black)
	var tags []label.Tag
	var unnamed []int
	series := len(c.Traces)
	for i, t := range c.Traces {
		if t.Names == nil {
			unnamed = append(unnamed, i)
		}
	}
	for _, t := range c.Traces {
		for i, name := range t.Names {
			if name = Clean(name); name != "" {
				tags = append(tags, label.Tag{
					Width: style.Width(name), Height: capHeight, Anchors: label.Around(t.Marks[i : i+1]), Text: name,
					Series: series, Through: unnamed, Far: true,
				})
			}
			series++
		}
	}
	c.names, c.Unnamed = label.PlaceMost(tags, lines), nil
	for i, n := range c.names {
		if n.Text == "" {
			c.Unnamed = append(c.Unnamed, tags[i].Text)
		} else {
			lines.Fill(len(c.Traces), n.Corners())
		}
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
		for _, b := range t.Bands {
			area.SetColor(translucent(rgb(t.Style.Color)))
			area.Fill(Path(b))
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
	for _, n := range c.names {
		if n.Text != "" {
			c.drawText(area, n.Text, Black, n)
		}
	}
}

func (c *Chart) drawTrace(area draw.Canvas, t Trace) {
	for _, a := range t.Areas {
		c.fill(area, t.Style, a)
	}
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
	if t.Over != nil {
		t.Over(area)
	}
}

// fill paints an area lightly in the colour of its style, and outlines it.
func (c *Chart) fill(area draw.Canvas, style draw.LineStyle, around []vg.Point) {
	pale := rgb(style.Color)
	pale.A = 64 // so that a stamp behind it shows
	area.SetColor(pale)
	area.Fill(Path(around))
	style.Width = 0.7
	area.StrokeLines(style, append(slices.Clone(around), around[0]))
}

func (c *Chart) drawLabel(area draw.Canvas, t Trace, at label.Candidate) {
	if t.Label != "" {
		c.drawText(area, t.Label, Ink(rgb(t.Style.Color)), at)
	}
}

// drawText writes a label where there is room for it.
func (c *Chart) drawText(area draw.Canvas, text string, tint color.NRGBA, at label.Candidate) {
	if at.Leader {
		area.StrokeLines(draw.LineStyle{Color: tint, Width: 0.4}, []vg.Point{at.From, at.To})
	}
	halo := White
	halo.A = 200
	area.SetColor(halo)
	area.Fill(Path(at.Corners()))
	if !at.Turned {
		c.write(area, at.Box.Min, text, tint)
		return
	}
	style := c.Theme.Text(LabelSize, tint)
	style.Rotation = math.Pi / 2
	area.FillText(style, vg.Point{X: at.Box.Max.X + style.FontExtents().Descent, Y: at.Box.Min.Y}, text)
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
		switch {
		case len(t.Areas) > 0:
			c.fill(area, t.Style, []vg.Point{at, {X: at.X + swatch, Y: at.Y}, {X: at.X + swatch, Y: at.Y + capHeight}, {X: at.X, Y: at.Y + capHeight}})
		case t.Style.Width > 0:
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
