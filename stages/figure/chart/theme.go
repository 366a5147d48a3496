package chart

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"golang.org/x/text/encoding/charmap"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Sizes in points. 6 pt is the smallest that journals accept.
const (
	TitleSize   = 7.5
	LabelSize   = 6.5
	CaptionSize = 6
	LineWidth   = 0.9
	Margin      = 3
)

var (
	Black = color.NRGBA{A: 255}
	Grey  = color.NRGBA{R: 0x44, G: 0x44, B: 0x44, A: 255}
	faint = color.NRGBA{R: 0xE4, G: 0xE4, B: 0xE4, A: 255}
	White = color.NRGBA{R: 255, G: 255, B: 255, A: 255}
)

// Palette holds Okabe and Ito's colours ("Color Universal Design", 2008) without
// the yellow, which does not show on white. Black goes to the first series, the
// baseline.
var Palette = []color.NRGBA{
	{0x00, 0x00, 0x00, 255}, // black
	{0x00, 0x72, 0xB2, 255}, // blue
	{0xD5, 0x5E, 0x00, 255}, // vermilion
	{0x00, 0x9E, 0x73, 255}, // bluish green
	{0xCC, 0x79, 0xA7, 255}, // reddish purple
	{0xE6, 0x9F, 0x00, 255}, // orange
	{0x56, 0xB4, 0xE9, 255}, // sky blue
}

// Dashes has a length that shares no factor with the palette's, so that 42
// series differ, and neighbours differ in both.
var Dashes = [][]vg.Length{
	nil,
	{4, 1.5},
	{1.2, 1.2},
	{5, 1.5, 1.2, 1.5},
	{7, 2},
	{3, 1.2, 1.2, 1.2, 1.2, 1.2},
}

// Glyphs mark the points of series, by turns.
var Glyphs = []draw.GlyphDrawer{
	draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.RingGlyph{}, draw.BoxGlyph{}, draw.PyramidGlyph{},
}

// SeriesLine is the style of a series' line.
func SeriesLine(i int) draw.LineStyle {
	return draw.LineStyle{Color: Palette[i%len(Palette)], Width: LineWidth, Dashes: Dashes[i%len(Dashes)]}
}

// translucent returns the colour of a band.
func translucent(c color.NRGBA) color.NRGBA {
	c.A = 38
	return c
}

// Filled is the style of a series' areas: a solid outline in its colour. Neighbours
// stand side by side, in the order of the legend.
func Filled(i int) draw.LineStyle {
	return draw.LineStyle{Color: Palette[i%len(Palette)], Width: LineWidth}
}

// Ink darkens a colour until text in it reads on white: a contrast of 4.5 to 1,
// by the formula of WCAG 2.1.
func Ink(c color.NRGBA) color.NRGBA {
	for Luminance(c) > 1.05/4.5-0.05 {
		c.R, c.G, c.B = c.R-c.R/20-min(c.R, 1), c.G-c.G/20-min(c.G, 1), c.B-c.B/20-min(c.B, 1)
	}
	return c
}

// Luminance is the relative luminance of WCAG 2.1, from 0 of black to 1 of white.
func Luminance(c color.NRGBA) float64 {
	linear := func(v uint8) float64 {
		x := float64(v) / 255
		if x <= 0.03928 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
}

// A Theme is the type a figure is set in: Liberation Sans, cut down to the
// characters the figure holds.
type Theme struct {
	handler text.Handler
}

var sans = font.Font{Typeface: "Liberation", Variant: "Sans"}

// newTheme prepares to set some words, once they are clean, and any number.
func newTheme(words []string) (*Theme, error) {
	var runes []rune
	for r := rune(' '); r <= '~'; r++ {
		runes = append(runes, r)
	}
	for _, w := range words {
		for _, r := range Clean(w) {
			if !slices.Contains(runes, r) {
				runes = append(runes, r)
			}
		}
	}
	face, err := cut(runes)
	if err != nil {
		return nil, fmt.Errorf("figure: prepare font: %w", err)
	}
	return &Theme{text.Plain{Fonts: font.NewCache(font.Collection{{Font: sans, Face: face}})}}, nil
}

// Text is the style of text of a size, in points, and a colour.
func (t *Theme) Text(size vg.Length, c color.Color) text.Style {
	return text.Style{Color: c, Font: font.From(sans, size), Handler: t.handler}
}

// plot returns an empty plot in the theme's style.
func (t *Theme) plot(xLabel, yLabel string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	p.TextHandler = t.handler
	p.Legend.TextStyle = t.Text(LabelSize, Black) // measured even when it is empty
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Padding = 2.5
		a.Tick.Length = 2.5
		for _, s := range []*text.Style{&a.Label.TextStyle, &a.Tick.Label} {
			s.Handler, s.Color = t.handler, Black
		}
		a.Label.TextStyle.Font = font.From(sans, TitleSize)
		a.Label.Padding = 2
		a.Tick.Label.Font = font.From(sans, LabelSize)
	}
	p.X.Label.Text, p.Y.Label.Text = xLabel, yLabel
	return p
}

// spelled are characters outside Windows-1252, the only ones that the PDF
// writer and the fonts' encoding have, and how to write them within it.
var spelled = strings.NewReplacer(
	"\u2212", "-", "\u2010", "-", "\u2011", "-", "\u2264", "<=", "\u2265", ">=", "\u2248", "~", "\u2192", "->",
	"\u03bc", "\u00b5", "\u03c1", "rho", "\u03b1", "alpha", "\u03b2", "beta", "\u03b5", "epsilon", "\u03bb", "lambda", "\u03c3", "sigma",
	"\u2009", " ", "\u202f", " ", "\u00a0", " ", "\t", " ",
)

// Clean returns text that every format can show, on one line: what Windows-1252
// lacks is spelled out or becomes a question mark.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if _, ok := charmap.Windows1252.EncodeRune(r); !ok || r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, spelled.Replace(strings.Join(strings.Fields(s), " ")))
}

// CleanAll cleans each of some texts.
func CleanAll(texts []string) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = Clean(t)
	}
	return out
}
