package figure

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
	titleSize   = 7.5
	labelSize   = 6.5
	captionSize = 6
	lineWidth   = 0.9
	margin      = 3
)

var (
	black = color.NRGBA{A: 255}
	grey  = color.NRGBA{R: 0x44, G: 0x44, B: 0x44, A: 255}
	faint = color.NRGBA{R: 0xE4, G: 0xE4, B: 0xE4, A: 255}
	white = color.NRGBA{R: 255, G: 255, B: 255, A: 255}
)

// palette holds Okabe and Ito's colours ("Color Universal Design", 2008) without
// the yellow, which does not show on white. Black goes to the first series, the
// baseline.
var palette = []color.NRGBA{
	{0x00, 0x00, 0x00, 255}, // black
	{0x00, 0x72, 0xB2, 255}, // blue
	{0xD5, 0x5E, 0x00, 255}, // vermilion
	{0x00, 0x9E, 0x73, 255}, // bluish green
	{0xCC, 0x79, 0xA7, 255}, // reddish purple
	{0xE6, 0x9F, 0x00, 255}, // orange
	{0x56, 0xB4, 0xE9, 255}, // sky blue
}

// dashes has a length that shares no factor with the palette's, so that 42
// series differ, and neighbours differ in both.
var dashes = [][]vg.Length{
	nil,
	{4, 1.5},
	{1.2, 1.2},
	{5, 1.5, 1.2, 1.5},
	{7, 2},
	{3, 1.2, 1.2, 1.2, 1.2, 1.2},
}

var glyphs = []draw.GlyphDrawer{
	draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.RingGlyph{}, draw.BoxGlyph{}, draw.PyramidGlyph{},
}

func seriesColor(i int) color.NRGBA { return palette[i%len(palette)] }

func seriesLine(i int) draw.LineStyle {
	return draw.LineStyle{Color: seriesColor(i), Width: lineWidth, Dashes: dashes[i%len(dashes)]}
}

// translucent returns the colour of a band.
func translucent(c color.NRGBA) color.NRGBA {
	c.A = 38
	return c
}

// ink darkens a colour until text in it reads on white: a contrast of 4.5 to 1,
// by the formula of WCAG 2.1.
func ink(c color.NRGBA) color.NRGBA {
	for luminance(c) > 1.05/4.5-0.05 {
		c.R, c.G, c.B = c.R-c.R/20-min(c.R, 1), c.G-c.G/20-min(c.G, 1), c.B-c.B/20-min(c.B, 1)
	}
	return c
}

func luminance(c color.NRGBA) float64 {
	linear := func(v uint8) float64 {
		x := float64(v) / 255
		if x <= 0.03928 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
}

// A theme is the type a figure is set in: Liberation Sans, cut down to the
// characters the figure holds.
type theme struct {
	handler text.Handler
}

var sans = font.Font{Typeface: "Liberation", Variant: "Sans"}

// newTheme prepares to set the given strings, which clean has been over, and
// any number.
func newTheme(strings []string) (*theme, error) {
	var runes []rune
	for r := rune(' '); r <= '~'; r++ {
		runes = append(runes, r)
	}
	for _, s := range strings {
		for _, r := range s {
			if !slices.Contains(runes, r) {
				runes = append(runes, r)
			}
		}
	}
	face, err := subset(runes)
	if err != nil {
		return nil, fmt.Errorf("figure: prepare font: %w", err)
	}
	return &theme{text.Plain{Fonts: font.NewCache(font.Collection{{Font: sans, Face: face}})}}, nil
}

func (t *theme) text(size vg.Length, c color.Color) text.Style {
	return text.Style{Color: c, Font: font.From(sans, size), Handler: t.handler}
}

// plot returns an empty plot in the theme's style.
func (t *theme) plot(xLabel, yLabel string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	p.TextHandler = t.handler
	p.Legend.TextStyle = t.text(labelSize, black) // measured even when it is empty
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Padding = 2.5
		a.Tick.Length = 2.5
		for _, s := range []*text.Style{&a.Label.TextStyle, &a.Tick.Label} {
			s.Handler, s.Color = t.handler, black
		}
		a.Label.TextStyle.Font = font.From(sans, titleSize)
		a.Label.Padding = 2
		a.Tick.Label.Font = font.From(sans, labelSize)
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

// clean returns text that every format can show, on one line: what Windows-1252
// lacks is spelled out or becomes a question mark.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if _, ok := charmap.Windows1252.EncodeRune(r); !ok || r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, spelled.Replace(strings.Join(strings.Fields(s), " ")))
}

func cleanAll(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = clean(l)
	}
	return out
}
