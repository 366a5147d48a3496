package figure

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"barograph/stages/figure/axis"
	"barograph/stages/figure/chart"
)

// A PanelsSpec describes figures of estimates side by side, on one Y axis's
// range.
type PanelsSpec struct {
	Title, Description string       // as in ECDFSpec
	Panels             []PointsSpec // their captions, sizes and YScale are not looked at
	YScale             string       // auto, linear or log; auto where empty
	Caption            []string
	Simulated          bool
	Invalid            string  // as in ECDFSpec
	Width, Height      float64 // of all panels, in millimetres; 0: two columns, and 60
}

// Panels draws estimates against several of the things they depend on, side by
// side and comparable, since all panels have the same range of Y.
func Panels(spec PanelsSpec) (*Figure, error) {
	if len(spec.Panels) == 0 {
		return nil, errors.New("figure: no panels")
	}
	yScale, err := axis.Scale(spec.YScale)
	if err != nil {
		return nil, err
	}
	if spec.Width <= 0 {
		spec.Width = 2 * ColumnWidth
	}
	if spec.Height <= 0 {
		spec.Height = 60
	}
	d := &panels{}
	first, err := firstWidth(spec)
	if err != nil {
		return nil, err
	}
	shared := axis.NewExtent()
	caption := slices.Clone(spec.Caption)
	var words []string
	for i, p := range spec.Panels {
		p.Caption, p.Simulated, p.Invalid = nil, false, ""
		p.Width, p.Height = (spec.Width-first)/float64(len(spec.Panels)), spec.Height
		switch {
		case p.Rows == nil:
		case i == 0:
			p.Width += first
		default:
			p.Rows = make([]string, len(p.Rows))
		}
		xScale, err := axis.Scale(p.XScale)
		if err != nil {
			return nil, err
		}
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("panel %d: %w", i+1, err)
		}
		f := &points{spec: p}
		part, err := f.build(xScale, yScale)
		if err != nil {
			return nil, fmt.Errorf("panel %d: %w", i+1, err)
		}
		for _, line := range part.Caption {
			caption = append(caption, fmt.Sprintf("Panel %d: %s", i+1, line))
		}
		shared.Add(f.y.Low, f.y.High)
		d.points, d.parts = append(d.points, f), append(d.parts, part)
		words = append(append(words, p.Heading, p.XLabel, p.YLabel), p.labels()...)
	}
	shared.Choose(yScale)
	d.alignX()
	whole, err := chart.New(chart.Frame{
		Title: spec.Title, Description: spec.Description, Caption: caption, Simulated: spec.Simulated, Invalid: spec.Invalid,
	}, words...)
	if err != nil {
		return nil, err
	}
	tallest := vg.Length(0)
	for i, f := range d.points {
		f.y = shared
		c := d.parts[i]
		c.Caption, c.Stamp = nil, whole.Stamp
		if f.spec.Rows == nil {
			c.SetY(shared.Low, shared.High, shared.Position)
		}
		c.LayOut()
		tallest = max(tallest, c.Height)
		if len(c.Unnamed) > 0 {
			whole.Caption = append(whole.Caption, fmt.Sprintf("Panel %d, without room for a name: %s.", i+1, strings.Join(c.Unnamed, ", ")))
		}
	}
	whole.Stamp = "" // its parts bear it
	whole.Resize(spec.Width, float64(tallest/vg.Millimeter))
	d.theme = whole.Theme
	whole.Paint(d.draw)
	return newFigure(whole, "Estimates against what they depend on", fmt.Sprintf("%d panels side by side.", len(d.parts)), d.table), nil
}

// alignX gives panels of rows that show the same quantity the same range of it.
func (d *panels) alignX() {
	all := map[string]axis.Extent{}
	for _, f := range d.points {
		x, ok := all[f.spec.XLabel]
		if !ok {
			x = f.x
		}
		if x.Log == f.x.Log {
			x.Low, x.High = min(x.Low, f.x.Low), max(x.High, f.x.High)
		}
		all[f.spec.XLabel] = x
	}
	for i, f := range d.points {
		if x := all[f.spec.XLabel]; f.spec.Rows != nil && x.Log == f.x.Log {
			f.x.Low, f.x.High = x.Low, x.High
			d.parts[i].SetX(x.Low, x.High, x.Position)
		}
	}
}

// firstWidth returns how much wider than the others, in millimetres, the first panel is:
// by the names of rows, which stand there for all.
func firstWidth(spec PanelsSpec) (float64, error) {
	rows := spec.Panels[0].Rows
	for i, p := range spec.Panels {
		if len(p.Rows) != len(rows) {
			return 0, fmt.Errorf("panel %d: %d rows beside %d", i+1, len(p.Rows), len(rows))
		}
	}
	c, err := chart.New(chart.Frame{}, rows...)
	if err != nil {
		return 0, err
	}
	widest, style := vg.Length(0), c.Theme.Text(chart.LabelSize, chart.Black)
	for _, l := range rows {
		widest = max(widest, style.Width(chart.Clean(l)))
	}
	return float64(widest / vg.Millimeter), nil
}

type panels struct {
	theme  *chart.Theme // with every character of its parts
	points []*points
	parts  []*chart.Chart
}

func (d *panels) draw(area draw.Canvas) {
	// Every part brings the font with its own characters, and a file keeps the one
	// that comes first: this one has those of all.
	area.FillText(d.theme.Text(chart.CaptionSize, chart.White), area.Min, " ")
	left := vg.Length(0)
	for _, part := range d.parts {
		area.Push()
		area.Translate(vg.Point{X: left, Y: area.Max.Y + chart.Margin - part.Height})
		part.Draw(area.Canvas)
		area.Pop()
		left += part.Width
	}
}

func (d *panels) table(w io.Writer) error {
	out := bufio.NewWriter(w)
	for i, f := range d.points {
		var b bytes.Buffer
		if err := f.table(&b); err != nil {
			return err
		}
		head, rows, _ := bytes.Cut(b.Bytes(), []byte("\n"))
		if i == 0 {
			fmt.Fprintf(out, "panel,%s\n", head)
		}
		for line := range bytes.Lines(rows) {
			fmt.Fprintf(out, "%d,%s", i+1, line)
		}
	}
	return out.Flush()
}
