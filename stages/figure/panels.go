package figure

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
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
	yScale, err := checkScale(spec.YScale)
	if err != nil {
		return nil, err
	}
	if spec.Width <= 0 {
		spec.Width = 2 * ColumnWidth
	}
	if spec.Height <= 0 {
		spec.Height = 60
	}
	d := &panels{spec: spec}
	all := newExtent()
	caption := cleanAll(spec.Caption)
	strings := []string{simulatedStamp, invalidStamp}
	for i, p := range spec.Panels {
		p.Caption, p.Simulated, p.Invalid = nil, false, ""
		p.Width, p.Height = spec.Width/float64(len(spec.Panels)), spec.Height
		xScale, err := checkScale(p.XScale)
		if err != nil {
			return nil, err
		}
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("panel %d: %w", i+1, err)
		}
		f := &points{spec: p}
		one, err := f.build(xScale, yScale)
		if err != nil {
			return nil, fmt.Errorf("panel %d: %w", i+1, err)
		}
		for _, line := range one.Caption {
			caption = append(caption, fmt.Sprintf("Panel %d: %s", i+1, line))
		}
		one.chart.sheet.caption, one.chart.stamp = nil, stampOf(spec.Simulated, spec.Invalid != "")
		all.add(f.y.low)
		all.add(f.y.high)
		d.points, d.parts = append(d.points, f), append(d.parts, one)
		strings = append(strings, clean(p.XLabel), clean(p.YLabel))
		for _, s := range p.Series {
			strings = append(strings, clean(s.Label))
		}
		for _, c := range p.Curves {
			strings = append(strings, clean(c.Label))
		}
	}
	all.choose(yScale)
	tallest := vg.Length(0)
	for i, f := range d.points {
		f.y = all
		c := d.parts[i].chart
		setRange(&c.plot.Y, all.low, all.high, all.position, int(c.sheet.height/22))
		d.parts[i].height = c.layOut()
		tallest = max(tallest, d.parts[i].height)
	}
	if spec.Invalid != "" {
		caption = append(caption, "INVALID: "+clean(spec.Invalid))
	}
	if spec.Simulated {
		caption = append(caption, simulatedNote)
	}
	if d.theme, err = newTheme(append(strings, caption...)); err != nil {
		return nil, err
	}
	s := newSheet(d.theme, spec.Width, float64(tallest/millimetre))
	s.caption = caption
	p := d.theme.plot("", "")
	p.HideAxes()
	p.X.Max, p.Y.Max = 1, 1
	p.Add(painter(d.draw))
	c := &chart{sheet: s, plot: p, trace: func(draw.Canvas) []trace { return []trace{{style: seriesLine(0)}} }}
	return &Figure{
		Caption: caption, title: orElse(clean(spec.Title), "Estimates against what they depend on"),
		desc:  orElse(clean(spec.Description), fmt.Sprintf("%d panels side by side.", len(d.parts))),
		width: s.width, height: c.layOut(), chart: c, table: d.table,
	}, nil
}

type panels struct {
	spec   PanelsSpec
	theme  *theme
	points []*points
	parts  []*Figure
}

func (d *panels) draw(area draw.Canvas) {
	// Every part brings the font with its own characters, and a file keeps the one
	// that comes first: this one has those of all.
	area.FillText(d.theme.text(captionSize, white), area.Min, " ")
	for i, part := range d.parts {
		area.Push()
		area.Translate(vg.Point{X: vg.Length(i) * part.width, Y: area.Max.Y + margin - part.height})
		part.draw(area.Canvas)
		area.Pop()
	}
}

func (d *panels) table(w io.Writer) error {
	out := bufio.NewWriter(w)
	for i, part := range d.parts {
		var b bytes.Buffer
		if err := part.table(&b); err != nil {
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
