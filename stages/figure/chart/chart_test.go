package chart

import (
	"fmt"
	"strings"
	"testing"

	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"barograph/stages/figure/axis"
)

// A legend that finds no room inside goes below, in columns, and long labels
// are cut to the page.
func TestLegendBelow(t *testing.T) {
	c, err := New(Frame{Caption: []string{strings.Repeat("x", 400)}, XLabel: strings.Repeat("wordy ", 30)})
	if err != nil {
		t.Fatal(err)
	}
	c.SetX(0, 1, axis.Position{})
	c.SetY(0, 1, axis.Position{})
	c.Trace = func(area draw.Canvas) (traces []Trace) { // each of which fills the area
		for i := range 12 {
			trace := Trace{Label: fmt.Sprintf("a rather long label, number %d", i)}
			if i == 3 {
				trace.Label = strings.Repeat("long ", 50)
			}
			for x := area.Min.X; x < area.Max.X; x += 2 {
				trace.Line = append(trace.Line, vg.Point{X: x, Y: area.Min.Y}, vg.Point{X: x, Y: area.Max.Y})
			}
			traces = append(traces, trace)
		}
		return traces
	}
	c.LayOut()
	if !c.Legend.Below || c.Legend.Columns != 1 {
		t.Errorf("legend: %+v", c.Legend)
	}
	style := c.Theme.Text(LabelSize, Black)
	for _, l := range c.Traces {
		if right := c.Legend.At.X + swatch + legendGap + style.Width(l.Label); right > c.Width {
			t.Errorf("%q ends at %v of %v", l.Label, right, c.Width)
		}
		if top := l.Line[1].Y; top != c.Area().Max.Y {
			t.Errorf("%q reaches up to %v, the plot to %v", l.Label, top, c.Area().Max.Y)
		}
	}
	style = c.Theme.Text(CaptionSize, Black)
	for _, l := range c.wrap() {
		if w := style.Width(l); w > c.Width {
			t.Errorf("caption line %q is %v wide, the page %v", l, w, c.Width)
		}
	}
	for _, l := range strings.Split(c.Plot.X.Label.Text, "\n") {
		if w := c.Plot.X.Label.TextStyle.Width(l); w > c.Width {
			t.Errorf("axis title line %q is %v wide", l, w)
		}
	}
}

// Text and lines of every series can be told from white, and from one another.
func TestSeriesAreTold(t *testing.T) {
	for _, c := range Palette {
		if got := 1.05 / (Luminance(Ink(c)) + 0.05); got < 4.5 {
			t.Errorf("text in %v: contrast %.2f to white", c, got)
		}
		if got := 1.05 / (Luminance(c) + 0.05); got < 1.9 {
			t.Errorf("lines in %v: contrast %.2f to white", c, got)
		}
	}
	seen := map[string]bool{}
	for i := range 42 {
		seen[fmt.Sprint(SeriesLine(i))] = true
	}
	if len(seen) != 42 {
		t.Errorf("%d styles of 42 differ", len(seen))
	}
}

// The cut-down font draws the same glyphs, with the same widths, as the whole.
func TestSubsetKeepsGlyphs(t *testing.T) {
	whole, err := opentype.Parse(liberationsansregular.TTF)
	if err != nil {
		t.Fatal(err)
	}
	runes := []rune("AVfi 0123.%\u00e9\u00b5\u20ac\u00d7")
	small, err := subset(runes)
	if err != nil {
		t.Fatal(err)
	}
	var buf sfnt.Buffer
	em := fixed.Int26_6(whole.UnitsPerEm())
	outline := func(f *opentype.Font, r rune) string {
		g, err := f.GlyphIndex(&buf, r)
		if err != nil || g == 0 {
			t.Fatalf("no glyph for %q (%v)", r, err)
		}
		advance, err := f.GlyphAdvance(&buf, g, em, font.HintingNone)
		if err != nil {
			t.Fatal(err)
		}
		segments, err := f.LoadGlyph(&buf, g, em, nil)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(advance, segments)
	}
	for _, r := range runes {
		if outline(whole, r) != outline(small, r) {
			t.Errorf("%q differs", r)
		}
	}
	if g, err := small.GlyphIndex(&buf, 'Z'); err != nil || g != 0 {
		t.Errorf("Z was not asked for, yet is glyph %d (%v)", g, err)
	}
	if _, err := subset([]rune{0x65e5}); err == nil {
		t.Error("a character the font lacks: no error")
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain \t text\n":                         "plain text",
		"\u03c1 \u2264 0.95 \u2212 1":             "rho <= 0.95 - 1",
		"\u65e5\u672c":                            "??",
		"caf\u00e9 \u00b1 5 \u20ac \u2026 \u00d7": "caf\u00e9 \u00b1 5 \u20ac \u2026 \u00d7",
		"\x00\x7f\u0081":                          "???",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}
