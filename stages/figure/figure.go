// Package figure draws the study's figures, ready for a paper.
//
// A figure is one column (85 mm) wide, its text at least 6 pt, on white, in
// colours that colour-blind readers tell apart, and never in colour alone: lines
// differ in dash pattern and carry their labels. It promises that the same data
// give the same bytes, in every format, and that nothing is left out in silence:
// whatever the axes cut off is said in the caption.
//
// [ECDF] draws distributions with their confidence bands; [Points] draws
// estimates with their intervals, and laws fitted to them. Either returns a
// [Figure], which writes itself as SVG and PDF with fonts embedded, as PNG at
// 300 dpi, and as the CSV behind it.
package figure

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// ColumnWidth is the width of a figure unless its spec says otherwise, in
// millimetres.
const ColumnWidth = 85

// A Figure is drawn and ready to be written.
type Figure struct {
	// Caption is what stands below the figure, a line each, with what the
	// figure itself had to add: bands, cuts, doubts.
	Caption []string

	title, desc   string
	width, height vg.Length
	chart         *chart
	table         func(io.Writer) error
}

// Write writes the figure in a format: svg, pdf, png or csv. It may be called for
// several at once.
func (f *Figure) Write(w io.Writer, format string) error {
	switch format {
	case "svg":
		return f.writeSVG(w)
	case "pdf":
		return f.writePDF(w)
	case "png":
		return f.writePNG(w)
	case "csv":
		return f.table(w)
	}
	return fmt.Errorf("figure: unknown format %q; want svg, pdf, png or csv", format)
}

// Save writes the figure to a file whose name ends in .svg, .pdf, .png or .csv.
func (f *Figure) Save(path string) error {
	var b bytes.Buffer
	if err := f.Write(&b, strings.TrimPrefix(filepath.Ext(path), ".")); err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		return fmt.Errorf("save figure: %w", err)
	}
	return nil
}

// draw wraps a drawing surface in the figure's own rectangle, so that every
// format draws the same geometry, however the surface rounds its size.
func (f *Figure) draw(c vg.Canvas) {
	f.chart.draw(draw.Canvas{Canvas: c, Rectangle: vg.Rectangle{Max: vg.Point{X: f.width, Y: f.height}}})
}

const millimetre = vg.Millimeter

// A sheet lays a figure out: the plot on top, a legend below it if there is no
// room inside, then the caption.
type sheet struct {
	theme   *theme
	width   vg.Length
	height  vg.Length // of the plot with its axes
	caption []string
}

func newSheet(th *theme, width, height float64) sheet {
	if width <= 0 {
		width = ColumnWidth
	}
	if height <= 0 {
		height = 0.68 * width
	}
	return sheet{theme: th, width: vg.Length(width) * millimetre, height: vg.Length(height) * millimetre}
}

// area is where the plot with its axes goes, given what lies below it.
func (s *sheet) area(below vg.Length) vg.Rectangle {
	return vg.Rectangle{
		Min: vg.Point{X: margin, Y: below},
		Max: vg.Point{X: s.width - margin, Y: below + s.height - margin},
	}
}

// wrap breaks the caption into lines that fit.
func (s *sheet) wrap() (lines []string) {
	style := s.theme.text(captionSize, grey)
	for _, paragraph := range s.caption {
		lines = append(lines, fit(style, paragraph, s.width-2*margin)...)
	}
	return lines
}

// fit breaks text into lines no wider than room: between words, or within one
// that is too long by itself.
func fit(style text.Style, s string, room vg.Length) (lines []string) {
	line := ""
	for _, word := range strings.Fields(s) {
		if longer := strings.TrimSpace(line + " " + word); style.Width(longer) <= room {
			line = longer
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		line = ""
		for _, r := range word {
			if line != "" && style.Width(line+string(r)) > room {
				lines = append(lines, line)
				line = ""
			}
			line += string(r)
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// shorten cuts text that is wider than room.
func shorten(style text.Style, s string, room vg.Length) string {
	if style.Width(s) <= room {
		return s
	}
	runes := []rune(s)
	for len(runes) > 1 && style.Width(string(runes)+"...") > room {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "..."
}

// title breaks the axes' titles into lines that fit.
func (s *sheet) title(p *plot.Plot) {
	for axis, room := range map[*plot.Axis]vg.Length{&p.X: 0.8 * s.width, &p.Y: 0.8 * s.height} {
		axis.Label.Text = strings.Join(fit(axis.Label.TextStyle, axis.Label.Text, room), "\n")
	}
}

const leading = 1.25 // line height, in units of the text's size

func (s *sheet) captionHeight() vg.Length {
	if n := len(s.wrap()); n > 0 {
		return vg.Length(n)*captionSize*leading + margin
	}
	return margin
}

func (s *sheet) drawCaption(c draw.Canvas) {
	style := s.theme.text(captionSize, grey)
	style.XAlign, style.YAlign = text.XLeft, text.YTop
	y := s.captionHeight() - margin/2
	for _, line := range s.wrap() {
		c.FillText(style, vg.Point{X: margin, Y: y}, line)
		y -= captionSize * leading
	}
}
