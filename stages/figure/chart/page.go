package chart

import (
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// ColumnWidth is the width of a figure unless its frame says otherwise, in
// millimetres.
const ColumnWidth = 85

// Leading is the height of a line, in units of the text's size.
const Leading = 1.25

// Resize gives the plot with its axes another size, in millimetres. The caption
// comes below.
func (c *Chart) Resize(width, height float64) {
	c.Width, c.plotHeight = vg.Length(width)*vg.Millimeter, vg.Length(height)*vg.Millimeter
}

// area is where the plot with its axes goes, given what lies below it.
func (c *Chart) area(below vg.Length) vg.Rectangle {
	return vg.Rectangle{
		Min: vg.Point{X: Margin, Y: below},
		Max: vg.Point{X: c.Width - Margin, Y: below + c.plotHeight - Margin},
	}
}

// below is the height of what stands below the plot: the caption, and a legend
// that has no room inside.
func (c *Chart) below() vg.Length {
	if c.Legend.Below {
		return c.captionHeight() + c.legendHeight() + 2*Margin
	}
	return c.captionHeight()
}

// wrap breaks the caption into lines that fit.
func (c *Chart) wrap() (lines []string) {
	style := c.Theme.Text(CaptionSize, Grey)
	for _, paragraph := range c.Caption {
		lines = append(lines, Fit(style, paragraph, c.Width-2*Margin)...)
	}
	return lines
}

// Fit breaks text into lines no wider than room: between words, or within one
// that is too long by itself.
func Fit(style text.Style, s string, room vg.Length) (lines []string) {
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

// breakTitles breaks the axes' titles into lines that fit.
func (c *Chart) breakTitles() {
	for axis, room := range map[*plot.Axis]vg.Length{&c.Plot.X: 0.8 * c.Width, &c.Plot.Y: 0.8 * c.plotHeight} {
		axis.Label.Text = strings.Join(Fit(axis.Label.TextStyle, axis.Label.Text, room), "\n")
	}
}

func (c *Chart) captionHeight() vg.Length {
	if n := len(c.wrap()); n > 0 {
		return vg.Length(n)*CaptionSize*Leading + Margin
	}
	return Margin
}

func (c *Chart) drawCaption(page draw.Canvas) {
	style := c.Theme.Text(CaptionSize, Grey)
	style.XAlign, style.YAlign = text.XLeft, text.YTop
	y := c.captionHeight() - Margin/2
	for _, line := range c.wrap() {
		page.FillText(style, vg.Point{X: Margin, Y: y}, line)
		y -= CaptionSize * Leading
	}
}
